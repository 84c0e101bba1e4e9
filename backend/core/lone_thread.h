// Threads beside the one that trains.
#pragma once

namespace nacre {

// While it lives, threads() is 1 for the thread that made it: what reads data ahead must not take the cores from the
// kernels of the step with a team of its own.
class LoneThread {
 public:
  LoneThread();
  ~LoneThread();
  LoneThread(const LoneThread&) = delete;
  LoneThread& operator=(const LoneThread&) = delete;

 private:
  bool before_;
};

}  // namespace nacre
