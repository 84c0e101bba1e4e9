#include "layers/conv_lstm.h"

#include <algorithm>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"
#include "layers/cell.h"
#include "layers/emit.h"

namespace nacre {

namespace {

constexpr std::int64_t gates = 4;

// The convolution of x with the kernels of all gates; with dropout, x is masked before in its own way for each gate.
Value masked_conv(Value x, Value kernel, const Values& masks, const ConvAttrs& attrs) {
  if (masks.empty()) return ops::conv(x, kernel, attrs);
  const std::int64_t filters = kernel.shape()[-1] / gates;
  Values parts;
  for (std::int64_t i = 0; i < gates; ++i)
    parts.push_back(ops::conv(x * masks[static_cast<std::size_t>(i)],
                              ops::slice_axis(kernel, -1, i * filters, (i + 1) * filters), attrs));
  return ops::concat(std::move(parts), -1);
}

// Shi et al., "Convolutional LSTM network" (2015), without peepholes. Channels last, whatever the layer's data format.
template <std::size_t rank>
class ConvLSTMCell final : public ConfiguredLayer<ConvLSTMConfig<rank>, Cell> {
 public:
  using ConfiguredLayer<ConvLSTMConfig<rank>, Cell>::ConfiguredLayer;
  std::vector<Shape> state_shapes() const override { return {state_, state_}; }
  Ref<Regularizer> activity_regularizer() const override { return {}; }  // that of the whole layer

  CellConstants constants(Context& context, Value features, const Values& states) override {
    const auto& c = this->config_;
    CellConstants all{.kernel = this->value(context, kernel_),
                      .recurrent_kernel = this->value(context, recurrent_kernel_)};
    if (bias_) all.bias = this->value(context, bias_);
    const auto masks = [&](double rate, Value like) {  // Keras drops nothing at the rate 1
      return dropout_masks(context, like, rate < 1 ? rate : 0, gates, this->path(), c.seed);
    };
    all.input_masks = masks(c.dropout, features);
    all.state_masks = masks(c.recurrent_dropout, states[0]);
    return all;
  }
  Value project(Value x, const CellConstants& constants) const override {
    const auto& c = this->config_;
    const ConvAttrs attrs{.strides = sizes_of(c.strides), .dilations = sizes_of(c.dilation_rate), .padding = c.padding};
    // The leading axes of x become one batch, and the masks, the same at each step, are repeated along it.
    const Shape leading = x.shape().first(x.shape().rank() - static_cast<int>(rank) - 1);
    const std::int64_t batch = leading.known() ? leading.elements() : unknown;
    const auto flat = [&](Value value) { return emit::reshape(value, Shape{batch} + x.shape().from(leading.rank())); };
    Values masks;
    for (const Value& mask : constants.input_masks) masks.push_back(flat(emit::broadcast(mask, x.shape())));
    Value y = masked_conv(flat(x), constants.kernel, masks, attrs);
    if (constants.bias) y = y + constants.bias;
    return emit::reshape(y, leading + y.shape().from(1));
  }
  CellStep step(Value projected, const Values& states, const CellConstants& constants) const override {
    const std::vector<std::int64_t> ones(rank, 1);
    const Value recurrent = masked_conv(states[0], constants.recurrent_kernel, constants.state_masks,
                                        {.strides = ones, .dilations = ones, .padding = Padding::same});
    return long_short_term_step(projected + recurrent, states[1], this->config_.activation,
                                this->config_.recurrent_activation);
  }

 protected:
  void build(const std::vector<Shape>& inputs) override {
    const auto& c = this->config_;
    const Shape window(sizes_of(c.kernel_size));
    const std::int64_t width = emit::product(gates, c.filters);
    kernel_ = this->add_weight("kernel", window + Shape{inputs[0][-1], width}, c.kernel_initializer,
                               {.regularizer = c.kernel_regularizer, .constraint = c.kernel_constraint});
    recurrent_kernel_ =
        this->add_weight("recurrent_kernel", window + Shape{c.filters, width}, c.recurrent_initializer,
                         {.regularizer = c.recurrent_regularizer, .constraint = c.recurrent_constraint});
    if (c.use_bias)
      bias_ = this->add_weight("bias", {width},
                               c.unit_forget_bias ? with_unit_forget_bias(c.bias_initializer) : c.bias_initializer,
                               {.regularizer = c.bias_regularizer, .constraint = c.bias_constraint});
    state_ = Shape();
    for (std::size_t i = 0; i < rank; ++i)
      state_.append(
          window_axis(inputs[0][static_cast<int>(i) + 1], c.kernel_size[i], c.strides[i], c.dilation_rate[i], c.padding)
              .output);
    state_.append(c.filters);
  }

 private:
  VariableRef kernel_, recurrent_kernel_, bias_;
  Shape state_;
};

// Inside, channels are last: sequences and states are turned on their way in and out.
template <std::size_t rank>
class ConvLSTMLayer final : public ConfiguredLayer<ConvLSTMConfig<rank>, RecurrentLayer> {
 public:
  explicit ConvLSTMLayer(ConvLSTMConfig<rank> config = {}, LayerOptions options = {})
      : ConfiguredLayer<ConvLSTMConfig<rank>, RecurrentLayer>(std::move(config), std::move(options)) {
    const auto& c = this->config_;
    const auto above_one = [](const Extent<rank>& extent) { return std::ranges::max(extent.sizes) > 1; };
    if (above_one(c.strides) && above_one(c.dilation_rate))
      throw Error("got strides and a dilation_rate above 1, wanted one of them to be 1")
          .about("'dilation_rate'")
          .usage();
    LayerOptions inner = this->options_;
    inner.name = "conv_lstm_cell";
    cell_ = std::make_shared<ConvLSTMCell<rank>>(c, std::move(inner));
  }
  RecurrentLayer::Flags flags() const override {
    const auto& c = this->config_;
    return {c.return_sequences, c.return_state, c.go_backwards, c.stateful, c.zero_output_for_mask};
  }
  const std::shared_ptr<Cell>& cell() const override { return cell_; }

 protected:
  int input_rank() const override { return static_cast<int>(rank) + 3; }
  void build(const std::vector<Shape>& inputs) override {
    if (!channels_first()) return RecurrentLayer::build(inputs);
    const Shape& x = inputs[0];
    RecurrentLayer::build({x.first(2) + x.from(3) + Shape{x[2]}});
  }
  Values call(Context& context, const CallArguments& arguments) override {
    if (!channels_first()) return RecurrentLayer::call(context, arguments);
    const auto turn = [](Values& values, bool in) {  // a sequence's channels are axis 2, a state's are axis 1
      for (Value& value : values) {
        const int axis = value.shape().rank() - static_cast<int>(rank) - 1;
        value = in ? emit::move_axis(value, axis, -1) : emit::move_axis(value, -1, axis);
      }
    };
    CallArguments inside = arguments;
    turn(inside.inputs, true);
    for (auto& [name, values] : inside.named) turn(values, true);
    Values outputs = RecurrentLayer::call(context, inside);
    turn(outputs, false);
    return outputs;
  }

 private:
  bool channels_first() const { return this->config_.data_format == DataFormat::channels_first; }

  std::shared_ptr<Cell> cell_;
};

}  // namespace

LayerRef ConvLSTM1D(ConvLSTMConfig<1> config, LayerOptions options) {
  return std::make_shared<ConvLSTMLayer<1>>(std::move(config), std::move(options));
}
LayerRef ConvLSTM2D(ConvLSTMConfig<2> config, LayerOptions options) {
  return std::make_shared<ConvLSTMLayer<2>>(std::move(config), std::move(options));
}
LayerRef ConvLSTM3D(ConvLSTMConfig<3> config, LayerOptions options) {
  return std::make_shared<ConvLSTMLayer<3>>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> conv_lstm_layers() {
  return {layer_info<ConvLSTMLayer<1>>(), layer_info<ConvLSTMLayer<2>>(), layer_info<ConvLSTMLayer<3>>()};
}

}  // namespace nacre
