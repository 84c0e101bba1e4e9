#include "backend/cudnn/module/context.h"

namespace nacre::gpu {

Context::Context(const Driver& driver, CUdevice device) : driver_(driver), device_(device) {
  const CUresult result = driver_.retain_context(&context_, device_);
  if (result == CUDA_ERROR_OUT_OF_MEMORY) throw Error("the GPU has no memory left: other programs have taken all of it");
  driver_.check(result, "make a context");
  try {
    const Current current(*this);
    driver_.check(driver_.create_stream(&stream_, CU_STREAM_NON_BLOCKING), "make a stream");
  } catch (...) {
    driver_.release_context(device_);
    throw;
  }
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
