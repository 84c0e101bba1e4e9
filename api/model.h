// Models: what a program builds, trains, saves and asks for predictions.
//
//   Sequential model({Input({28, 28, 1}), Conv2D({.filters = 32, .kernel_size = 3, .activation = "relu"}), Flatten(),
//                     Dense({.units = 10, .activation = "softmax"})});
//   model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
//   model.fit(data, {.epochs = 3});
//   model.save("model.h5");
#pragma once

#include "api/load_options.h"
#include "api/sequential.h"
#include "api/train/trainer.h"

namespace nacre {

// A layer where it stands in a model; LayerRef's own calls add calls outside of it.
//   Model features(model.inputs(), {model.layer("block5_pool").output()});
class PlacedLayer : public LayerRef {
 public:
  PlacedLayer(std::shared_ptr<FunctionalLayer> model, std::string name)
      : LayerRef(model->layer(name)), model_(std::move(model)), name_(std::move(name)) {}
  // Of its only call, or of the given one; see FunctionalLayer::outputs_of. The first of several.
  Symbol input(std::optional<std::size_t> call = {}) const { return inputs(call).front(); }
  Symbol output(std::optional<std::size_t> call = {}) const { return outputs(call).front(); }
  Symbols inputs(std::optional<std::size_t> call = {}) const { return model_->inputs_of(name_, call); }
  Symbols outputs(std::optional<std::size_t> call = {}) const { return model_->outputs_of(name_, call); }

 private:
  std::shared_ptr<FunctionalLayer> model_;
  std::string name_;
};

// A handle to a model: copies are the same model. It is a layer too, so it can be called on symbols, be shared, and be
// part of other models. Not synchronised.
class Model : public LayerRef {
 public:
  // The graph of calls between symbols; see FunctionalLayer.
  Model(const Symbols& inputs, const Symbols& outputs, LayerOptions options = {});
  explicit Model(std::shared_ptr<FunctionalLayer> layer);

  const std::string& name() const { return graph_->name(); }
  FunctionalLayer& graph() const { return *graph_; }  // inputs, outputs, layers, calls
  const std::vector<std::shared_ptr<Layer>>& layers() const { return graph_->layers(); }
  const Symbols& inputs() const { return graph_->inputs(); }
  const Symbols& outputs() const { return graph_->outputs(); }
  PlacedLayer layer(std::string_view name) const { return {graph_, std::string(name)}; }  // also "outer/inner"
  std::vector<Weight> weights() const { return graph_->weights(); }
  void set_trainable(bool trainable) { graph_->set_trainable(trainable); }

  // Builds a Sequential without Input for data of this shape, with the batch axis.
  void build(const Shape& input) { graph_->ensure_built({input}); }
  // Gives weights that have no value yet their initial one; fit, predict and the others do it with their own seed.
  void initialize(std::uint64_t seed) { trainer_->initialize(seed); }
  // "cpu" (the default), "gpu" or "reference".
  void set_device(std::string_view device) { trainer_->set_device(device); }
  // How exactly it multiplies when it only predicts; see CompileOptions::matmul_precision, which stands above it.
  void set_matmul_precision(MatmulPrecision precision) { trainer_->set_matmul_precision(precision); }
  // Likewise, whether every run gives the same bits: CompileOptions::deterministic.
  void set_deterministic(bool deterministic) { trainer_->set_deterministic(deterministic); }

  void compile(CompileOptions options) { trainer_->compile(std::move(options)); }
  History fit(const DatasetRef& data, const FitOptions& options = {}) { return trainer_->fit(data, options); }
  Logs evaluate(const DatasetRef& data, const EvaluateOptions& options = {}) { return trainer_->evaluate(data, options); }
  std::vector<Tensor> predict(const DatasetRef& data, const PredictOptions& options = {}) { return trainer_->predict(data, options); }
  // For a model with one input and one output.
  Tensor predict(const Tensor& input, const PredictOptions& options = {});
  Logs train_on_batch(const Batch& batch, std::map<std::int64_t, double> class_weight = {}) {
    return trainer_->train_on_batch(batch, std::move(class_weight));
  }
  Logs test_on_batch(const Batch& batch) { return trainer_->test_on_batch(batch); }
  std::vector<Tensor> predict_on_batch(const Batch& batch) { return trainer_->predict_on_batch(batch); }

  void save(const std::filesystem::path& path) const;          // see api/save.h
  void save_weights(const std::filesystem::path& path) const;
  void load_weights(const std::filesystem::path& path, const LoadOptions& options = {});
  std::string summary() const;                                 // see api/inspect/summary.h

  Trainer& trainer() const { return *trainer_; }

 private:
  std::shared_ptr<FunctionalLayer> graph_;
  std::shared_ptr<Trainer> trainer_;
};

// A stack of layers, each on top of the one before. An Input may stand at its bottom; else it is built for the first data.
class Sequential : public Model {
 public:
  // Input({28, 28, 1}), or anything that is a layer.
  struct Item {
    Symbol input;
    LayerRef layer;
    Item(Symbol symbol) : input(std::move(symbol)) {}
    Item(LayerRef ref) : layer(std::move(ref)) {}
  };

  Sequential(std::initializer_list<Item> items = {}, LayerOptions options = {});

  Sequential& add(const Item& item);
  LayerRef pop() { return LayerRef(stack().pop()); }

 private:
  SequentialLayer& stack() const { return static_cast<SequentialLayer&>(graph()); }
};

// Makes models readable by class name, like other layers ("Functional", "Model", "Sequential"). Every function of the api
// that reads models calls it; it does its work once.
void register_models();

}  // namespace nacre
