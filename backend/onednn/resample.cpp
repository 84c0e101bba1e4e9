// Reading pictures at real-valued places, picture by picture; channels lie side by side, so the inner loops run over
// them.
#include "backend/reference/resample.h"

#include "backend/core/parallel.h"
#include "backend/onednn/kernels.h"
#include "backend/reference/kernel.h"

namespace nacre::onednn {
namespace {

constexpr std::int64_t grain = 1 << 13;  // elements worth a thread

struct Sizes {
  std::int64_t batch, height, width, channels, samples;
};
Sizes sizes_of(const Shape& pictures, const Shape& result) {
  return {pictures[0], pictures[1], pictures[2], pictures[3], result[1] * result[2]};
}

}  // namespace

KernelPlan resample(const KernelRequest& request) {
  const Type& pictures = request.node.in(0).type();
  if (pictures.dtype != DType::float32) return borrowed(request);
  const Sizes s = sizes_of(pictures.shape, request.node.types()[0].shape);
  return reference::plain_kernel(
      request, [s, attrs = request.node.attrs<ResampleAttrs>()](const KernelArguments& arguments) {
        const auto* from = static_cast<const float*>(arguments.inputs[0]);
        const auto* place = static_cast<const float*>(arguments.inputs[1]);
        auto* to = static_cast<float*>(arguments.outputs[0]);
        const auto fill = static_cast<float>(attrs.fill_value);
        parallel_for(s.batch * s.samples, std::max<std::int64_t>(grain / std::max<std::int64_t>(s.channels, 1), 1),
                     [&](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t i = begin; i < end; ++i) {
                         float* sample = to + i * s.channels;
                         const float* picture = from + i / s.samples * s.height * s.width * s.channels;
                         std::fill_n(sample, s.channels, 0.0F);
                         reference::for_each_tap(attrs, s.height, s.width, place[2 * i], place[2 * i + 1],
                                                 [&](std::int64_t element, float weight) {
                                                   const float* source =
                                                       element < 0 ? nullptr : picture + element * s.channels;
                                                   for (std::int64_t c = 0; c < s.channels; ++c)
                                                     sample[c] += weight * (source ? source[c] : fill);
                                                 });
                       }
                     });
      });
}

// A thread owns whole pictures, so that sums have one order.
KernelPlan resample_backward(const KernelRequest& request) {
  const Type& dx = request.node.types()[0];
  if (dx.dtype != DType::float32) return borrowed(request);
  const Sizes s = sizes_of(dx.shape, request.node.in(1).shape());
  return reference::plain_kernel(
      request, [s, attrs = request.node.attrs<ResampleBackwardAttrs>().resample](const KernelArguments& arguments) {
        const auto* places = static_cast<const float*>(arguments.inputs[0]);
        const auto* dy = static_cast<const float*>(arguments.inputs[1]);
        auto* to = static_cast<float*>(arguments.outputs[0]);
        const std::int64_t size = s.height * s.width * s.channels;
        parallel_for(s.batch, std::max<std::int64_t>(grain / std::max<std::int64_t>(size, 1), 1),
                     [&](std::int64_t begin, std::int64_t end) {
                       std::fill(to + begin * size, to + end * size, 0.0F);
                       for (std::int64_t i = begin * s.samples; i < end * s.samples; ++i) {
                         float* picture = to + i / s.samples * size;
                         reference::for_each_tap(attrs, s.height, s.width, places[2 * i], places[2 * i + 1],
                                                 [&](std::int64_t element, float weight) {
                                                   if (element < 0) return;
                                                   float* target = picture + element * s.channels;
                                                   for (std::int64_t c = 0; c < s.channels; ++c)
                                                     target[c] += weight * dy[i * s.channels + c];
                                                 });
                       }
                     });
      });
}

}  // namespace nacre::onednn
