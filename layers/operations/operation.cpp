#include "layers/operations/operation.h"

#include <algorithm>
#include <numeric>

#include "layers/operations/functions.h"

namespace nacre {

Tree tensor_reference(std::size_t input) {
  Tree tree;
  tree.set("tensor", static_cast<std::int64_t>(input));
  return tree;
}

std::optional<std::size_t> referred_tensor(const Tree& tree) {
  const Tree* index = tree.find("tensor");
  if (!index || tree.entries().size() != 1) return std::nullopt;
  if (index->as_integer() < 0)
    throw Error("got {}, wanted the number of an input", index->text()).at(index->mark()).usage();
  return static_cast<std::size_t>(index->as_integer());
}

namespace {

// Marks the inputs that the options refer to.
void note_references(const Tree& tree, std::vector<bool>& used) {
  if (tree.is_mapping()) {
    if (const auto index = referred_tensor(tree)) {
      if (*index >= used.size())
        throw Error("got {}, but there are {} inputs", tree.text(), used.size()).at(tree.mark()).usage();
      used[*index] = true;
      return;
    }
    for (const Tree::Entry& entry : tree.entries()) note_references(entry.value, used);
  } else if (tree.is_sequence()) {
    for (const Tree& item : tree.items()) note_references(item, used);
  }
}

}  // namespace

std::vector<Tree> given_arguments(const OperationArguments& signature, std::size_t inputs, const Tree& options) {
  using Kind = OperationArgument::Kind;
  std::vector<bool> used(inputs, false);
  Tree others = Tree::mapping();
  if (!options.is_null()) {
    note_references(options, used);
    for (const Tree::Entry& entry : options.entries())
      if (std::none_of(signature.begin(), signature.end(),
                       [&](const auto& argument) { return argument.name == entry.key; }))
        others.entries().push_back(entry);
  }
  std::size_t next = 0;
  const auto free = [&] {
    while (next < inputs && used[next]) ++next;
    return next < inputs;
  };
  std::vector<Tree> given;
  for (const OperationArgument& argument : signature) {
    if (argument.kind == Kind::keywords) {
      given.push_back(std::exchange(others, Tree::mapping()));
    } else if (const Tree* constant = options.find(argument.name)) {
      given.push_back(*constant);
    } else if (argument.kind == Kind::list || argument.kind == Kind::spread) {
      given.push_back(Tree::sequence());
      while (free()) given.back().push(tensor_reference(next++));
    } else {
      given.push_back(free() ? tensor_reference(next++) : Tree());
    }
  }
  need(!free(), "got {} inputs, wanted fewer", inputs);
  if (!others.entries().empty()) {
    std::vector<std::string_view> known;
    for (const OperationArgument& argument : signature) known.push_back(argument.name);
    const Tree::Entry& first = others.entries().front();
    throw Error("the call has no argument '{}'", first.key).at(first.mark).hint(suggestion(first.key, known)).usage();
  }
  return given;
}

namespace operations {

// --- dtypes -------------------------------------------------------------------------------------------------------

namespace {

enum class Kind : std::uint8_t { boolean, integer, floating };

Kind kind_of(DType dtype) {
  return is_floating(dtype) ? Kind::floating : dtype == DType::boolean ? Kind::boolean : Kind::integer;
}

// Of two tensors.
DType meeting(DType a, DType b) {
  if (a == b) return a;
  const bool halves = std::min(a, b) == DType::float16 && std::max(a, b) == DType::bfloat16;
  return halves ? DType::float32 : std::max(a, b);  // dtypes stand in order of their kinds and sizes
}

}  // namespace

DType common_dtype(std::span<const Operand> operands) {
  std::optional<DType> strong, weak;
  for (const Operand& operand : operands) {
    std::optional<DType>& dtype = operand.weak ? weak : strong;
    dtype = dtype ? meeting(*dtype, operand.value.dtype()) : operand.value.dtype();
  }
  if (!strong || !weak) return strong ? *strong : weak.value_or(DType::float32);
  return kind_of(*weak) > kind_of(*strong) ? *weak : *strong;
}

Value real(Value x) { return is_floating(x.dtype()) ? x : ops::cast(x, DType::float32); }

Value number(Value x) { return x.dtype() == DType::boolean ? ops::cast(x, DType::int32) : x; }

Value summand(Value x) { return x.dtype() == DType::uint8 ? ops::cast(x, DType::int32) : number(x); }

std::int64_t count_of_parts(std::int64_t count) {
  constexpr std::int64_t most = 1 << 16;
  need(count >= 0 && count <= most, "got {} parts, wanted 0 to {}", count, most);
  return count;
}

std::vector<std::int64_t> axes_of(const std::optional<Axes>& axes, Value x) {
  if (axes) return axes->in(x.shape());
  std::vector<std::int64_t> all(static_cast<std::size_t>(x.shape().rank()));
  std::iota(all.begin(), all.end(), std::int64_t{0});
  return all;
}

// --- arguments ----------------------------------------------------------------------------------------------------

namespace {

bool holds_tensors(const Tree& tree) {
  if (tree.is_mapping()) return referred_tensor(tree).has_value();
  return tree.is_sequence() && std::any_of(tree.items().begin(), tree.items().end(), holds_tensors);
}

// Nested lists of numbers.
struct Numbers {
  std::vector<double> values;
  std::vector<std::int64_t> sizes;
  DType dtype = DType::boolean;

  void add(const Tree& tree, std::size_t depth = 0) {
    if (tree.is_sequence()) {
      const auto size = static_cast<std::int64_t>(tree.items().size());
      if (sizes.size() == depth && values.empty()) sizes.push_back(size);
      if (depth >= sizes.size() || sizes[depth] != size)
        throw Error("got {}, wanted lists of the same lengths", tree.text()).at(tree.mark()).usage();
      for (const Tree& item : tree.items()) add(item, depth + 1);
      return;
    }
    if (depth != sizes.size()) throw Error("got {} among lists", tree.text()).at(tree.mark()).usage();
    if (tree.is_bool()) return values.push_back(tree.as_bool() ? 1 : 0);
    values.push_back(tree.as_number());
    dtype = std::max(dtype, tree.is_integer() ? DType::int32 : DType::float32);
  }
};

Tensor tensor_of(const Tree& tree, std::optional<DType> dtype) {
  Numbers numbers;
  numbers.add(tree);
  return Tensor::of<double>(Shape(std::move(numbers.sizes)), std::span<const double>(numbers.values))
      .cast(dtype.value_or(numbers.dtype));
}

// Whether a whole number has a place in the dtype.
bool fits(const Tree& number, DType dtype) {
  if (is_floating(dtype) || dtype == DType::boolean) return true;
  const Tensor whole = Tensor::scalar(number.as_integer());
  return whole.cast(dtype).cast(DType::int64).identical(whole);
}

}  // namespace

Operands::Operands(Graph& graph, const OperationArguments& signature, const CallArguments& arguments)
    : graph_(graph),
      signature_(signature),
      inputs_(arguments.inputs),
      arguments_(given_arguments(signature, arguments.inputs.size(), arguments.options)) {}

Operand Operands::convert(const Tree& tree) const {
  if (const auto index = referred_tensor(tree)) return {inputs_.at(*index)};
  if (const Tree* class_name = tree.find("class_name"); class_name && class_name->is_string()) {
    const std::string& name = class_name->as_string();
    if (name != "__numpy__" && name != "__tensor__")
      throw Error("got {}, wanted a tensor or a number", name).at(class_name->mark()).usage();
    const Tree& config = tree["config"];
    // NumPy's own float64 is no wish for double precision.
    const DType dtype = dtype_named(config["dtype"].as_string());
    return {graph_.constant(tensor_of(config["value"], dtype == DType::float64 ? DType::float32 : dtype))};
  }
  if (tree.is_sequence()) return {graph_.constant(tensor_of(tree, {}))};
  if (tree.is_bool()) return {graph_.scalar(tree.as_bool(), DType::boolean)};
  if (!tree.is_number()) throw Error("got {}, wanted a tensor or a number", tree.text()).at(tree.mark()).usage();
  if (tree.is_integer() && !fits(tree, DType::int32)) return {graph_.constant(Tensor::scalar(tree.as_integer())), true};
  return {graph_.scalar(tree.as_number(), tree.is_integer() ? DType::int32 : DType::float32), true};
}

Operand Operands::operand(std::size_t argument) const {
  if (!given(argument)) throw Error("the argument '{}' is missing", signature_[argument].name).usage();
  return convert(arguments_[argument]);
}

Values Operands::list(std::size_t argument) const {
  std::vector<Operand> operands;
  if (given(argument))
    for (const Tree& item : arguments_[argument].items()) operands.push_back(convert(item));
  need(!operands.empty(), "got no tensors for '{}', wanted at least one", signature_[argument].name);
  const DType dtype = common_dtype(operands);
  Values values;
  for (const Operand& operand : operands) values.push_back(ops::cast(operand.value, dtype));
  return values;
}

std::array<Value, 2> Operands::pair(std::size_t a, std::size_t b) const {
  const std::array<Operand, 2> operands{operand(a), operand(b)};
  const DType dtype = common_dtype(operands);
  if (dtype == DType::string)
    throw Error("got {} and {}, wanted numbers", operands[0].value.type(), operands[1].value.type()).usage();
  for (const std::size_t argument : {a, b})
    if (const Tree& number = arguments_[argument]; number.is_integer() && !fits(number, dtype))
      throw Error("the number {} does not fit in {}", number.text(), dtype).at(number.mark()).usage();
  return {ops::cast(operands[0].value, dtype), ops::cast(operands[1].value, dtype)};
}

std::array<Value, 2> Operands::real_pair() const {
  const auto [a, b] = pair();
  return {real(a), real(b)};
}

const Tree& unwrapped(const Tree& constant) {
  const Tree* inner = constant.find("config");
  return inner ? (*inner)["value"] : constant;
}

Value constant_like(Value x, const Tree& numbers) {
  return x.graph().constant(tensor_of(unwrapped(numbers), x.dtype()));
}

const Tree& Operands::constant(std::size_t argument) const {
  const Tree& tree = arguments_[argument];
  if (holds_tensors(tree))
    throw Error("the argument '{}' is a tensor, wanted a constant", signature_[argument].name)
        .hint("the shape of the result depends on it, so it must be known when the model is built");
  return tree;
}

// --- the table ----------------------------------------------------------------------------------------------------

OperationArguments parse_arguments(std::string_view text) {
  OperationArguments arguments;
  while (!text.empty()) {
    std::string_view word = text.substr(0, text.find(", "));
    text.remove_prefix(std::min(text.size(), word.size() + 2));
    auto kind = OperationArgument::Kind::one;
    if (word.starts_with('[')) kind = OperationArgument::Kind::list, word = word.substr(1, word.size() - 2);
    if (word.starts_with(':')) kind = OperationArgument::Kind::key, word.remove_prefix(1);
    if (word.starts_with("**")) kind = OperationArgument::Kind::keywords, word.remove_prefix(2);
    if (word.starts_with('*')) kind = OperationArgument::Kind::spread, word.remove_prefix(1);
    arguments.push_back({std::string(word), kind});
  }
  return arguments;
}

Row make_row(Operation operation, std::vector<const FieldTable*> fields) {
  operation.aliases = {fmt::format("ops.{}", operation.class_name),
                       fmt::format("ops.{}", snake_case(operation.class_name))};
  auto shared = std::make_shared<const Operation>(std::move(operation));
  ClassInfo<Layer> info{.class_name = shared->class_name, .doc = shared->doc, .module = shared->module};
  info.fields = std::move(fields);
  info.aliases = {shared->aliases[0], shared->aliases[1]};
  info.qualified = true;
  return {std::move(shared), std::move(info)};
}

namespace {

const Rows& all_rows() {
  static const Rows all = [] {
    Rows rows;
    for (auto family : {arithmetic, functions, comparisons, reductions, statistics, shapes, joins, indexing, products,
                        activations, networks, images, bits, spectral, linear_algebra, warps, alignments})
      for (Row& row : family()) rows.push_back(std::move(row));
    return rows;
  }();
  return all;
}

const Row* find_row(std::string_view alias) {
  for (const Row& row : all_rows())
    for (const std::string& known : row.operation->aliases)
      if (known == alias) return &row;
  return nullptr;
}

// The operation, and the constants of its call.
std::pair<std::shared_ptr<Layer>, Tree> prepare(std::string_view name, const Tree& arguments) {
  const std::string alias = fmt::format("ops.{}", name);
  const ClassInfo<Layer>& info = registry<Layer>().get(alias);
  const OperationArguments& signature = *operation_arguments(alias);
  Tree config = Tree::mapping(), options;
  if (!arguments.is_null())
    for (const Tree::Entry& entry : arguments.entries()) {
      const bool of_call = std::any_of(signature.begin(), signature.end(),
                                       [&](const auto& argument) { return argument.name == entry.key; });
      (of_call ? options : config).set(entry.key, entry.value);
    }
  return {info.make(config), std::move(options)};
}

}  // namespace
}  // namespace operations

std::vector<ClassInfo<Layer>> operation_layers() {
  std::vector<ClassInfo<Layer>> infos;
  for (const operations::Row& row : operations::all_rows()) infos.push_back(row.info);
  return infos;
}

const OperationArguments* operation_arguments(std::string_view name) {
  const operations::Row* row = operations::find_row(name);
  return row ? &row->operation->arguments : nullptr;
}

Symbols apply_operation(std::string_view name, Symbols inputs, Tree arguments) {
  auto [layer, options] = operations::prepare(name, arguments);
  return call_layer(layer, std::move(inputs), {}, std::move(options));
}

Values apply_operation(Context& context, std::string_view name, Values inputs, Tree arguments) {
  auto [layer, options] = operations::prepare(name, arguments);
  return (*layer)(context, {.inputs = std::move(inputs), .masks = {}, .named = {}, .options = std::move(options)})
      .outputs;
}

}  // namespace nacre
