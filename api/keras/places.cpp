#include "api/keras/places.h"

#include <algorithm>
#include <map>
#include <set>

#include "layers/cell.h"

namespace nacre {

namespace {

// Layers within a layer: under one attribute a single one, or a list.
struct Child {
  std::string attribute;
  std::vector<std::shared_ptr<Layer>> layers;
  bool list = false;
};

// Under which attribute a class keeps the sublayer that it gives this name.
struct Attribute {
  std::string_view class_name, sublayer, attribute;
};
constexpr Attribute known_attributes[] = {
    {"MultiHeadAttention", "query", "query_dense"},
    {"MultiHeadAttention", "key", "key_dense"},
    {"MultiHeadAttention", "value", "value_dense"},
    {"MultiHeadAttention", "gate", "_gate_dense"},
    {"MultiHeadAttention", "attention_output", "output_dense"},
    {"GroupQueryAttention", "query", "_query_dense"},
    {"GroupQueryAttention", "key", "_key_dense"},
    {"GroupQueryAttention", "value", "_value_dense"},
    {"GroupQueryAttention", "gate", "_gate_dense"},
    {"GroupQueryAttention", "attention_output", "_output_dense"},
    {"TransformerDecoder", "self_attention", "_self_attention_layer"},
    {"TransformerDecoder", "cross_attention", "_cross_attention_layer"},
};
// The others have one private attribute for each, of the same name.
constexpr std::string_view classes_of_private_attributes[] = {"TransformerEncoder", "TransformerDecoder"};

// The attribute of each sublayer, in their order; none where the class is not among the known ones.
std::vector<std::string> attributes_of(const Layer& layer, const std::vector<std::shared_ptr<Layer>>& sublayers) {
  std::vector<std::string> attributes;
  if (layer.class_name() == "Bidirectional") return {"forward_layer", "backward_layer"};
  for (const auto& sublayer : sublayers) {
    const auto known = std::ranges::find_if(known_attributes, [&](const Attribute& each) {
      return each.class_name == layer.class_name() && each.sublayer == sublayer->own_name();
    });
    if (known != std::end(known_attributes)) attributes.emplace_back(known->attribute);
    else if (std::ranges::find(classes_of_private_attributes, layer.class_name()) != std::end(classes_of_private_attributes))
      attributes.push_back("_" + sublayer->own_name());
  }
  return attributes;
}

std::vector<Child> children_of(const Layer& layer) {
  const std::vector<std::shared_ptr<Layer>> sublayers = layer.sublayers();
  if (dynamic_cast<const FunctionalLayer*>(&layer)) {
    Child layers{"layers", {}, true};
    std::ranges::copy_if(sublayers, std::back_inserter(layers.layers), [](const auto& each) { return !is_operation(*each); });
    return {layers};
  }
  if (sublayers.empty()) return {};
  if (layer.class_name() == "StackedRNNCells") return {{"cells", sublayers, true}};
  if (dynamic_cast<const RecurrentLayer*>(&layer)) return {{"cell", sublayers}};
  if (const std::vector<std::string> attributes = attributes_of(layer, sublayers); attributes.size() == sublayers.size()) {
    std::vector<Child> children;
    for (std::size_t i = 0; i < attributes.size(); ++i) children.push_back({attributes[i], {sublayers[i]}});
    // Private attributes are visited last.
    std::ranges::sort(children, {}, [](const Child& child) { return std::pair(child.attribute.starts_with('_'), child.attribute); });
    return children;
  }
  if (sublayers.size() == 1) return {{"layer", sublayers}};
  return {{"layers", sublayers, true}};
}

// Of the Python class, whose name is not always the public one.
std::string class_in_path(const Layer& layer) {
  return layer.class_name() == "GroupQueryAttention" ? "grouped_query_attention" : snake_case(layer.class_name());
}

class Walk {
 public:
  explicit Walk(const WalkOptions& options) : options_(options) {}

  void visit(Layer& layer, const std::string& path) {
    if (!visited_.insert(&layer).second && !options_.repeat) return;
    places.push_back({path, &layer});
    const std::string below = path.empty() ? "" : path + "/";
    for (const Child& child : children_of(layer)) {
      std::map<std::string, int> used;
      for (const auto& each : child.layers) {
        std::string place = below + child.attribute;
        if (child.list) {
          const std::string name = class_in_path(*each);
          const int count = options_.compact && each->weights().empty() ? 0 : used[name]++;
          place += "/" + (count ? fmt::format("{}_{}", name, count) : name);
        }
        visit(*each, place);
      }
    }
  }

  std::vector<KerasPlace> places;

 private:
  WalkOptions options_;
  std::set<const Layer*> visited_;
};

}  // namespace

std::vector<KerasPlace> keras_places(FunctionalLayer& model, const WalkOptions& options) {
  Walk walk(options);
  walk.visit(model, "");
  return std::move(walk.places);
}

bool is_operation(const Layer& layer) {
  const auto* info = registry<Layer>().find(layer.class_name(), layer.module());
  return info && info->module.starts_with("keras.src.ops");
}

std::vector<VariableRef> own_variables(const Layer& layer) {
  std::vector<VariableRef> variables;
  for (const Weight& weight : layer.own_weights()) variables.push_back(weight.variable);
  std::ranges::stable_sort(variables, {}, [](const VariableRef& variable) {
    return variable->overwritten() ? 1 : variable->trainable() ? 0 : 2;
  });
  return variables;
}

}  // namespace nacre
