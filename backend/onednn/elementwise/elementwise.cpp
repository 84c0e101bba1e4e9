#include "backend/onednn/elementwise/elementwise.h"

#include <algorithm>

#include "backend/graph/ops/fused.h"
#include "backend/graph/ops/random.h"
#include "backend/onednn/elementwise/exactness.h"
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

// The layout in which the group runs over its buffers from end to end: that of its blocked operands, if all operands
// have the results' type (or are single numbers) and nothing depends on where an element is; else plain.
Layout common_layout(const Graph& body, std::span<const Layout> layouts) {
  const Type& result = body.outputs().front().value.type();
  Layout layout = Layout::plain();
  for (std::size_t i = 0; i < layouts.size(); ++i) {
    const Type& type = body.inputs()[i].value.type();
    if (type.shape.elements() == 1) continue;
    if (type != result) return Layout::plain();
    if (layout.is_plain() && layouts[i].detail()) layout = layouts[i];
  }
  for (const auto& [name, value] : body.outputs())
    if (value.dtype() != result.dtype) return Layout::plain();
  for (const Node* node : body.nodes())
    if (node->is(op::random_uniform)) return Layout::plain();
  const bool padded = layout.bytes(result) != result.bytes();
  return padded && !keeps_zeros(body) ? Layout::plain() : layout;
}

KernelPlan plan(const Graph& body, const KernelRequest& request) {
  const Type& result = body.outputs().front().value.type();
  const Layout layout = common_layout(body, request.inputs);
  KernelPlan plan;
  for (const auto& [name, value] : body.inputs()) plan.inputs.push_back(value.shape() == result.shape ? layout : Layout::plain());
  plan.outputs.assign(body.outputs().size(), layout);
  Program program = compile_program(body, static_cast<std::int64_t>(layout.bytes(result) / size_of(result.dtype)), loops());
  for (int output = 0; output < static_cast<int>(plan.outputs.size()); ++output)
    for (int input = 0; input < static_cast<int>(plan.inputs.size()); ++input)
      if (program.may_overwrite(output, input)) plan.in_place.push_back({output, input});
  plan.kernel = std::make_unique<ElementwiseKernel>(std::move(program));
  return plan;
}

// A group of one node.
std::unique_ptr<Graph> body_of(const Node& node) {
  auto body = std::make_unique<Graph>();
  Values operands;
  for (Value value : node.inputs()) {
    const Value operand = body->input(std::to_string(operands.size()), value.type());
    const bool number = value.is(op::constant) && value.shape().elements() == 1;
    operands.push_back(number ? body->constant(value.node().attrs<ConstantAttrs>().value) : operand);
  }
  body->output("0", body->copy(node, std::move(operands)).out());
  return body;
}

}  // namespace

bool fuses(const Node& node) { return computes_exactly(node); }

KernelPlan elementwise(const KernelRequest& request) {
  return computes_exactly(request.node) ? plan(*body_of(request.node), request) : borrowed(request);
}

KernelPlan fused(const KernelRequest& request) { return plan(*request.node.attrs<FusedAttrs>().body, request); }

}  // namespace nacre::onednn
