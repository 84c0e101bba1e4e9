// The device's primary context and its one stream, by which everything else of the module goes.
#pragma once

#include "backend/cudnn/module/driver.h"

namespace nacre::gpu {

class Context {
 public:
  Context(const Driver& driver, CUdevice device);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const Driver& driver() const { return driver_; }
  CUstream stream() const { return stream_; }
  void wait() const { driver_.check(driver_.wait_for_stream(stream_), "finish its work"); }

 private:
  const Driver driver_;
  CUdevice device_;
  CUcontext context_ = nullptr;
  CUstream stream_ = nullptr;

  friend class Current;
};

// The context is the calling thread's while this lives; then the one before, which may be another library's.
class Current {
 public:
  explicit Current(const Context& context) : driver_(context.driver_) {
    driver_.check(driver_.push_context(context.context_), "take up its context");
  }
  ~Current() {
    CUcontext popped;
    driver_.pop_context(&popped);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  const Driver& driver_;
};

}  // namespace nacre::gpu
