// Batches of a dataset, epoch by epoch, read ahead in other threads.
#pragma once

#include <functional>
#include <memory>

#include "api/data/dataset.h"

namespace nacre {

struct LoaderOptions {
  std::int64_t batch_size = 32;
  // Of several loaders that read the same data each one gives its part of every batch, which has batch_size samples for each of
  // them; of the last, smaller batch the parts differ by one at most.
  int part = 0, parts = 1;
  bool shuffle = false;          // a new permutation each epoch, from (seed, epoch)
  bool drop_remainder = false;   // leave out the last, smaller batch
  std::uint64_t seed = 0;
  int prefetch = 2;              // batches read ahead; 0 reads on the caller's thread
  int workers = 0;               // threads that read ahead; 0: as many as the dataset says. They do not change the batches
  std::function<void(Batch&)> prepare{};  // what else is done with each batch there; empty: nothing
};

// Walks a dataset. Used by one thread; reads ahead in some of its own. An error of theirs is thrown by the next() that
// would have given the batch.
class Loader {
 public:
  Loader(DatasetRef dataset, LoaderOptions options);
  ~Loader();  // stops the threads
  Loader(Loader&&) noexcept;

  std::int64_t batches() const;  // per epoch
  // Starts an epoch at a batch: the order is a function of (seed, epoch) alone, so a run can resume inside it.
  void start(std::int64_t epoch, std::int64_t first_batch = 0);
  // The next batch, or null at the end of the epoch. It stays valid until the next call.
  const Batch* next();
  // Of the batch that next() gave: how many of its samples belong to this part, and how many all parts have. None where there
  // are fewer than parts: the batch has one then all the same.
  struct Counts {
    std::int64_t own, whole;
  };
  Counts counts() const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace nacre
