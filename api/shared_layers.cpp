#include "api/shared_layers.h"

#include <set>

namespace nacre {

namespace {

SharedLayers*& innermost() {
  thread_local SharedLayers* scope = nullptr;
  return scope;
}

// In how many models a layer stands.
void count(const FunctionalLayer& model, std::set<const Layer*>& models, std::map<const Layer*, int>& counts) {
  if (!models.insert(&model).second) return;
  for (const auto& layer : model.layers()) {
    ++counts[layer.get()];
    if (const auto* inner = dynamic_cast<const FunctionalLayer*>(layer.get())) count(*inner, models, counts);
  }
}

}  // namespace

SharedLayers::SharedLayers() : outer_(std::exchange(innermost(), this)) {}

SharedLayers::~SharedLayers() { innermost() = outer_; }

std::shared_ptr<Layer> read_layer(const Tree& object) {
  const Tree* id = object.find("shared_object_id");
  if (!id || !id->is_integer() || !innermost()) return read_object<Layer>(object);
  std::map<std::int64_t, std::shared_ptr<Layer>>& known = innermost()->layers_;
  if (const auto found = known.find(id->as_integer()); found != known.end()) return found->second;
  return known[id->as_integer()] = read_object<Layer>(object);
}

void each_inner_object(Tree& object, const Layer& layer, const std::function<void(Tree&, Layer&)>& visit) {
  const std::vector<std::shared_ptr<Layer>> sublayers = layer.sublayers();
  const auto match = [&](Tree& value) {
    const Tree* config = value.find("config");
    const Tree* name = config ? config->find("name") : nullptr;
    const Tree* class_name = value.find("class_name");
    if (!name || !class_name) return;
    for (const auto& sublayer : sublayers)
      if (Tree(sublayer->own_name()) == *name && Tree(sublayer->class_name()) == *class_name) return visit(value, *sublayer);
  };
  for (Tree::Entry& entry : object.find("config")->entries()) {
    if (entry.value.is_mapping()) match(entry.value);
    if (entry.value.is_sequence())
      for (Tree& item : entry.value.items()) match(item);
  }
}

Tree describe_model(const FunctionalLayer& model) {
  std::set<const Layer*> models;
  std::map<const Layer*, int> counts;
  count(model, models, counts);
  std::map<const Layer*, std::int64_t> ids;
  const std::function<void(Tree&, Layer&)> mark = [&](Tree& object, Layer& layer) {
    if (counts[&layer] > 1) object.set("shared_object_id", ids.try_emplace(&layer, static_cast<std::int64_t>(ids.size()) + 1).first->second);
    each_inner_object(object, layer, mark);
  };
  Tree object = write_object<Layer>(model, Style::keras);
  each_inner_object(object, model, mark);
  return object;
}

}  // namespace nacre
