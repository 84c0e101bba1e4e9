// Reductions over axes: each result is what one line of elements gives.
#include "backend/graph/ops/reduce.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "backend/cudnn/kernels.h"

namespace nacre::gpu {

namespace {

// What is reduced: the axes that stay, and those that go, with their strides in the operand.
struct Walk {
  Shape kept, reduced;
  std::vector<std::int64_t> kept_strides, reduced_strides;
};

Walk walk_over(const Shape& operand, const std::vector<std::int64_t>& axes) {
  const std::vector<std::int64_t> strides = row_major_strides(operand);
  Walk walk;
  for (int axis = 0; axis < operand.rank(); ++axis) {
    const bool goes = std::ranges::find(axes, axis) != axes.end();
    (goes ? walk.reduced : walk.kept).append(operand[axis]);
    (goes ? walk.reduced_strides : walk.kept_strides).push_back(strides[static_cast<std::size_t>(axis)]);
  }
  return walk;
}

// A running value `state`: its type, how it begins, how it takes the element `x` at the reduced index `r`, the struct
// that joins those of several threads, and what is stored of it.
struct Reducer {
  std::string type, begin, take, join, result = "state";
};

Reducer sum_of(DType dtype) { return {std::string(compute_type(dtype)), "0", "state += x;", "sum"}; }

KernelPlan reduction(const KernelRequest& request, const Walk& walk, const Reducer& reducer) {
  const DType from = request.node.in(0).dtype(), to = request.node.types()[0].dtype;
  const Lines lines(walk.kept.elements(), walk.reduced.elements());
  const std::string element =
      load(from, "in0", fmt::format("base + {}", offset("r", walk.reduced, walk.reduced_strides)));
  const std::string body = fmt::format(
      "    const integer base = {};\n    {} state = {};\n    {}\n    state = {};\n    {}\n",
      offset("line", walk.kept, walk.kept_strides), reducer.type, reducer.begin,
      lines.each(fmt::format("const {} x = {}; {}", compute_type(from), element, reducer.take)),
      lines.joined(reducer.join, reducer.type, "state"), lines.once(store(to, "out0", "line", reducer.result)));
  return lines.plan(request, reducer.type, body);
}

}  // namespace

KernelPlan reduce(const KernelRequest& request) {
  const Walk walk = walk_over(request.node.in(0).shape(), request.node.attrs<ReduceAttrs>().axes);
  const DType dtype = request.node.in(0).dtype();
  const bool extreme = request.node.is(op::max) || request.node.is(op::min);
  if (walk.reduced.elements() == 0 || dtype == DType::boolean) return borrowed(request);
  if (!is_floating(dtype) && (extreme || request.node.is(op::mean))) return borrowed(request);
  Reducer reducer = sum_of(dtype);
  if (request.node.is(op::mean)) reducer.result = fmt::format("state / {}", walk.reduced.elements());
  if (request.node.is(op::product)) reducer = {reducer.type, "1", "state *= x;", "product"};
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (request.node.is(op::max))
    reducer = {reducer.type, literal(dtype, -infinity), "state = larger(state, x);", "largest"};
  if (request.node.is(op::min))
    reducer = {reducer.type, literal(dtype, infinity), "state = smaller(state, x);", "smallest"};
  return reduction(request, walk, reducer);
}

KernelPlan sum_like(const KernelRequest& request) {
  const Shape& x = request.node.in(0).shape();
  const Shape& y = request.node.types()[0].shape;
  std::vector<std::int64_t> axes;
  for (int axis = 0; axis < x.rank(); ++axis) {
    const int there = axis - (x.rank() - y.rank());
    if (there < 0 || (y[there] == 1 && x[axis] != 1)) axes.push_back(axis);
  }
  return reduction(request, walk_over(x, axes), sum_of(request.node.in(0).dtype()));
}

KernelPlan argmax(const KernelRequest& request) {
  const DType dtype = request.node.in(0).dtype();
  if (!is_floating(dtype)) return borrowed(request);
  const Reducer reducer{fmt::format("candidate<{}>", compute_type(dtype)), fmt::format("{{{}, -1}}", literal(dtype, 0)),
                        "state.offer(x, r);", "first", "state.index"};
  return reduction(request, walk_over(request.node.in(0).shape(), request.node.attrs<ReduceAttrs>().axes), reducer);
}

}  // namespace nacre::gpu
