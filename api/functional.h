// A graph of layer calls that is itself a layer: Keras's Functional model, without training.
#pragma once

#include <map>
#include <optional>

#include "api/model_card.h"
#include "layers/symbol.h"

namespace nacre {

struct FunctionalConfig {
  static constexpr std::string_view class_name = "Functional";
  static constexpr std::string_view doc = "A graph of layer calls, in Keras's form.";
  Tree layers = Tree::sequence(), input_layers = Tree::sequence(), output_layers = Tree::sequence();
  static void describe(auto&& field) {
    field("layers", &FunctionalConfig::layers, "each with its name and inbound_nodes", required());
    field("input_layers", &FunctionalConfig::input_layers, "[name, 0, 0] of each input", required());
    field("output_layers", &FunctionalConfig::output_layers, "[name, call, output] of each output", required());
  }
};

// As many layers may stand one behind the other in a model of a file: what walks the calls recurses.
inline constexpr std::size_t deepest_model = 4000;

// The calls between input symbols and output symbols. A layer, so that models nest, share layers and are called
// several times. Layers without a name are given Keras's: snake_case(class), then _1, _2, ….
class FunctionalLayer : public Layer {
 public:
  // `inputs` need not come from Input: the model then starts at these symbols (feature extraction). Throws a usage
  // Error when an output depends on anything else, or when two layers have the same name.
  FunctionalLayer(const Symbols& inputs, const Symbols& outputs, LayerOptions options = {});

  std::string_view class_name() const override { return "Functional"; }
  Tree config_tree(Style style) const override;
  static std::shared_ptr<FunctionalLayer> from_config(const Tree& config);

  // For messages and files: the name, or Keras's default for one.
  std::string title() const { return name().empty() ? snake_case(class_name()) : name(); }
  // Throw a usage Error while the input shape is unknown (a Sequential without Input that was not built).
  const Symbols& inputs() const;
  const Symbols& outputs() const;
  bool connected() const { return !outputs_.empty(); }
  // Which layers computed the outputs, in order: what losses and metrics are named after.
  std::vector<std::string> output_names() const;
  std::vector<std::string> input_names() const;

  // In Keras's order, by depth from the outputs; this is the order of layers in files.
  virtual const std::vector<std::shared_ptr<Layer>>& layers() const { return layers_; }
  // The layer of that name, also "outer/inner" in nested models; throws a usage Error with the nearest name.
  std::shared_ptr<Layer> layer(std::string_view name) const;
  // What the layer of that name takes and gives within this model: where another model can begin or end. Of a layer in a
  // nested model ("outer/inner") the calls on the way are recorded again, so that the symbols belong to this model. A layer
  // that is called several times needs the number of the call; throws a usage Error otherwise.
  Symbols inputs_of(std::string_view layer, std::optional<std::size_t> call = {}) const;
  Symbols outputs_of(std::string_view layer, std::optional<std::size_t> call = {}) const;
  // The outputs when all layers are called once more, on these inputs of the same types: the calls are recorded anew.
  Symbols outputs_on(const Symbols& inputs) const;
  // Operands first.
  const std::vector<std::shared_ptr<const LayerCall>>& calls() const { return calls_; }

  // Emits the model for data of any dtype and, where an axis of size one is missing or too many at the end, of another
  // rank; values are cast to the inputs' dtypes. Outside of training a model with one input also takes data with more
  // axes before those of a sample, (3, 12, 16) for (None, 16), and its outputs have them too: Keras 2 took such data for
  // Dense layers. Throws an Error that names the input when the data does not fit.
  CallResult emit(Context& context, Values inputs, const Values& masks);
  // The same as far as one of its calls: what comes into that.
  Values emit_operands(Context& context, Values inputs, const LayerCall& call);

  // What files of it say besides.
  const ModelCard& card() const { return card_; }
  void set_card(ModelCard card) { card_ = std::move(card); }

  std::vector<std::shared_ptr<Layer>> sublayers() const override { return layers(); }
  bool supports_masking() const override { return true; }
  int input_count() const override { return static_cast<int>(inputs_.size()); }

 protected:
  explicit FunctionalLayer(LayerOptions options) : Layer(std::move(options)) {}  // not connected yet
  void connect(Symbols inputs, Symbols outputs);
  void disconnect();

  Values call(Context& context, const CallArguments& arguments) override;
  Values compute_masks(Context& context, const CallArguments& arguments, const Values& outputs) override;
  bool casts_inputs() const override { return false; }  // emit() casts to the inputs' own dtypes
  // Paths of weights are unique within the outermost model: those of a model inside another begin with its name.
  bool prefixes_sublayers() const override { return nested_ || path().find('/') != std::string::npos; }

 private:
  // A call of a layer within this model. The input of a nested model is one output of what the model is called with.
  struct Place {
    std::shared_ptr<const LayerCall> call;
    std::optional<int> output = {};
  };
  Place place_of(std::string_view layer, std::optional<std::size_t> call) const;

  // The results of the calls before `last`; null: of all.
  using CallResults = std::map<const LayerCall*, CallResult>;
  CallResults emit_calls(Context& context, Values inputs, const Values& masks, const LayerCall* last);

  Symbols inputs_, outputs_;
  std::vector<std::shared_ptr<const LayerCall>> calls_;
  std::vector<std::shared_ptr<Layer>> layers_;
  Values output_masks_;  // of the call in progress
  ModelCard card_;
  bool nested_ = false;  // it is a layer of another model
  // By calls of nested models: the calls in them, recorded again for this one.
  mutable std::map<const LayerCall*, std::map<const LayerCall*, std::shared_ptr<const LayerCall>>> opened_;
};

// Gives names to the layers that have none, unique among all of them, and checks that the others are.
void name_layers(const std::vector<std::shared_ptr<Layer>>& layers);

}  // namespace nacre
