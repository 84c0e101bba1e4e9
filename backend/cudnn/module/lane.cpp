#include "backend/cudnn/module/lane.h"

#include <utility>

namespace nacre::gpu {

namespace {

constexpr std::size_t aligned(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

}  // namespace

std::size_t Lane::room_for(std::span<const std::size_t> bytes) {
  std::size_t sum = 0;
  for (const std::size_t part : bytes) sum += aligned(part);
  return sum;
}

CUdeviceptr Lane::land_in(CUdeviceptr memory, std::size_t bytes) {
  arrived_.record(stream_.get());  // also of a batch that nobody took, since something failed
  arrived_.hold(context_->stream());
  taken_.record(context_->stream());
  room_ = bytes;
  return std::exchange(landing_, memory);
}

void Lane::copy(std::span<const std::size_t> bytes, std::span<const void* const> from, std::span<void* const> to) {
  const Driver& driver = context_->driver();
  taken_.hold(stream_.get());
  CUdeviceptr place = landing_;
  for (std::size_t i = 0; i < bytes.size(); place += aligned(bytes[i++]))
    staging_.copy(place, static_cast<const std::byte*>(from[i]), bytes[i]);
  arrived_.record(stream_.get());
  arrived_.hold(context_->stream());
  place = landing_;
  for (std::size_t i = 0; i < bytes.size(); place += aligned(bytes[i++]))
    if (bytes[i] > 0)
      driver.check(driver.copy(reinterpret_cast<CUdeviceptr>(to[i]), place, bytes[i], context_->stream()), "copy");
  taken_.record(context_->stream());
}

}  // namespace nacre::gpu
