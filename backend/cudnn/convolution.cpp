// Convolutions by the library, between kernels of ours. Its kernels are (filters, window…, channels), ours are
// (window…, channels, filters): they are turned on the way. What it does not do after a convolution is done by a loop
// over the result, and where it wants as many zeros before an axis as after it, those that are more are written around
// x.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "backend/cudnn/backend.h"
#include "backend/cudnn/epilogue.h"
#include "backend/cudnn/library_kernel.h"
#include "backend/graph/ops/conv.h"

namespace nacre::gpu {

namespace {

using Result = ConvolutionDescription::Result;

// The kernel in the library's order, or back.
std::unique_ptr<Kernel> turned(Device& device, const Type& kernel, bool back) {
  const std::int64_t filters = kernel.shape[-1], places = kernel.shape.elements() / filters;
  const std::int64_t inner = back ? filters : places, outer = back ? places : filters;
  return rewritten(device, kernel, kernel, fmt::format("out0[i] = in0[i % {0} * {1} + i / {0}];", inner, outer));
}

// x with the zeros that `wide` has room for and `narrow` has not.
struct Surrounded {
  Type narrow, wide;
  std::vector<std::int64_t> before;  // along each axis of the tensors

  std::unique_ptr<Kernel> pad(Device& device) const {
    const std::vector<std::int64_t> strides = row_major_strides(narrow.shape), around = row_major_strides(wide.shape);
    std::string inside = "true", place = "0";
    for (int axis = 0; axis < wide.shape.rank(); ++axis) {
      const auto a = static_cast<std::size_t>(axis);
      const std::string index = fmt::format("((integer)(i / {} % {}) - {})", around[a], wide.shape[axis], before[a]);
      if (wide.shape[axis] != narrow.shape[axis])
        inside += fmt::format(" && {0} >= 0 && {0} < {1}", index, narrow.shape[axis]);
      place += fmt::format(" + {} * {}", index, strides[a]);
    }
    return rewritten(device, narrow, wide, fmt::format("out0[i] = {} ? in0[{}] : 0;", inside, place));
  }

  std::unique_ptr<Kernel> crop(Device& device) const {
    const std::vector<std::int64_t> around = row_major_strides(wide.shape);
    std::int64_t base = 0;
    for (std::size_t axis = 0; axis < around.size(); ++axis) base += before[axis] * around[axis];
    return rewritten(device, wide, narrow, fmt::format("out0[i] = in0[{}];", offset("i", narrow.shape, around, base)));
  }
};

ConvolutionDescription describe(const KernelRequest& request, Result result, const ConvAttrs& p, const Shape& x,
                                const Type& kernel) {
  ConvolutionDescription d{.result = result,
                           .batch = x[0],
                           .channels = x[-1],
                           .filters = kernel.shape[-1],
                           .groups = p.groups,
                           .dtype = kernel.dtype,
                           .tensor_float32 = request.numerics.matmul_precision != MatmulPrecision::highest,
                           .deterministic = request.numerics.deterministic};
  const std::vector<WindowAxis> axes = window_axes(p, x, kernel.shape);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const int axis = static_cast<int>(i);
    d.axes.push_back({.x = x[axis + 1],
                      .window = kernel.shape[axis],
                      .y = axes[i].output,
                      .stride = p.strides[i],
                      .dilation = p.dilations[i],
                      .before = axes[i].before,
                      .after = axes[i].after});
  }
  return d;
}

// Takes the zeros of one side that the other has not out of the description, which is then of a larger x.
Surrounded even_out(ConvolutionDescription& d, const Shape& x) {
  Surrounded made{{d.dtype, x}, {d.dtype, x}, std::vector<std::int64_t>(static_cast<std::size_t>(x.rank()))};
  for (std::size_t i = 0; i < d.axes.size(); ++i) {
    auto& axis = d.axes[i];
    const std::int64_t both = std::min(axis.before, axis.after);
    made.before[i + 1] = axis.before - both;
    axis.x += axis.before + axis.after - 2 * both;
    axis.before = axis.after = both;
    made.wide.shape.set(static_cast<int>(i) + 1, axis.x);
  }
  return made;
}

void fuse(ConvolutionDescription& d, const Epilogue& epilogue) {
  d.bias = epilogue.bias;
  d.residual = epilogue.residual;
  d.relu = epilogue.activation == EpilogueKind::relu;
}

// What the library is asked for, in this order, until it has an engine: the epilogue is fused or not, x comes as it is
// or with zeros written around it.
KernelPlan by_library(const KernelRequest& request, Result result, const ConvAttrs& p, const Shape& x,
                      const Type& kernel) {
  Device& device = device_of(request);
  const ConvolutionDescription plain = describe(request, result, p, x, kernel);
  const bool uneven = std::ranges::any_of(plain.axes, [](const auto& axis) { return axis.before != axis.after; });
  const bool fusible = !p.epilogue.empty() &&
                       (p.epilogue.activation == EpilogueKind::none || p.epilogue.activation == EpilogueKind::relu);
  KernelPlan plan = plan_on_device(request);
  for (const bool surrounds : {false, true})
    for (const bool fuses : {true, false}) {
      if ((surrounds && !uneven) || (fuses && !fusible)) continue;
      ConvolutionDescription d = plain;
      const Surrounded surrounded = surrounds ? even_out(d, x) : Surrounded{};
      if (fuses) fuse(d, p.epilogue);
      std::unique_ptr<Work> work = device.convolution(d);
      if (!work) continue;
      auto library = std::make_unique<LibraryKernel>(std::move(work));
      if (surrounds && result != Result::x_gradient)
        library->rewrite(0, surrounded.pad(device), surrounded.wide.bytes());
      if (surrounds && result == Result::x_gradient)
        library->rewrite_result(surrounded.crop(device), surrounded.wide.bytes());
      if (result == Result::kernel_gradient) library->rewrite_result(turned(device, kernel, true), kernel.bytes());
      else library->rewrite(1, turned(device, kernel, false), kernel.bytes());
      if (d.bias && request.node.in(2).dtype() != d.dtype) {
        const Type given = request.node.in(2).type(), wanted{d.dtype, given.shape};
        const std::string body = store(wanted.dtype, "out0", "i", load(given.dtype, "in0", "i"));
        library->rewrite(2, rewritten(device, given, wanted, body), wanted.bytes());
      }
      if (result == Result::y && !fuses) library->then(epilogue_kernel(request, p.epilogue, 2));
      if (request.node.types().size() > 1) {  // the bias's gradient: the sum of y's over all axes but the last
        std::vector<std::int64_t> axes(static_cast<std::size_t>(request.node.in(1).shape().rank() - 1));
        std::iota(axes.begin(), axes.end(), std::int64_t{0});
        KernelPlan sum = sum_over(request, 1, axes, 1);
        library->then(std::move(sum.kernel), sum.scratch_bytes);
      }
      plan.scratch_bytes = library->scratch_bytes();
      plan.kernel = std::move(library);
      return plan;
    }
  return plan;
}

KernelPlan convolution(const KernelRequest& request, Result result, const ConvAttrs& p, const Shape& x,
                       const Type& kernel) {
  const bool known =
      kernel.dtype == DType::float32 || kernel.dtype == DType::float16 || kernel.dtype == DType::bfloat16;
  const Shape& y = request.node.in(result == Result::kernel_gradient ? 1 : 0).shape();
  if (known && x.elements() > 0 && kernel.shape.elements() > 0 && y.elements() > 0 &&
      request.node.types()[0].shape.elements() > 0)
    if (KernelPlan plan = by_library(request, result, p, x, kernel); plan.kernel) return plan;
  return borrowed(request);
}

}  // namespace

KernelPlan conv(const KernelRequest& request) {
  return convolution(request, Result::y, request.node.attrs<ConvAttrs>(), request.node.in(0).shape(),
                     request.node.in(1).type());
}

KernelPlan conv_backward_data(const KernelRequest& request) {
  return convolution(request, Result::x_gradient, request.node.attrs<ConvBackwardDataAttrs>().conv,
                     request.node.types()[0].shape, request.node.in(1).type());
}

KernelPlan conv_backward_weights(const KernelRequest& request) {
  return convolution(request, Result::kernel_gradient, request.node.attrs<ConvBackwardWeightsAttrs>().conv,
                     request.node.in(0).shape(), request.node.types()[0]);
}

}  // namespace nacre::gpu
