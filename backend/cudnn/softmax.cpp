// Softmax and its logarithm over one axis, each line of the axis by itself, in float32 or wider.
#include "backend/graph/ops/softmax.h"

#include <fmt/format.h>

#include <limits>

#include "backend/cudnn/kernels.h"
#include "backend/reference/kernel.h"

namespace nacre::gpu {

namespace {

// Lines along an axis of a row-major tensor: an element is at base + r * inner.
struct AxisLines {
  explicit AxisLines(const KernelRequest& request) {
    const Shape& shape = request.node.types()[0].shape;
    const auto [outer, size, inner] = reference::around(shape, request.node.attrs<AxisAttrs>().axis);
    lines = Lines(outer * inner, size);
    base = fmt::format("    const integer base = line / {0} * {1} + line % {0};\n", inner, inner * size);
    place = fmt::format("base + r * {}", inner);
  }
  Lines lines{0, 0};
  std::string base, place;
};

}  // namespace

KernelPlan softmax(const KernelRequest& request) {
  const AxisLines axis(request);
  const DType dtype = request.node.types()[0].dtype;
  const std::string_view type = compute_type(dtype);
  const std::string x = load(dtype, "in0", axis.place);
  const bool logarithm = request.node.is(op::log_softmax);
  const std::string body = fmt::format(
      "{}    {} shift = {};\n    {}\n    shift = {};\n    {} total = 0;\n    {}\n    total = {};\n    const {} rest = "
      "{};\n    {}\n",
      axis.base, type, literal(dtype, -std::numeric_limits<double>::infinity()),
      axis.lines.each(fmt::format("shift = larger(shift, {});", x)), axis.lines.joined("largest", type, "shift"), type,
      axis.lines.each(fmt::format("total += exp({} - shift);", x)), axis.lines.joined("sum", type, "total"), type,
      logarithm ? "log(total)" : "1 / total",
      axis.lines.each(store(dtype, "out0", axis.place,
                            fmt::format(fmt::runtime(logarithm ? "{} - shift - rest" : "exp({} - shift) * rest"), x))));
  return axis.lines.plan(request, type, body);
}

KernelPlan softmax_backward(const KernelRequest& request) {
  const AxisLines axis(request);
  const DType dtype = request.node.types()[0].dtype;
  const std::string_view type = compute_type(dtype);
  const std::string y = load(dtype, "in0", axis.place), dy = load(dtype, "in1", axis.place);
  const bool logarithm = request.node.is(op::log_softmax_backward);
  const std::string body = fmt::format(
      "{}    {} total = 0;\n    {}\n    total = {};\n    {}\n", axis.base, type,
      axis.lines.each(logarithm ? fmt::format("total += {};", dy) : fmt::format("total += {} * {};", dy, y)),
      axis.lines.joined("sum", type, "total"),
      axis.lines.each(
          store(dtype, "out0", axis.place,
                logarithm ? fmt::format("{} - exp({}) * total", dy, y) : fmt::format("{} * ({} - total)", y, dy))));
  return axis.lines.plan(request, type, body);
}

}  // namespace nacre::gpu
