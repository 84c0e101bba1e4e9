#include "backend/graph/passes/relu_after_pool.h"

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/pool.h"

namespace nacre {

std::unique_ptr<Graph> relu_after_pool(const Graph& graph, const Backend&) {
  return rewrite(graph, [&](const Node& node, Rewriter& rewriter) {
    if (!node.is(op::max_pool) || !node.in(0).is(op::relu) || node.in(0).uses() != 1) return false;
    const Value x = rewriter(node.in(0).node().in(0));
    const Graph::Label label(rewriter.to(), node.label());
    const Node& pooled = rewriter.to().add(op::max_pool, node.attrs<PoolAttrs>(), {x});
    rewriter.set(node.out(0), ops::relu(pooled.out(0)));
    rewriter.set(node.out(1), pooled.out(1));
    return true;
  });
}

}  // namespace nacre
