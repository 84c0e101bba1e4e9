// How fast a model trains or predicts: one batch in memory, again and again, as fit and predict run their batches.
#pragma once

#include <functional>

#include "api/model.h"
#include "api/train/step_memory.h"

namespace nacre {

struct BenchmarkOptions {
  bool training = false;  // of a compiled model; else it predicts
  std::int64_t batch_size = 32;
};

// Not synchronised.
class Benchmark {
 public:
  struct Times {
    double first = 0;                     // seconds of the first step
    std::vector<double> steps;            // from the results of one to those of the next, after the warm-up, ascending
    double quantile(double share) const;  // 0: the fastest step, 0.5: the median, 1: the slowest
  };

  // Compiles the step for a batch (see example_batch) and runs nothing. Throws a usage Error when there is none.
  Benchmark(Model model, const BenchmarkOptions& options);

  double compile_seconds() const { return compile_seconds_; }
  const StepMemory& memory() const { return memory_; }
  const ExecutableStatistics& statistics() const { return executable_->statistics(); }
  // Steps for so many seconds, at least five; three before them warm up. A device that works beside the host has the
  // next step to do while the host waits for the results of the one before.
  Times measure(double seconds);
  // Likewise, with a clock at every kernel; then, if asked, a step in which every kernel also runs by itself
  // (Executable::measure_alone). Its updates are those of one more step.
  struct Profiled {
    Profile profile;
    double seconds = 0;  // of its runs, with what is done around the kernels
  };
  Profiled profile(double seconds, std::size_t max_events = 0, bool stand_alone = false);

 private:
  // Steps, as long as it is wanted: asked with the results of each, and the time since those of the one before.
  void run(const std::function<bool(double seconds)>& goes_on);

  Model model_;
  bool training_;
  Feed feed_;
  Executable* executable_ = nullptr;
  double compile_seconds_ = 0;
  StepMemory memory_;
};

// The profile as a Chrome trace (JSON; https://ui.perfetto.dev shows it). Times in it are microseconds.
std::string chrome_trace(const Profile& profile);

}  // namespace nacre
