// What the readers of TensorFlow's operations share.
#pragma once

#include "api/vintage/parts.h"

namespace nacre::vintages {

// A call of one of TensorFlow's functions, its arguments by their names.
struct GraphCall {
  std::string function;
  Tree arguments;
};
// What a TensorFlowOpLayer of this config computes from the tensors of one inbound node: inputs in order, constants among
// them, and attributes.
GraphCall graph_call(const Tree& config, const Tree& node);

// [layer, call, output, …], or ["_CONSTANT_VALUE", -1, value, …].
bool is_operand(const Tree& tree);

}  // namespace nacre::vintages
