// Kernels of Winograd's convolutions, in memory and transformed.
#pragma once

#include <optional>

#include "backend/onednn/convolution/field.h"

namespace nacre::onednn {

// Whether tensors may have such elements: float32 or bfloat16.
bool is_served(dnnl::memory::data_type element);
const WinogradLoops& winograd_of(const ConvolutionLoops& loops, int size, dnnl::memory::data_type element);

// Kernels in memory: filters side by side, blocked or not by them and by channels.
struct Kernels {
  std::int64_t filters, channels;
  std::int64_t filter_block, channel_block;  // distances
  std::int64_t filter_block_width, channel_block_width;
  WinogradLoops::Taps taps;

  std::int64_t offset(std::int64_t channel, std::int64_t filter) const {
    return filter / filter_block_width * filter_block + filter % filter_block_width +
           channel / channel_block_width * channel_block + channel % channel_block_width * taps.channel;
  }
};
// None when the memory is otherwise, or not of whole groups.
std::optional<Kernels> kernels_of(const Desc& desc, int group);

// The distance of things of so many floats: an odd number of registers. What lies a power of two apart would share the
// same few lines of the cache.
constexpr std::int64_t apart(std::int64_t floats, int group) { return (floats / group | 1) * group; }

// How transformed kernels, and sums of which these are made, lie in memory: panel by panel of filters, (place, channel,
// filter).
struct TransformedOrder {
  std::int64_t places, channels;
  Panels panels;

  std::int64_t width(std::int64_t panel) const { return panels.groups(panel) * panels.group; }
  std::int64_t place(std::int64_t panel) const { return apart(channels * width(panel), panels.group); }
  // Where a panel begins.
  std::int64_t offset(std::int64_t panel) const {
    return panel * places * apart(channels * 2 * panels.group, panels.group);
  }
  std::int64_t floats() const { return offset(panels.count() - 1) + places * place(panels.count() - 1); }
};

// Kernels to be transformed; with `adjoint` they are turned by 180°, channels and filters exchanged.
class TransformedKernels {
 public:
  TransformedKernels(const ConvolutionLoops& loops, const WinogradLoops& winograd, const Kernels& kernels, bool adjoint)
      : winograd_(winograd),
        kernels_(kernels),
        adjoint_(adjoint),
        order_{winograd.places(),
               adjoint ? kernels.filters : kernels.channels,
               {adjoint ? kernels.channels : kernels.filters, loops.group}} {}

  std::int64_t floats() const { return order_.floats(); }
  std::int64_t panels() const { return order_.panels.count(); }
  void enter(const void* from, std::int64_t first_panel, std::int64_t last_panel, float* to) const;

 private:
  const WinogradLoops& winograd_;
  Kernels kernels_;
  bool adjoint_;
  TransformedOrder order_;
};

// The layout of kernels that have been transformed for tiles of that size.
Layout transformed_layout(std::int64_t channels, std::int64_t filters, int size, const ConvolutionLoops& loops);

}  // namespace nacre::onednn
