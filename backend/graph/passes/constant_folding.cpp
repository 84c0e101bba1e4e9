#include "backend/graph/passes/constant_folding.h"

#include <algorithm>

#include "backend/graph/ops/all_reduce.h"
#include "backend/interpret.h"

namespace nacre {

namespace {

constexpr std::size_t always_small = 64 << 10;  // bytes

bool worth_keeping(const Node& node) {
  std::size_t operands = 0, results = 0;
  for (Value value : node.inputs()) operands += value.type().bytes();
  for (const Type& type : node.types()) {
    if (!type.shape.known()) return false;
    results += type.bytes();
  }
  return results <= std::max(always_small, operands);
}

}  // namespace

std::unique_ptr<Graph> fold_constants(const Graph& graph, const Backend& backend) {
  return rewrite(graph, [&](const Node& node, Rewriter& rewriter) {
    if (node.op().kind == OpKind::leaf || node.is(op::all_reduce)) return false;
    std::vector<Tensor> operands;
    for (Value value : rewriter(node.inputs())) {
      if (!value.is(op::constant)) return false;
      operands.push_back(value.node().attrs<ConstantAttrs>().value);
    }
    if (!worth_keeping(node) || !backend.supports(node)) return false;
    const std::vector<Tensor> results = evaluate_node(node, operands, backend);
    for (int i = 0; i < static_cast<int>(results.size()); ++i)
      rewriter.set(node.out(i), rewriter.to().constant(results[static_cast<std::size_t>(i)]));
    return true;
  });
}

}  // namespace nacre
