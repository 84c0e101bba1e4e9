// How the layers of a model are joined: bare lists, inputs that stand in the first layer, branches under a Merge, calls
// of nested models that count from 1.
#include <algorithm>
#include <map>
#include <set>

#include "api/vintage/tensorflow.h"
#include "formats/config.h"

namespace nacre::vintages {

namespace {

// [layer, call, output], maybe with a mapping of arguments behind it.
bool is_reference(const Tree& tree) {
  return tree.is_sequence() && tree.items().size() >= 3 && tree.items()[0].is_string() && tree.items()[1].is_integer() && tree.items()[2].is_integer();
}

bool is_input(const Tree& layer) { return layer["class_name"] == Tree("InputLayer"); }
bool is_merge(const Tree& layer) { return layer["class_name"] == Tree("Merge"); }
bool is_functional(const Tree& layer) {
  const Tree& name = layer["class_name"];
  return name == Tree("Model") || name == Tree("Functional");
}

// The layers of a Sequential, whose config was a list until Keras 2.2.2.
const Tree::Sequence& layers_of(const Tree& sequential) {
  const Tree& config = sequential["config"];
  return (config.is_sequence() ? config : config["layers"]).items();
}

std::string name_of_layer(const Tree& layer) {
  if (const Tree* own = layer.find("name")) return own->as_string();
  const Tree& config = layer["config"];
  const Tree* name = config.find("name");
  return name && name->is_string() ? name->as_string() : snake_case(layer["class_name"].as_string());
}

// The shape, with the batch axis, that a first layer holds for the model; null when it holds none.
Tree input_shape(const Tree& layer) {
  const Tree& config = layer["config"];
  if (const Tree* shape = config.find("batch_input_shape"); shape && shape->is_sequence()) return *shape;
  if (const Tree* shape = config.find("input_shape"); shape && shape->is_sequence()) {
    Tree with_batch = Tree(Tree::Sequence{Tree()});
    for (const Tree& size : shape->items()) with_batch.push(size);
    return with_batch;
  }
  // Before Keras 1 the size of the input was enough.
  const Tree &class_name = layer["class_name"], *size = config.find("input_dim"), *length = config.find("input_length");
  const Tree steps = length ? *length : Tree();
  if (class_name == Tree("Embedding") && size && config.find("init")) return Tree(Tree::Sequence{Tree(), steps});
  if (size && size->is_integer()) {
    constexpr std::string_view of_sequences[] = {"SimpleRNN", "LSTM", "GRU", "TimeDistributedDense", "Convolution1D"};
    if (class_name == Tree("Dense") || class_name == Tree("MaxoutDense") || class_name == Tree("Highway")) return Tree(Tree::Sequence{Tree(), *size});
    if (std::find(std::begin(of_sequences), std::end(of_sequences), class_name.as_string()) != std::end(of_sequences)) return Tree(Tree::Sequence{Tree(), steps, *size});
  }
  const bool wraps_at_the_top = layer["class_name"] == Tree("Bidirectional");
  if (const Tree* inner = wraps_at_the_top ? config.find("layer") : nullptr) return input_shape(*inner);
  return {};
}

// An InputLayer for that shape; the data of an Embedding are indices, but any number serves.
Tree input_layer(const Tree& first, Tree shape) {
  Tree layer, config;
  config.set("batch_shape", std::move(shape));
  const Tree& old = first["config"];
  for (std::string_view key : {"input_dtype", "dtype"})
    if (const Tree* dtype = old.find(key); dtype && dtype->is_string() && !dtype->as_string().starts_with("mixed")) {
      config.set("dtype", Tree(*dtype));
      break;
    }
  config.set("name", name_of_layer(first) + "_input");
  layer.set("class_name", "InputLayer");
  layer.set("config", std::move(config));
  return layer;
}

// Branches that end in a Merge, laid out as the entries of one Functional. Keras 1 stores the weights of their layers
// side by side too.
class Branches {
 public:
  explicit Branches(const Tree& sequential) {
    std::string end = append(sequential);
    Tree config;
    if (const Tree* name = sequential.find("name")) config.set("name", Tree(*name));
    config.set("layers", std::move(entries_));
    config.set("input_layers", std::move(inputs_));
    config.set("output_layers", Tree::Sequence{Tree::Sequence{std::move(end), 0, 0}});
    model.set("class_name", "Functional");
    model.set("config", std::move(config));
    for (std::string_view key : {"name", "inbound_nodes"})
      if (const Tree* value = sequential.find(key)) model.set(key, Tree(*value));
  }

  Tree model;

 private:
  // Appends the layers of a branch and gives the name of the last.
  std::string append(const Tree& branch) {
    if (is_functional(branch)) {
      const Tree& config = branch["config"];
      for (const Tree& entry : config["layers"].items()) add(entry);
      for (const Tree& input : config["input_layers"].items()) add_input(input);
      const Tree& end = config["output_layers"];
      if (!end.is_sequence() || end.items().empty() || !is_reference(end.items()[0]))
        throw Error("wanted [[layer, call, output]], got {}", end.text()).at(end.mark()).usage();
      return end.items()[0].items()[0].as_string();
    }
    if (branch["class_name"] != Tree("Sequential")) return append_layer(branch, "");
    std::string end;
    for (const Tree& layer : layers_of(branch)) end = append_layer(layer, end);
    return end;
  }

  // A layer on top of the one called `below`, or at the bottom of its branch.
  std::string append_layer(const Tree& layer, const std::string& below) {
    if (is_merge(layer)) {
      Tree tensors = Tree::sequence();
      for (const Tree& branch : layer["config"]["layers"].items()) tensors.push(Tree::Sequence{append(branch), 0, 0});
      const std::string name = name_of_layer(layer);
      Tree entry = functional_entry(layer, name, call_on(tensors));
      entry.find("config")->erase("layers");
      add(std::move(entry));
      return name;
    }
    if (below.empty() && (layer["class_name"] == Tree("Sequential") || is_functional(layer))) return append(layer);
    std::string bottom = below;
    const std::string name = name_of_layer(layer);
    if (is_input(layer)) {
      add(functional_entry(layer, name, Tree::sequence()));
      add_input(Tree::Sequence{name, 0, 0});
      return name;
    }
    if (bottom.empty()) {
      Tree shape = input_shape(layer);
      if (shape.is_null()) throw Error("a branch begins with a layer that does not tell the shape of its input").about(label_of(layer)).usage();
      Tree input = input_layer(layer, std::move(shape));
      bottom = name_of_layer(input);
      add(functional_entry(std::move(input), bottom, Tree::sequence()));
      add_input(Tree::Sequence{bottom, 0, 0});
    }
    add(functional_entry(layer, name, call_on(Tree::Sequence{Tree::Sequence{bottom, 0, 0}})));
    return name;
  }

  // Branches may share layers.
  void add(Tree entry) {
    if (names_.insert(entry["name"].as_string()).second) entries_.push(std::move(entry));
  }
  void add_input(Tree reference) {
    for (const Tree& known : inputs_.items())
      if (known == reference) return;
    inputs_.push(std::move(reference));
  }

  Tree entries_ = Tree::sequence(), inputs_ = Tree::sequence();
  std::set<std::string> names_;
};

// --- calls of nested models --------------------------------------------------------------------------------------------

// Calls visit(reference) for all [layer, call, output] within a tree.
template <class Visit>
void for_each_reference(Tree& tree, Visit&& visit) {
  if (is_reference(tree)) visit(tree);
  if (tree.is_sequence())
    for (Tree& item : tree.items()) for_each_reference(item, visit);
  else if (tree.is_mapping())
    for (Tree::Entry& entry : tree.entries()) for_each_reference(entry.value, visit);
}

// A model that knows its input has, before Keras 3, a call of its own with index 0 that is not written. The others count
// from 1; here from 0, but for Functional models in the list of outputs, where Keras 3 does the same.
void count_calls_from_zero(Tree& config) {
  struct Nested {
    bool functional;
    std::int64_t lowest = 1;  // of the calls that others refer to
  };
  std::map<std::string, Nested> models;
  for (const Tree& entry : config["layers"].items()) {
    const bool functional = entry["class_name"] == Tree("Functional");
    if (functional || entry["class_name"] == Tree("Sequential")) models.emplace(entry["name"].as_string(), Nested{functional});
  }
  if (models.empty()) return;
  Tree outputs = config["output_layers"];
  const auto visit_all = [&](auto&& in_calls, auto&& in_outputs) {
    const auto visiting = [&](auto& visit) {
      return [&](Tree& reference) {
        if (const auto found = models.find(reference.items()[0].as_string()); found != models.end())
          visit(found->second, reference.items()[1]);
      };
    };
    for (Tree& entry : config.find("layers")->items()) {
      for_each_reference(*entry.find("inbound_nodes"), visiting(in_calls));
      if (entry["class_name"].as_string().starts_with("ops.") || entry["class_name"] == Tree("Reshape"))  // expressions of sizes
        for_each_reference(*entry.find("config"), visiting(in_calls));
    }
    for_each_reference(outputs, visiting(in_outputs));
  };
  const auto note = [](Nested& model, const Tree& call) { model.lowest = std::min(model.lowest, call.as_integer()); };
  const auto shift = [](const Nested& model, Tree& call) {
    if (model.lowest > 0) call = Tree(call.as_integer() - 1);
  };
  const auto shift_unless_functional = [&](const Nested& model, Tree& call) {
    if (!model.functional) shift(model, call);
  };
  visit_all(note, note);
  visit_all(shift, shift_unless_functional);
  config.set("output_layers", std::move(outputs));
}

}  // namespace

Tree functional_entry(Tree layer, std::string name, Tree inbound_nodes) {
  layer.set("name", std::move(name));
  layer.set("inbound_nodes", std::move(inbound_nodes));
  return layer;
}

Tree call_on(const Tree& tensors) { return Tree::Sequence{tensors}; }

void modernize_sequential(Tree& layer) {
  const Tree::Sequence& layers = layers_of(layer);
  if (!layers.empty() && is_merge(layers.front())) {
    layer = Branches(layer).model;
    return;
  }
  Tree config = layer["config"].is_sequence() ? Tree::mapping() : layer["config"], entries = Tree::sequence();
  if (!layers.empty() && !is_input(layers.front()))
    if (Tree shape = input_shape(layers.front()); !shape.is_null()) entries.push(input_layer(layers.front(), std::move(shape)));
  for (const Tree& each : layers) entries.push(each);
  // A model within another is called what its entry says.
  if (const Tree* name = layer.find("name"); name && !config.find("name")) config.set("name", Tree(*name));
  config.set("layers", std::move(entries));
  layer.set("config", std::move(config));
}

void modernize_functional(Tree& layer) {
  Tree& config = *layer.find("config");
  Tree entries = Tree::sequence();
  const Sizes sizes(config["layers"]);
  for (Tree entry : config["layers"].items()) {
    if (!entry.find("name")) entry.set("name", name_of_layer(entry));
    if (!entry.find("inbound_nodes")) entry.set("inbound_nodes", Tree::sequence());
    if (is_merge(entry))
      for (Tree& part : modern_merge(entry)) entries.push(std::move(part));
    else if (is_tensorflow_operation(entry))
      for (Tree& part : modern_operation(entry, sizes)) entries.push(std::move(part));
    else entries.push(std::move(entry));
  }
  config.set("layers", std::move(entries));
  if (!config.find("name") && layer.find("name")) config.set("name", Tree(layer["name"]));
  count_calls_from_zero(config);
}

}  // namespace nacre::vintages
