#include "api/dtype_policy.h"

#include "api/keras/file.h"
#include "api/shared_layers.h"
#include "layers/float8.h"

namespace nacre {

namespace {

// `class_name`: of the object that has the tree.
void replace_policies(Tree& tree, const DTypePolicy& policy, std::string_view class_name = {}) {
  if (tree.is_sequence())
    for (Tree& item : tree.items()) replace_policies(item, policy, class_name);
  if (!tree.is_mapping()) return;
  const Tree* const found = tree.find("class_name");
  const std::string own(found && found->is_string() ? found->as_string() : class_name);
  if (own == "DTypePolicy" || own == "QuantizedFloat8DTypePolicy") {
    DTypePolicy present;
    FieldKind<DTypePolicy>::read(tree, present);
    if (!is_floating(present.compute())) return;
    tree = FieldKind<DTypePolicy>::write(takes_float8(class_name) ? policy : DTypePolicy{std::string(policy.source())},
                                         Style::keras);
    return;
  }
  for (Tree::Entry& entry : tree.entries()) replace_policies(entry.value, policy, own);
}

void copy_assets(const Layer& from, Layer& to) {
  if (const Assets assets = from.assets(); !assets.empty()) to.load_assets(assets);
  const auto sources = from.sublayers(), targets = to.sublayers();
  for (std::size_t i = 0; i < targets.size(); ++i) copy_assets(*sources.at(i), *targets[i]);
}

// What float8 layers keep of their scales goes to those that keep it, too.
void copy_weights(const std::vector<Weight>& from, const std::vector<Weight>& to) {
  const auto copy = [](const Variable& source, Variable& target) {
    if (source.has_value()) target.assign(source.value().cast(target.type().dtype));
  };
  auto source = from.begin();
  for (const Weight& target : to) {
    if (target.variable->overwritten()) {
      const auto same = std::ranges::find_if(from, [&](const Weight& weight) {
        return weight.variable->path() == target.variable->path() && weight.variable->type() == target.variable->type();
      });
      if (same != from.end()) copy(*same->variable, *target.variable);
      continue;
    }
    while (source != from.end() && source->variable->overwritten()) ++source;
    ensure(source != from.end(), "{} weights became {}", from.size(), to.size());
    copy(*(source++)->variable, *target.variable);
  }
}

void collect_policies(const Layer& layer, std::set<std::string>& policies) {
  const auto inner = layer.sublayers();
  for (const auto& sublayer : inner) collect_policies(*sublayer, policies);
  // Operations have none: they compute in the dtypes of their operands.
  if (!inner.empty() || layer.class_name() == InputConfig::class_name || !layer.config_tree(Style::keras).find("dtype"))
    return;
  if (is_floating(layer.dtype().compute())) policies.insert(layer.dtype().name);
}

}  // namespace

Model with_dtype(const Model& model, const DTypePolicy& policy) {
  register_models();
  Tree description = describe_model(model.graph());
  replace_policies(description, policy);
  const SharedLayers shared;
  const auto layer = std::dynamic_pointer_cast<FunctionalLayer>(read_layer(description));
  ensure(layer != nullptr, "a model was read as another layer");
  copy_assets(model.graph(), *layer);
  copy_weights(model.weights(), layer->weights());
  Model result(layer);
  result.set_device(model.trainer().backend().name());
  if (const auto& compiled = model.trainer().options()) {
    CompileOptions options = *compiled;
    Ref<Optimizer> optimizer = options.optimizer;
    options.optimizer = read_object<Optimizer>(write_object<Optimizer>(*optimizer, Style::keras));
    result.compile(std::move(options));
  }
  return result;
}

Model with_training_dtype(const Model& model, const DTypePolicy& policy) {
  const DType dtype = policy.compute();
  const Backend& backend = model.trainer().backend();
  DTypePolicy used = policy;
  if (!backend.has_instructions(dtype)) {
    used.name = policy.is_float8() ? "float8_from_float32" : "float32";
    note({}, dtype == DType::float16
                 ? fmt::format(
                       "train.dtype: {}: processors have no fast float16 for training; it goes on in float32, which is "
                       "faster (mixed_bfloat16 is faster still where the processor has it)",
                       policy.name)
                 : fmt::format(
                       "train.dtype: {}: this processor has no {} instructions; training goes on in float32, which is "
                       "faster",
                       policy.name, name_of(dtype)));
  }
  if (used.is_float8() && !backend.multiplies_float8())
    note({}, fmt::format(
                 "train.dtype: {}: this device has no products of eight bits; it computes what they would give, in {}, "
                 "which takes longer than '{}'",
                 policy.name, name_of(used.compute()), used.source()));
  return with_dtype(model, used);
}

std::string dtype_policies(const Model& model) {
  std::set<std::string> policies;
  collect_policies(model.graph(), policies);
  std::string text;
  for (const std::string& policy : policies) text += (text.empty() ? "" : "+") + policy;
  return text;
}

}  // namespace nacre
