#include "api/sequential.h"

#include "api/shared_layers.h"

namespace nacre {

namespace {

bool is_input_name(std::string_view class_name) { return class_name == "InputLayer" || class_name == "Input"; }

}  // namespace

void SequentialLayer::set_input(const Symbol& input) {
  if (input_)
    throw Error("the model '{}' has an input of shape {} already", title(), input_.shape())
        .hint("an Input stands at the top of a Sequential, once")
        .usage();
  input_ = input;
  reconnect();
}

void SequentialLayer::add(std::shared_ptr<Layer> layer) {
  append(std::move(layer));
  try {
    reconnect();
  } catch (...) {
    remove_last();
    throw;
  }
}

void SequentialLayer::append(std::shared_ptr<Layer> layer) {
  if (stack_.size() >= deepest_model)
    throw Error("more than {} layers stand one behind the other", deepest_model).usage();
  if (reaches(*layer, *this)) throw Error("the model '{}' would stand within itself", title()).usage();
  stack_.push_back(std::move(layer));
  try {
    name_layers(stack_);
    const auto* first = dynamic_cast<const FunctionalLayer*>(stack_.front().get());
    if (!input_ && first && first->connected() && first->inputs().size() == 1)
      input_ = Input(InputConfig{.batch_shape = first->inputs()[0].shape(), .dtype = first->inputs()[0].type().dtype});
    call_new_layers();
  } catch (...) {
    remove_last();
    throw;
  }
}

void SequentialLayer::remove_last() {
  stack_.pop_back();
  if (results_.size() > stack_.size()) results_.pop_back();
}

std::shared_ptr<Layer> SequentialLayer::pop() {
  if (stack_.empty()) throw Error("the model '{}' has no layers", title()).usage();
  std::shared_ptr<Layer> last = stack_.back();
  remove_last();
  disconnect();
  reconnect();
  return last;
}

void SequentialLayer::reconnect() {
  if (!input_ || stack_.empty()) return;
  call_new_layers();
  connect({input_}, results_.back());
}

void SequentialLayer::call_new_layers() {
  if (!input_) return;
  while (results_.size() < stack_.size()) {
    const Symbols operands = results_.empty() ? Symbols{input_} : results_.back();
    if (operands.size() != 1)
      throw Error("{} has {} outputs; layers of a Sequential have one, but for the last",
                  stack_[results_.size() - 1]->label(), operands.size())
          .hint("build the model from symbols instead")
          .usage();
    results_.push_back(call_layer(stack_[results_.size()], operands));
  }
}

void SequentialLayer::build(const std::vector<Shape>& inputs) {
  if (connected()) return;
  if (stack_.empty()) throw Error("the model has no layers").usage();
  if (inputs.size() != 1) throw Error("a Sequential takes one input, got {}", inputs.size()).usage();
  Shape shape = inputs.front();
  if (shape.rank() > 0) shape.set(0, unknown);
  set_input(Input(InputConfig{.batch_shape = std::move(shape), .dtype = stack_.front()->dtype().compute()}));
}

Tree SequentialLayer::config_tree(Style style) const {
  Tree config = write_config(options_, style), entries = Tree::sequence();
  config.set("name", title());
  if (input_) entries.push(write_object<Layer>(*input_.call().layer, style));
  for (const auto& layer : stack_) entries.push(write_object<Layer>(*layer, style));
  config.set("layers", std::move(entries));
  if (style == Style::yaml) return without_defaults(fields_of<LayerOptions>(), std::move(config));
  if (connected()) config.set("build_input_shape", FieldKind<Shape>::write(input_.shape(), style));
  return config;
}

std::shared_ptr<SequentialLayer> SequentialLayer::from_config(const Tree& tree) {
  LayerOptions options;
  SequentialConfig config;
  const FieldTarget targets[] = {{&fields_of<LayerOptions>(), &options}, {&fields_of<SequentialConfig>(), &config}};
  read_fields(targets, tree);
  const bool trainable = std::exchange(options.trainable, true);
  auto model = std::make_shared<SequentialLayer>(options);
  within([&] { return fmt::format("while reading model '{}'", options.name); }, [&] {
    for (const Tree& entry : config.layers.items()) {
      const ObjectSpelling spelling = object_spelling(entry, registry<Layer>().kind());
      try {
        if (is_input_name(spelling.name)) {
          model->set_input(Input(read_config<InputConfig>(spelling.config)));
          continue;
        }
        model->append(read_layer(entry));
      } catch (Error& error) {
        error.at(spelling.mark);
        throw;
      }
    }
    model->reconnect();
    if (config.build_input_shape && !model->connected()) model->ensure_built({*config.build_input_shape});
  });
  if (!trainable) model->set_trainable(false);
  return model;
}

}  // namespace nacre
