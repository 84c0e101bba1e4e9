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

// Mixed precision normalises products of 16 bits in float32.
bool is_widened(Value value) {
  return value.is(op::cast) && value.dtype() == DType::float32 && is_floating(value.node().in(0).dtype()) &&
         size_of(value.node().in(0).dtype()) < size_of(DType::float32);
}

// A kernel or bias in the precision of what it is scaled by.
Value in_precision(DType dtype, Value value) {
  return value.is(op::cast) && value.node().in(0).dtype() == dtype ? value.node().in(0) : ops::cast(value, dtype);
}

// The product with `kernel · scale` and `bias · scale + shift`, where absent values mean 1 and 0. They have the
// product's dtype, or are float32 like the bias that it gets.
Value scaled(Value product, Value scale, Value shift) {
  Values operands = product.node().inputs();
  Epilogue epilogue = epilogue_of(product);
  if (epilogue.bias) operands[2] = in_precision((scale ? scale : shift).dtype(), operands[2]);
  if (scale) {
    operands[1] = ops::cast(in_precision(scale.dtype(), operands[1]) * scale, operands[1].dtype());
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
  // By node id: products whose kernel and bias are fixed, what becomes of them, and those of 16 bits made float32.
  std::vector<char> of_fixed_kernel(graph.nodes().size(), 0);
  const auto folds = [&](Value value) {
    return of_fixed_kernel[static_cast<std::size_t>(value.node().id())] && value.uses() == 1;
  };
  return rewrite(graph, [&](const Node& node, Rewriter& rewriter) {
    char& marked = of_fixed_kernel[static_cast<std::size_t>(node.id())];
    if (node.is(op::conv) || node.is(op::matmul)) {
      marked = foldable(node.out()) && std::all_of(node.inputs().begin() + 1, node.inputs().end(), is_fixed);
      return false;
    }
    if (node.is(op::cast) && folds(node.in(0))) {
      const Value present = rewriter(node.in(0));
      if (is_widened(present) && present.node().in(0).dtype() == node.types()[0].dtype) {
        rewriter.set(node.out(), present.node().in(0));
        marked = true;
        return true;
      }
      marked = is_widened(node.out());
      return false;
    }
    const bool commutes = node.is(op::add) || node.is(op::multiply);
    if (!commutes && !node.is(op::subtract) && !node.is(op::divide)) return false;
    for (int i = 0; i < (commutes ? 2 : 1); ++i) {
      const Value old = node.in(i), other = node.in(1 - i);
      if (!folds(old) || !is_fixed(other)) continue;
      const bool per_channel =
          other.shape().rank() == 0 || (other.shape().rank() == 1 && other.shape()[0] == old.shape()[-1]);
      if (!per_channel || node.types()[0] != old.type()) continue;
      const Value present = rewriter(old), operand = rewriter(other);
      const Value product = is_widened(present) ? present.node().in(0) : present;
      const Value result = node.is(op::multiply) ? scaled(product, operand, {})
                           : node.is(op::divide) ? scaled(product, ops::reciprocal(operand), {})
                           : node.is(op::add)    ? scaled(product, {}, operand)
                                                 : scaled(product, {}, -operand);
      rewriter.set(node.out(), ops::cast(result, old.dtype()));
      marked = true;
      return true;
    }
    return false;
  });
}

}  // namespace nacre
