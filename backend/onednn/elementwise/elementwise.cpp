#include "backend/onednn/elementwise/elementwise.h"

#include <algorithm>

#include "backend/core/parallel.h"
#include "backend/graph/ops/fused.h"
#include "backend/graph/ops/random.h"
#include "backend/onednn/elementwise/blocked.h"
#include "backend/onednn/elementwise/exactness.h"
#include "backend/onednn/elementwise/integers.h"
#include "backend/onednn/elementwise/program.h"
#include "backend/onednn/kernels.h"

namespace nacre::onednn {

namespace {

class ElementwiseKernel final : public Kernel {
 public:
  explicit ElementwiseKernel(Program program) : program_(std::move(program)) {}
  void run(const KernelArguments& arguments) override { program_.run(arguments); }

 private:
  Program program_;
};

// A group over the operands as they lie in memory. The plan has no kernel yet.
struct Group {
  Program program;
  KernelPlan plan;
};

Group group(const Graph& body, std::span<const Value> values, std::span<const Layout> given, const Layout& wanted) {
  std::optional<BlockedBody> blocked = blocked_body(body, values, given, wanted);
  Group group{.program = blocked ? compile_program(*blocked->body, loops(), std::move(blocked->places))
                                 : compile_program(body, loops()),
              .plan = {}};
  KernelPlan& plan = group.plan;
  plan.inputs = blocked ? std::move(blocked->operands) : std::vector(body.inputs().size(), Layout::plain());
  plan.outputs = blocked ? std::move(blocked->results) : std::vector(body.outputs().size(), Layout::plain());
  for (int output = 0; output < static_cast<int>(plan.outputs.size()); ++output)
    for (int input = 0; input < static_cast<int>(plan.inputs.size()); ++input)
      if (group.program.may_overwrite(output, input)) plan.in_place.push_back({output, input});
  plan.scratch_bytes = group.program.scratch_bytes;
  return group;
}

KernelPlan plan(const Graph& body, const KernelRequest& request) {
  Group made = group(body, request.node.inputs(), request.inputs, request.wanted);
  made.plan.kernel = std::make_unique<ElementwiseKernel>(std::move(made.program));
  return std::move(made.plan);
}

// Programs one after the other in one loop that threads share.
class GroupsKernel final : public Kernel {
 public:
  // Whose operands, results and scratch memory follow those of the programs before it.
  void add(Program program) {
    const std::size_t inputs = program.operands.size(), outputs = program.results.size(), scratch = program.scratch_bytes;
    const std::int64_t work = program.units() * program.work_of_unit();
    parts_.push_back({inputs_, outputs_, scratch_, work_, std::move(program)});
    inputs_ += inputs, outputs_ += outputs, scratch_ += scratch, work_ += work;
  }

  void run(const KernelArguments& arguments) override {
    parallel_for(work_, Program::work_worth_a_thread, [&](std::int64_t begin, std::int64_t end) {
      for (const Part& part : parts_) {
        const Program& program = part.program;
        // The units whose work begins in this range.
        const auto unit_at = [&](std::int64_t work) {
          const std::int64_t size = program.work_of_unit();
          return std::clamp((work - part.work + size - 1) / size, std::int64_t{0}, program.units());
        };
        const std::int64_t first = unit_at(begin), last = unit_at(end);
        if (first >= last) continue;
        program.run({.inputs = arguments.inputs.subspan(part.input, program.operands.size()),
                     .outputs = arguments.outputs.subspan(part.output, program.results.size()),
                     .scratch = static_cast<std::byte*>(arguments.scratch) + part.scratch},
                    first, last);
      }
    });
  }

 private:
  struct Part {
    std::size_t input, output, scratch;  // of those before: where its own begin
    std::int64_t work;
    Program program;
  };
  std::vector<Part> parts_;
  std::size_t inputs_ = 0, outputs_ = 0, scratch_ = 0;  // of all
  std::int64_t work_ = 0;
};

}  // namespace

bool fuses(const Node& node) { return computes_exactly(node); }

bool sums_rows(const Node& node) {
  const DType index = node.in(0).dtype(), element = node.types()[0].dtype;
  const Shape& table = node.types()[0].shape;
  return (index == DType::int32 || index == DType::int64) && is_floating(element) && element != DType::float64 &&
         RowLists(table[0], node.in(0).shape().elements()).fits();
}

KernelPlan elementwise(const KernelRequest& request) {
  if (computes_exactly(request.node)) return plan(*group_of(request.node), request);
  return computes_on_integers(request.node) ? integers(request) : borrowed(request);
}

KernelPlan fused_groups(const KernelRequest& request) {
  KernelPlan all;
  auto kernel = std::make_unique<GroupsKernel>();
  for (const Subgraph& body : request.node.attrs<FusedGroupsAttrs>().bodies) {
    const std::size_t first = all.inputs.size(), count = body->inputs().size();
    auto [program, plan] = group(*body, std::span(request.node.inputs()).subspan(first, count),
                                 request.inputs.subspan(first, count), Layout::any());
    for (const auto& [output, input] : plan.in_place)
      all.in_place.push_back({output + static_cast<int>(all.outputs.size()), input + static_cast<int>(first)});
    all.inputs.insert(all.inputs.end(), plan.inputs.begin(), plan.inputs.end());
    all.outputs.insert(all.outputs.end(), plan.outputs.begin(), plan.outputs.end());
    all.scratch_bytes += plan.scratch_bytes;
    kernel->add(std::move(program));
  }
  all.kernel = std::move(kernel);
  return all;
}

KernelPlan fused(const KernelRequest& request) { return plan(*request.node.attrs<FusedAttrs>().body, request); }

}  // namespace nacre::onednn
