// Element-wise ops, alone and in groups: one loop over the elements, written as CUDA source.
#include "backend/graph/ops/elementwise.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "backend/core/random.h"
#include "backend/cudnn/backend.h"
#include "backend/cudnn/kernels.h"
#include "backend/cudnn/row_lists.h"
#include "backend/discarded.h"
#include "backend/graph/ops/bitwise.h"
#include "backend/graph/ops/fused.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/random.h"
#include "backend/reference/kernel.h"

namespace nacre::gpu {

namespace {

struct Formula {
  const Op* op;
  std::string_view text;  // of {0}, {1}, {2}
};
constexpr Formula formulas[] = {
    {&op::negate, "-{0}"},
    {&op::abs, "({0} < 0 ? -{0} : {0})"},
    {&op::sign, "sign_of({0})"},
    {&op::exp, "exp({0})"},
    {&op::expm1, "expm1({0})"},
    {&op::log, "log({0})"},
    {&op::log1p, "log1p({0})"},
    {&op::sqrt, "sqrt({0})"},
    {&op::rsqrt, "1 / sqrt({0})"},
    {&op::square, "{0} * {0}"},
    {&op::reciprocal, "1 / {0}"},
    {&op::sin, "sin({0})"},
    {&op::cos, "cos({0})"},
    {&op::tanh, "tanh({0})"},
    {&op::sigmoid, "1 / (1 + exp(-{0}))"},
    {&op::relu, "({0} <= 0 ? 0 : {0})"},
    {&op::erf, "erf({0})"},
    {&op::floor, "floor({0})"},
    {&op::ceil, "ceil({0})"},
    {&op::round, "rint({0})"},
    {&op::logical_not, "{0} == 0"},
    {&op::is_finite, "({0} - {0} == 0)"},
    {&op::add, "{0} + {1}"},
    {&op::subtract, "{0} - {1}"},
    {&op::multiply, "{0} * {1}"},
    {&op::divide, "{0} / {1}"},
    {&op::power, "raised({0}, {1})"},
    {&op::maximum, "larger({0}, {1})"},
    {&op::minimum, "smaller({0}, {1})"},
    {&op::modulo, "floor_modulo({0}, {1})"},
    {&op::equal, "{0} == {1}"},
    {&op::not_equal, "{0} != {1}"},
    {&op::less, "{0} < {1}"},
    {&op::less_equal, "{0} <= {1}"},
    {&op::greater, "{0} > {1}"},
    {&op::greater_equal, "{0} >= {1}"},
    {&op::logical_and, "{0} != 0 && {1} != 0"},
    {&op::logical_or, "{0} != 0 || {1} != 0"},
    {&op::select, "{0} ? {1} : {2}"},
    {&op::stop_gradient, "{0}"},
    {&op::bitwise_and, "{0} & {1}"},
    {&op::bitwise_or, "{0} | {1}"},
    {&op::bitwise_xor, "{0} ^ {1}"},
    {&op::shift_left, "shifted_left({0}, {1})"},
    {&op::shift_right, "shifted_right({0}, {1})"},
    {&op::gcd, "common_divisor({0}, {1})"},
    {&op::lcm, "common_multiple({0}, {1})"},
};

const Formula* formula_of(const Node& node) {
  const auto found = std::ranges::find_if(formulas, [&](const Formula& formula) { return node.is(*formula.op); });
  return found == std::end(formulas) ? nullptr : found;
}

// A value rounded, or cut, to what its element type holds.
std::string narrowed(DType dtype, std::string_view value) {
  switch (dtype) {
    case DType::boolean: return fmt::format("({} != 0)", value);
    case DType::uint8:
    case DType::int32: return fmt::format("(integer)({})({})", memory_type(dtype), value);
    case DType::float16: return fmt::format("from_half(to_half((float)({})))", value);
    case DType::bfloat16: return fmt::format("from_brain(to_brain((float)({})))", value);
    default: return fmt::format("({})({})", compute_type(dtype), value);
  }
}

bool is_short_integer(DType dtype) { return dtype == DType::int32 || dtype == DType::uint8; }

RowLists lists_of(const Node& sum) { return {sum.types()[0].shape[0], sum.in(0).type()}; }

// The nodes of a group that sum rows by their indices. Each of them reads lists of those, an operand after all others.
std::vector<const Node*> row_sums(const Graph& body) {
  std::vector<const Node*> found;
  std::ranges::copy_if(body.nodes(), std::back_inserter(found),
                       [](const Node* node) { return node->is(op::scatter_add); });
  return found;
}

std::size_t input_index(const Graph& body, Value value) {
  const auto found = std::ranges::find(body.inputs(), value, &Graph::NamedValue::value);
  ensure(found != body.inputs().end(), "a sum of rows in a group wants operands of the group");
  return static_cast<std::size_t>(found - body.inputs().begin());
}

// The text of a group's loop body for pack `at` of its elements, which reads and writes the pointers in0 … and out0 ….
// What lies as the results do is read and written in packs, of up to 16 bytes: a thread that reads two at a time leaves
// most of a memory's speed.
class Body {
 public:
  static constexpr std::int64_t widest = 8;

  Body(const Graph& graph, const Shape& space, std::int64_t most_lanes = widest)
      : graph_(graph),
        space_(space),
        lanes_(lanes_of(graph, space, most_lanes)),
        names_(graph.nodes().size()),
        next_list_(graph.inputs().size()) {
    for (std::size_t k = 0; k < graph.inputs().size(); ++k) {
      const Value value = graph.inputs()[k].value;
      if (is_read(value)) declare(value.node(), operand(k));
    }
    for (const Node* node : graph.nodes())
      if (!node->is(op::input)) add(*node);
    for (std::size_t k = 0; k < graph.outputs().size(); ++k) {
      const Value value = graph.outputs()[k].value;
      const std::string type = pack_of(value.dtype());
      before_ += fmt::format("    {} q{};\n", type, k);
      text_ += fmt::format("    {}\n", store(value.dtype(), fmt::format("q{}.at", k), "lane", name(value)));
      after_ += fmt::format("    (({0}*)out{1})[at] = q{1};\n", type, k);
    }
  }
  std::int64_t packs() const { return space_.elements() / lanes_; }
  std::string text() const {
    return fmt::format(
        "{0}#pragma unroll\n    for (int lane = 0; lane < {1}; ++lane) {{\n    const decltype(at) i = at * {1} + "
        "lane;\n{2}    }}\n{3}",
        before_, lanes_, text_, after_);
  }

 private:
  // random_uniform looks at the shape of its last operand alone, and sums of rows read elsewhere than at `i`.
  static bool is_read(Value value) {
    if (value.uses() == 0) return false;
    for (const Node* node : value.graph().nodes())
      for (std::size_t i = 0; i < node->inputs().size(); ++i)
        if (node->inputs()[i] == value && !(node->is(op::random_uniform) && i == 2) && !node->is(op::scatter_add))
          return true;
    return std::ranges::any_of(value.graph().outputs(), [&](const auto& output) { return output.value == value; });
  }
  static std::int64_t lanes_of(const Graph& graph, const Shape& space, std::int64_t most) {
    if (!row_sums(graph).empty()) return 1;
    const std::int64_t count = space.elements();
    std::size_t bytes = 1;
    for (const auto& values : {graph.inputs(), graph.outputs()})
      for (const auto& [name, value] : values)
        if (value.shape().elements() == count) bytes = std::max(bytes, size_of(value.dtype()));
    std::int64_t lanes = std::min<std::int64_t>(most, 16 / static_cast<std::int64_t>(bytes));
    while (count % lanes != 0) lanes /= 2;
    return lanes;
  }
  std::string pack_of(DType dtype) const { return fmt::format("pack<{}, {}>", memory_type(dtype), lanes_); }
  std::string operand(std::size_t k) {
    const Type& type = graph_.inputs()[k].value.type();
    if (type.shape.elements() != space_.elements())
      return load(type.dtype, fmt::format("in{}", k),
                  offset("i", space_, reference::broadcast_strides(type.shape, space_)));
    before_ += fmt::format("    const {0} p{1} = ((const {0}*)in{1})[at];\n", pack_of(type.dtype), k);
    return load(type.dtype, fmt::format("p{}.at", k), "lane");
  }
  std::string& name(Value value) { return names_[static_cast<std::size_t>(value.node().id())]; }
  void declare(const Node& node, std::string_view value) {
    names_[static_cast<std::size_t>(node.id())] = fmt::format("v{}", node.id());
    text_ += fmt::format("    const {} v{} = {};\n", compute_type(node.types()[0].dtype), node.id(), value);
  }

  void add_row_sum(const Node& node) {
    const DType dtype = node.types()[0].dtype;
    const std::string total = fmt::format("total{}", node.id());
    const std::int64_t width = node.types()[0].shape.from(1).elements();
    const std::string update =
        load(dtype, fmt::format("in{}", input_index(graph_, node.in(1))), fmt::format("update * {0} + i % {0}", width));
    text_ += fmt::format("    {} {} = 0;\n    {}\n", compute_type(dtype), total,
                         lists_of(node).each(fmt::format("in{}", next_list_++), fmt::format("i / {}", width),
                                             fmt::format("{} += {};", total, update)));
    declare(node, narrowed(dtype, total));
  }

  void add(const Node& node) {
    const DType dtype = node.types()[0].dtype;
    if (node.is(op::constant)) {
      names_[static_cast<std::size_t>(node.id())] = literal(dtype, node.attrs<ConstantAttrs>().value.item());
    } else if (node.is(op::random_uniform)) {
      const auto& p = node.attrs<RandomAttrs>();
      const std::uint64_t stream = RandomKey::of(0, p.path, static_cast<std::uint32_t>(p.call)).stream;
      declare(node, fmt::format("uniform({}, {}ull, {}, i)", name(node.in(0)), stream, name(node.in(1))));
    } else if (node.is(op::scatter_add)) {
      add_row_sum(node);
    } else if (node.is(op::cast)) {
      declare(node, narrowed(dtype, name(node.in(0))));
    } else {
      std::vector<std::string> operands;
      for (Value value : node.inputs()) operands.push_back(name(value));
      operands.resize(3);
      const std::string value =
          fmt::format(fmt::runtime(formula_of(node)->text), operands[0], operands[1], operands[2]);
      declare(node, is_short_integer(dtype) ? narrowed(dtype, value) : value);
    }
  }

  const Graph& graph_;
  const Shape& space_;
  std::int64_t lanes_;  // elements of a pack
  std::vector<std::string> names_;
  std::size_t next_list_;  // operand
  std::string before_, text_, after_;
};

Types types_of(const std::vector<Graph::NamedValue>& values) {
  Types types;
  for (const auto& [name, value] : values) types.push_back(value.type());
  return types;
}

// Results may lie where operands that are read at the same place alone lie.
void add_in_place(const Graph& body, std::vector<KernelPlan::InPlace>& list, std::size_t first_output,
                  std::size_t first_input) {
  const Shape& space = body.outputs().front().value.shape();
  const std::vector<const Node*> sums = row_sums(body);
  const auto is_summed = [&](Value value) {
    return std::ranges::any_of(sums, [&](const Node* sum) { return sum->in(0) == value || sum->in(1) == value; });
  };
  for (std::size_t out = 0; out < body.outputs().size(); ++out)
    for (std::size_t in = 0; in < body.inputs().size(); ++in) {
      const Type& operand = body.inputs()[in].value.type();
      if (operand.shape.elements() == space.elements() &&
          size_of(operand.dtype) == size_of(body.outputs()[out].value.dtype()) && !is_summed(body.inputs()[in].value))
        list.push_back({static_cast<int>(first_output + out), static_cast<int>(first_input + in)});
    }
}

// A group, after the lists that its sums of rows read, if any, which lie in scratch memory.
class GroupKernel final : public Kernel {
 public:
  GroupKernel(const Graph& body, Device& device) {
    const Shape& space = body.outputs().front().value.shape();
    Types operands = types_of(body.inputs());
    for (const Node* sum : row_sums(body)) {
      const RowLists lists = lists_of(*sum);
      operands.push_back(lists.type());
      lists_.push_back({lists.kernel(device), input_index(body, sum->in(0)), scratch_bytes_});
      scratch_bytes_ += aligned(lists.type().bytes());
      sort_bytes_ = std::max(sort_bytes_, lists.scratch_bytes());
    }
    const Body text(body, space);
    const std::string source =
        fmt::format("{} {{\n  {}{}  }}\n}}\n", signature("run", operands, types_of(body.outputs())),
                    loop_head(text.packs(), space.elements(), "at"), text.text());
    group_ = generated_kernel(device, source, grid_over(text.packs(), device));
  }
  std::size_t scratch_bytes() const { return scratch_bytes_ + sort_bytes_; }

  void run(const KernelArguments& arguments) override {
    auto* const scratch = static_cast<std::byte*>(arguments.scratch);
    operands_.assign(arguments.inputs.begin(), arguments.inputs.end());
    for (const auto& [kernel, input, place] : lists_) {
      void* const lists = scratch + place;
      kernel->run(
          {.inputs = arguments.inputs.subspan(input, 1), .outputs = {&lists, 1}, .scratch = scratch + scratch_bytes_});
      operands_.push_back(lists);
    }
    group_->run({.inputs = operands_, .outputs = arguments.outputs, .scratch = nullptr});
  }
  std::int64_t launches() const override {
    std::int64_t all = group_->launches();
    for (const auto& lists : lists_) all = launches_together(all, lists.kernel->launches());
    return all;
  }

 private:
  struct Lists {
    std::unique_ptr<Kernel> kernel;
    std::size_t input, place;  // of the indices; in scratch memory
  };
  std::vector<Lists> lists_;
  std::unique_ptr<Kernel> group_;
  std::vector<const void*> operands_;
  std::size_t scratch_bytes_ = 0, sort_bytes_ = 0;
};

KernelPlan group(const Graph& body, const KernelRequest& request) {
  KernelPlan plan = plan_on_device(request);
  auto kernel = std::make_unique<GroupKernel>(body, device_of(request));
  plan.scratch_bytes = kernel->scratch_bytes();
  plan.kernel = std::move(kernel);
  add_in_place(body, plan.in_place, 0, 0);
  return plan;
}

}  // namespace

bool generates(const Node& node) {
  if (node.is(op::random_uniform) || node.is(op::cast)) return true;
  const bool arithmetic =
      node.is(op::negate) || node.is(op::abs) || node.is(op::sign) || node.is(op::power) || node.is(op::modulo);
  return formula_of(node) && !(arithmetic && node.types()[0].dtype == DType::boolean);
}

KernelPlan elementwise(const KernelRequest& request) {
  return generates(request.node) ? group(*group_of(request.node), request) : borrowed(request);
}

bool sums_rows(const Node& node) {
  const DType index = node.in(0).dtype();
  return (index == DType::int32 || index == DType::int64) && is_floating(node.types()[0].dtype) &&
         lists_of(node).fits();
}

KernelPlan scatter_add(const KernelRequest& request) {
  const Node& node = request.node;
  if (node.types()[0].shape.elements() == 0) return over_elements(request, "out0[i] = 0;");
  if (!lists_of(node).fits()) return borrowed(request);
  Graph body;
  const Value indices = body.input("indices", node.in(0).type()), updates = body.input("updates", node.in(1).type());
  body.output("sums", body.copy(node, {indices, updates}).out());
  return group(body, request);
}

KernelPlan fused(const KernelRequest& request) { return group(*request.node.attrs<FusedAttrs>().body, request); }

namespace {

// A kernel for some groups, each of which has its own blocks, called with their operands and results. Groups of the
// same text, as those of an optimizer's update of many variables, are one function.
std::unique_ptr<Kernel> kernel_of(std::span<const Subgraph> bodies, Device& device, std::int64_t most_lanes) {
  std::map<std::string, std::string> functions;  // by text, their names
  std::string definitions, calls;
  Types operands, results;
  std::int64_t blocks = 0;
  for (const Subgraph& body : bodies) {
    const Shape& space = body->outputs().front().value.shape();
    const Body loop(*body, space, most_lanes);
    const std::int64_t own = grid_over(loop.packs(), device).blocks;
    std::string parameters, arguments;
    for (std::size_t i = 0; i < body->inputs().size(); ++i) {
      parameters += fmt::format("const {}* in{}, ", memory_type(body->inputs()[i].value.dtype()), i);
      arguments += fmt::format("in{}, ", operands.size());
      operands.push_back(body->inputs()[i].value.type());
    }
    for (std::size_t i = 0; i < body->outputs().size(); ++i) {
      parameters += fmt::format("{}* out{}, ", memory_type(body->outputs()[i].value.dtype()), i);
      arguments += fmt::format("out{}, ", results.size());
      results.push_back(body->outputs()[i].value.type());
    }
    const std::string text =
        fmt::format("({}integer at, integer step, integer count) {{\n  for (; at < count; at += step) {{\n{}  }}\n}}\n",
                    parameters, loop.text());
    const auto [found, is_new] = functions.try_emplace(text, fmt::format("group{}", functions.size()));
    if (is_new) definitions += fmt::format("static __device__ void {}{}\n", found->second, text);
    calls += fmt::format(
        "  if (block < {}) return {}({}(integer)(block - {}) * blockDim.x + threadIdx.x, {} * blockDim.x, {});\n",
        blocks + own, found->second, arguments, blocks, own, loop.packs());
    blocks += own;
  }
  const std::string source = fmt::format("{}{} {{\n  const word block = blockIdx.x;\n{}}}\n", definitions,
                                         signature("run", operands, results), calls);
  return generated_kernel(device, source, {blocks, grid_over(1, device).threads});
}

// Kernels that each take their part of the operands and results.
class Parts final : public Kernel {
 public:
  void add(std::unique_ptr<Kernel> kernel, std::size_t inputs, std::size_t outputs) {
    parts_.push_back({std::move(kernel), inputs, outputs});
  }
  void run(const KernelArguments& arguments) override {
    std::size_t input = 0, output = 0;
    for (const auto& [kernel, inputs, outputs] : parts_) {
      kernel->run({.inputs = arguments.inputs.subspan(input, inputs),
                   .outputs = arguments.outputs.subspan(output, outputs),
                   .scratch = arguments.scratch});
      input += inputs, output += outputs;
    }
  }
  std::int64_t launches() const override {
    std::int64_t all = parts_.front().kernel->launches();
    for (std::size_t i = 1; i < parts_.size(); ++i) all = launches_together(all, parts_[i].kernel->launches());
    return all;
  }

 private:
  struct Part {
    std::unique_ptr<Kernel> kernel;
    std::size_t inputs, outputs;
  };
  std::vector<Part> parts_;
};

struct WithScratch {
  std::unique_ptr<Kernel> kernel;
  std::size_t scratch_bytes = 0;
};

// One launch for all groups, or as few as there must be for the addresses that a kernel can be given. Groups that sum
// rows stay alone.
WithScratch kernel_of_all(const std::vector<Subgraph>& bodies, Device& device, std::int64_t most_lanes = Body::widest) {
  const std::size_t most = device.facts().parameter_bytes / sizeof(void*);
  auto kernel = std::make_unique<Parts>();
  std::size_t scratch_bytes = 0;
  std::size_t first = 0, inputs = 0, outputs = 0;  // of a part
  const auto end_part = [&](std::size_t end) {
    if (end > first)
      kernel->add(kernel_of(std::span(bodies).subspan(first, end - first), device, most_lanes), inputs, outputs);
    first = end, inputs = outputs = 0;
  };
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    const std::size_t more_inputs = bodies[i]->inputs().size(), more_outputs = bodies[i]->outputs().size();
    if (!row_sums(*bodies[i]).empty()) {
      end_part(i);
      auto group = std::make_unique<GroupKernel>(*bodies[i], device);
      scratch_bytes = std::max(scratch_bytes, group->scratch_bytes());
      kernel->add(std::move(group), more_inputs, more_outputs);
      first = i + 1;
      continue;
    }
    if (inputs + outputs + more_inputs + more_outputs > most) end_part(i);
    inputs += more_inputs, outputs += more_outputs;
  }
  end_part(bodies.size());
  return {std::move(kernel), scratch_bytes};
}

}  // namespace

KernelPlan fused_groups(const KernelRequest& request) {
  const std::vector<Subgraph>& bodies = request.node.attrs<FusedGroupsAttrs>().bodies;
  KernelPlan plan = plan_on_device(request);
  std::size_t inputs = 0, outputs = 0;
  for (const Subgraph& body : bodies) {
    add_in_place(*body, plan.in_place, outputs, inputs);
    inputs += body->inputs().size(), outputs += body->outputs().size();
  }
  auto [kernel, scratch_bytes] = kernel_of_all(bodies, device_of(request));
  plan.kernel = std::move(kernel);
  plan.scratch_bytes = scratch_bytes;
  return plan;
}

std::unique_ptr<Kernel> copies(Device& device, const Types& types) {
  std::vector<Subgraph> bodies;
  for (const Type& type : types) {
    auto body = std::make_shared<Graph>();
    body->output("to", ops::stop_gradient(body->input("from", type)));
    bodies.push_back(std::move(body));
  }
  return kernel_of_all(bodies, device, 1).kernel;  // they may begin anywhere
}

}  // namespace nacre::gpu
