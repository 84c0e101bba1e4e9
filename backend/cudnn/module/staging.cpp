#include "backend/cudnn/module/staging.h"

#include <algorithm>
#include <cstring>

namespace nacre::gpu {

Staging::~Staging() {
  const Driver& driver = context_.driver();
  try {
    const Current current(context_);
    driver.wait_for_stream(stream_);
    release();
  } catch (const Error&) {  // the driver has been shut down, and its memory with it
  }
}

bool Staging::prepare() {
  if (prepared_ || refused_) return prepared_;
  const Driver& driver = context_.driver();
  for (Half& half : halves_) {
    void* memory = nullptr;
    refused_ = driver.allocate_host(&memory, half_bytes) != CUDA_SUCCESS;
    if (refused_) break;
    half.memory = static_cast<std::byte*>(memory);
    refused_ = driver.create_event(&half.copied, CU_EVENT_DISABLE_TIMING) != CUDA_SUCCESS;
    if (refused_) break;
  }
  if (refused_) release();
  prepared_ = !refused_;
  return prepared_;
}

void Staging::release() noexcept {
  const Driver& driver = context_.driver();
  for (Half& half : halves_) {
    if (half.copied) driver.destroy_event(half.copied);
    if (half.memory) driver.release_host(half.memory);
    half = {};
  }
}

void Staging::turn() {
  const Driver& driver = context_.driver();
  driver.check(driver.record_event(halves_[current_].copied, stream_), "record an event");
  halves_[current_].busy = true;
  current_ = 1 - current_, filled_ = 0;
  Half& next = halves_[current_];
  if (next.busy) driver.check(driver.wait_for_event(next.copied), "copy from the host");
  next.busy = false;
}

void Staging::copy(CUdeviceptr to, const std::byte* from, std::size_t bytes) {
  const Driver& driver = context_.driver();
  if (!prepare()) {
    driver.check(driver.copy(to, reinterpret_cast<CUdeviceptr>(from), bytes, stream_), "copy from the host");
    return driver.check(driver.wait_for_stream(stream_), "copy from the host");
  }
  while (bytes > 0) {
    if (filled_ == half_bytes) turn();
    std::byte* const place = halves_[current_].memory + filled_;
    const std::size_t part = std::min(bytes, half_bytes - filled_);
    std::memcpy(place, from, part);
    driver.check(driver.copy(to, reinterpret_cast<CUdeviceptr>(place), part, stream_), "copy from the host");
    to += part, from += part, bytes -= part;
    filled_ = std::min((filled_ + part + 63) / 64 * 64, half_bytes);
  }
}

}  // namespace nacre::gpu
