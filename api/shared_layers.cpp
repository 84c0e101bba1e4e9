#include "api/shared_layers.h"

#include <optional>
#include <set>

#include "layers/operations.h"

namespace nacre {

namespace {

constexpr std::string_view our_key = "nacre_shared_object_id", key_of_keras = "shared_object_id";

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

// Messages name the layer that could not be read; models name themselves.
std::shared_ptr<Layer> read_named(const Tree& object) {
  const Tree* config = object.find("config");
  const Tree* name = config ? config->find("name") : nullptr;
  const ObjectSpelling spelling = object_spelling(object, registry<Layer>().kind());
  const ClassInfo<Layer>* info = registry<Layer>().find(spelling.name, spelling.module);
  // Layers alone are trainable; those of somebody's own may have the name of an operation.
  if (!info && (!config || !config->find("trainable")))
    if (auto refusal = refused_operation(spelling.name, spelling.module, name && name->is_string() ? name->as_string() : ""))
      throw std::move(*refusal).at(spelling.mark);
  if (!name || !name->is_string() || (info && (info->class_name == "Functional" || info->class_name == "Sequential"))) return read_object<Layer>(object);
  return within([&] { return fmt::format("while reading layer '{}' ({})", name->as_string(), spelling.name); },
                [&] { return read_object<Layer>(object); });
}

}  // namespace

SharedLayers::SharedLayers() : outer_(std::exchange(innermost(), this)) {}

SharedLayers::~SharedLayers() { innermost() = outer_; }

std::shared_ptr<Layer> read_layer(const Tree& object) {
  SharedLayers* scope = innermost();
  if (!scope) return read_named(object);
  const Tree* written = object.find(our_key);
  const bool ours = written != nullptr;  // then the first one has it too
  if (!ours) written = object.find(key_of_keras);
  const Tree *config = object.find("config"), *name = config ? config->find("name") : nullptr;
  const std::optional<std::int64_t> id = written && written->is_integer() ? std::optional(written->as_integer()) : std::nullopt;
  if (id)
    if (const auto known = scope->layers_.find(*id); known != scope->layers_.end()) return known->second;
  const Tree* class_name = object.find("class_name");
  const std::pair key(class_name && class_name->is_string() ? class_name->as_string() : "", name && name->is_string() ? name->as_string() : "");
  const auto first = id && !ours ? scope->unmarked_.find(key) : scope->unmarked_.end();
  const std::shared_ptr<Layer> layer = first == scope->unmarked_.end() ? read_named(object) : first->second;
  if (id) scope->layers_.emplace(*id, layer);
  else scope->unmarked_.emplace(key, layer);
  return layer;
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

bool reaches(const Layer& from, const Layer& to) {
  if (&from == &to) return true;
  std::set<const Layer*> seen{&from};
  std::vector<std::shared_ptr<Layer>> waiting = from.sublayers();
  while (!waiting.empty()) {
    const std::shared_ptr<Layer> layer = std::move(waiting.back());
    waiting.pop_back();
    if (layer.get() == &to) return true;
    if (!seen.insert(layer.get()).second) continue;
    const std::vector<std::shared_ptr<Layer>> more = layer->sublayers();
    waiting.insert(waiting.end(), more.begin(), more.end());
  }
  return false;
}

Tree describe_model(const FunctionalLayer& model) {
  std::set<const Layer*> models;
  std::map<const Layer*, int> counts;
  count(model, models, counts);
  std::map<const Layer*, std::int64_t> ids;
  const std::function<void(Tree&, Layer&)> mark = [&](Tree& object, Layer& layer) {
    if (counts[&layer] > 1) object.set(our_key, ids.try_emplace(&layer, static_cast<std::int64_t>(ids.size()) + 1).first->second);
    const Tree* module = object.find("module");
    if (module && module->is_string() && module->as_string().starts_with("keras_hub")) object.set("registered_name", fmt::format("keras_hub>{}", layer.class_name()));
    each_inner_object(object, layer, mark);
  };
  Tree object = write_object<Layer>(model, Style::keras);
  each_inner_object(object, model, mark);
  return object;
}

}  // namespace nacre
