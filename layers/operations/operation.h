// How operations are written: a row with name, arguments, documentation, config fields and what it emits. Each file of
// this folder lists the rows of one family.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"
#include "layers/fields.h"
#include "layers/operations.h"

namespace nacre::operations {

// A value, or a number of the program, whose dtype gives way to that of tensors.
struct Operand {
  Value value;
  bool weak = false;
};
// The dtype in which operands meet, by Keras's rule (jax's lattice): bool, integers, floats; a number of the program
// has the dtype of the tensors unless it is of a higher kind; float16 and bfloat16 meet in float32.
DType common_dtype(std::span<const Operand> operands);
// x in a floating dtype: integers become float32.
Value real(Value x);
// x as a number: bool becomes int32.
Value number(Value x);
// x with room for sums and products of its elements: bool and uint8 become int32.
Value summand(Value x);

// The arguments of one call, by position.
class Operands {
 public:
  Operands(Graph& graph, const OperationArguments& signature, const CallArguments& arguments);

  Graph& graph() const { return graph_; }
  bool given(std::size_t argument) const { return !arguments_[argument].is_null(); }
  Value operator[](std::size_t argument) const { return operand(argument).value; }
  Operand operand(std::size_t argument) const;
  Values list(std::size_t argument) const;  // of arguments that are lists or spread; in one dtype
  // Arguments 0 and 1, or the two given ones, in their common dtype.
  std::array<Value, 2> pair(std::size_t a = 0, std::size_t b = 1) const;
  std::array<Value, 2> real_pair() const;  // floating
  // The argument as it was written; throws an Error when a tensor is in it.
  const Tree& constant(std::size_t argument) const;

 private:
  Operand convert(const Tree& tree) const;

  Graph& graph_;
  const OperationArguments& signature_;
  const Values& inputs_;
  std::vector<Tree> arguments_;
};

// What every use of an operation shares.
struct Operation {
  std::string_view class_name, module, doc;
  OperationArguments arguments;
  std::array<std::string, 2> aliases;  // "ops.Sum", "ops.sum"
};
struct Row {
  std::shared_ptr<const Operation> operation;
  ClassInfo<Layer> info;
};
using Rows = std::vector<Row>;

struct NoFields {
  static void describe(auto&&) {}
};
struct NameField {
  std::string name{};
  static void describe(auto&& field) { field("name", &NameField::name, "unique within its model"); }
};

template <Described Config>
class OperationOf final : public OperationLayer {
 public:
  using Emit = std::function<Values(const Config&, const Operands&)>;
  OperationOf(std::shared_ptr<const Operation> operation, Emit emit, NameField name, Config config)
      : OperationLayer({.name = std::move(name.name), .trainable = true, .dtype = {}}),
        operation_(std::move(operation)),
        emit_(std::move(emit)),
        config_(std::move(config)) {}
  std::string_view class_name() const override { return operation_->class_name; }
  std::string_view module() const override { return operation_->module; }
  const OperationArguments& arguments() const override { return operation_->arguments; }
  Tree config_tree(Style style) const override {
    const NameField name{style == Style::keras ? own_name() : this->name()};
    Tree tree = write_config(name, config_, style);
    return style == Style::yaml ? without_defaults<NameField, Config>(std::move(tree)) : tree;
  }

 protected:
  Values call(Context& context, const CallArguments& arguments) override {
    return emit_(config_, Operands(context.graph(), operation_->arguments, arguments));
  }

 private:
  std::shared_ptr<const Operation> operation_;
  Emit emit_;
  Config config_;
};

// "x1, x2", "[xs]" (a list), "x, :key" (a key), "*operands" (spread), "pattern, **lengths" (keywords).
OperationArguments parse_arguments(std::string_view text);
Row make_row(Operation operation, std::vector<const FieldTable*> fields);

// Writes rows of operations of one module of Keras's.
class Family {
 public:
  explicit constexpr Family(std::string_view module) : module_(module) {}

  // `emit` gives a Value or Values from (const Config&, const Operands&).
  template <Described Config, class Emit>
  Row operation(std::string_view class_name, std::string_view arguments, std::string_view doc, Emit emit) const {
    Row row = make_row({class_name, module_, doc, parse_arguments(arguments), {}},
                       {&fields_of<NameField>(), &fields_of<Config>()});
    typename OperationOf<Config>::Emit values = [emit](const Config& config, const Operands& in) -> Values {
      return {emit(config, in)};
    };
    row.info.make = [operation = row.operation, values](const Tree& tree) -> std::shared_ptr<Layer> {
      NameField name;
      Config config;
      const FieldTarget targets[] = {{&fields_of<NameField>(), &name}, {&fields_of<Config>(), &config}};
      read_fields(targets, tree);
      return std::make_shared<OperationOf<Config>>(operation, values, std::move(name), std::move(config));
    };
    return row;
  }
  // Without fields: `emit` takes the operands alone.
  template <class Emit>
  Row plain(std::string_view class_name, std::string_view arguments, std::string_view doc, Emit emit) const {
    return operation<NoFields>(class_name, arguments, doc,
                               [emit](const NoFields&, const Operands& in) { return emit(in); });
  }
  // f(x), element by element; `prepare` gives x the dtype that f takes.
  Row unary(std::string_view class_name, std::string_view doc, Value (*function)(Value),
            Value (*prepare)(Value) = real) const {
    return plain(class_name, "x", doc, [=](const Operands& in) { return function(prepare(in[0])); });
  }
  // f(x1, x2) in their common dtype.
  Row binary(std::string_view class_name, std::string_view doc, Value (*function)(Value, Value)) const {
    return plain(class_name, "x1, x2", doc, [=](const Operands& in) {
      const auto [a, b] = in.pair();
      return function(a, b);
    });
  }
  // In their common floating dtype.
  Row real_binary(std::string_view class_name, std::string_view doc, Value (*function)(Value, Value)) const {
    return plain(class_name, "x1, x2", doc, [=](const Operands& in) {
      const auto [a, b] = in.real_pair();
      return function(a, b);
    });
  }

 private:
  std::string_view module_;
};

// What a constant holds: Keras wraps the numbers of its arrays, {class_name: __numpy__, config: {value: [1, 2]}}.
const Tree& unwrapped(const Tree& constant);

// A count for each of which the graph gets a node, as configs give it; throws an Error when there would be too many.
std::int64_t count_of_parts(std::int64_t count);

// The axes of x as they are counted from the front; none given means all.
std::vector<std::int64_t> axes_of(const std::optional<Axes>& axes, Value x);

// The families' rows.
Rows arithmetic();
Rows functions();  // of one element
Rows comparisons();
Rows reductions();
Rows statistics();
Rows shapes();
Rows joins();  // concatenation, splitting, stacking
Rows indexing();
Rows products();
Rows activations();
Rows networks();  // normalisation, convolution, pooling, losses
Rows images();
Rows bits();      // of integers, and their divisors
Rows spectral();  // Fourier transforms
Rows linear_algebra();
Rows warps();
Rows alignments();

}  // namespace nacre::operations
