// Another stream than the context's, and events that order streams.
#pragma once

#include <memory>

#include "backend/cudnn/module/context.h"
#include "backend/fence.h"

namespace nacre::gpu {

class Stream {
 public:
  // With the context current.
  explicit Stream(std::shared_ptr<const Context> context);
  ~Stream();  // what is under way ends first
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  CUstream get() const { return stream_; }

 private:
  std::shared_ptr<const Context> context_;
  CUstream stream_ = nullptr;
};

// Its calls but wait() are asynchronous; all are made with the context current.
class Event {
 public:
  explicit Event(std::shared_ptr<const Context> context);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(CUstream stream);      // after what was asked of the stream so far
  void hold(CUstream stream) const;  // what is asked of the stream from now on comes after the event
  void wait() const;                 // the host

 private:
  std::shared_ptr<const Context> context_;
  CUevent event_ = nullptr;
};

// In the order of the context's stream.
class StreamFence final : public Fence {
 public:
  // With the context current.
  explicit StreamFence(const std::shared_ptr<const Context>& context) : context_(context), event_(context) {}
  void set() override;
  void wait() override;

 private:
  std::shared_ptr<const Context> context_;
  Event event_;
};

}  // namespace nacre::gpu
