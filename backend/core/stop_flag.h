// What ends work early: loops whose end nobody knows before, and what scripts compute.
#pragma once

#include <atomic>
#include <cstdint>

namespace nacre {

// While it lives, what the thread that made it runs ends with the Error "interrupted" once the flag is true, and with
// another one when the work that is left is used up. Null: as before.
class StopFlag {
 public:
  explicit StopFlag(const std::atomic<bool>* flag, std::int64_t* work_left = nullptr);
  ~StopFlag();
  StopFlag(const StopFlag&) = delete;
  StopFlag& operator=(const StopFlag&) = delete;
  // Before such a piece of work, as work_of (graph/flops.h) measures it.
  static void check(std::int64_t work);

 private:
  struct Present {
    const std::atomic<bool>* flag;
    std::int64_t* work_left;
  };
  static thread_local constinit Present present;
  Present before_;
};

}  // namespace nacre
