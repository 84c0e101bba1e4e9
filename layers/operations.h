// Keras's operations on tensors (keras.ops), as layers. Where a functional model of Keras computes tensors without a layer
// (x * 2 + 1, x[:, -1], the masks that its layers hand on) it records such operations between the layers, and its files
// hold them. In YAML they are called ops.NAME, for a layer may have the name too: ops.Add is no layer Add.
#pragma once

#include <optional>

#include "layers/symbol.h"

namespace nacre {

// An argument of an operation's call.
struct OperationArgument {
  enum class Kind : std::uint8_t {
    one,
    list,      // a list of tensors
    key,       // indices and slices: 3, null, '1:3', '...', or Keras's {class_name: __slice__, …}
    spread,    // all further positional arguments
    keywords,  // all further named arguments: constants
  };
  std::string name;  // Keras's
  Kind kind = Kind::one;
};
using OperationArguments = std::vector<OperationArgument>;

// A call of an operation has its tensors as inputs and its constants as options, by the names of the arguments: numbers,
// lists, {class_name: __numpy__, config: {value, dtype}}. Inputs are the arguments that the options do not give, in order;
// within the options, also deep in lists, {tensor: k} stands for input k.
Tree tensor_reference(std::size_t input);
std::optional<std::size_t> referred_tensor(const Tree& tree);
// What a call with so many inputs gives for each argument: constants, {tensor: k}, lists of both, null. Throws a usage Error
// when the options give what is no argument.
std::vector<Tree> given_arguments(const OperationArguments& signature, std::size_t inputs, const Tree& options);
// The same key for a tensor of that rank in Keras's spelling. Slices stand for "...", which Keras cannot read from .h5.
Tree keras_key(const Tree& key, int rank);

class OperationLayer : public Layer {
 public:
  using Layer::Layer;
  virtual const OperationArguments& arguments() const = 0;  // in the order of Keras's call
  bool casts_inputs() const override { return false; }
  bool spreads_inputs() const override { return true; }
  int input_count() const override { return 0; }
};

std::vector<ClassInfo<Layer>> operation_layers();
// The arguments of the operation that `name` stands for in YAML ("ops.Sum"); null when it is none.
const OperationArguments* operation_arguments(std::string_view name);

// What to say of an operation of Keras's that is not among them, and why: an Error about the layer of that name, maybe "";
// null when the class is no operation of Keras's. Without a module those are known that Keras 3.15 has.
std::optional<Error> refused_operation(std::string_view class_name, std::string_view module, std::string_view layer);

// Applies an operation by its name ("Sum" or "sum"). `arguments` are, by Keras's names, fields of its config and constants
// among the arguments of its call: apply_operation("Sum", {x}, {{"axis", 1}}). All outputs.
Symbols apply_operation(std::string_view name, Symbols inputs, Tree arguments = {});
Values apply_operation(Context& context, std::string_view name, Values inputs, Tree arguments = {});

}  // namespace nacre
