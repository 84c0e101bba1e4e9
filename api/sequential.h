// A stack of layers: Keras's Sequential.
#pragma once

#include "api/functional.h"

namespace nacre {

struct SequentialConfig {
  static constexpr std::string_view class_name = "Sequential";
  static constexpr std::string_view doc = "Layers, each of which takes the result of the one before.";
  Tree layers = Tree::sequence();
  std::optional<Shape> build_input_shape;
  static void describe(auto&& field) {
    field("layers", &SequentialConfig::layers, "first to last", required());
    field("build_input_shape", &SequentialConfig::build_input_shape, "with the batch axis, where the layers have no input");
  }
};

// Each layer takes the result of the one before. Without an input the stack is connected when it is built for a shape:
// on its first call, or when data comes.
class SequentialLayer final : public FunctionalLayer {
 public:
  explicit SequentialLayer(LayerOptions options = {}) : FunctionalLayer(std::move(options)) {}

  std::string_view class_name() const override { return "Sequential"; }
  // {name, trainable, dtype, layers, build_input_shape}; the input comes first when the shape is known.
  Tree config_tree(Style style) const override;
  static std::shared_ptr<SequentialLayer> from_config(const Tree& config);

  void set_input(const Symbol& input);  // made by Input; before any layer is connected
  void add(std::shared_ptr<Layer> layer);
  std::shared_ptr<Layer> pop();

  const std::vector<std::shared_ptr<Layer>>& layers() const override { return stack_; }  // without the input

 protected:
  void build(const std::vector<Shape>& inputs) override;

 private:
  void append(std::shared_ptr<Layer> layer);  // without connecting the model to it
  void remove_last();
  void call_new_layers();
  void reconnect();

  Symbol input_;
  std::vector<std::shared_ptr<Layer>> stack_;
  std::vector<Symbols> results_;  // of the layers that are connected, after the input
};

}  // namespace nacre
