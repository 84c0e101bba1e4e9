// Ops that move elements: each element of the result is read from, or each element of the operand written to, a place
// that its index tells.
#include "backend/graph/ops/shape.h"

#include <fmt/format.h>

#include "backend/cudnn/kernels.h"
#include "backend/reference/kernel.h"

namespace nacre::gpu {

namespace {

using Strides = std::vector<std::int64_t>;

// out0[i] = in0[place].
KernelPlan read_from(const KernelRequest& request, const Strides& strides, std::int64_t base = 0) {
  const Shape& space = request.node.types()[0].shape;
  return over_elements(request, fmt::format("out0[i] = in0[{}];", offset("i", space, strides, base)));
}

// The index along one axis of a row-major index `i`.
std::string index_along(const Shape& space, int axis) {
  return fmt::format("(integer)(i / {} % {})", reference::around(space, axis).inner, space[axis]);
}

// The base and strides of the elements begin, begin + step, … of a row-major tensor.
std::pair<std::int64_t, Strides> part_of(const Shape& whole, const Strides& begin, const Strides& step) {
  Strides strides = row_major_strides(whole);
  std::int64_t base = 0;
  for (std::size_t axis = 0; axis < strides.size(); ++axis) {
    base += begin[axis] * strides[axis];
    strides[axis] *= step[axis];
  }
  return {base, strides};
}

// An element of the result is one of the operand where its index lies inside what was taken, else `outside`.
KernelPlan read_inside(const KernelRequest& request, const Shape& part, const Strides& begin, const Strides& step,
                       std::string_view outside) {
  const Shape& space = request.node.types()[0].shape;
  const Strides strides = row_major_strides(part);
  std::string inside = "true", place = "0";
  for (int axis = 0; axis < space.rank(); ++axis) {
    const auto a = static_cast<std::size_t>(axis);
    if (part[axis] == space[axis] && begin[a] == 0 && step[a] == 1) {
      place += fmt::format(" + {} * {}", index_along(space, axis), strides[a]);
      continue;
    }
    const std::string from_begin = fmt::format("({} - {})", index_along(space, axis), begin[a]);
    inside += fmt::format(" && {0} >= 0 && {0} % {1} == 0 && {0} / {1} < {2}", from_begin, step[a], part[axis]);
    place += fmt::format(" + {} / {} * {}", from_begin, step[a], strides[a]);
  }
  return over_elements(request, fmt::format("out0[i] = {} ? in0[{}] : {};", inside, place, outside));
}

// A number as it lies in memory.
std::string in_memory(DType dtype, double value) {
  const std::string number = literal(dtype, value);
  if (dtype == DType::float16) return fmt::format("to_half({})", number);
  if (dtype == DType::bfloat16) return fmt::format("to_brain({})", number);
  return fmt::format("({})({})", memory_type(dtype), number);
}

}  // namespace

KernelPlan view(const KernelRequest& request) { return plan_on_device(request); }

KernelPlan transpose(const KernelRequest& request) {
  const Strides dense = row_major_strides(request.node.in(0).shape());
  Strides strides;
  for (std::int64_t axis : request.node.attrs<TransposeAttrs>().axes)
    strides.push_back(dense[static_cast<std::size_t>(axis)]);
  return read_from(request, strides);
}

KernelPlan broadcast(const KernelRequest& request) {
  return read_from(request, reference::broadcast_strides(request.node.in(0).shape(), request.node.types()[0].shape));
}

KernelPlan slice(const KernelRequest& request) {
  const auto& p = request.node.attrs<SliceAttrs>();
  const auto [base, strides] = part_of(request.node.in(0).shape(), p.begin, p.stride);
  return read_from(request, strides, base);
}

KernelPlan slice_gradient(const KernelRequest& request) {
  const auto& p = request.node.attrs<SliceAttrs>();
  return read_inside(request, request.node.in(0).shape(), p.begin, p.stride, "0");
}

KernelPlan pad(const KernelRequest& request) {
  const auto& p = request.node.attrs<PadAttrs>();
  return read_inside(request, request.node.in(0).shape(), p.before, Strides(p.before.size(), 1),
                     in_memory(request.node.types()[0].dtype, p.value));
}

KernelPlan concat(const KernelRequest& request) {
  const auto axis = static_cast<int>(request.node.attrs<AxisAttrs>().axis);
  const Shape& space = request.node.types()[0].shape;
  const std::int64_t inner = reference::around(space, axis).inner;
  std::int64_t begin = 0;
  std::string body = fmt::format("const integer at = {}, outer = i / {}, rest = i % {};\n", index_along(space, axis),
                                 inner * space[axis], inner);
  for (std::size_t k = 0; k < request.node.inputs().size(); ++k) {
    const std::int64_t size = request.node.inputs()[k].shape()[axis];
    body += fmt::format("    {}if (at < {}) out0[i] = in{}[(outer * {} + at - {}) * {} + rest];\n", k ? "else " : "",
                        begin + size, k, size, begin, inner);
    begin += size;
  }
  return over_elements(request, body);
}

KernelPlan reverse(const KernelRequest& request) {
  const Shape& space = request.node.types()[0].shape;
  Strides strides = row_major_strides(space);
  std::int64_t base = 0;
  for (std::int64_t axis : request.node.attrs<AxesAttrs>().axes) {
    base += (space[static_cast<int>(axis)] - 1) * strides[static_cast<std::size_t>(axis)];
    strides[static_cast<std::size_t>(axis)] *= -1;
  }
  // Offsets go down: they are signed.
  const std::string place = offset("(integer)i", space, strides, base);
  return over_elements(request, fmt::format("out0[i] = in0[{}];", place));
}

KernelPlan iota(const KernelRequest& request) {
  const Type& type = request.node.types()[0];
  const std::string index = index_along(type.shape, static_cast<int>(request.node.attrs<IotaAttrs>().axis));
  return over_elements(request, store(type.dtype, "out0", "i", fmt::format("({}){}", compute_type(type.dtype), index)));
}

}  // namespace nacre::gpu
