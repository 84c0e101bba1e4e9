#include "backend/graph/passes/fuse_scatter.h"

#include <algorithm>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/fused.h"
#include "backend/graph/ops/gather.h"

namespace nacre {

namespace {

bool allowed(const Node& node, const Backend& backend) {
  if (!node.types()[0].shape.known() || node.types()[0].shape.elements() == 0) return false;
  const KernelRow* row = backend.row(node);
  return row && row->fuses && row->fuses(node);
}

// Whether this operand can be summed where the node, a group or a node that can be one, needs it.
bool can_be_inside(Value operand, const Node& node, const Backend& backend) {
  return operand.is(op::scatter_add) && operand.uses() == 1 && operand.shape() == node.types()[0].shape &&
         allowed(operand.node(), backend);
}

bool is_group(const Node& node, const Backend& backend) {
  return node.is(op::fused) || (node.op().kind == OpKind::elementwise && allowed(node, backend));
}

}  // namespace

std::unique_ptr<Graph> fuse_scatter(const Graph& graph, const Backend& backend) {
  return rewrite(graph, [&](const Node& node, Rewriter& rewriter) {
    const auto inside = [&](Value operand) { return can_be_inside(operand, node, backend); };
    if (!is_group(node, backend) || std::none_of(node.inputs().begin(), node.inputs().end(), inside)) return false;
    const Subgraph old = node.is(op::fused) ? node.attrs<FusedAttrs>().body : group_of(node);
    auto body = std::make_shared<Graph>();
    Values operands, replaced;  // of the new graph, in the new body
    const auto add_operand = [&](Value value) {
      operands.push_back(rewriter(value));
      return body->input(std::to_string(operands.size() - 1), value.type());
    };
    for (Value operand : node.inputs()) {
      if (!inside(operand)) {
        replaced.push_back(add_operand(operand));
        continue;
      }
      Values in;
      for (Value value : operand.node().inputs()) in.push_back(add_operand(value));
      replaced.push_back(body->copy(operand.node(), std::move(in)).out());
    }
    const Values results = inline_graph(*old, *body, replaced);
    for (std::size_t i = 0; i < results.size(); ++i) body->output(std::to_string(i), results[i]);
    const Graph::Label label(rewriter.to(), node.label());
    const Node& fused = rewriter.to().add(op::fused, FusedAttrs{std::move(body)}, std::move(operands));
    for (int i = 0; i < static_cast<int>(results.size()); ++i) rewriter.set(node.out(i), fused.out(i));
    return true;
  });
}

}  // namespace nacre
