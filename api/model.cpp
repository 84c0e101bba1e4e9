#include "api/model.h"

#include <mutex>

#include "api/inspect/summary.h"
#include "api/save.h"

namespace nacre {

void register_models() {
  static std::once_flag once;
  std::call_once(once, [] {
    registry<Layer>().extend({"Functional", FunctionalConfig::doc, "keras.src.models.functional",
                              {&fields_of<LayerOptions>(), &fields_of<FunctionalConfig>()}, FunctionalLayer::from_config, {"Model"}});
    registry<Layer>().extend({"Sequential", SequentialConfig::doc, "keras",
                              {&fields_of<LayerOptions>(), &fields_of<SequentialConfig>()}, SequentialLayer::from_config});
  });
}

Model::Model(const Symbols& inputs, const Symbols& outputs, LayerOptions options)
    : Model(std::make_shared<FunctionalLayer>(inputs, outputs, std::move(options))) {}

Model::Model(std::shared_ptr<FunctionalLayer> layer)
    : LayerRef(layer), graph_(std::move(layer)), trainer_(std::make_shared<Trainer>(graph_)) {
  register_models();
}

Tensor Model::predict(const Tensor& input, const PredictOptions& options) {
  std::vector<Tensor> outputs = predict(array_dataset({.inputs = {input}}), options);
  if (outputs.size() != 1) throw Error("the model '{}' has {} outputs", graph_->title(), outputs.size()).hint("predict from a dataset").usage();
  return std::move(outputs.front());
}

void Model::save(const std::filesystem::path& path) const { save_model(*this, path); }

void Model::save_weights(const std::filesystem::path& path) const { nacre::save_weights(*this, path); }

void Model::load_weights(const std::filesystem::path& path, const LoadOptions& options) { nacre::load_weights(*this, path, options); }

std::string Model::summary() const { return summarize(*this).text(); }

Sequential::Sequential(std::initializer_list<Item> items, LayerOptions options)
    : Model(std::make_shared<SequentialLayer>(std::move(options))) {
  within([&] { return fmt::format("while building model '{}'", graph().title()); }, [&] {
    for (const Item& item : items) add(item);
  });
}

Sequential& Sequential::add(const Item& item) {
  if (item.input) stack().set_input(item.input);
  else stack().add(item.layer.share());
  return *this;
}

}  // namespace nacre
