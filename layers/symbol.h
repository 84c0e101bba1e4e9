// The functional way to build models: calling a layer on symbols records the call and infers shapes.
//
//   Symbol image = Input({28, 28, 1});
//   Symbol x = Conv2D({.filters = 32, .kernel_size = 3, .activation = "relu"})(image);
//   Symbol logits = Dense({.units = 10})(Flatten()(x));
#pragma once

#include "layers/fields.h"
#include "layers/layer.h"

namespace nacre {

struct LayerCall;

// One output of a recorded layer call (Keras's KerasTensor). A value; cheap to copy.
class Symbol {
 public:
  Symbol() = default;
  Symbol(std::shared_ptr<const LayerCall> call, int index) : call_(std::move(call)), index_(index) {}

  explicit operator bool() const { return call_ != nullptr; }
  const LayerCall& call() const { return *call_; }
  const std::shared_ptr<const LayerCall>& share_call() const { return call_; }
  int index() const { return index_; }
  const Type& type() const;
  const Shape& shape() const { return type().shape; }
  bool operator==(const Symbol&) const = default;

 private:
  std::shared_ptr<const LayerCall> call_;
  int index_ = 0;
};
using Symbols = std::vector<Symbol>;

struct LayerCall {
  std::shared_ptr<Layer> layer;
  Symbols inputs;
  std::map<std::string, Symbols> named;  // as in CallArguments
  Tree options;
  Types types;                           // of the outputs
};

// Records a call: builds the layer for these shapes and infers the output types. Errors carry the layer's label, the
// shapes that came and what was wanted.
Symbols call_layer(const std::shared_ptr<Layer>& layer, Symbols inputs, std::map<std::string, Symbols> named = {},
                   Tree options = {});

// A shared handle to a layer, callable on symbols; what the functions Dense(…), Conv2D(…) return.
class LayerRef : public Ref<Layer> {
 public:
  using Ref::Ref;
  Symbol operator()(Symbol input) const;           // the first output
  Symbol operator()(Symbols inputs) const;
  Symbols all(Symbols inputs, std::map<std::string, Symbols> named = {}, Tree options = {}) const;  // all outputs
};

struct InputConfig {
  static constexpr std::string_view class_name = "InputLayer";
  static constexpr std::string_view doc = "Where data enters a model.";
  std::optional<Shape> shape;        // without the batch axis
  std::optional<Shape> batch_shape;  // with it; one of the two is given
  std::optional<std::int64_t> batch_size;
  DType dtype = DType::float32;
  Only<false> sparse, ragged, optional;
  std::string name;
  static void describe(auto&& field) {
    field("shape", &InputConfig::shape, "of one sample, without the batch axis");
    field("batch_shape", &InputConfig::batch_shape, "with the batch axis, null where it is free");
    field("batch_size", &InputConfig::batch_size, "fixes the batch axis");
    field("dtype", &InputConfig::dtype, "of the data");
    field("sparse", &InputConfig::sparse, "sparse inputs are not supported");
    field("ragged", &InputConfig::ragged, "ragged inputs are not supported");
    field("optional", &InputConfig::optional, "optional inputs are not supported");
    field("name", &InputConfig::name, "unique within its model");
  }
};

// The layer behind a model's input; it passes on what it is given.
class InputLayer final : public Layer {
 public:
  explicit InputLayer(InputConfig config);
  Type type() const { return {config_.dtype, *config_.batch_shape}; }
  std::string_view class_name() const override { return InputConfig::class_name; }
  Tree config_tree(Style style) const override;
  bool supports_masking() const override { return true; }
  bool casts_inputs() const override { return false; }
  int input_count() const override { return 0; }

 protected:
  Values call(Context& context, const CallArguments& arguments) override;

 private:
  InputConfig config_;
};

// A symbol for data of this shape (without the batch axis).
Symbol Input(Shape shape, std::string name = "", DType dtype = DType::float32);
Symbol Input(InputConfig config);

}  // namespace nacre
