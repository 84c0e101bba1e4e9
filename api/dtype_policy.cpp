#include "api/dtype_policy.h"

#include "api/keras/file.h"
#include "api/shared_layers.h"

namespace nacre {

namespace {

void replace_policies(Tree& tree, const DTypePolicy& policy) {
  if (tree.is_sequence())
    for (Tree& item : tree.items()) replace_policies(item, policy);
  if (!tree.is_mapping()) return;
  if (const Tree* class_name = tree.find("class_name"); class_name && *class_name == Tree("DTypePolicy")) {
    DTypePolicy present;
    FieldKind<DTypePolicy>::read(tree, present);
    if (is_floating(present.compute())) tree = FieldKind<DTypePolicy>::write(policy, Style::keras);
    return;
  }
  for (Tree::Entry& entry : tree.entries()) replace_policies(entry.value, policy);
}

void copy_assets(const Layer& from, Layer& to) {
  if (const Assets assets = from.assets(); !assets.empty()) to.load_assets(assets);
  const auto sources = from.sublayers(), targets = to.sublayers();
  for (std::size_t i = 0; i < targets.size(); ++i) copy_assets(*sources.at(i), *targets[i]);
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
  const std::vector<Weight> from = model.weights(), to = layer->weights();
  ensure(from.size() == to.size(), "{} weights became {}", from.size(), to.size());
  for (std::size_t i = 0; i < to.size(); ++i)
    if (from[i].variable->has_value())
      to[i].variable->assign(from[i].variable->value().cast(to[i].variable->type().dtype));
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
  if (model.trainer().backend().has_instructions(dtype)) return with_dtype(model, policy);
  note({}, dtype == DType::float16
               ? fmt::format("train.dtype: {}: processors have no fast float16 for training; it goes on in float32, which is "
                             "faster (mixed_bfloat16 is faster still where the processor has it)", policy.name)
               : fmt::format("train.dtype: {}: this processor has no {} instructions; training goes on in float32, which is "
                             "faster", policy.name, name_of(dtype)));
  return with_dtype(model, {"float32"});
}

std::string dtype_policies(const Model& model) {
  std::set<std::string> policies;
  collect_policies(model.graph(), policies);
  std::string text;
  for (const std::string& policy : policies) text += (text.empty() ? "" : "+") + policy;
  return text;
}

}  // namespace nacre
