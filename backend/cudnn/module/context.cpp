#include "backend/cudnn/module/context.h"

#include <chrono>
#include <thread>

namespace nacre::gpu {

Context::Context(const Driver& driver, CUdevice device) : driver_(driver), device_(device) {
  const CUresult result = driver_.retain_context(&context_, device_);
  if (result == CUDA_ERROR_OUT_OF_MEMORY)
    throw Error("the GPU has no memory left: other programs have taken all of it");
  driver_.check(result, "make a context");
  try {
    const Current current(*this);
    driver_.check(driver_.create_stream(&stream_, CU_STREAM_NON_BLOCKING), "make a stream");
  } catch (...) {
    driver_.release_context(device_);
    throw;
  }
}

template <class Query, class Wait>
void Context::wait_until(Query query, Wait wait) const {
  constexpr std::chrono::microseconds interval(50);
  for (; !watches_.empty() && query() == CUDA_ERROR_NOT_READY; std::this_thread::sleep_for(interval))
    for (const auto& [owner, watch] : watches_) watch();
  driver_.check(wait(), "finish its work");
}

void Context::wait_for(CUstream stream) const {
  wait_until([&] { return driver_.query_stream(stream); }, [&] { return driver_.wait_for_stream(stream); });
}

void Context::wait_for(CUevent event) const {
  wait_until([&] { return driver_.query_event(event); }, [&] { return driver_.wait_for_event(event); });
}

Context::~Context() {
  if (driver_.push_context(context_) == CUDA_SUCCESS) {
    driver_.destroy_stream(stream_);
    CUcontext popped;
    driver_.pop_context(&popped);
  }
  driver_.release_context(device_);
}

}  // namespace nacre::gpu
