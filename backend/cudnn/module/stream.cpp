#include "backend/cudnn/module/stream.h"

namespace nacre::gpu {

Stream::Stream(std::shared_ptr<const Context> context) : context_(std::move(context)) {
  context_->driver().check(context_->driver().create_stream(&stream_, CU_STREAM_NON_BLOCKING), "make a stream");
}

Stream::~Stream() {
  try {
    const Current current(*context_);
    context_->driver().wait_for_stream(stream_);
    context_->driver().destroy_stream(stream_);
  } catch (const Error&) {  // the driver has been shut down
  }
}

Event::Event(std::shared_ptr<const Context> context) : context_(std::move(context)) {
  context_->driver().check(context_->driver().create_event(&event_, CU_EVENT_DISABLE_TIMING), "make an event");
}

Event::~Event() {
  try {
    const Current current(*context_);
    context_->driver().destroy_event(event_);
  } catch (const Error&) {  // the driver has been shut down
  }
}

void Event::record(CUstream stream) {
  context_->driver().check(context_->driver().record_event(event_, stream), "record an event");
}

void Event::hold(CUstream stream) const {
  context_->driver().check(context_->driver().hold_stream(stream, event_, 0), "wait for an event");
}

void Event::wait() const { context_->wait_for(event_); }

void StreamFence::set() {
  const Current current(*context_);
  event_.record(context_->stream());
}

void StreamFence::wait() {
  const Current current(*context_);
  event_.wait();
}

}  // namespace nacre::gpu
