// Reading by index, and the gradient of that along an axis.
#include "backend/graph/ops/gather.h"

#include <fmt/format.h>

#include "backend/cudnn/backend.h"
#include "backend/cudnn/kernels.h"
#include "backend/reference/kernel.h"

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
  const auto [outer, size, inner] = reference::around(request.node.in(0).shape(), request.node.attrs<AxisAttrs>().axis);
  return over_elements(
      request,
      fmt::format("    const integer at = {0};\n    out0[i] = at >= 0 && at < {1} ? in0[(i / {2} * "
                  "{1} + at) * {2} + i % {2}] : {3};\n",
                  load(request.node.in(1).dtype(), "in1", "i"), size, inner, missing(request.node.types()[0].dtype)));
}

KernelPlan take_along_backward(const KernelRequest& request) {
  const auto [outer, size, inner] =
      reference::around(request.node.types()[0].shape, request.node.attrs<AxisAttrs>().axis);
  return over_elements(request,
                       fmt::format("    const integer line = i / {0} * {1} + i % {1};\n    out0[i] = {2} == "
                                   "(integer)(i / {1} % {3}) ? in2[line] : 0;\n",
                                   inner * size, inner, load(request.node.in(1).dtype(), "in1", "line"), size));
}

}  // namespace nacre::gpu
