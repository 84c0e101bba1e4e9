// Convolutions and matmuls as one thing to passes: a product over the last axis with an epilogue.
#pragma once

#include "backend/graph/ops/conv.h"
#include "backend/graph/ops/matmul.h"

namespace nacre {

inline bool is_product(Value value) { return value.is(op::conv) || value.is(op::matmul); }

inline const Epilogue& epilogue_of(Value product) {
  return product.is(op::conv) ? product.node().attrs<ConvAttrs>().epilogue
                              : product.node().attrs<MatMulAttrs>().epilogue;
}

// The same product of other operands with another epilogue.
inline Value with_epilogue(Value product, Values operands, Epilogue epilogue) {
  Graph& graph = product.graph();
  const Graph::Label label(graph, product.node().label());
  if (product.is(op::conv)) {
    ConvAttrs attrs = product.node().attrs<ConvAttrs>();
    attrs.epilogue = epilogue;
    return graph.add(op::conv, std::move(attrs), std::move(operands)).out();
  }
  MatMulAttrs attrs = product.node().attrs<MatMulAttrs>();
  attrs.epilogue = epilogue;
  return graph.add(op::matmul, std::move(attrs), std::move(operands)).out();
}

}  // namespace nacre
