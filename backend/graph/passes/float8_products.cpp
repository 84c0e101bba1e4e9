#include "backend/graph/passes/float8_products.h"

#include "backend/graph/ops/float8.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/shape.h"

namespace nacre {

namespace {

// A factor that was rounded, and then only moved.
struct Rounded {
  const Node* node = nullptr;        // op::float8; null: it is none
  std::vector<const Node*> moves{};  // from the product to it
};

Rounded rounded(Value factor) {
  Rounded found;
  while (factor.is(op::reshape) || factor.is(op::transpose)) {
    found.moves.push_back(&factor.node());
    factor = factor.node().in(0);
  }
  if (factor.is(op::float8)) found.node = &factor.node();
  return found;
}

Value before_rounding(const Rounded& factor, Rewriter& rewriter) {
  Value value = rewriter(factor.node->in(0));
  for (auto move = factor.moves.rbegin(); move != factor.moves.rend(); ++move)
    value = rewriter.to().copy(**move, {value}).out();
  return value;
}

}  // namespace

std::unique_ptr<Graph> float8_products(const Graph& graph, const Backend& backend) {
  return rewrite(graph, [&](const Node& node, Rewriter& rewriter) {
    if (!node.is(op::matmul) || node.inputs().size() != 2 || !node.attrs<MatMulAttrs>().epilogue.empty()) return false;
    const auto& p = node.attrs<MatMulAttrs>();
    const Rounded a = rounded(node.in(0)), b = rounded(node.in(1));
    if (!a.node || !b.node || node.in(0).shape().rank() != 2 || node.in(1).shape().rank() != 2) return false;
    const Graph::Label label(rewriter.to(), node.label());
    const Float8MatMulAttrs attrs{a.node->attrs<Float8Attrs>().format, b.node->attrs<Float8Attrs>().format,
                                  p.transpose_a, p.transpose_b};
    const Node& product = rewriter.to().add(
        op::float8_matmul, attrs,
        {before_rounding(a, rewriter), before_rounding(b, rewriter), rewriter(a.node->in(1)), rewriter(b.node->in(1))});
    if (!backend.supports(product)) return false;  // nobody uses it
    rewriter.set(node.out(), product.out());
    return true;
  });
}

}  // namespace nacre
