// What the readers of TensorFlow's operations share.
#pragma once

#include <map>

#include "api/vintage/parts.h"

namespace nacre::vintages {

// A call of one of TensorFlow's functions, its arguments by their names.
struct GraphCall {
  std::string function;
  Tree arguments;
};
// What a TensorFlowOpLayer of this config computes from the tensors of one inbound node: inputs in order, constants
// among them, and attributes.
GraphCall graph_call(const Tree& config, const Tree& node);

// [layer, call, output, …], or ["_CONSTANT_VALUE", -1, value, …].
bool is_operand(const Tree& tree);
// Also deep in lists.
bool holds_tensor(const Tree& tree);
// A reference as Keras 3 marks a tensor, a constant as its value; deep in lists.
Tree operand(const Tree& tree);

// Which operations of a model compute shapes (tf.shape and what follows it), and what they stand for: expressions that
// are resolved when the model is joined (functional_config.cpp).
class Sizes {
 public:
  explicit Sizes(const Tree& layers);
  // The integer, or list of integers, that an argument means: numbers, and {class_name: __size__, config: …}, which is
  // {of: tensor, axis: 1}, {of: tensor} for all of them, or {function: multiply, operands: [a, b]}. Null: it is none.
  Tree of(const Tree& argument) const;
  bool computes(const Tree& entry) const;  // whether the entry is such an operation
  // Whether the first axes of two tensors, as operand() has them, are provably one batch: both are the same tensor, or
  // come from the model's inputs by layers and operations that keep that axis.
  bool same_batch(const Tree& a, const Tree& b) const;

 private:
  using Known = std::map<std::string, bool>;  // whether the results of a layer have the batch
  bool has_batch(const std::string& name, Known& known, int depth) const;
  bool keeps_batch(const Tree& entry, Known& known, int depth) const;
  Tree evaluate(const Tree& argument, int& budget) const;
  Tree evaluate_call(const GraphCall& call, const Tree& reference, int& budget) const;

  std::map<std::string, const Tree*> entries_, operations_;
};

// The arguments of one call, each of which must be asked for: what is left over has an effect that nobody knows.
class Arguments {
 public:
  Arguments(const Tree& arguments, const Sizes& sizes) : arguments_(arguments), sizes_(sizes) {}

  const Tree* find(std::string_view name);  // null when it is not given or is null
  Tree tensor(std::string_view name);       // as operand() has it; throws an Error when it is missing
  Tree constant(std::string_view name);     // null when it is not given; throws an Error when it is a tensor
  bool flag(std::string_view name);
  std::string lower_case(std::string_view name, std::string_view fallback);
  Tree sizes(std::string_view name);  // as Sizes::of() has it
  bool same_batch(const Tree& a, const Tree& b) const { return sizes_.same_batch(a, b); }
  void refuse_others(std::string_view function) const;

 private:
  const Tree& arguments_;
  const Sizes& sizes_;
  std::vector<std::string_view> used_;
};

// Writes several operations, each on the results of others, in the place of one entry.
class Steps {
 public:
  explicit Steps(std::string name) : name_(std::move(name)) {}
  // Adds one and gives its result as an operand of the next.
  Tree operation(std::string_view operation, Tree::Sequence operands, Tree fields = Tree::mapping());
  Tree layer(std::string_view class_name, Tree operand, Tree fields = Tree::mapping());
  std::vector<Tree> entries() &&;  // the last has the name

 private:
  Tree add(std::string class_name, Tree::Sequence operands, Tree fields);

  std::string name_;
  std::vector<Tree> entries_;
};

// A function that is no single operation of Keras's.
struct Composite {
  std::string_view name, first;  // TensorFlow's name, and that of its first argument
  void (*write)(Steps& steps, Arguments& arguments);
  bool takes_list = false;  // whether the first argument is a list of tensors
};
const Composite* find_composite(std::string_view name);

}  // namespace nacre::vintages
