// Functional models as Keras's JSON. Two dialects are read: Keras 3 writes the arguments of a call as they were, with
// tensors as `__keras_tensor__`; Keras 2 writes a list of [layer, call, output, arguments]. Keras 3 is written.
#include <algorithm>
#include <set>

#include "api/functional.h"
#include "api/shared_layers.h"
#include "layers/operations.h"

namespace nacre {

namespace {

// One output of one call of a layer, by the layer's name.
struct Reference {
  std::string layer;
  std::int64_t call = 0, output = 0;
  Mark mark;
};

// A call as it stands in the file.
struct CallRecord {
  std::vector<Reference> inputs;
  std::map<std::string, std::vector<Reference>> named;
  Tree options;
};

// ["dense", 0, 0], maybe with a mapping of arguments behind it
bool is_reference(const Tree& tree) {
  return tree.is_sequence() && tree.items().size() >= 3 && tree.items()[0].is_string() && tree.items()[1].is_integer() &&
         tree.items()[2].is_integer();
}

Reference read_reference(const Tree& tree) {
  if (!is_reference(tree)) throw Error("wanted [layer, call, output], got {}", tree.text()).at(tree.mark()).usage();
  const Tree::Sequence& items = tree.items();
  return {items[0].as_string(), items[1].as_integer(), items[2].as_integer(), tree.mark()};
}

// Appends all tensors within an argument, also those in lists; false when there are none.
bool find_tensors(const Tree& tree, std::vector<Reference>& found) {
  if (is_reference(tree)) return found.push_back(read_reference(tree)), true;
  if (const Tree* class_name = tree.find("class_name"); class_name && *class_name == Tree("__keras_tensor__"))
    return found.push_back(read_reference(tree["config"]["keras_history"])), true;
  if (!tree.is_sequence()) return false;
  bool any = false, gaps = false;
  for (const Tree& item : tree.items()) {
    any = find_tensors(item, found) || any;
    gaps = gaps || item.is_null();
  }
  if (any && gaps) throw Error("tensors and nulls in one list are not supported, got {}", tree.text()).at(tree.mark());
  return any;
}

void read_named(const Tree& arguments, CallRecord& record) {
  for (const auto& [key, value, mark] : arguments.entries()) {
    std::vector<Reference> tensors;
    if (find_tensors(value, tensors)) record.named[key] = std::move(tensors);
    // Keras 3 notes in which mode a model was built (for layers on pictures even training: true, the default of their
    // call); what it runs in stands above that.
    else if (!value.is_null() && key != "training") record.options.set(key, value);
  }
}

// An argument of an operation, its tensors replaced by their numbers among the inputs.
Tree numbered(const Tree& tree, std::vector<Reference>& inputs) {
  std::vector<Reference> tensor;
  if (!tree.is_sequence() || is_reference(tree)) {
    if (!find_tensors(tree, tensor)) return tree;
    inputs.push_back(tensor.front());
    return tensor_reference(inputs.size() - 1);
  }
  Tree list = Tree::sequence();
  for (const Tree& item : tree.items()) list.push(numbered(item, inputs));
  return std::move(list).at(tree.mark());
}

// Operations take tensors and constants in any place.
CallRecord read_operation_call(const Tree& node, const OperationArguments& signature) {
  using Kind = OperationArgument::Kind;
  CallRecord record;
  const Tree::Sequence& positional = node["args"].items();
  for (std::size_t i = 0; i < positional.size(); ++i) {
    const std::size_t place = std::min(i, signature.size() - 1);
    const OperationArgument& argument = signature[place];
    Tree given = numbered(positional[i], record.inputs);
    if (argument.kind == Kind::spread) {
      Tree all = Tree::sequence();
      if (const Tree* before = record.options.find(argument.name)) all = *before;
      all.push(std::move(given));
      record.options.set(argument.name, std::move(all));
    } else if (i != place) {
      throw Error("the call has {} arguments, wanted at most {}", positional.size(), signature.size()).at(node.mark());
    } else if (!given.is_null()) {
      record.options.set(argument.name, std::move(given));
    }
  }
  for (const auto& [key, value, mark] : node["kwargs"].entries())
    if (!value.is_null()) record.options.set(key, numbered(value, record.inputs));
  return record;
}

// What a call may have: `signature` of an operation, else null; `names` as the layer's argument_names().
CallRecord read_call(const Tree& node, const OperationArguments* signature, const std::vector<std::string_view>& names) {
  CallRecord record;
  if (node.is_mapping()) {
    if (signature) return read_operation_call(node, *signature);
    const Tree::Sequence& positional = node["args"].items();
    for (std::size_t i = 0; i < positional.size(); ++i) {
      const Tree& argument = positional[i];
      if (argument.is_null()) continue;
      std::vector<Reference> tensors;
      if (!find_tensors(argument, tensors))
        throw Error("cannot read the call argument {}", argument.text()).at(argument.mark());
      // Behind an argument that is left out, the others go by their names.
      const bool named = record.inputs.size() < i && i < names.size();
      std::vector<Reference>& place = named ? record.named[std::string(names[i])] : record.inputs;
      place.insert(place.end(), tensors.begin(), tensors.end());
    }
    read_named(node["kwargs"], record);
    return record;
  }
  const Tree::Sequence entries = is_reference(node) ? Tree::Sequence{node} : node.items();
  for (const Tree& entry : entries) {
    record.inputs.push_back(read_reference(entry));
    if (entry.items().size() > 3) read_named(entry.items()[3], record);
  }
  return record;
}

// Keras 3 leaves modules out of .h5 files, where an operation and a layer may have one name: only the layer's config says
// whether it is trainable.
Tree with_module(Tree entry) {
  const Tree &config = entry["config"], &nodes = entry["inbound_nodes"];
  const bool recent = !nodes.items().empty() && nodes.items().front().is_mapping();
  if (!recent || entry.find("module") || config.find("trainable")) return entry;
  constexpr std::string_view module = "keras.src.ops.numpy";  // any of the package
  if (registry<Layer>().find(entry["class_name"].as_string(), module)) entry.set("module", module);
  return entry;
}

// --- sizes ---------------------------------------------------------------------------------------------------------------

// Configs of old files hold expressions of sizes of tensors, {class_name: __size__, config: …}; api/vintage/tensorflow.h
// has them all.
const Tree* size_expression(const Tree& tree) {
  const Tree* class_name = tree.find("class_name");
  return class_name && *class_name == Tree("__size__") ? &tree["config"] : nullptr;
}

bool holds_sizes(const Tree& tree) {
  if (tree.is_sequence()) return std::any_of(tree.items().begin(), tree.items().end(), holds_sizes);
  if (!tree.is_mapping()) return false;
  return size_expression(tree) || std::any_of(tree.entries().begin(), tree.entries().end(), [](const Tree::Entry& entry) { return holds_sizes(entry.value); });
}

// The tree with numbers in the place of expressions; `shape_of` gives the shape of a tensor. A size that is not known yet
// is -1, which stands for one such size in a shape.
template <class ShapeOf>
Tree with_numbers(const Tree& tree, const ShapeOf& shape_of) {
  if (const Tree* size = size_expression(tree)) {
    if (const Tree* function = size->find("function")) {
      const Tree::Sequence& operands = (*size)["operands"].items();
      if (operands.size() != 2) throw Error("got {} operands, wanted two", operands.size()).at(tree.mark()).usage();
      const std::int64_t a = with_numbers(operands[0], shape_of).as_integer(), b = with_numbers(operands[1], shape_of).as_integer();
      std::int64_t result = unknown;
      bool overflow = false;
      if (a == unknown || b == unknown) return unknown;
      if (*function == Tree("multiply")) overflow = __builtin_mul_overflow(a, b, &result);
      else if (*function == Tree("add")) overflow = __builtin_add_overflow(a, b, &result);
      else if (*function == Tree("subtract")) overflow = __builtin_sub_overflow(a, b, &result);
      else if (*function == Tree("floordiv") && b > 0) result = a / b - (a % b < 0 ? 1 : 0);
      else throw Error("cannot compute {} of {} and {}", function->text(), a, b).at(tree.mark()).usage();
      if (overflow || result < 0) throw Error("got the size {}", overflow ? "of too large a number" : std::to_string(result)).at(tree.mark()).usage();
      return result;
    }
    const Shape shape = shape_of((*size)["of"]);
    const Tree* axis = size->find("axis");
    if (axis) {
      const std::int64_t place = axis->as_integer();
      need(place >= -shape.rank() && place < shape.rank(), "got {}, which has no axis {}", shape, place);
      return shape[static_cast<int>(place)];
    }
    Tree all = Tree::sequence();
    for (std::int64_t each : shape) all.push(each);
    return all;
  }
  if (tree.is_sequence()) {
    Tree list = Tree::sequence();
    for (const Tree& item : tree.items()) list.push(with_numbers(item, shape_of));
    return list;
  }
  if (!tree.is_mapping()) return tree;
  Tree mapping = Tree::mapping();
  for (const Tree::Entry& entry : tree.entries()) mapping.set(entry.key, with_numbers(entry.value, shape_of));
  return mapping;
}

// ["x", 0, 0], a list of such, or a mapping of such (which Keras orders by key)
std::vector<Reference> read_ends(const Tree& tree) {
  if (is_reference(tree)) return {read_reference(tree)};
  std::vector<Reference> ends;
  if (tree.is_mapping()) {
    std::map<std::string, Reference> sorted;
    for (const auto& [key, value, mark] : tree.entries()) sorted[key] = read_reference(value);
    for (auto& [key, reference] : sorted) ends.push_back(std::move(reference));
  } else {
    for (const Tree& item : tree.items()) ends.push_back(read_reference(item));
  }
  return ends;
}

// Records the calls of a config again, each when it is needed.
class Reconnection {
 public:
  explicit Reconnection(const FunctionalConfig& config) : outputs_(read_ends(config.output_layers)) {
    for (const Tree& entry : config.layers.items()) {
      Node node;
      const Tree* own_name = entry.find("name");
      const Tree& layer_config = entry["config"];
      const std::string name = own_name ? own_name->as_string() : layer_config["name"].as_string();
      if (entry["class_name"].as_string() == "InputLayer") {
        node.calls.push_back({.done = true, .outputs = {Input(read_config<InputConfig>(layer_config))}});
      } else {
        const OperationArguments* signature = operation_arguments(entry["class_name"].as_string());
        std::vector<std::string_view> names;
        if (holds_sizes(layer_config)) {
          node.unsized = entry;
        } else {
          node.layer = read_layer(with_module(entry));
          node.layer->rename(name);
          const auto* operation = dynamic_cast<const OperationLayer*>(node.layer.get());
          signature = operation ? &operation->arguments() : nullptr;
          names = node.layer->argument_names();
        }
        for (const Tree& call : entry["inbound_nodes"].items()) node.calls.push_back({.record = read_call(call, signature, names)});
      }
      nodes_.emplace(name, std::move(node));
    }
    find_first_indices();
    for (const Reference& input : read_ends(config.input_layers)) inputs.push_back(symbol(input, 0));
    for (const Reference& output : outputs_) outputs.push_back(symbol(output, node(output).first_as_output));
  }

  Symbols inputs, outputs;

 private:
  struct Call {
    CallRecord record{};
    bool done = false, in_progress = false;
    Symbols outputs{};
  };
  struct Node {
    std::shared_ptr<Layer> layer;
    Tree unsized{};  // its entry as long as it holds expressions of sizes, and there is no layer yet
    std::vector<Call> calls;
    std::int64_t first = 0, first_as_output = 0;  // the index of its first call where others refer to it
  };

  Node& node(const Reference& reference) {
    const auto found = nodes_.find(reference.layer);
    if (found == nodes_.end()) throw Error("there is no layer '{}'", reference.layer).at(reference.mark).usage();
    return found->second;
  }

  // Models inside models have, in Keras 2 and in the list of outputs also in Keras 3, a call of their own with index 0,
  // which is not written; the indices of the others start at 1.
  void find_first_indices() {
    auto note = [&](const Reference& reference, std::int64_t Node::*first) {
      Node& target = node(reference);
      if (dynamic_cast<const FunctionalLayer*>(target.layer.get()) &&
          reference.call >= static_cast<std::int64_t>(target.calls.size()))
        target.*first = 1;
    };
    for (const auto& [name, caller] : nodes_)
      for (const Call& call : caller.calls) {
        for (const Reference& reference : call.record.inputs) note(reference, &Node::first);
        for (const auto& [key, references] : call.record.named)
          for (const Reference& reference : references) note(reference, &Node::first);
      }
    for (const Reference& reference : outputs_) {
      note(reference, &Node::first_as_output);
      Node& target = node(reference);
      if (target.layer && target.layer->class_name() == "Functional") target.first_as_output = 1;
      if (target.first == 1) target.first_as_output = 1;
    }
  }

  Symbol symbol(const Reference& reference, std::int64_t first) {
    Node& source = node(reference);
    const std::int64_t index = reference.call - first;
    if (index < 0 || index >= static_cast<std::int64_t>(source.calls.size()))
      throw Error("the layer '{}' has no call {}", reference.layer, reference.call).at(reference.mark).usage();
    Call& call = source.calls[static_cast<std::size_t>(index)];
    if (call.in_progress) throw Error("the layer '{}' depends on itself", reference.layer).at(reference.mark).usage();
    if (!call.done) {
      if (++depth_ > deepest_model)
        throw Error("more than {} layers stand one behind the other", deepest_model).at(reference.mark).usage();
      call.in_progress = true;
      auto symbols = [&](const std::vector<Reference>& references) {
        Symbols values;
        for (const Reference& operand : references) values.push_back(symbol(operand, node(operand).first));
        return values;
      };
      if (!source.layer) {
        const auto shape_of = [&](const Tree& tensor) {
          std::vector<Reference> found;
          if (!find_tensors(tensor, found)) throw Error("wanted a tensor, got {}", tensor.text()).at(tensor.mark()).usage();
          return symbol(found.front(), node(found.front()).first).shape();
        };
        source.layer = read_layer(with_numbers(source.unsized, shape_of));
        source.layer->rename(reference.layer);
      }
      std::map<std::string, Symbols> named;
      for (const auto& [key, references] : call.record.named) named[key] = symbols(references);
      call.outputs = call_layer(source.layer, symbols(call.record.inputs), std::move(named), call.record.options);
      call.in_progress = false;
      call.done = true;
      --depth_;
    }
    if (reference.output < 0 || reference.output >= static_cast<std::int64_t>(call.outputs.size()))
      throw Error("the layer '{}' has no output {}", reference.layer, reference.output).at(reference.mark).usage();
    return call.outputs[static_cast<std::size_t>(reference.output)];
  }

  std::vector<Reference> outputs_;
  std::map<std::string, Node> nodes_;
  std::size_t depth_ = 0;  // of the call in progress
};

// The calls of each layer are numbered in the order in which they are emitted.
class CallNumbers {
 public:
  explicit CallNumbers(const FunctionalLayer& model) {
    std::map<const Layer*, std::int64_t> counts;
    for (const auto& call : model.calls()) numbers_[call.get()] = counts[call->layer.get()]++;
  }
  Tree history(const Symbol& symbol, bool as_output = false) const {
    const auto found = numbers_.find(&symbol.call());
    const std::int64_t number = found == numbers_.end() ? 0 : found->second;  // an input that nothing uses
    const bool shifted = as_output && symbol.call().layer->class_name() == "Functional";
    return Tree::Sequence{symbol.call().layer->name(), number + (shifted ? 1 : 0), std::int64_t{symbol.index()}};
  }
  Tree tensor(const Symbol& symbol) const {
    Tree config, tensor;
    config.set("shape", FieldKind<Shape>::write(symbol.shape(), Style::keras));
    config.set("dtype", name_of(symbol.type().dtype));
    config.set("keras_history", history(symbol));
    tensor.set("class_name", "__keras_tensor__");
    tensor.set("config", std::move(config));
    return tensor;
  }
  // One tensor alone, several as a list.
  Tree tensors(const Symbols& symbols) const {
    if (symbols.size() == 1) return tensor(symbols.front());
    Tree list = Tree::sequence();
    for (const Symbol& symbol : symbols) list.push(tensor(symbol));
    return list;
  }
  Tree ends(const Symbols& symbols, bool as_output) const {
    if (symbols.size() == 1) return history(symbols.front(), as_output);
    Tree list = Tree::sequence();
    for (const Symbol& symbol : symbols) list.push(history(symbol, as_output));
    return list;
  }
  // An argument of an operation with the tensors that it refers to.
  Tree filled(const Tree& argument, const Symbols& inputs) const {
    if (const auto input = referred_tensor(argument)) return tensor(inputs.at(*input));
    if (!argument.is_sequence()) return argument;
    Tree list = Tree::sequence();
    for (const Tree& item : argument.items()) list.push(filled(item, inputs));
    return list;
  }
  Tree operation_call(const LayerCall& call, const OperationArguments& signature) const {
    using Kind = OperationArgument::Kind;
    const std::vector<Tree> given = given_arguments(signature, call.inputs.size(), call.options);
    std::size_t count = given.size();
    while (count > 0 && (given[count - 1].is_null() || signature[count - 1].kind == Kind::keywords)) --count;
    Tree node, positional = Tree::sequence(), keywords = Tree::mapping();
    for (std::size_t i = 0; i < count; ++i) {
      const Tree argument = filled(signature[i].kind == Kind::key ? keras_key(given[i], call.inputs.at(0).shape().rank()) : given[i], call.inputs);
      if (signature[i].kind != Kind::spread) positional.push(argument);
      else
        for (const Tree& item : argument.items()) positional.push(item);
    }
    for (std::size_t i = count; i < given.size(); ++i)
      if (signature[i].kind == Kind::keywords) keywords = given[i];
    node.set("args", std::move(positional));
    node.set("kwargs", std::move(keywords));
    return node;
  }
  Tree call(const LayerCall& call) const {
    if (const auto* operation = dynamic_cast<const OperationLayer*>(call.layer.get()))
      return operation_call(call, operation->arguments());
    Tree keywords = call.options.is_null() ? Tree::mapping() : call.options, node;
    for (const auto& [key, symbols] : call.named) keywords.set(key, tensors(symbols));
    Tree positional = Tree::sequence();
    if (call.layer->spreads_inputs())
      for (const Symbol& input : call.inputs) positional.push(tensor(input));
    else positional.push(tensors(call.inputs));
    node.set("args", std::move(positional));
    node.set("kwargs", std::move(keywords));
    return node;
  }

 private:
  std::map<const LayerCall*, std::int64_t> numbers_;
};

}  // namespace

Tree FunctionalLayer::config_tree(Style) const {
  const CallNumbers numbers(*this);
  Tree config, entries = Tree::sequence();
  config.set("name", title());
  config.set("trainable", trainable());
  for (const auto& layer : layers()) {
    Tree entry = write_object<Layer>(*layer, Style::keras), nodes = Tree::sequence();
    for (const auto& call : calls())
      if (call->layer == layer && !call->inputs.empty()) nodes.push(numbers.call(*call));
    entry.set("name", layer->name());
    entry.set("inbound_nodes", std::move(nodes));
    entries.push(std::move(entry));
  }
  config.set("layers", std::move(entries));
  config.set("input_layers", numbers.ends(inputs(), false));
  config.set("output_layers", numbers.ends(outputs(), true));
  return config;
}

std::shared_ptr<FunctionalLayer> FunctionalLayer::from_config(const Tree& tree) {
  LayerOptions options;
  FunctionalConfig config;
  const FieldTarget targets[] = {{&fields_of<LayerOptions>(), &options}, {&fields_of<FunctionalConfig>(), &config}};
  read_fields(targets, tree);
  const bool trainable = std::exchange(options.trainable, true);
  return within([&] { return fmt::format("while reading model '{}'", options.name); }, [&] {
    const Reconnection graph(config);
    auto model = std::make_shared<FunctionalLayer>(graph.inputs, graph.outputs, options);
    if (!trainable) model->set_trainable(false);
    return model;
  });
}

}  // namespace nacre
