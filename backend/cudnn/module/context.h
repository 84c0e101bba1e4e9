// The device's primary context and its one stream, by which everything else of the module goes.
#pragma once

#include <functional>
#include <map>

#include "backend/cudnn/module/driver.h"

namespace nacre::gpu {

class Context {
 public:
  Context(const Driver& driver, CUdevice device);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const Driver& driver() const { return driver_; }
  CUdevice device() const { return device_; }
  CUstream stream() const { return stream_; }
  // The host, with the context current: for the stream, for another one, or for an event.
  void wait() const { wait_for(stream_); }
  void wait_for(CUstream stream) const;
  void wait_for(CUevent event) const;
  // Called now and then while the host waits; what it throws ends that. One for each owner, until it is told to forget
  // it, which no watch does.
  void watch(const void* owner, std::function<void()> watch) const { watches_[owner] = std::move(watch); }
  void forget(const void* owner) const { watches_.erase(owner); }

 private:
  template <class Query, class Wait>
  void wait_until(Query query, Wait wait) const;

  const Driver driver_;
  CUdevice device_;
  CUcontext context_ = nullptr;
  CUstream stream_ = nullptr;
  mutable std::map<const void*, std::function<void()>> watches_;

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
