// Reading by index.
#include "backend/graph/ops/gather.h"

#include <fmt/format.h>

#include "backend/cudnn/kernels.h"

namespace nacre::gpu {

namespace {

// What a place out of range reads as, as it lies in memory.
std::string_view missing(DType dtype) {
  switch (dtype) {
    case DType::float16: return "(half_bits)0x7e00u";
    case DType::bfloat16: return "(brain_bits)0x7fc0u";
    case DType::float32: return "number_of(0x7fc00000u)";
    case DType::float64: return "wide_number_of(0x7ff8000000000000ull)";
    default: return "0";
  }
}

struct Axis {
  std::int64_t size = 1, inner = 1;
};
Axis axis_of(const Shape& shape, const Node& node) {
  const auto axis = static_cast<int>(node.attrs<AxisAttrs>().axis);
  Axis result{shape[axis], 1};
  for (int i = axis + 1; i < shape.rank(); ++i) result.inner *= shape[i];
  return result;
}

}  // namespace

KernelPlan gather(const KernelRequest& request) {
  const Shape& table = request.node.in(0).shape();
  const std::int64_t width = table.from(1).elements();
  return over_elements(
      request,
      fmt::format("    const integer row = {};\n    out0[i] = row >= 0 && row < {} ? in0[row * {} + i % {}] : {};\n",
                  load(request.node.in(1).dtype(), "in1", fmt::format("i / {}", width)), table[0], width, width,
                  missing(request.node.types()[0].dtype)));
}

KernelPlan take_along(const KernelRequest& request) {
  const auto [size, inner] = axis_of(request.node.in(0).shape(), request.node);
  return over_elements(
      request,
      fmt::format("    const integer at = {0};\n    out0[i] = at >= 0 && at < {1} ? in0[(i / {2} * "
                  "{1} + at) * {2} + i % {2}] : {3};\n",
                  load(request.node.in(1).dtype(), "in1", "i"), size, inner, missing(request.node.types()[0].dtype)));
}

KernelPlan take_along_backward(const KernelRequest& request) {
  const auto [size, inner] = axis_of(request.node.types()[0].shape, request.node);
  return over_elements(request,
                       fmt::format("    const integer line = i / {0} * {1} + i % {1};\n    out0[i] = {2} == "
                                   "(integer)(i / {1} % {3}) ? in2[line] : 0;\n",
                                   inner * size, inner, load(request.node.in(1).dtype(), "in1", "line"), size));
}

}  // namespace nacre::gpu
