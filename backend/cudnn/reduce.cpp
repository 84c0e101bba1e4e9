// Reductions over axes: each result is what one line of elements gives.
#include "backend/graph/ops/reduce.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "backend/cudnn/backend.h"
#include "backend/cudnn/kernels.h"

namespace nacre::gpu {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// What is reduced, of which operand and into which result: the axes that stay, and those that go, with their strides in
// the operand.
struct Walk {
  int operand = 0;
  std::size_t result = 0;
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

Reducer sum_of(DType dtype) { return {std::string(sum_type(dtype)), "0", "state += x;", "sum"}; }

// Below, or above, all that there is.
std::string beyond(DType dtype, bool below) {
  if (is_floating(dtype)) return literal(dtype, below ? -infinity : infinity);
  return below ? "(-9223372036854775807ll - 1)" : "9223372036854775807ll";
}

// How lines are walked over. Where the elements of neighbouring lines lie beside each other, so do those that
// neighbouring threads read. Lines are cut into parts where there are too few to keep the device busy.
struct Plan {
  bool by_block = false;  // a block of threads for each part, else a thread
  std::int64_t parts = 1;

  Plan(const Walk& walk, const Device& device) {
    constexpr std::int64_t worth_a_block = 64, blocks_of_a_processor = 4, threads_of_a_processor = 1024;
    const std::int64_t lines = walk.kept.elements(), length = walk.reduced.elements();
    bool side_by_side = false;
    for (int axis = 0; axis < walk.kept.rank(); ++axis)
      if (walk.kept[axis] != 1) side_by_side = walk.kept_strides[static_cast<std::size_t>(axis)] == 1;
    by_block = length >= worth_a_block && !side_by_side;
    if (lines == 0 || (!by_block && !side_by_side)) return;
    const std::int64_t wanted = device.facts().processors * (by_block ? blocks_of_a_processor : threads_of_a_processor);
    const std::int64_t most = length / (by_block ? 2048 : 32);  // else the parts are too short
    parts = std::max<std::int64_t>(std::min((wanted + lines - 1) / lines, most), 1);
  }
};

// The states of all parts of the lines, or the results where lines have one part.
std::unique_ptr<Kernel> first_stage(const KernelRequest& request, const Walk& walk, const Reducer& reducer,
                                    const Plan& plan) {
  Device& device = device_of(request);
  const DType x = request.node.in(walk.operand).dtype(), y = request.node.types()[walk.result].dtype;
  const std::int64_t lines = walk.kept.elements(), length = walk.reduced.elements(), items = lines * plan.parts;
  const std::string result = plan.parts == 1
                                 ? store(y, fmt::format("out{}", walk.result), "line", reducer.result)
                                 : fmt::format("(({}*)out0)[part * {} + line] = state;", reducer.type, lines);
  const std::string work = fmt::format(
      "    const integer base = {};\n    {} state = {};\n    for (integer r = {}; r < {}; r += {}) {{\n"
      "      const {} x = {}; {}\n    }}\n",
      offset("line", walk.kept, walk.kept_strides), reducer.type, reducer.begin,
      plan.by_block ? fmt::format("part * {} + threadIdx.x", Lines::block_threads) : "part", length,
      plan.parts * (plan.by_block ? Lines::block_threads : 1), sum_type(x),
      load(x, fmt::format("in{}", walk.operand),
           fmt::format("base + {}", offset("r", walk.reduced, walk.reduced_strides))),
      reducer.take);
  const std::string head =
      signature("run", operand_types(request), plan.parts == 1 ? request.node.types() : Types{{DType::uint8, {}}});
  if (!plan.by_block)
    return generated_kernel(
        device,
        fmt::format("{} {{\n  {}    const integer line = i % {}, part = i / {};\n{}    {}\n  }}\n}}\n", head,
                    loop_head(items), std::max<std::int64_t>(lines, 1), std::max<std::int64_t>(lines, 1), work, result),
        grid_over(items, device));
  constexpr std::int64_t blocks_of_a_processor = 16;
  return generated_kernel(
      device,
      fmt::format(
          "{} {{\n  __shared__ {} states[{}];\n  for (integer item = blockIdx.x; item < {}; item += gridDim.x) {{\n"
          "    const integer line = item / {}, part = item % {};\n{}    state = across_block<{}, {}>(states, state);\n"
          "    if (threadIdx.x == 0) {{ {} }}\n  }}\n}}\n",
          head, reducer.type, Lines::block_threads, items, plan.parts, plan.parts, work, reducer.join, reducer.type,
          result),
      {std::min(items, device.facts().processors * blocks_of_a_processor), Lines::block_threads});
}

KernelPlan reduction(const KernelRequest& request, const Walk& walk, const Reducer& reducer) {
  const Plan plan(walk, device_of(request));
  std::unique_ptr<Kernel> first = first_stage(request, walk, reducer, plan);
  if (plan.parts == 1) {
    KernelPlan whole = plan_on_device(request);
    whole.kernel = std::move(first);
    return whole;
  }
  const std::int64_t count = walk.kept.elements();
  const Lines lines(count, plan.parts);
  const std::string body =
      fmt::format("    {0} state = {1};\n    {2}\n    state = {3};\n    {4}\n", reducer.type, reducer.begin,
                  lines.each(fmt::format("state = {}::of(state, ((const {}*)in0)[r * {} + line]);", reducer.join,
                                         reducer.type, count)),
                  lines.joined(reducer.join, reducer.type, "state"),
                  lines.once(store(request.node.types()[walk.result].dtype, fmt::format("out{}", walk.result), "line",
                                   reducer.result)));
  constexpr std::size_t state_bytes = 16;  // at most: a number and an index
  return through_scratch(
      request, std::move(first), static_cast<std::size_t>(count * plan.parts) * state_bytes,
      lines.kernel(device_of(request), {{DType::uint8, {}}}, request.node.types(), reducer.type, body));
}

}  // namespace

KernelPlan reduce(const KernelRequest& request) {
  const Walk walk = walk_over(request.node.in(0).shape(), request.node.attrs<ReduceAttrs>().axes);
  const DType dtype = request.node.in(0).dtype();
  Reducer reducer = sum_of(dtype);
  if (request.node.is(op::mean)) reducer.result = fmt::format("state / {}", walk.reduced.elements());
  if (request.node.is(op::product)) reducer = {reducer.type, "1", "state *= x;", "product"};
  if (request.node.is(op::max)) reducer = {reducer.type, beyond(dtype, true), "state = larger(state, x);", "largest"};
  if (request.node.is(op::min))
    reducer = {reducer.type, beyond(dtype, false), "state = smaller(state, x);", "smallest"};
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

KernelPlan sum_over(const KernelRequest& request, int operand, const std::vector<std::int64_t>& axes,
                    std::size_t result) {
  Walk walk = walk_over(request.node.in(operand).shape(), axes);
  walk.operand = operand, walk.result = result;
  return reduction(request, walk, sum_of(request.node.in(operand).dtype()));
}

KernelPlan argmax(const KernelRequest& request) {
  const DType dtype = request.node.in(0).dtype();
  const Reducer reducer{fmt::format("candidate<{}>", sum_type(dtype)), "{0, -1}", "state.offer(x, r);", "first",
                        "state.index"};
  return reduction(request, walk_over(request.node.in(0).shape(), request.node.attrs<ReduceAttrs>().axes), reducer);
}

}  // namespace nacre::gpu
