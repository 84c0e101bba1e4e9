#include "backend/core/stop_flag.h"

#include <utility>

#include "backend/core/error.h"

namespace nacre {

thread_local constinit StopFlag::Present StopFlag::present{nullptr, nullptr};

StopFlag::StopFlag(const std::atomic<bool>* flag, std::int64_t* work_left)
    : before_(std::exchange(present, {flag ? flag : present.flag, work_left ? work_left : present.work_left})) {}
StopFlag::~StopFlag() { present = before_; }

void StopFlag::check(std::int64_t work) {
  if (present.flag && *present.flag) throw Error("interrupted");
  if (present.work_left && (*present.work_left -= work) < 0) {
    *present.work_left = 0;
    throw Error("too much is computed: does a loop never end?").usage();
  }
}

}  // namespace nacre
