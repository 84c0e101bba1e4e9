// Models before Keras 1, and the class Graph, which Keras 1 had still. Sources: keras/models.py and
// keras/utils/layer_utils.py of 0.3.3, keras/legacy/models.py of 1.2.2.
#include <algorithm>

#include "api/vintage/parts.h"

namespace nacre::vintages {

namespace {

bool is_text(const Tree* tree) { return tree && tree->is_string(); }

// {name: class, custom_name: name, …} as {class_name, config}. What Theano's order was then stood nowhere.
Tree present_spelling(const Tree& layer) {
  if (layer.find("class_name")) return layer;
  const Tree* class_name = layer.find("name");
  if (!is_text(class_name)) throw Error("wanted a layer, got {}", layer.text()).at(layer.mark()).usage();
  if (is_model_of_keras0(layer)) return layer;
  Tree config = layer, present;
  config.erase("custom_name");
  if (const Tree* own = layer.find("custom_name"); is_text(own)) config.set("name", Tree(*own));
  else config.erase("name");
  for (std::string_view within : {"layer", "encoder", "decoder"})
    if (Tree* inner = config.find(within); inner && inner->is_mapping()) *inner = present_spelling(*inner);
  const std::string& name = class_name->as_string();
  const bool of_pictures = name.ends_with("2D") || name.ends_with("3D");
  if (of_pictures && !config.find("dim_ordering")) config.set("dim_ordering", "th");
  present.set("class_name", Tree(*class_name));
  present.set("config", std::move(config));
  return present;
}

const Tree& or_none(const Tree& tree, std::string_view key) {
  static const Tree none;
  const Tree* value = tree.find(key);
  return value ? *value : none;
}

// Lays out a Graph's nodes as the entries of a Functional.
class Graph {
 public:
  explicit Graph(const Tree& config) {
    for (const Tree& input : config["input_config"].items()) add_input(input);
    for (const Tree& node : config["node_config"].items())
      add_node(node, present_spelling(config["nodes"][node["name"].as_string()]));
    for (const Tree& output : config["output_config"].items())
      outputs_.push(joined(output, output["name"].as_string()));
    model.set("class_name", "Functional");
    Tree functional;
    functional.set("name", is_text(config.find("name")) ? config["name"] : Tree("graph"));
    functional.set("layers", std::move(entries_));
    functional.set("input_layers", std::move(inputs_));
    functional.set("output_layers", std::move(outputs_));
    model.set("config", std::move(functional));
  }

  Tree model;

 private:
  void add_input(const Tree& input) {
    Tree layer, config, shape = or_none(input, "batch_input_shape");
    if (!shape.is_sequence()) {
      if (!or_none(input, "input_shape").is_sequence())
        throw Error("the input '{}' has no shape", input["name"].text()).at(input.mark()).usage();
      shape = Tree(Tree::Sequence{Tree()});
      for (const Tree& size : input["input_shape"].items()) shape.push(size);
    }
    config.set("name", input["name"]);
    config.set("batch_input_shape", std::move(shape));
    config.set("input_dtype", is_text(input.find("dtype")) ? input["dtype"] : Tree("float32"));
    layer.set("class_name", "InputLayer");
    layer.set("config", std::move(config));
    const std::string& name = input["name"].as_string();
    entries_.push(functional_entry(std::move(layer), name, Tree::sequence()));
    inputs_.push(Tree::Sequence{name, 0, 0});
    places_.set(name, inputs_.items().back());
  }

  const Tree& place(const Tree& name) const {
    const Tree* found = places_.find(name.as_string());
    if (!found) throw Error("there is no node '{}'", name.as_string()).at(name.mark()).usage();
    return *found;
  }

  // What a node or an output reads: one tensor, or several that are merged.
  Tree joined(const Tree& node, const std::string& name) {
    if (const Tree& input = or_none(node, "input"); input.is_string() && !input.as_string().empty())
      return place(input);
    const Tree::Sequence& inputs = node["inputs"].items();
    if (inputs.size() == 1) return place(inputs[0]);
    Tree tensors = Tree::sequence();
    for (const Tree& input : inputs) tensors.push(place(input));
    return merged(node, "merge_inputs_for_" + name, std::move(tensors));
  }

  Tree merged(const Tree& node, std::string name, Tree tensors) {
    const Tree& mode = or_none(node, "merge_mode");
    if (mode == Tree("join"))
      throw Error("'{}' takes a list of tensors, which a layer of Python code does", name).usage();
    Tree layer, config;
    config.set("name", name);
    config.set("mode", mode.is_null() ? Tree("concat") : mode);
    for (std::string_view key : {"concat_axis", "dot_axes"})
      if (const Tree& value = or_none(node, key); !value.is_null()) config.set(key, value);
    layer.set("class_name", "Merge");
    layer.set("config", std::move(config));
    entries_.push(functional_entry(std::move(layer), name, call_on(tensors)));
    return Tree::Sequence{std::move(name), 0, 0};
  }

  void add_node(const Tree& node, Tree layer) {
    const std::string& name = node["name"].as_string();
    Tree* config = layer.find("config");
    const bool shared = node.find("outputs") || or_none(layer, "shared") == Tree(true);
    if (config && config->is_mapping()) config->set("name", name);
    if (!shared) {
      entries_.push(functional_entry(std::move(layer), name, call_on(Tree::Sequence{joined(node, name)})));
      places_.set(name, Tree::Sequence{name, 0, 0});
      return;
    }
    // One layer on each of its inputs, whose results have names of their own or are merged.
    const Tree& outputs = or_none(node, "outputs");
    Tree calls = Tree::sequence(), results = Tree::sequence();
    for (const Tree& input : node["inputs"].items()) {
      results.push(Tree::Sequence{name, static_cast<std::int64_t>(calls.items().size()), 0});
      calls.push(Tree::Sequence{place(input)});
    }
    entries_.push(functional_entry(std::move(layer), name, std::move(calls)));
    if (outputs.is_sequence() && !outputs.items().empty()) {
      if (outputs.items().size() != results.items().size())
        throw Error("the node '{}' has {} inputs and {} outputs", name, results.items().size(), outputs.items().size())
            .usage();
      for (std::size_t i = 0; i < results.items().size(); ++i)
        places_.set(outputs.items()[i].as_string(), results.items()[i]);
    } else {
      places_.set(name, merged(node, "merge_outputs_of_" + name, std::move(results)));
    }
  }

  Tree entries_ = Tree::sequence(), inputs_ = Tree::sequence(), outputs_ = Tree::sequence();
  Tree places_ = Tree::mapping();  // of the results, by the names of nodes
};

}  // namespace

bool is_model_of_keras0(const Tree& tree) {
  const Tree* name = tree.find("name");
  if (tree.find("class_name") || !is_text(name)) return false;
  return (*name == Tree("Sequential") && tree.find("layers")) || (*name == Tree("Graph") && tree.find("nodes"));
}

void modernize_keras0(Tree& layer) {
  if (is_model_of_keras0(layer)) {
    Tree present;
    present.set("class_name", layer["name"]);
    Tree config = layer;
    config.erase("name");
    present.set("config", std::move(config));
    layer = std::move(present);
  }
  if (layer["class_name"] == Tree("Sequential")) {
    Tree& config = *layer.find("config");
    const Tree* list = config.is_sequence() ? &config : config.find("layers");
    if (!list) return;
    Tree layers = Tree::sequence();
    for (const Tree& each : list->items()) layers.push(present_spelling(each));
    for (Tree& each : layers.items())
      if (is_model_of_keras0(each)) modernize_keras0(each);
    if (config.is_sequence()) {
      config = std::move(layers);
    } else {
      constexpr std::string_view of_training[] = {"optimizer",          "loss",        "class_mode", "theano_mode",
                                                  "sample_weight_mode", "loss_weights"};
      erase_keys(config, of_training);
      config.set("layers", std::move(layers));
    }
  } else if (layer["class_name"] == Tree("Graph")) {
    layer = Graph(layer["config"]).model;
  }
}

}  // namespace nacre::vintages
