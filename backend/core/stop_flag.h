// What ends loops whose end nobody knows before.
#pragma once

#include <atomic>

namespace nacre {

// While it lives, loops of graphs that are run by the thread that made it end with the Error "interrupted" once the
// flag is true. Null: as before.
class StopFlag {
 public:
  explicit StopFlag(const std::atomic<bool>* flag);
  ~StopFlag();
  StopFlag(const StopFlag&) = delete;
  StopFlag& operator=(const StopFlag&) = delete;
  static void check();  // between two steps

 private:
  const std::atomic<bool>* before_;
};

}  // namespace nacre
