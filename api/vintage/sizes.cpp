// tf.shape() and what is computed from it. Where the result is the shape of something, it is worked out when the model
// is joined, for a model's shapes are known then as far as they will ever be.
#include <algorithm>
#include <optional>

#include "api/vintage/tensorflow.h"

namespace nacre::vintages {

namespace {

Tree size_expression(Tree config) {
  Tree tree;
  tree.set("class_name", "__size__");
  tree.set("config", std::move(config));
  return tree;
}

Tree size_of(const Tree& tensor, std::int64_t axis) {
  Tree config;
  config.set("of", Tree(tensor));
  config.set("axis", axis);
  return size_expression(std::move(config));
}

// The tensor whose whole shape the expression is; null when it is another expression.
const Tree* whole_of(const Tree& tree) {
  const Tree* config = tree.find("config");
  return config && !config->find("axis") ? config->find("of") : nullptr;
}

Tree computed(std::string_view function, const Tree& a, const Tree& b) {
  Tree config;
  config.set("function", function);
  config.set("operands", Tree::Sequence{a, b});
  return size_expression(std::move(config));
}

std::optional<std::int64_t> integer_at(const Tree& slice, std::string_view key) {
  const Tree* value = slice.find(key);
  return value && value->is_integer() ? std::optional(value->as_integer()) : std::nullopt;
}

// An element, or several.
Tree picked(const Tree& base, const Tree& key) {
  if (key.is_sequence()) return key.items().size() == 1 ? picked(base, key.items()[0]) : Tree();
  const Tree* tensor = whole_of(base);
  if (key.is_integer()) {
    if (tensor) return size_of(*tensor, key.as_integer());
    const auto count = static_cast<std::int64_t>(base.items().size()), index = key.as_integer();
    const std::int64_t place = index < 0 ? index + count : index;
    return place >= 0 && place < count ? base.items()[static_cast<std::size_t>(place)] : Tree();
  }
  if (!key.is_mapping() || integer_at(key, "step").value_or(1) != 1) return {};
  const std::optional<std::int64_t> stop = integer_at(key, "stop");
  const std::int64_t start = integer_at(key, "start").value_or(0);
  Tree list = Tree::sequence();
  if (tensor) {
    constexpr std::int64_t most_axes = 64;
    // From the end, or from the front to a place in the middle: which axes they are does not depend on the rank.
    const std::int64_t end = stop.value_or(start < 0 ? 0 : -1);
    if ((start < 0) != (end < 0 || (start < 0 && end == 0 && !stop)) || start < -most_axes || end > most_axes)
      return {};
    for (std::int64_t axis = start; axis < end; ++axis) list.push(size_of(*tensor, axis));
    return list;
  }
  const auto count = static_cast<std::int64_t>(base.items().size());
  const auto place = [&](std::int64_t index) {
    return std::clamp(index < 0 ? index + count : index, std::int64_t{0}, count);
  };
  for (std::int64_t i = place(start); i < place(stop.value_or(count)); ++i)
    list.push(base.items()[static_cast<std::size_t>(i)]);
  return list;
}

// Names of the first arguments of the functions that matter here.
std::string_view first_argument(std::string_view function) {
  constexpr Rename names[] = {{"shape", "input"},
                              {"getitem", "tensor"},
                              {"stack", "values"},
                              {"concat", "values"},
                              {"cast", "x"},
                              {"identity", "input"},
                              {"reduce_prod", "input_tensor"},
                              {"unstack", "value"},
                              {"multiply", "x"},
                              {"mul", "x"},
                              {"add", "x"},
                              {"subtract", "x"},
                              {"sub", "x"},
                              {"floordiv", "x"},
                              {"reshape", "tensor"}};
  for (const auto& [name, argument] : names)
    if (name == function) return argument;
  return {};
}

std::string last_part(const std::string& name) { return name.substr(name.rfind('.') + 1); }

// The call of an entry; nothing when it is none that could compute a shape.
std::optional<GraphCall> call_of_entry(const Tree& entry) {
  const Tree* nodes = entry.find("inbound_nodes");
  if (!nodes || !nodes->is_sequence() || nodes->items().size() != 1) return std::nullopt;
  const Tree &node = nodes->items()[0], &config = entry["config"];
  if (entry["class_name"] == Tree("TensorFlowOpLayer")) {
    try {
      return graph_call(config, node);
    } catch (const Error&) {  // said where the entry is rewritten
      return std::nullopt;
    }
  }
  const Tree* function = config.find("function");
  if (!function || !function->is_string() || !node.is_sequence() || node.items().empty()) return std::nullopt;
  GraphCall call{last_part(function->as_string()), {}};
  const std::string_view first = first_argument(call.function);
  const Tree& head = is_operand(node) ? node : node.items()[0];
  if (first.empty() || !is_operand(head)) return std::nullopt;
  call.arguments = head.items().size() > 3 && head.items()[3].is_mapping() ? head.items()[3] : Tree::mapping();
  call.arguments.set(first, first == "values" ? node : head);
  return call;
}

// Of a tensor, as operand() has it.
std::optional<std::string> layer_of(const Tree& tensor) {
  const Tree* config = tensor.find("config");
  const Tree* history = config ? config->find("keras_history") : nullptr;
  if (!history || !history->is_sequence() || history->items().empty()) return std::nullopt;
  return history->items()[0].as_string();
}

// The layers whose results stand in a tree.
void find_layers(const Tree& tree, std::vector<std::string>& names) {
  if (is_operand(tree) && tree.items()[0] != Tree("_CONSTANT_VALUE")) names.push_back(tree.items()[0].as_string());
  if (tree.is_sequence())
    for (const Tree& item : tree.items()) find_layers(item, names);
  else if (tree.is_mapping())
    for (const Tree::Entry& entry : tree.entries()) find_layers(entry.value, names);
}

// Lambdas and operations may do anything; a model may hold them.
bool may_change_batch(const Tree& tree) {
  if (tree.is_sequence()) return std::any_of(tree.items().begin(), tree.items().end(), may_change_batch);
  if (!tree.is_mapping()) return false;
  if (const Tree* name = tree.find("class_name"); name && (*name == Tree("Lambda") || is_tensorflow_operation(tree)))
    return true;
  if (const Tree* axis = tree.find("axis"); axis && *axis == Tree(0)) return true;  // of a Concatenate
  return std::any_of(tree.entries().begin(), tree.entries().end(),
                     [](const Tree::Entry& entry) { return may_change_batch(entry.value); });
}

// A constant of two axes or more may bring axes of its own to the front.
bool holds_matrix(const Tree& tree) {
  const auto is_list = [](const Tree& item) { return item.is_sequence() && !is_operand(item); };
  if (tree.is_mapping())
    return std::any_of(tree.entries().begin(), tree.entries().end(), [&](const Tree::Entry& entry) {
      const Tree& value = entry.value;
      return is_list(value) && std::any_of(value.items().begin(), value.items().end(), is_list);
    });
  return tree.is_sequence() && std::any_of(tree.items().begin(), tree.items().end(), holds_matrix);
}

// Functions of each element, or of pairs of them.
bool is_of_elements(std::string_view function) {
  constexpr std::string_view names[] = {
      "abs",  "add",      "cast",     "divide", "elu",     "exp",  "gelu",    "identity", "leaky_relu", "log",    "maximum",
      "minimum", "multiply", "negative", "relu",   "relu6",   "selu", "sigmoid", "softplus", "sqrt",       "square", "subtract",
      "swish", "tanh",     "truediv"};
  return std::find(std::begin(names), std::end(names), function) != std::end(names);
}

}  // namespace

Sizes::Sizes(const Tree& layers) {
  for (const Tree& entry : layers.items()) {
    const Tree* name = entry.find("name");
    if (!name || !name->is_string()) continue;
    entries_.emplace(name->as_string(), &entry);
    if (is_tensorflow_operation(entry)) operations_.emplace(name->as_string(), &entry);
  }
}

bool Sizes::same_batch(const Tree& a, const Tree& b) const {
  if (a == b) return true;
  Known known;
  const auto has = [&](const Tree& tensor) {
    const std::optional<std::string> name = layer_of(tensor);
    return name && has_batch(*name, known, 0);
  };
  return has(a) && has(b);
}

bool Sizes::has_batch(const std::string& name, Known& known, int depth) const {
  constexpr int deepest = 1000;
  const auto entry = entries_.find(name);
  if (entry == entries_.end() || depth > deepest) return false;
  if (const auto found = known.find(name); found != known.end()) return found->second;
  known.emplace(name, false);  // no layer stands on itself
  return known[name] = keeps_batch(*entry->second, known, depth);
}

bool Sizes::keeps_batch(const Tree& entry, Known& known, int depth) const {
  if (entry["class_name"] == Tree("InputLayer")) return true;
  const Tree* nodes = entry.find("inbound_nodes");
  if (!nodes || nodes->items().empty()) return false;
  std::vector<std::string> names;
  find_layers(*nodes, names);
  if (names.empty()) return false;
  for (const std::string& name : names)
    if (!operations_.contains(name) || !computes(*operations_.at(name)))
      if (!has_batch(name, known, depth + 1)) return false;
  if (!is_tensorflow_operation(entry)) return !may_change_batch(entry);
  const std::optional<GraphCall> call = call_of_entry(entry);
  if (!call) {
    const Tree* function = entry["config"].find("function");
    return function && function->is_string() && is_of_elements(last_part(function->as_string())) && !holds_matrix(*nodes);
  }
  const Tree* shape = call->function == "reshape" ? call->arguments.find("shape") : nullptr;
  if (!shape) return is_of_elements(call->function) && !holds_matrix(*nodes);
  const Tree sizes = of(*shape);
  const Tree* size = sizes.is_sequence() && !sizes.items().empty() ? sizes.items()[0].find("config") : nullptr;
  if (!size || !size->find("axis") || (*size)["axis"] != Tree(0)) return false;
  const std::optional<std::string> name = layer_of((*size)["of"]);
  return name && has_batch(*name, known, depth + 1);
}

Tree Sizes::of(const Tree& argument) const {
  int budget = 1000;
  return evaluate(argument, budget);
}

bool Sizes::computes(const Tree& entry) const { return !of(Tree::Sequence{entry["name"], 0, 0}).is_null(); }

Tree Sizes::evaluate(const Tree& argument, int& budget) const {
  if (--budget < 0) return {};
  if (argument.is_integer()) return argument;
  if (is_operand(argument)) {
    if (argument.items()[0] == Tree("_CONSTANT_VALUE")) return evaluate(argument.items()[2], budget);
    const auto found = operations_.find(argument.items()[0].as_string());
    if (found == operations_.end()) return {};
    const std::optional<GraphCall> call = call_of_entry(*found->second);
    return call ? evaluate_call(*call, argument, budget) : Tree();
  }
  if (!argument.is_sequence()) return {};
  Tree list = Tree::sequence();
  for (const Tree& item : argument.items()) {
    Tree value = evaluate(item, budget);
    if (value.is_null() || value.is_sequence() || whole_of(value)) return {};
    list.push(std::move(value));
  }
  return list;
}

Tree Sizes::evaluate_call(const GraphCall& call, const Tree& reference, int& budget) const {
  const auto argument = [&](std::string_view name) -> const Tree& {
    static const Tree none;
    const Tree* found = call.arguments.find(name);
    return found ? *found : none;
  };
  const std::string& function = call.function;
  if (function == "shape") {
    if (!is_operand(argument("input"))) return {};
    Tree config;
    config.set("of", operand(argument("input")));
    return size_expression(std::move(config));
  }
  if (function == "cast") return evaluate(argument("x"), budget);
  if (function == "identity") return evaluate(argument("input"), budget);
  if (function == "stack") return evaluate(argument("values"), budget);
  if (function == "getitem") {
    const Tree base = evaluate(argument("tensor"), budget);
    return base.is_sequence() || whole_of(base) ? picked(base, argument("slice_spec")) : Tree();
  }
  if (function == "unstack") {
    const Tree base = evaluate(argument("value"), budget);
    return base.is_sequence() || whole_of(base) ? picked(base, reference.items()[2]) : Tree();
  }
  if (function == "concat") {
    if (!argument("values").is_sequence()) return {};
    Tree list = Tree::sequence();
    for (const Tree& part : argument("values").items()) {
      const Tree sizes = evaluate(part, budget);
      if (!sizes.is_sequence()) return {};
      for (const Tree& size : sizes.items()) list.push(size);
    }
    return list;
  }
  if (function == "reduce_prod") {
    const Tree sizes = evaluate(argument("input_tensor"), budget);
    if (!sizes.is_sequence() || sizes.items().empty()) return {};
    Tree product = sizes.items()[0];
    for (std::size_t i = 1; i < sizes.items().size(); ++i) product = computed("multiply", product, sizes.items()[i]);
    return product;
  }
  for (const auto& [name, plain] : {Rename{"multiply", "multiply"},
                                    {"mul", "multiply"},
                                    {"add", "add"},
                                    {"subtract", "subtract"},
                                    {"sub", "subtract"},
                                    {"floordiv", "floordiv"}}) {
    if (function != name) continue;
    const Tree a = evaluate(argument("x"), budget), b = evaluate(argument("y"), budget);
    const auto one = [](const Tree& tree) { return !tree.is_null() && !tree.is_sequence() && !whole_of(tree); };
    if (one(a) && one(b)) return computed(plain, a, b);
    // Both sides of a picture at once: tf.shape(x)[1:3] * 2.
    if (!a.is_sequence() || !(one(b) || (b.is_sequence() && b.items().size() == a.items().size()))) return {};
    Tree list = Tree::sequence();
    for (std::size_t i = 0; i < a.items().size(); ++i)
      list.push(computed(plain, a.items()[i], b.is_sequence() ? b.items()[i] : b));
    return list;
  }
  return {};
}

}  // namespace nacre::vintages
