#include "backend/graph/passes/fuse_epilogue.h"

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/passes/product.h"

namespace nacre {

namespace {

EpilogueKind activation_of(const Node& node) {
  if (node.is(op::relu)) return EpilogueKind::relu;
  if (node.is(op::tanh)) return EpilogueKind::tanh;
  if (node.is(op::sigmoid)) return EpilogueKind::sigmoid;
  return EpilogueKind::none;
}

// The product that a value is, as it is or in another shape with the same last axis.
Value product_of(Value value) {
  if (value.is(op::reshape) && value.node().in(0).uses() == 1 && value.shape().rank() > 0 &&
      is_product(value.node().in(0)) && value.node().in(0).shape()[-1] == value.shape()[-1])
    return value.node().in(0);
  return is_product(value) ? value : Value();
}

Value with_activation(Value product, EpilogueKind activation) {
  Epilogue epilogue = epilogue_of(product);
  if (epilogue.activation != EpilogueKind::none) return {};
  epilogue.activation = activation;
  return with_epilogue(product, product.node().inputs(), epilogue);
}

// product + addend, as a bias or a residual.
Value with_addend(Value product, Value addend) {
  Epilogue epilogue = epilogue_of(product);
  if (epilogue.activation != EpilogueKind::none || addend.dtype() != product.dtype()) return {};
  Values operands = product.node().inputs();
  if (addend.shape().rank() == 1 && addend.shape()[0] == product.shape()[-1] && !epilogue.bias) {
    epilogue.bias = true;
    operands.insert(operands.begin() + 2, addend);
  } else if (addend.shape() == product.shape() && !epilogue.residual) {
    epilogue.residual = true;
    operands.push_back(addend);
  } else {
    return {};
  }
  return with_epilogue(product, std::move(operands), epilogue);
}

}  // namespace

std::unique_ptr<Graph> fuse_epilogue(const Graph& graph, const Backend&) {
  return rewrite(graph, [&](const Node& node, Rewriter& rewriter) {
    const EpilogueKind activation = activation_of(node);
    if (activation == EpilogueKind::none && !node.is(op::add)) return false;
    for (int i = static_cast<int>(node.inputs().size()) - 1; i >= 0; --i) {  // of two products the later takes the other
      const Value old = node.in(i);
      const Value present = rewriter(old), product = product_of(present);
      if (!product || old.uses() != 1 || old.shape() != node.types()[0].shape) continue;
      const Value fused = activation != EpilogueKind::none ? with_activation(product, activation)
                                                           : with_addend(product, rewriter(node.in(1 - i)));
      if (!fused) continue;
      rewriter.set(node.out(), product == present ? fused : ops::reshape(fused, present.shape()));
      return true;
    }
    return false;
  });
}

}  // namespace nacre
