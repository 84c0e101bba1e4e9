#include "layers/conv.h"

#include <algorithm>

#include "backend/graph/ops/conv.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"

namespace nacre {

namespace {

// What all convolutions have in common: the check of the shapes, the bias and activation, channels first or last.
template <class Config, std::size_t rank>
class ConvBase : public ConfiguredLayer<Config> {
 public:
  explicit ConvBase(Config config = {}, LayerOptions options = {})
      : ConfiguredLayer<Config>(std::move(config), std::move(options)) {
    const auto& c = this->config_;
    if (c.padding == ConvPadding::causal && !std::is_same_v<Config, ConvConfig<1>>)
      throw Error("got padding 'causal', which Conv1D alone has").about("'padding'").usage();
    const auto above_one = [](const Extent<rank>& extent) {
      return std::any_of(extent.sizes.begin(), extent.sizes.end(), [](std::int64_t size) { return size > 1; });
    };
    if (above_one(c.strides) && above_one(c.dilation_rate))
      throw Error("got strides and a dilation_rate above 1, wanted one of them to be 1")
          .about("'dilation_rate'")
          .usage();
  }

 protected:
  int channel_axis() const { return this->config_.data_format == DataFormat::channels_first ? 1 : -1; }
  std::int64_t channels(const std::vector<Shape>& inputs) const { return emit::known_size(inputs[0], channel_axis()); }

  void check(const std::vector<Shape>& inputs) const override {
    emit::want_rank(inputs[0], static_cast<int>(rank) + 2);
    if (this->built()) emit::want_size(inputs[0], channel_axis(), this->built_shapes()[0][channel_axis()]);
  }
  // The shape of a kernel: window, then `in` and `out`.
  Shape kernel_shape(std::int64_t in, std::int64_t out) const {
    return Shape(sizes_of(this->config_.kernel_size)) + Shape{in, out};
  }
  void add_bias(std::int64_t filters) {
    const auto& c = this->config_;
    if (c.use_bias)
      bias_ = this->add_weight("bias", {filters}, c.bias_initializer,
                               {.regularizer = c.bias_regularizer, .constraint = c.bias_constraint});
  }
  // ConvAttrs of a convolution with this padding; "causal" has padded before.
  ConvAttrs attrs(std::int64_t groups = 1) const {
    const auto& c = this->config_;
    return {.strides = sizes_of(c.strides),
            .dilations = sizes_of(c.dilation_rate),
            .padding = c.padding == ConvPadding::same ? Padding::same : Padding::valid,
            .groups = groups};
  }

  virtual Value convolve(Context& context, Value x) = 0;  // channels last
  Values call(Context& context, const CallArguments& arguments) override {
    const bool first = this->config_.data_format == DataFormat::channels_first;
    const Value x = arguments.inputs[0];
    Value y = convolve(context, first ? emit::channels_last(x) : x);
    if (bias_) y = y + this->value(context, bias_);
    y = activated(y, this->config_.activation);
    return {first ? emit::channels_first(y) : y};
  }

 private:
  VariableRef bias_;
};

template <std::size_t rank>
class ConvLayer final : public ConvBase<ConvConfig<rank>, rank> {
 public:
  using ConvBase<ConvConfig<rank>, rank>::ConvBase;

 protected:
  void build(const std::vector<Shape>& inputs) override {
    const auto& c = this->config_;
    const std::int64_t in = this->channels(inputs);
    need(in % c.groups == 0 && c.filters % c.groups == 0,
         "got {} input channels and {} filters, wanted both to be divisible by groups = {}", in, c.filters, c.groups);
    kernel_ = this->add_weight("kernel", this->kernel_shape(in / c.groups, c.filters), c.kernel_initializer,
                               {.regularizer = c.kernel_regularizer, .constraint = c.kernel_constraint});
    this->add_bias(c.filters);
  }
  Value convolve(Context& context, Value x) override {
    const auto& c = this->config_;
    if (c.padding == ConvPadding::causal)
      x = ops::pad(x, {0, c.dilation_rate[0] * (c.kernel_size[0] - 1), 0}, {0, 0, 0});
    return ops::conv(x, this->value(context, kernel_), this->attrs(c.groups));
  }

 private:
  VariableRef kernel_;
};

template <std::size_t rank>
class ConvTransposeLayer final : public ConvBase<ConvTransposeConfig<rank>, rank> {
 public:
  explicit ConvTransposeLayer(ConvTransposeConfig<rank> config = {}, LayerOptions options = {})
      : ConvBase<ConvTransposeConfig<rank>, rank>(std::move(config), std::move(options)) {
    const auto& c = this->config_;
    for (std::size_t i = 0; c.output_padding && i < rank; ++i)
      if ((*c.output_padding)[i] >= c.strides[i])
        throw Error("got {} in axis {}, wanted less than strides = {}", (*c.output_padding)[i], i, c.strides[i])
            .about("'output_padding'")
            .usage();
  }

 protected:
  void build(const std::vector<Shape>& inputs) override {
    const auto& c = this->config_;
    kernel_ = this->add_weight("kernel", this->kernel_shape(c.filters, this->channels(inputs)), c.kernel_initializer,
                               {.regularizer = c.kernel_regularizer, .constraint = c.kernel_constraint});
    this->add_bias(c.filters);
  }
  Value convolve(Context& context, Value x) override {
    Shape shape{x.shape()[0]};
    const auto& c = this->config_;
    for (std::size_t i = 0; i < rank; ++i) {
      const std::optional<std::int64_t> extra = c.output_padding ? std::optional((*c.output_padding)[i]) : std::nullopt;
      shape.append(transposed_size(x.shape()[static_cast<int>(i) + 1], c.kernel_size[i], c.strides[i], c.dilation_rate[i],
                                   c.padding == ConvPadding::same, extra));
    }
    shape.append(c.filters);
    return ops::conv_transpose(x, this->value(context, kernel_), this->attrs(), shape);
  }

 private:
  VariableRef kernel_;
};

// Keras stores the kernel (window…, channels, multiplier); as a convolution with a group per channel it is
// (window…, 1, channels·multiplier).
Value depthwise(Value x, Value kernel, ConvAttrs attrs) {
  const Shape& shape = kernel.shape();
  attrs.groups = shape[-2];
  return ops::conv(x, ops::reshape(kernel, shape.first(shape.rank() - 2) + Shape{1, shape[-2] * shape[-1]}),
                   std::move(attrs));
}

template <std::size_t rank>
class DepthwiseConvLayer final : public ConvBase<DepthwiseConvConfig<rank>, rank> {
 public:
  using ConvBase<DepthwiseConvConfig<rank>, rank>::ConvBase;

 protected:
  void build(const std::vector<Shape>& inputs) override {
    const auto& c = this->config_;
    const std::int64_t in = this->channels(inputs);
    kernel_ = this->add_weight("kernel", this->kernel_shape(in, c.depth_multiplier), c.depthwise_initializer,
                               {.regularizer = c.depthwise_regularizer, .constraint = c.depthwise_constraint});
    this->add_bias(emit::product(in, c.depth_multiplier));
  }
  Value convolve(Context& context, Value x) override {
    return depthwise(x, this->value(context, kernel_), this->attrs());
  }

 private:
  VariableRef kernel_;
};

template <std::size_t rank>
class SeparableConvLayer final : public ConvBase<SeparableConvConfig<rank>, rank> {
 public:
  using ConvBase<SeparableConvConfig<rank>, rank>::ConvBase;

 protected:
  void build(const std::vector<Shape>& inputs) override {
    const auto& c = this->config_;
    const std::int64_t in = this->channels(inputs);
    depthwise_kernel_ =
        this->add_weight("depthwise_kernel", this->kernel_shape(in, c.depth_multiplier), c.depthwise_initializer,
                         {.regularizer = c.depthwise_regularizer, .constraint = c.depthwise_constraint});
    Shape pointwise(std::vector<std::int64_t>(rank, 1));
    pointwise_kernel_ = this->add_weight(
        "pointwise_kernel", pointwise + Shape{emit::product(in, c.depth_multiplier), c.filters},
        c.pointwise_initializer, {.regularizer = c.pointwise_regularizer, .constraint = c.pointwise_constraint});
    this->add_bias(c.filters);
  }
  Value convolve(Context& context, Value x) override {
    const Value between = depthwise(x, this->value(context, depthwise_kernel_), this->attrs());
    const std::vector<std::int64_t> ones(rank, 1);
    return ops::conv(between, this->value(context, pointwise_kernel_), {.strides = ones, .dilations = ones});
  }

 private:
  VariableRef depthwise_kernel_, pointwise_kernel_;
};

}  // namespace

std::int64_t transposed_size(std::int64_t size, std::int64_t window, std::int64_t stride, std::int64_t dilation, bool same,
                             std::optional<std::int64_t> extra) {
  const std::int64_t wide = (window - 1) * dilation + 1;
  if (size == unknown) return unknown;
  if (!extra) return same ? size * stride : (size - 1) * stride + std::max(wide, stride);
  return (size - 1) * stride + (same ? wide % 2 : wide) + *extra;
}

LayerRef Conv1D(ConvConfig<1> config, LayerOptions options) {
  return std::make_shared<ConvLayer<1>>(std::move(config), std::move(options));
}
LayerRef Conv2D(ConvConfig<2> config, LayerOptions options) {
  return std::make_shared<ConvLayer<2>>(std::move(config), std::move(options));
}
LayerRef Conv3D(ConvConfig<3> config, LayerOptions options) {
  return std::make_shared<ConvLayer<3>>(std::move(config), std::move(options));
}
LayerRef Conv1DTranspose(ConvTransposeConfig<1> config, LayerOptions options) {
  return std::make_shared<ConvTransposeLayer<1>>(std::move(config), std::move(options));
}
LayerRef Conv2DTranspose(ConvTransposeConfig<2> config, LayerOptions options) {
  return std::make_shared<ConvTransposeLayer<2>>(std::move(config), std::move(options));
}
LayerRef Conv3DTranspose(ConvTransposeConfig<3> config, LayerOptions options) {
  return std::make_shared<ConvTransposeLayer<3>>(std::move(config), std::move(options));
}
LayerRef DepthwiseConv1D(DepthwiseConvConfig<1> config, LayerOptions options) {
  return std::make_shared<DepthwiseConvLayer<1>>(std::move(config), std::move(options));
}
LayerRef DepthwiseConv2D(DepthwiseConvConfig<2> config, LayerOptions options) {
  return std::make_shared<DepthwiseConvLayer<2>>(std::move(config), std::move(options));
}
LayerRef SeparableConv1D(SeparableConvConfig<1> config, LayerOptions options) {
  return std::make_shared<SeparableConvLayer<1>>(std::move(config), std::move(options));
}
LayerRef SeparableConv2D(SeparableConvConfig<2> config, LayerOptions options) {
  return std::make_shared<SeparableConvLayer<2>>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> conv_layers() {
  constexpr std::string_view module = "keras.layers";
  return {layer_info<ConvLayer<1>>(module, {"Convolution1D"}),
          layer_info<ConvLayer<2>>(module, {"Convolution2D"}),
          layer_info<ConvLayer<3>>(module, {"Convolution3D"}),
          layer_info<ConvTransposeLayer<1>>(module, {"Convolution1DTranspose"}),
          layer_info<ConvTransposeLayer<2>>(module, {"Convolution2DTranspose"}),
          layer_info<ConvTransposeLayer<3>>(module, {"Convolution3DTranspose"}),
          layer_info<DepthwiseConvLayer<1>>(module),
          layer_info<DepthwiseConvLayer<2>>(module),
          layer_info<SeparableConvLayer<1>>(module, {"SeparableConvolution1D"}),
          layer_info<SeparableConvLayer<2>>(module, {"SeparableConvolution2D"})};
}

}  // namespace nacre
