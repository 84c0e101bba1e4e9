#include "backend/graph/passes/fuse_bias_gradient.h"

#include <numeric>

#include "backend/graph/ops/conv.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"

namespace nacre {

namespace {

// The sum over all axes but the last.
bool is_bias_gradient(const Node& node) {
  if (!node.is(op::sum) && !node.is(op::sum_like)) return false;
  const Value dy = node.in(0);
  if (dy.shape().rank() < 2 || node.types()[0].shape != Shape{dy.shape()[-1]}) return false;
  if (node.is(op::sum_like)) return true;
  std::vector<std::int64_t> leading(static_cast<std::size_t>(dy.shape().rank()) - 1);
  std::iota(leading.begin(), leading.end(), 0);
  return node.attrs<ReduceAttrs>().axes == leading;
}

bool is_kernel_gradient(const Node& node) {
  return node.is(op::conv_backward_weights) && !node.attrs<ConvBackwardWeightsAttrs>().bias;
}

}  // namespace

std::unique_ptr<Graph> fuse_bias_gradient(const Graph& graph, const Backend&) {
  struct Pair {
    const Node *kernel = nullptr, *bias = nullptr;
  };
  std::vector<Pair> pairs;
  std::vector<int> pair_of(graph.nodes().size(), -1);  // by node id
  for (const Node* kernel : graph.nodes()) {
    if (!is_kernel_gradient(*kernel)) continue;
    for (const Node* bias : graph.nodes()) {
      int& taken = pair_of[static_cast<std::size_t>(bias->id())];
      if (taken >= 0 || !is_bias_gradient(*bias) || bias->in(0) != kernel->in(1)) continue;
      taken = pair_of[static_cast<std::size_t>(kernel->id())] = static_cast<int>(pairs.size());
      pairs.push_back({kernel, bias});
      break;
    }
  }
  return rewrite(graph, [&](const Node& node, Rewriter& rewriter) {
    const int index = pair_of[static_cast<std::size_t>(node.id())];
    if (index < 0) return false;
    const auto [kernel, bias] = pairs[static_cast<std::size_t>(index)];
    if (rewriter.mapped(node.out())) return true;  // made with its partner
    if (!rewriter.mapped(kernel->in(0)) || !rewriter.mapped(kernel->in(1))) return false;
    auto attrs = kernel->attrs<ConvBackwardWeightsAttrs>();
    attrs.bias = true;
    const Graph::Label label(rewriter.to(), kernel->label());
    const Node& both = rewriter.to().add(op::conv_backward_weights, std::move(attrs), rewriter(kernel->inputs()));
    rewriter.set(kernel->out(), both.out(0));
    rewriter.set(bias->out(), both.out(1));
    return true;
  });
}

}  // namespace nacre
