// The way from the host to the device through pinned memory: the host's bytes may change as soon as they are taken, and
// the copies run beside the device's work.
#pragma once

#include <array>
#include <cstddef>

#include "backend/cudnn/module/context.h"

namespace nacre::gpu {

class Staging {
 public:
  // Both outlive this.
  Staging(const Context& context, CUstream stream) : context_(context), stream_(stream) {}
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // With the context current.
  void copy(CUdeviceptr to, const std::byte* from, std::size_t bytes);

 private:
  static constexpr std::size_t half_bytes = std::size_t{4} << 20;
  // One is filled while the other's copies run.
  struct Half {
    std::byte* memory = nullptr;
    CUevent copied = nullptr;
    bool busy = false;  // `copied` tells when it is free again
  };
  bool prepare();
  void turn();
  void release() noexcept;

  const Context& context_;
  CUstream stream_;
  std::array<Half, 2> halves_;
  std::size_t current_ = 0, filled_ = 0;
  bool prepared_ = false, refused_ = false;  // pinned memory is limited
};

}  // namespace nacre::gpu
