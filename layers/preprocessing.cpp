#include "layers/preprocessing.h"

#include "backend/graph/ops/elementwise.h"

namespace nacre {

void FieldKind<PerChannel>::read(const Tree& tree, PerChannel& value) {
  if (!tree.is_sequence()) value.values = {tree.as_number()};
  else FieldKind<std::vector<double>>::read(tree, value.values);
  if (value.values.empty())
    throw Error("wanted a number, or one per channel, got {}", tree.text()).at(tree.mark()).usage();
}

Tree FieldKind<PerChannel>::write(const PerChannel& value, Style style) {
  if (value.values.size() == 1) return value.values.front();
  return FieldKind<std::vector<double>>::write(value.values, style);
}

Tree FieldKind<PerChannel>::schema() {
  Tree schema;
  schema.set("anyOf", Tree::Sequence{schema_type("number"), FieldKind<std::vector<double>>::schema()});
  return schema;
}

namespace {

class RescalingLayer final : public ConfiguredLayer<RescalingConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  bool supports_masking() const override { return true; }

 protected:
  Value factor(Graph& graph, const PerChannel& values) const {
    const auto size = static_cast<std::int64_t>(values.values.size());
    if (size == 1) return graph.scalar(values.values[0], dtype().compute());
    return graph.constant(Tensor::of<double>({size}, values.values).cast(dtype().compute()));
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = ops::cast(arguments.inputs[0], dtype().compute());
    const Value scaled = x * factor(context.graph(), config_.scale);
    return {config_.offset == PerChannel(0) ? scaled : scaled + factor(context.graph(), config_.offset)};
  }
};

}  // namespace

LayerRef Rescaling(RescalingConfig config, LayerOptions options) {
  return std::make_shared<RescalingLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> preprocessing_layers() { return {layer_info<RescalingLayer>()}; }

}  // namespace nacre
