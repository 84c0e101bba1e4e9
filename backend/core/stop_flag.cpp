#include "backend/core/stop_flag.h"

#include <utility>

#include "backend/core/error.h"

namespace nacre {

namespace {
thread_local constinit const std::atomic<bool>* present = nullptr;
}

StopFlag::StopFlag(const std::atomic<bool>* flag) : before_(std::exchange(present, flag ? flag : present)) {}
StopFlag::~StopFlag() { present = before_; }

void StopFlag::check() {
  if (present && *present) throw Error("interrupted");
}

}  // namespace nacre
