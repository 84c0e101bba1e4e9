// Convolutions of 3 × 3 pixels by Winograd's algorithm (loops.h), where it is faster than oneDNN's direct ones.
#pragma once

#include "backend/graph/ops/epilogue.h"
#include "backend/onednn/convolution/winograd/kernels.h"

namespace nacre::onednn {

// A convolution of float32 or bfloat16 whose strides, dilations and groups are 1: descriptors in oneDNN's order of
// axes.
struct WinogradShape {
  Desc x, kernel, y;
  std::int64_t top, left;                                       // zeros before the first row and column of x
  int size;                                                     // of the tiles: 2 or 4
  dnnl::memory::data_type bias = dnnl::memory::data_type::f32;  // elements of the bias or its gradient, if there is one
};

class WinogradKernel : public Kernel {
 public:
  virtual std::size_t scratch_bytes() const = 0;
};

// The layout of kernels that have been transformed.
Layout winograd_layout(const WinogradShape& shape, const ConvolutionLoops& loops = convolution_loops());

// Of (x, kernel [, bias] [, residual]) → y, with `transformed` the kernel in winograd_layout; of (dy, kernel) → dx, and
// of (x, dy) → dkernel [, dbias]. Null when the order of some memory, the numbers of channels or the epilogue are not
// served.
std::unique_ptr<WinogradKernel> winograd_forward(const WinogradShape& shape, const Epilogue& epilogue,
                                                 bool transformed = false,
                                                 const ConvolutionLoops& loops = convolution_loops());
std::unique_ptr<WinogradKernel> winograd_backward_data(const WinogradShape& shape,
                                                       const ConvolutionLoops& loops = convolution_loops());
std::unique_ptr<WinogradKernel> winograd_backward_weights(const WinogradShape& shape, bool bias,
                                                          const ConvolutionLoops& loops = convolution_loops());

// The size of tiles with which they take less time than oneDNN's; 0 when these are faster.
enum class WinogradTask : std::uint8_t { forward, forward_of_transformed, backward_data, backward_weights };
int winograd_size(const WinogradShape& shape, WinogradTask task);

}  // namespace nacre::onednn
