#include "backend/reference/resample.h"

#include "backend/reference/kernel.h"
#include "backend/reference/kernels.h"

namespace nacre::reference {

KernelPlan resample(const KernelRequest& request) {
  return compute(request, [attrs = request.node.attrs<ResampleAttrs>()](Operands x, Results y) {
    const Shape &pictures = x[0].shape, &result = y[0].shape;
    const std::int64_t height = pictures[1], width = pictures[2], channels = pictures[3];
    const std::int64_t samples = result[1] * result[2];
    for (std::int64_t i = 0; i < result[0] * samples; ++i)
      for_each_tap(attrs, height, width, static_cast<float>(x[1][2 * i]), static_cast<float>(x[1][2 * i + 1]),
                   [&](std::int64_t element, float weight) {
                     const std::int64_t from = (i / samples * height * width + element) * channels;
                     for (std::int64_t c = 0; c < channels; ++c)
                       y[0][i * channels + c] += weight * (element < 0 ? attrs.fill_value : x[0][from + c]);
                   });
  });
}

KernelPlan resample_backward(const KernelRequest& request) {
  return compute(request, [attrs = request.node.attrs<ResampleBackwardAttrs>().resample](Operands x, Results dx) {
    const Shape &pictures = dx[0].shape, &result = x[1].shape;
    const std::int64_t height = pictures[1], width = pictures[2], channels = pictures[3];
    const std::int64_t samples = result[1] * result[2];
    for (std::int64_t i = 0; i < result[0] * samples; ++i)
      for_each_tap(attrs, height, width, static_cast<float>(x[0][2 * i]), static_cast<float>(x[0][2 * i + 1]),
                   [&](std::int64_t element, float weight) {
                     if (element < 0) return;
                     const std::int64_t to = (i / samples * height * width + element) * channels;
                     for (std::int64_t c = 0; c < channels; ++c) dx[0][to + c] += weight * x[1][i * channels + c];
                   });
  });
}

}  // namespace nacre::reference
