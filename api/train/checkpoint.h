// Checkpoints: everything that a run needs to go on as if it had not been broken, bit for bit, on the same machine and
// number of threads. The file is a model.h5 that Keras opens, with a group of ours beside.
#pragma once

#include <filesystem>

#include "api/train/trainer.h"

namespace nacre {

// Where training stands.
struct TrainingPosition {
  std::int64_t epoch = 0, batch = 0;  // the next ones
  // The numbers of the epoch whose batches are all done, when its validation is not.
  std::optional<Logs> epoch_logs;
};

struct Checkpoint {
  TrainingPosition position;
  History history;
  std::vector<CallbackState> callbacks;
  std::vector<Tensor> metrics;  // their state, when the epoch has begun; none when no batch was run
  std::int64_t first_step = 0;  // steps that the optimizer had taken when training began
  std::int64_t processes = 1;   // that each had a part of every batch
  bool told_of_cache = false;   // whether nothing is left to say of what is computed once
};

// Also writes weights, optimizer, random state. Whole or not at all.
void write_checkpoint(const std::filesystem::path& path, const Trainer& trainer, const Checkpoint& checkpoint);

// Throws an Error unless the file is a whole checkpoint.
void check_checkpoint(const std::filesystem::path& path);

// Gives the trainer's model, optimizer and random state what the file holds; the model is built and the optimizer has
// its slots. Throws an Error when they do not fit.
Checkpoint read_checkpoint(const std::filesystem::path& path, Trainer& trainer);

}  // namespace nacre
