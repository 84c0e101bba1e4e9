#include "layers/recurrent.h"

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/recurrent.h"
#include "backend/graph/ops/shape.h"
#include "layers/cell.h"
#include "layers/emit.h"

namespace nacre {

namespace {

// x · kernel over the last axis; with dropout, x is masked before: once, or in its own way for each of the gates.
Value masked_product(Value x, Value kernel, const Values& masks) {
  if (masks.empty()) return ops::dense(x, kernel);
  if (masks.size() == 1) return ops::dense(x * masks[0], kernel);
  const std::int64_t size = kernel.shape()[1] / static_cast<std::int64_t>(masks.size());
  Values gates;
  for (std::size_t i = 0; i < masks.size(); ++i) {
    const auto begin = static_cast<std::int64_t>(i) * size;
    gates.push_back(ops::dense(x * masks[i], ops::slice_axis(kernel, 1, begin, begin + size)));
  }
  return ops::concat(std::move(gates), -1);
}

// A cell of gates that are computed alike; Config is that of the cell or of the whole layer.
template <class Config, int gates>
class GatedCell : public ConfiguredLayer<Config, Cell> {
 public:
  using ConfiguredLayer<Config, Cell>::ConfiguredLayer;
  std::vector<Shape> state_shapes() const override { return {{this->config_.units}}; }
  Ref<Regularizer> activity_regularizer() const override { return {}; }  // that of the whole layer

  CellConstants constants(Context& context, Value features, const Values& states) override {
    const Config& c = this->config_;
    CellConstants all{.kernel = this->value(context, kernel_),
                      .recurrent_kernel = this->value(context, recurrent_kernel_)};
    if (bias_) all.bias = this->value(context, bias_);
    // With recurrent dropout each gate has masks of its own, as in Keras.
    const int count = c.recurrent_dropout > 0 ? gates : 1;
    all.input_masks = dropout_masks(context, features, c.dropout, count, this->path(), c.seed);
    all.state_masks = dropout_masks(context, states[0], c.recurrent_dropout, count, this->path(), c.seed);
    return all;
  }
  Value project(Value x, const CellConstants& constants) const override {
    const Value y = masked_product(x, constants.kernel, constants.input_masks);
    return constants.bias ? y + input_bias(constants.bias) : y;
  }

 protected:
  std::int64_t width() const { return emit::product(gates, this->config_.units); }
  virtual Shape bias_shape() const { return {width()}; }
  virtual Ref<Initializer> bias_initializer() const { return this->config_.bias_initializer; }
  virtual Value input_bias(Value bias) const { return bias; }
  void check(const std::vector<Shape>& inputs) const override {
    need(!inputs.empty(), "got no inputs, wanted one step of a sequence");
    emit::want_rank(inputs[0], 2);
  }
  void build(const std::vector<Shape>& inputs) override {
    const Config& c = this->config_;
    kernel_ = this->add_weight("kernel", {emit::known_size(inputs[0], -1), width()}, c.kernel_initializer,
                               {.regularizer = c.kernel_regularizer, .constraint = c.kernel_constraint});
    recurrent_kernel_ =
        this->add_weight("recurrent_kernel", {c.units, width()}, c.recurrent_initializer,
                         {.regularizer = c.recurrent_regularizer, .constraint = c.recurrent_constraint});
    if (c.use_bias)
      bias_ = this->add_weight("bias", bias_shape(), bias_initializer(),
                               {.regularizer = c.bias_regularizer, .constraint = c.bias_constraint});
  }
  // The gates [begin, end) of the last axis.
  Value part(Value value, int begin, int end) const {
    return ops::slice_axis(value, -1, begin * this->config_.units, end * this->config_.units);
  }

 private:
  VariableRef kernel_, recurrent_kernel_, bias_;
};

template <class Config>
class SimpleCell final : public GatedCell<Config, 1> {
 public:
  using GatedCell<Config, 1>::GatedCell;
  CellStep step(Value x, const Values& states, const CellConstants& constants) const override {
    const Value h = activated(x + masked_product(states[0], constants.recurrent_kernel, constants.state_masks),
                              this->config_.activation);
    return {h, {h}};
  }
};

// Hochreiter and Schmidhuber, "Long short-term memory" (1997). Gates: i f c o.
template <class Config>
class LongShortTermCell final : public GatedCell<Config, 4> {
 public:
  using GatedCell<Config, 4>::GatedCell;
  std::vector<Shape> state_shapes() const override { return {{this->config_.units}, {this->config_.units}}; }
  CellStep step(Value x, const Values& states, const CellConstants& constants) const override {
    const Value z = x + masked_product(states[0], constants.recurrent_kernel, constants.state_masks);
    return long_short_term_step(z, states[1], this->config_.activation, this->config_.recurrent_activation);
  }

 protected:
  Ref<Initializer> bias_initializer() const override {
    const Ref<Initializer>& initializer = this->config_.bias_initializer;
    return this->config_.unit_forget_bias ? with_unit_forget_bias(initializer) : initializer;
  }
};

// Cho et al., "Learning phrase representations using RNN encoder-decoder" (2014). Gates: z r h. With reset_after the
// bias has two rows, one for the input and one for the state.
template <class Config>
class GatedRecurrentCell final : public GatedCell<Config, 3> {
 public:
  using GatedCell<Config, 3>::GatedCell;
  CellStep step(Value x, const Values& states, const CellConstants& constants) const override {
    const auto& [activation, gate] = std::tie(this->config_.activation, this->config_.recurrent_activation);
    const Value h = states[0], kernel = constants.recurrent_kernel;
    const Values& masks = constants.state_masks;
    Value candidate, gates;
    if (this->config_.reset_after) {
      Value inner = masked_product(h, kernel, masks);
      if (constants.bias) inner = inner + ops::slice_axis(constants.bias, 0, 1, 2);
      gates = activated(this->part(x, 0, 2) + this->part(inner, 0, 2), gate);
      candidate = this->part(gates, 1, 2) * this->part(inner, 2, 3);
    } else {
      const Values outer(masks.begin(), masks.begin() + (masks.empty() ? 0 : 2));
      gates = activated(this->part(x, 0, 2) + masked_product(h, this->part(kernel, 0, 2), outer), gate);
      const Value kept = masks.empty() ? h : h * masks[2];
      candidate = ops::matmul(this->part(gates, 1, 2) * kept, this->part(kernel, 2, 3));
    }
    const Value z = this->part(gates, 0, 1), next = activated(this->part(x, 2, 3) + candidate, activation);
    const Value y = z * h + (1.0 - z) * next;
    return {y, {y}};
  }

 protected:
  Shape bias_shape() const override {
    return this->config_.reset_after ? Shape{2, this->width()} : Shape{this->width()};
  }
  Value input_bias(Value bias) const override {
    return this->config_.reset_after ? ops::slice_axis(bias, 0, 0, 1) : bias;
  }
};

template <class Base>
std::shared_ptr<Base> want(const Ref<Layer>& layer, std::string_view key, std::string_view what) {
  auto wanted = layer ? std::dynamic_pointer_cast<Base>(layer.share()) : nullptr;
  if (!wanted)
    throw Error("got {}, wanted {}", layer ? layer->class_name() : "nothing", what)
        .about(fmt::format("'{}'", key))
        .usage();
  return wanted;
}

class StackedCells final : public ConfiguredLayer<StackedRNNCellsConfig, Cell> {
 public:
  explicit StackedCells(StackedRNNCellsConfig config = {}, LayerOptions options = {})
      : ConfiguredLayer(std::move(config), std::move(options)) {
    for (const Ref<Layer>& cell : config_.cells) cells_.push_back(want<Cell>(cell, "cells", "cells such as LSTMCell"));
    if (cells_.empty()) throw Error("got none, wanted at least one cell").about("'cells'").usage();
    std::map<std::string, int>
        counts;  // unnamed cells of one class are told apart, as their weights' paths must differ
    for (const auto& cell : cells_) {
      const std::string base = snake_case(cell->class_name());
      if (const int count = counts[base]++; cell->name().empty())
        cell->rename(count ? fmt::format("{}_{}", base, count) : base);
    }
  }
  std::vector<std::shared_ptr<Layer>> sublayers() const override { return {cells_.begin(), cells_.end()}; }
  std::vector<Shape> state_shapes() const override {
    std::vector<Shape> shapes;
    for (const auto& cell : cells_)
      for (Shape& shape : cell->state_shapes()) shapes.push_back(std::move(shape));
    return shapes;
  }
  Shape output_shape() const override { return cells_.back()->output_shape(); }
  void check(const std::vector<Shape>& inputs) const override { need(!inputs.empty(), "got no inputs, wanted one step"); }

  CellConstants constants(Context& context, Value features, const Values& states) override {
    CellConstants all;
    auto state = states.begin();
    for (const auto& cell : cells_) {
      const Values own = take(state, *cell);
      all.cells.push_back(cell->constants(context, features, own));
      features = own[0];  // results have the shape of the first state
    }
    return all;
  }
  Value project(Value x, const CellConstants& constants) const override {
    return cells_[0]->project(x, constants.cells[0]);
  }
  CellStep step(Value projected, const Values& states, const CellConstants& constants) const override {
    CellStep all{projected, {}};
    auto state = states.begin();
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      if (i > 0) all.output = cells_[i]->project(all.output, constants.cells[i]);
      CellStep own = cells_[i]->step(all.output, take(state, *cells_[i]), constants.cells[i]);
      all.output = own.output;
      all.states.insert(all.states.end(), own.states.begin(), own.states.end());
    }
    return all;
  }

 protected:
  void build(const std::vector<Shape>& inputs) override {
    Shape shape = inputs[0];
    for (const auto& cell : cells_) {
      cell->ensure_built({shape});
      shape = Shape{inputs[0][0]} + cell->output_shape();
    }
  }

 private:
  static Values take(Values::const_iterator& state, const Cell& cell) {
    const auto begin = state;
    state += static_cast<std::ptrdiff_t>(cell.state_shapes().size());
    return {begin, state};
  }

  std::vector<std::shared_ptr<Cell>> cells_;
};

// --- layers -------------------------------------------------------------------------------------------------------

template <class Config>
class ConfiguredRecurrentLayer : public ConfiguredLayer<Config, RecurrentLayer> {
 public:
  using ConfiguredLayer<Config, RecurrentLayer>::ConfiguredLayer;
  RecurrentLayer::Flags flags() const override {
    const Config& c = this->config_;
    return {c.return_sequences, c.return_state, c.go_backwards, c.stateful, c.zero_output_for_mask};
  }
};

class GenericRecurrentLayer final : public ConfiguredRecurrentLayer<RNNConfig> {
 public:
  explicit GenericRecurrentLayer(RNNConfig config = {}, LayerOptions options = {})
      : ConfiguredRecurrentLayer(std::move(config), std::move(options)),
        cell_(want<Cell>(config_.cell, "cell", "a cell such as LSTMCell")) {}
  const std::shared_ptr<Cell>& cell() const override { return cell_; }

 private:
  std::shared_ptr<Cell> cell_;
};

// A layer of one kind of cell; with the usual activations the whole walk is one op.
template <class Config, template <class> class CellOf>
class GatedRecurrentLayer final : public ConfiguredRecurrentLayer<Config> {
 public:
  explicit GatedRecurrentLayer(Config config = {}, LayerOptions options = {})
      : ConfiguredRecurrentLayer<Config>(std::move(config), std::move(options)) {
    LayerOptions inner = this->options_;
    inner.name = snake_case(Config::class_name) + "_cell";
    cell_ = std::make_shared<CellOf<Config>>(this->config_, std::move(inner));
  }
  const std::shared_ptr<Cell>& cell() const override { return cell_; }

 protected:
  std::optional<Walked> fused(const CellConstants& constants, Value x, const Values& states) const override {
    const Config& c = this->config_;
    const auto is = [](const Ref<Activation>& activation, std::string_view name) {
      return activation && activation->class_name() == name;
    };
    if (!is(c.activation, "tanh")) return {};
    if constexpr (requires { c.recurrent_activation; })
      if (!is(c.recurrent_activation, "sigmoid")) return {};
    RecurrentAttrs attrs{.cell = CellKind::simple, .reverse = c.go_backwards};
    if constexpr (requires { c.unit_forget_bias; }) attrs.cell = CellKind::lstm;
    if constexpr (requires { c.reset_after; }) attrs.cell = c.reset_after ? CellKind::gru_reset_after : CellKind::gru;
    const std::int64_t width = constants.kernel.shape()[1];
    const Shape bias_shape = attrs.cell == CellKind::gru_reset_after ? Shape{2, width} : Shape{width};
    const Value bias = constants.bias ? constants.bias : emit::zeros(x.graph(), {x.dtype(), bias_shape});
    if (!constants.input_masks.empty()) x = x * ops::expand_dims(constants.input_masks[0], 1);
    const ops::RecurrentResult result = ops::recurrent(x, constants.kernel, constants.recurrent_kernel, bias, states[0],
                                                       states.size() > 1 ? states[1] : Value(), attrs);
    Values last{result.h};
    if (result.c) last.push_back(result.c);
    return Walked{result.sequence, result.h, std::move(last)};
  }

 private:
  std::shared_ptr<Cell> cell_;
};

using SimpleRNNLayer = GatedRecurrentLayer<SimpleRNNConfig, SimpleCell>;
using LSTMLayer = GatedRecurrentLayer<LSTMConfig, LongShortTermCell>;
using GRULayer = GatedRecurrentLayer<GRUConfig, GatedRecurrentCell>;

}  // namespace

LayerRef SimpleRNNCell(SimpleRNNCellConfig config, LayerOptions options) {
  return std::make_shared<SimpleCell<SimpleRNNCellConfig>>(std::move(config), std::move(options));
}
LayerRef LSTMCell(LSTMCellConfig config, LayerOptions options) {
  return std::make_shared<LongShortTermCell<LSTMCellConfig>>(std::move(config), std::move(options));
}
LayerRef GRUCell(GRUCellConfig config, LayerOptions options) {
  return std::make_shared<GatedRecurrentCell<GRUCellConfig>>(std::move(config), std::move(options));
}
LayerRef StackedRNNCells(StackedRNNCellsConfig config, LayerOptions options) {
  return std::make_shared<StackedCells>(std::move(config), std::move(options));
}
LayerRef SimpleRNN(SimpleRNNConfig config, LayerOptions options) {
  return std::make_shared<SimpleRNNLayer>(std::move(config), std::move(options));
}
LayerRef LSTM(LSTMConfig config, LayerOptions options) {
  return std::make_shared<LSTMLayer>(std::move(config), std::move(options));
}
LayerRef GRU(GRUConfig config, LayerOptions options) {
  return std::make_shared<GRULayer>(std::move(config), std::move(options));
}
LayerRef RNN(RNNConfig config, LayerOptions options) {
  return std::make_shared<GenericRecurrentLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> recurrent_layers() {
  return {layer_info<SimpleCell<SimpleRNNCellConfig>>(),
          layer_info<LongShortTermCell<LSTMCellConfig>>(),
          layer_info<GatedRecurrentCell<GRUCellConfig>>(),
          layer_info<StackedCells>(),
          layer_info<SimpleRNNLayer>(),
          layer_info<LSTMLayer>(),
          layer_info<GRULayer>(),
          layer_info<GenericRecurrentLayer>()};
}

}  // namespace nacre
