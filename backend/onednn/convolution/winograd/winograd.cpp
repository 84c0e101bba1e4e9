#include "backend/onednn/convolution/winograd/winograd.h"

#include "backend/onednn/convolution/winograd/tiles.h"
#include "backend/onednn/kernels.h"

namespace nacre::onednn {

namespace {

// What all three begin with; `make` gets the loops, both fields and the kernels.
template <class Make>
std::unique_ptr<WinogradKernel> where_served(const WinogradShape& shape, const ConvolutionLoops& loops, Make&& make) {
  const auto type = shape.x.get_data_type();
  const auto x = field_of(shape.x, type), y = field_of(shape.y, type);
  const auto kernels = kernels_of(shape.kernel, loops.group);
  if (!is_served(type) || !is_served(shape.bias) || shape.kernel.get_data_type() != type || !x || !y || !kernels ||
      !x->in_groups_of(loops.group) || !y->in_groups_of(loops.group))
    return nullptr;
  return make(winograd_of(loops, shape.size, type), *x, *y, *kernels);
}

}  // namespace

Layout winograd_layout(const WinogradShape& shape, const ConvolutionLoops& loops) {
  const Dims sizes = shape.kernel.get_dims();
  return transformed_layout(sizes[1], sizes[0], shape.size, loops);
}

std::unique_ptr<WinogradKernel> winograd_forward(const WinogradShape& shape, const Epilogue& epilogue, bool transformed,
                                                 const ConvolutionLoops& loops) {
  if (!bounds_of(epilogue)) return nullptr;
  return where_served(
      shape, loops, [&](const WinogradLoops& winograd, const Field& x, const Field& y, const Kernels& kernels) {
        const auto entered =
            transformed ? std::nullopt : std::optional(TransformedKernels(loops, winograd, kernels, false));
        return make_convolution(loops, winograd, x, y, entered, shape.top, shape.left, epilogue,
                                shape.bias == dnnl::memory::data_type::bf16);
      });
}

std::unique_ptr<WinogradKernel> winograd_backward_data(const WinogradShape& shape, const ConvolutionLoops& loops) {
  return where_served(
      shape, loops, [&](const WinogradLoops& winograd, const Field& x, const Field& y, const Kernels& kernels) {
        return make_convolution(loops, winograd, y, x, TransformedKernels(loops, winograd, kernels, true),
                                2 - shape.top, 2 - shape.left, Epilogue{}, false);
      });
}

std::unique_ptr<WinogradKernel> winograd_backward_weights(const WinogradShape& shape, bool bias,
                                                          const ConvolutionLoops& loops) {
  return where_served(shape, loops,
                      [&](const WinogradLoops& winograd, const Field& x, const Field& y, const Kernels& kernels) {
                        return make_weights_gradient(loops, winograd, x, y, kernels, shape.top, shape.left, bias,
                                                     shape.bias == dnnl::memory::data_type::bf16);
                      });
}

// Counted in multiplications of float32, and what takes as long as one. Measured on Zen 4 (AVX-512 with bfloat16, no
// AMX) with two threads in 2026-12, times of oneDNN 3.2's direct convolutions over these, forward, by data, by weights:
//                              tiles of 2              of 4             of 4, bfloat16
//   128 × 32² × 16 → 16       1.10 0.85 1.08      1.26 1.00 1.38      0.58 0.57 1.09
//   128 × 16² × 32 → 32       1.03 1.04 1.18      1.24 1.27 1.52      0.63 0.67 1.17
//   128 × 26² × 32 → 64       1.20 1.24 1.21      1.43 1.44 1.48      0.78 0.72 0.99
//   16 × 56² × 64 → 64        1.46 1.47 1.59      2.24 2.26 2.27      1.05 1.02 1.20
//   16 × 28² × 128 → 128      1.67 1.67 1.77      2.40 2.39 2.26      1.19 1.22 1.13
//   16 × 14² × 256 → 256      1.33 1.45 1.74      1.49 1.49 1.71      0.80 0.77 0.77
//   16 × 7² × 512 → 512       1.00 0.86 1.46      1.12 0.93 1.51      0.56 0.57 0.62
//   4 × 224² × 64 → 64        1.54 1.58 1.66      2.18 2.44 2.16      1.01 1.17 1.54
//   4 × 28² × 512 → 512       1.60 1.59 1.57      2.26 2.20 1.96      1.02 1.02 0.93
//   4 × 14² × 512 → 512       1.43 1.27 1.64      1.31 1.12 1.32      0.65 0.58 0.58
//   1 × 14² × 256 → 256       1.23 0.96 1.16      0.79 0.70 0.77      0.39 0.38 0.36
// Beside bfloat16 it has to be faster by more than the costs are uncertain: half of them are within an eighth.
int winograd_size(const WinogradShape& shape, WinogradTask task) {
  const bool narrow = shape.x.get_data_type() == dnnl::memory::data_type::bf16;
  const bool fixed = task == WinogradTask::forward_of_transformed, by_weights = task == WinogradTask::backward_weights;
  const Dims x = shape.x.get_dims(), y = shape.y.get_dims(), tiled = task == WinogradTask::backward_data ? x : y;
  const int group = convolution_loops().group;
  if (x[1] % group != 0 || y[1] % group != 0) return 0;
  // Tiles of bfloat16 are far beyond floats; kernels that stay transformed would take eight times their memory.
  if (narrow && (multiplies_tiles() || fixed)) return 0;

  const double kernels = static_cast<double>(x[1] * y[1]), channels = static_cast<double>(x[1] + y[1]),
               pixels = static_cast<double>(y[0] * y[2] * y[3]);
  const double pace = narrow && has_instructions(DType::bfloat16) ? 0.47 : 1.0;
  double least = 9 * pixels * kernels * pace * (by_weights ? 1.2 : 1.04);
  int best = 0;
  for (const int size : {2, 4}) {
    const double places = (size + 2) * (size + 2);
    if (fixed && size == 4 && places * kernels > pixels * channels) continue;  // they would be most of the memory
    const double tiles = static_cast<double>(tiled[0] * divide_up(tiled[2], size) * divide_up(tiled[3], size));
    const double of_kernel = fixed ? 8 : task == WinogradTask::forward ? 47 : 65;
    const double cost = places * (tiles * (1.4 * kernels + 14 * channels) + of_kernel * kernels);
    if (cost < least) {
      least = cost;
      best = size;
    }
  }
  return best;
}

}  // namespace nacre::onednn
