#include "backend/graph/passes/fold_batchnorm.h"

#include <algorithm>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/passes/fixed.h"
#include "backend/graph/passes/product.h"

namespace nacre {

namespace {

// x · kernel [+ bias] whose result is (…, channels) with the kernel's last axis.
bool foldable(Value product) {
  if (!is_product(product)) return false;
  const Epilogue& epilogue = epilogue_of(product);
  if (epilogue.residual || epilogue.activation != EpilogueKind::none) return false;
  return product.is(op::conv) || !product.node().attrs<MatMulAttrs>().transpose_b;
}

// The product with `kernel · scale` and `bias · scale + shift`, where absent values mean 1 and 0.
Value scaled(Value product, Value scale, Value shift) {
  Values operands = product.node().inputs();
  Epilogue epilogue = epilogue_of(product);
  if (scale) {
    operands[1] = operands[1] * scale;
    if (epilogue.bias) operands[2] = operands[2] * scale;
  }
  if (shift) {
    if (epilogue.bias) operands[2] = operands[2] + shift;
    else operands.push_back(shift.shape().rank() == 1 ? shift : ops::broadcast_to(shift, {product.shape()[-1]}));
    epilogue.bias = true;
  }
  return with_epilogue(product, std::move(operands), epilogue);
}

}  // namespace

std::unique_ptr<Graph> fold_batchnorm(const Graph& graph, const Backend&) {
  const std::vector<char> fixed = fixed_nodes(graph);
  const auto is_fixed = [&](Value value) { return fixed[static_cast<std::size_t>(value.node().id())] != 0; };
  // By node id: products whose kernel and bias are fixed, and what becomes of them.
  std::vector<char> of_fixed_kernel(graph.nodes().size(), 0);
  return rewrite(graph, [&](const Node& node, Rewriter& rewriter) {
    char& marked = of_fixed_kernel[static_cast<std::size_t>(node.id())];
    if (node.is(op::conv) || node.is(op::matmul)) {
      marked = foldable(node.out()) && std::all_of(node.inputs().begin() + 1, node.inputs().end(), is_fixed);
      return false;
    }
    const bool commutes = node.is(op::add) || node.is(op::multiply);
    if (!commutes && !node.is(op::subtract) && !node.is(op::divide)) return false;
    for (int i = 0; i < (commutes ? 2 : 1); ++i) {
      const Value old = node.in(i), other = node.in(1 - i);
      if (!of_fixed_kernel[static_cast<std::size_t>(old.node().id())] || old.uses() != 1 || !is_fixed(other)) continue;
      const bool per_channel =
          other.shape().rank() == 0 || (other.shape().rank() == 1 && other.shape()[0] == old.shape()[-1]);
      if (!per_channel || node.types()[0] != old.type()) continue;
      const Value product = rewriter(old), operand = rewriter(other);
      const Value result = node.is(op::multiply) ? scaled(product, operand, {})
                           : node.is(op::divide) ? scaled(product, ops::reciprocal(operand), {})
                           : node.is(op::add)    ? scaled(product, {}, operand)
                                                 : scaled(product, {}, -operand);
      rewriter.set(node.out(), result);
      marked = true;
      return true;
    }
    return false;
  });
}

}  // namespace nacre
