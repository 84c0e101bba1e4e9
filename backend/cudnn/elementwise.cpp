// Element-wise ops, alone and in groups: one loop over the elements, or one launch for many loops.
#include "backend/graph/ops/elementwise.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "backend/cudnn/backend.h"
#include "backend/cudnn/group_text.h"
#include "backend/cudnn/kernels.h"
#include "backend/discarded.h"
#include "backend/graph/ops/fused.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/random.h"

namespace nacre::gpu {

namespace {

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
    const GroupText text = group_text(body, space);
    const std::string source =
        fmt::format("{} {{\n  {}{}  }}\n}}\n", signature("run", operands, types_of(body.outputs())),
                    loop_head(text.packs, space.elements(), "at"), text.body);
    group_ = generated_kernel(device, source, grid_over(text.packs, device));
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
  return has_formula(node) && !(arithmetic && node.types()[0].dtype == DType::boolean);
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
    const GroupText loop = group_text(*body, space, most_lanes);
    const std::int64_t own = grid_over(loop.packs, device).blocks;
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
                    parameters, loop.body);
    const auto [found, is_new] = functions.try_emplace(text, fmt::format("group{}", functions.size()));
    if (is_new) definitions += fmt::format("static __device__ void {}{}\n", found->second, text);
    calls += fmt::format(
        "  if (block < {}) return {}({}(integer)(block - {}) * blockDim.x + threadIdx.x, {} * blockDim.x, {});\n",
        blocks + own, found->second, arguments, blocks, own, loop.packs);
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
WithScratch kernel_of_all(const std::vector<Subgraph>& bodies, Device& device, std::int64_t most_lanes = widest_pack) {
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
