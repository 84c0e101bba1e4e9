// Watching a training: progress bars, lines, warnings.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string_view>

#include "api/train/history.h"
#include "api/train/step_memory.h"

namespace nacre {

// What is being done, for a bar: a training epoch or a sweep over validation or test data.
struct Sweep {
  enum class Kind : std::uint8_t { train, validation, test, predict };
  Kind kind = Kind::train;
  std::int64_t epoch = 0, epochs = 1;  // counted from 0; for train and validation
  std::int64_t batches = 0, samples = 0;
  std::int64_t first_batch = 0;        // a resumed epoch begins there
};

// Called by the thread that trains.
class ProgressListener {
 public:
  virtual ~ProgressListener() = default;
  virtual void on_resume(const History&) {}  // what the run had done before it was broken
  virtual void on_compiled(const StepMemory&) {}   // before the first step of a training
  virtual void on_begin(const Sweep&) {}
  // Whether on_batch shall be called now: reading metrics costs time, so a bar says yes a few times per second.
  virtual bool wants_batch(std::int64_t /*batches_done*/) { return false; }
  virtual void on_batch(std::int64_t /*batches_done*/, std::int64_t /*samples_done*/, const Logs&) {}
  virtual void on_end(const Sweep&, const Logs&) {}  // of a training epoch: with the validation's numbers
  virtual void say(std::string_view /*line*/) {}
  virtual void warn(std::string_view /*line*/) {}
};

// One line per epoch: "epoch 3/12  loss 0.0412  accuracy 0.9871  val_loss …  8.1 s".
class PlainProgress final : public ProgressListener {
 public:
  explicit PlainProgress(std::FILE* stream) : stream_(stream) {}
  void on_begin(const Sweep& sweep) override;
  void on_end(const Sweep& sweep, const Logs& logs) override;
  void say(std::string_view line) override;
  void warn(std::string_view line) override;

 private:
  std::FILE* stream_;
  double started_ = 0;  // seconds of a steady clock
};

}  // namespace nacre
