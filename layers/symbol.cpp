#include "layers/symbol.h"

#include <limits>

namespace nacre {

const Type& Symbol::type() const { return call_->types[static_cast<std::size_t>(index_)]; }

Symbols call_layer(const std::shared_ptr<Layer>& layer, Symbols inputs, std::map<std::string, Symbols> named,
                   Tree options) {
  const std::vector<std::string_view> names = layer->argument_names();
  while (inputs.size() < names.size()) {
    const auto given = named.extract(std::string(names[inputs.size()]));
    if (!given) break;
    need(given.mapped().size() == 1, "{}: the argument '{}' is one tensor, got {}", layer->label(), given.key(),
         given.mapped().size());
    inputs.push_back(given.mapped().front());
  }
  Graph scratch;
  const Type whole{DType::int64, {}};
  Context context(scratch, false, scratch.input("seed", whole), scratch.input("step", whole));
  const auto feed = [&](const Symbols& symbols) {
    Values values;
    for (const Symbol& symbol : symbols) {
      ensure(static_cast<bool>(symbol), "{} was called on an empty symbol", layer->label());
      values.push_back(scratch.input(fmt::format("symbol{}", scratch.inputs().size()), symbol.type()));
    }
    return values;
  };
  CallArguments arguments{.inputs = feed(inputs), .masks = {}, .named = {}, .options = options};
  for (const auto& [name, symbols] : named) arguments.named[name] = feed(symbols);
  const CallResult result = (*layer)(context, std::move(arguments));

  auto call =
      std::make_shared<LayerCall>(LayerCall{layer, std::move(inputs), std::move(named), std::move(options), {}});
  for (const Value& output : result.outputs) call->types.push_back(output.type());
  Symbols outputs;
  for (std::size_t i = 0; i < call->types.size(); ++i) outputs.emplace_back(call, static_cast<int>(i));
  return outputs;
}

Symbol LayerRef::operator()(Symbol input) const { return all({std::move(input)}).front(); }

Symbol LayerRef::operator()(Symbols inputs) const { return all(std::move(inputs)).front(); }

Symbols LayerRef::all(Symbols inputs, std::map<std::string, Symbols> named, Tree options) const {
  return call_layer(share(), std::move(inputs), std::move(named), std::move(options));
}

// --- inputs -------------------------------------------------------------------------------------------------------

InputLayer::InputLayer(InputConfig config) : Layer({.name = config.name}), config_(std::move(config)) {
  if (config_.shape && config_.batch_shape) throw Error("got both shape and batch_shape, wanted one of them").usage();
  if (!config_.shape && !config_.batch_shape)
    throw Error("the key 'shape' is missing ({})", "of one sample, without the batch axis").usage();
  if (!config_.batch_shape) config_.batch_shape = Shape{config_.batch_size.value_or(unknown)} + *config_.shape;
  constexpr std::int64_t largest = std::numeric_limits<std::int32_t>::max();
  for (std::int64_t size : *config_.batch_shape)
    if (size != unknown && (size < 1 || size > largest))
      throw Error("got the shape {}, wanted sizes of {}", *config_.batch_shape,
                  size < 1 ? "at least 1" : fmt::format("at most {}", largest)).usage();
}

Tree InputLayer::config_tree(Style style) const {
  InputConfig config = config_;
  config.name = name();
  const bool free_batch = (*config_.batch_shape).rank() > 0 && (*config_.batch_shape)[0] == unknown;
  if (style != Style::keras && free_batch) {
    config.shape = config_.batch_shape->from(1);
    config.batch_shape.reset();
  } else {
    config.shape.reset();
  }
  config.batch_size.reset();
  Tree tree = write_config(config, style);
  if (style == Style::yaml) return without_defaults(fields_of<InputConfig>(), std::move(tree));
  if (style == Style::keras) {
    tree.erase("shape");
    tree.erase("batch_size");
  }
  return tree;
}

Values InputLayer::call(Context&, const CallArguments& arguments) { return arguments.inputs; }

Symbol Input(InputConfig config) {
  auto layer = std::make_shared<InputLayer>(std::move(config));
  layer->ensure_built({});
  auto call = std::make_shared<LayerCall>(LayerCall{layer, {}, {}, {}, {layer->type()}});
  return {std::move(call), 0};
}

Symbol Input(Shape shape, std::string name, DType dtype) {
  return Input(InputConfig{.shape = std::move(shape), .dtype = dtype, .name = std::move(name)});
}

}  // namespace nacre
