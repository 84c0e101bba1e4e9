// Normalisation, attention, convolution, pooling and losses.
#include <algorithm>
#include <cmath>

#include "backend/graph/ops/conv.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/softmax.h"
#include "layers/attend.h"
#include "layers/conv.h"
#include "layers/operations/functions.h"
#include "layers/operations/operation.h"

namespace nacre::operations {

namespace {

constexpr Family neural("keras.src.ops.nn");
constexpr double smallest = 1e-7;  // keras.backend.epsilon()

struct NormalizeFields {
  std::optional<Axes> axis = Axes(-1);
  std::int64_t order = 2;
  std::optional<double> epsilon;
  static void describe(auto&& field) {
    field("axis", &NormalizeFields::axis, "of the vectors; null: all");
    field("order", &NormalizeFields::order, "of the norm", at_least(1));
    field("epsilon", &NormalizeFields::epsilon, "norms below it count as it; null: 1e-7");
  }
};
struct AxisEpsilonFields {
  Axes axis = -1;
  std::optional<double> epsilon;
  static void describe(auto&& field) {
    field("axis", &AxisEpsilonFields::axis, "one or several, made alike together");
    field("epsilon", &AxisEpsilonFields::epsilon, "added to the variance; null: 1e-7");
  }
};
struct LayerNormFields {
  Axes axis = -1;
  std::optional<double> epsilon;
  bool rms_scaling = false;
  static void describe(auto&& field) {
    field("axis", &LayerNormFields::axis, "one or several, made alike together");
    field("epsilon", &LayerNormFields::epsilon, "added to the variance; null: 1e-7");
    field("rms_scaling", &LayerNormFields::rms_scaling, "scale only: the mean stays");
  }
};
struct BatchNormFields {
  std::int64_t axis = -1;
  double epsilon = 1e-3;
  static void describe(auto&& field) {
    field("axis", &BatchNormFields::axis, "of the channels", required());
    field("epsilon", &BatchNormFields::epsilon, "added to the variance");
  }
};
struct AttentionFields {
  bool is_causal = false;
  std::optional<bool> flash_attention;
  std::optional<double> attn_logits_soft_cap;
  static void describe(auto&& field) {
    field("is_causal", &AttentionFields::is_causal, "a query looks at no later key");
    field("flash_attention", &AttentionFields::flash_attention, "how it is computed; the result is the same");
    field("attn_logits_soft_cap", &AttentionFields::attn_logits_soft_cap, "has no effect, as in Keras on TensorFlow");
  }
};
struct ConvFields {
  Tree strides = 1;
  std::string padding = "valid";
  std::optional<DataFormat> data_format;
  Tree dilation_rate = 1;
  static void describe(auto&& field) {
    field("strides", &ConvFields::strides, "of the window, one or one per axis");
    field("padding", &ConvFields::padding, "at the border", one_of({"valid", "same"}));
    field("data_format", &ConvFields::data_format, "where the channels are; null: last");
    field("dilation_rate", &ConvFields::dilation_rate, "distance of the kernel's elements, one or one per axis");
  }
};
struct ConvTransposeFields {
  Tree strides = 1;
  std::string padding = "valid";
  Tree output_padding;
  std::optional<DataFormat> data_format;
  Tree dilation_rate = 1;
  static void describe(auto&& field) {
    field("strides", &ConvTransposeFields::strides, "by which the spatial axes grow, one or one per axis");
    field("padding", &ConvTransposeFields::padding, "at the border", one_of({"valid", "same"}));
    field("output_padding", &ConvTransposeFields::output_padding, "added to the size of the result; null: inferred");
    field("data_format", &ConvTransposeFields::data_format, "where the channels are; null: last");
    field("dilation_rate", &ConvTransposeFields::dilation_rate,
          "distance of the kernel's elements, one or one per axis");
  }
};
struct PoolFields {
  Tree pool_size, strides;
  std::string padding = "valid";
  std::optional<DataFormat> data_format;
  static void describe(auto&& field) {
    field("pool_size", &PoolFields::pool_size, "of the window, one or one per axis", required());
    field("strides", &PoolFields::strides, "of the window; null: its size");
    field("padding", &PoolFields::padding, "at the border", one_of({"valid", "same"}));
    field("data_format", &PoolFields::data_format, "where the channels are; null: last");
  }
};
struct AdaptivePoolFields {
  Tree output_size;
  std::optional<DataFormat> data_format;
  static void describe(auto&& field) {
    field("output_size", &AdaptivePoolFields::output_size, "number of windows, one or one per axis", required());
    field("data_format", &AdaptivePoolFields::data_format, "where the channels are; null: last");
  }
};
struct BlockFields {
  std::int64_t block_size = 1;
  DataFormat data_format = DataFormat::channels_last;
  static void describe(auto&& field) {
    field("block_size", &BlockFields::block_size, "side of the blocks", at_least(1), required());
    field("data_format", &BlockFields::data_format, "where the channels are");
  }
};
struct LogitsField {
  bool from_logits = false;
  static void describe(auto&& field) {
    field("from_logits", &LogitsField::from_logits, "the output has no sigmoid yet");
  }
};
struct ClassesFields {
  bool from_logits = false;
  std::int64_t axis = -1;
  static void describe(auto&& field) {
    field("from_logits", &ClassesFields::from_logits, "the output has no softmax yet");
    field("axis", &ClassesFields::axis, "of the classes");
  }
};
struct RangeField {
  double max_val = 1;
  static void describe(auto&& field) {
    field("max_val", &RangeField::max_val, "the largest value that there can be", required());
  }
};

// --- normalisation ------------------------------------------------------------------------------------------------

Value normalize(Value x, const NormalizeFields& f) {
  x = real(x);
  const std::vector<std::int64_t> axes = axes_of(f.axis, x);
  const double epsilon = f.epsilon.value_or(smallest);
  if (f.order == 2) {
    const Value inverse = ops::rsqrt(ops::sum(ops::square(x), axes, true));
    return x * ops::minimum(inverse, ops::scalar_like(x, 1 / epsilon));
  }
  const Value powers = ops::sum(ops::power(ops::abs(x), ops::scalar_like(x, static_cast<double>(f.order))), axes, true);
  const Value norm = f.order == 1 ? powers : ops::power(powers, ops::scalar_like(x, 1 / static_cast<double>(f.order)));
  return x / ops::maximum(norm, ops::scalar_like(norm, epsilon));
}

// A parameter over the given axes of x, put where it broadcasts; it may be there already.
Value aligned(Value parameter, Value x, const std::vector<std::int64_t>& axes) {
  parameter = ops::cast(parameter, x.dtype());
  if (parameter.shape().rank() == x.shape().rank()) return parameter;
  Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(x.shape().rank()), 1));
  for (std::int64_t axis : axes) shape.set(static_cast<int>(axis), x.shape()[static_cast<int>(axis)]);
  return emit::reshape(parameter, shape);
}

Value in_single(Value x) { return x.dtype() == DType::float64 ? x : ops::cast(x, DType::float32); }

Value layer_norm(const LayerNormFields& f, const Operands& in) {
  const Value x = in_single(in[0]);
  const std::vector<std::int64_t> axes = f.axis.in(x.shape());
  const Value centred = x - ops::mean(x, axes, true);
  const Value inverse = ops::rsqrt(ops::mean(ops::square(centred), axes, true) + f.epsilon.value_or(smallest));
  Value y = (f.rms_scaling ? x : centred) * inverse;
  if (in.given(1)) y = y * aligned(in[1], x, axes);
  if (in.given(2) && !f.rms_scaling) y = y + aligned(in[2], x, axes);
  return ops::cast(y, real(in[0]).dtype());
}

Value rms_norm(const AxisEpsilonFields& f, const Operands& in) {
  const Value x = in_single(in[0]);
  const std::vector<std::int64_t> axes = f.axis.in(x.shape());
  Value y = x * ops::rsqrt(ops::mean(ops::square(x), axes, true) + f.epsilon.value_or(smallest));
  if (in.given(1)) y = y * ops::cast(in[1], y.dtype());
  return ops::cast(y, real(in[0]).dtype());
}

Value batch_norm(const BatchNormFields& f, const Operands& in) {
  const Value x = real(in[0]);
  const std::vector<std::int64_t> axes{x.shape().checked(static_cast<int>(f.axis))};
  const auto parameter = [&](std::size_t i) { return aligned(in[i], x, axes); };
  Value scale = ops::rsqrt(parameter(2) + f.epsilon);
  if (in.given(4)) scale = scale * parameter(4);
  const Value y = (x - parameter(1)) * scale;
  return in.given(3) ? y + parameter(3) : y;
}

// (batch, time, heads, features)
Value attention(const AttentionFields& f, const Operands& in) {
  const DType dtype = common_dtype(std::vector<Operand>{in.operand(0), in.operand(1), in.operand(2)});
  for (std::size_t i = 0; i < 3; ++i) emit::want_rank(in[i].shape(), 4);
  const auto heads_first = [&](std::size_t i) { return ops::transpose(ops::cast(in[i], dtype), {0, 2, 1, 3}); };
  const Value query = heads_first(0);
  Value key = heads_first(1), value = heads_first(2);
  const std::int64_t heads = emit::known_size(query.shape(), 1), key_heads = emit::known_size(key.shape(), 1);
  need(key_heads > 0 && heads % key_heads == 0, "got {} heads of queries and {} of keys, wanted a multiple", heads,
       key_heads);
  const std::int64_t groups = heads / key_heads;
  if (groups > 1 && key.shape()[1] > 1) key = emit::repeat(key, 1, groups), value = emit::repeat(value, 1, groups);
  const double scale =
      in.given(5) ? in.constant(5).as_number() : 1 / std::sqrt(static_cast<double>(emit::known_size(key.shape(), -1)));
  Value scores = emit::scores(query, key, scale);
  if (in.given(3)) scores = scores + ops::cast(in[3], scores.dtype());
  Value sight = in.given(4) ? truth(in[4]) : Value();
  if (f.is_causal) {
    const Value causal = emit::causal_sight(in.graph(), scores.shape()[-2], scores.shape()[-1]);
    sight = sight ? ops::logical_and(sight, causal) : causal;
  }
  Context context(in.graph(), false);
  return ops::transpose(emit::attend(context, scores, value, sight, {.blind = Blind::even}, "").output,
                        {0, 2, 1, 3});
}

// --- convolution and pooling --------------------------------------------------------------------------------------

bool first(const std::optional<DataFormat>& format) { return format == DataFormat::channels_first; }

// The number of spatial axes of pictures, sounds or volumes.
int spatial_axes(Value x) {
  need(x.shape().rank() >= 3 && x.shape().rank() <= 5, "got input {}, wanted rank 3 to 5", x.shape());
  return x.shape().rank() - 2;
}

std::vector<std::int64_t> per_axis(const Tree& tree, int spatial) {
  if (tree.is_number()) return std::vector<std::int64_t>(static_cast<std::size_t>(spatial), tree.as_integer());
  std::vector<std::int64_t> sizes;
  for (const Tree& size : tree.items()) sizes.push_back(size.as_integer());
  if (sizes.size() == 1) sizes.resize(static_cast<std::size_t>(spatial), sizes[0]);
  if (static_cast<int>(sizes.size()) != spatial)
    throw Error("got {} for {} spatial axes", tree.text(), spatial).at(tree.mark());
  return sizes;
}

ConvAttrs conv_attrs(const auto& f, int spatial) {
  return {.strides = per_axis(f.strides, spatial),
          .dilations = per_axis(f.dilation_rate, spatial),
          .padding = f.padding == "same" ? Padding::same : Padding::valid};
}

// In channels last, whatever x is in.
template <class Convolve>
Value with_channels_last(const std::optional<DataFormat>& format, Value x, Convolve convolve) {
  emit::want_rank_at_least(x.shape(), 3);
  return first(format) ? emit::channels_first(convolve(emit::channels_last(x))) : convolve(x);
}

Value conv(const ConvFields& f, const Operands& in) {
  const auto [inputs, kernel] = in.real_pair();
  return with_channels_last(f.data_format, inputs, [&, kernel = kernel](Value x) {
    ConvAttrs attrs = conv_attrs(f, spatial_axes(x));
    need(kernel.shape()[-2] > 0, "got kernel {}, wanted a known number of channels", kernel.shape());
    attrs.groups = emit::known_size(x.shape(), -1) / kernel.shape()[-2];
    return ops::conv(x, kernel, std::move(attrs));
  });
}

// The kernel (window…, channels, multiplier) is one of a group for each channel.
Value depthwise(Value x, Value kernel, ConvAttrs attrs) {
  const Shape& shape = kernel.shape();
  attrs.groups = shape[-2];
  return ops::conv(x, ops::reshape(kernel, shape.first(shape.rank() - 2) + Shape{1, shape[-2] * shape[-1]}),
                   std::move(attrs));
}
Value depthwise_conv(const ConvFields& f, const Operands& in) {
  const auto [inputs, kernel] = in.real_pair();
  return with_channels_last(f.data_format, inputs, [&, kernel = kernel](Value x) {
    return depthwise(x, kernel, conv_attrs(f, spatial_axes(x)));
  });
}
Value separable_conv(const ConvFields& f, const Operands& in) {
  const auto [inputs, kernel] = in.real_pair();
  return with_channels_last(f.data_format, inputs, [&, kernel = kernel](Value x) {
    const std::vector<std::int64_t> ones(static_cast<std::size_t>(spatial_axes(x)), 1);
    return ops::conv(depthwise(x, kernel, conv_attrs(f, spatial_axes(x))), ops::cast(in[2], x.dtype()),
                     {.strides = ones, .dilations = ones});
  });
}

Value conv_transpose(const ConvTransposeFields& f, const Operands& in) {
  const auto [inputs, kernel] = in.real_pair();
  return with_channels_last(f.data_format, inputs, [&, kernel = kernel](Value x) {
    const int spatial = spatial_axes(x);
    const ConvAttrs attrs = conv_attrs(f, spatial);
    Shape shape{x.shape()[0]};
    for (int i = 0; i < spatial; ++i) {
      const auto axis = static_cast<std::size_t>(i);
      std::optional<std::int64_t> extra;
      if (!f.output_padding.is_null()) extra = per_axis(f.output_padding, spatial)[axis];
      shape.append(transposed_size(x.shape()[i + 1], kernel.shape()[i], attrs.strides[axis], attrs.dilations[axis],
                                   f.padding == "same", extra));
    }
    shape.append(kernel.shape()[-2]);
    return ops::conv_transpose(x, kernel, attrs, shape);
  });
}

// The layer's work, where one does the same.
Value by_layer(std::string_view kind, Value x, Tree config, const std::optional<DataFormat>& format) {
  config.set("data_format", first(format) ? "channels_first" : "channels_last");
  const auto layer = registry<Layer>().get(fmt::format("{}{}D", kind, spatial_axes(x))).make(config);
  Context context(x.graph(), false);
  return (*layer)(context, {.inputs = {x}}).outputs.front();
}

Row pooling(std::string_view name, std::string_view doc, std::string_view layer) {
  return neural.operation<PoolFields>(name, "inputs", doc, [layer](const PoolFields& f, const Operands& in) {
    Tree config;
    config.set("pool_size", f.pool_size);
    config.set("strides", f.strides);
    config.set("padding", f.padding);
    return by_layer(layer, real(in[0]), std::move(config), f.data_format);
  });
}
Row adaptive_pooling(std::string_view name, std::string_view doc, std::string_view layer) {
  return neural.operation<AdaptivePoolFields>(name, "inputs", doc,
                                              [layer](const AdaptivePoolFields& f, const Operands& in) {
                                                Tree config;
                                                config.set("output_size", f.output_size);
                                                return by_layer(layer, real(in[0]), std::move(config), f.data_format);
                                              });
}

Value depth_to_space(const BlockFields& f, const Operands& in) {
  return with_channels_last(f.data_format, in[0], [&](Value x) {
    emit::want_rank(x.shape(), 4);
    const std::int64_t n = f.block_size, height = x.shape()[1], width = x.shape()[2],
                       depth = emit::known_size(x.shape(), 3);
    need(n <= depth && depth % (n * n) == 0, "got {} channels, wanted a multiple of {}²", depth, n);
    const std::int64_t batch = x.shape()[0], rest = depth / (n * n);
    const auto by = [&](std::int64_t size) { return size == unknown ? unknown : size * n; };
    const Value blocks = emit::reshape(x, {batch, height, width, n, n, rest});
    return emit::reshape(ops::transpose(blocks, {0, 1, 3, 2, 4, 5}), {batch, by(height), by(width), rest});
  });
}
Value space_to_depth(const BlockFields& f, const Operands& in) {
  return with_channels_last(f.data_format, in[0], [&](Value x) {
    emit::want_rank(x.shape(), 4);
    const std::int64_t n = f.block_size, batch = x.shape()[0], depth = emit::known_size(x.shape(), 3);
    const auto by = [&](std::int64_t size) {
      need(size == unknown || size % n == 0, "got {}, wanted sizes that are multiples of {}", x.shape(), n);
      return size == unknown ? unknown : size / n;
    };
    const std::int64_t height = by(x.shape()[1]), width = by(x.shape()[2]);
    const Value blocks = emit::reshape(x, {batch, height, n, width, n, depth});
    return emit::reshape(ops::transpose(blocks, {0, 1, 3, 2, 4, 5}), {batch, height, width, n * n * depth});
  });
}

// --- losses -------------------------------------------------------------------------------------------------------

Value inside(Value x) { return ops::clip(x, smallest, 1 - smallest); }

Value binary_crossentropy(const LogitsField& f, const Operands& in) {
  const auto [target, output] = in.real_pair();
  if (f.from_logits) return ops::relu(output) - output * target + ops::log1p(ops::exp(-ops::abs(output)));
  const Value p = inside(output);
  return -(target * ops::log(p) + (1.0 - target) * ops::log(1.0 - p));
}

Value categorical_crossentropy(const ClassesFields& f, const Operands& in) {
  const auto [target, output] = in.real_pair();
  const int axis = output.shape().checked(static_cast<int>(f.axis));
  const Value logarithm =
      f.from_logits ? ops::log_softmax(output, axis) : ops::log(inside(output / ops::sum(output, {axis}, true)));
  return -ops::sum(target * logarithm, {axis});
}

Value sparse_crossentropy(const ClassesFields& f, const Operands& in) {
  Value target = ops::cast(in[0], DType::int32);
  const Value output = real(in[1]);
  need(output.shape().checked(static_cast<int>(f.axis)) == output.shape().rank() - 1,
       "got axis {}, wanted the last one", f.axis);
  if (target.shape().rank() == output.shape().rank() && target.shape()[-1] == 1) target = ops::squeeze(target, -1);
  const Value logits = f.from_logits ? output : ops::log(inside(output));
  return -ops::take_along(ops::log_softmax(logits), target, -1);
}

}  // namespace

Rows networks() {
  return {
      neural.operation<NormalizeFields>(
          "Normalize", "x", "Vectors divided by their norms.",
          [](const NormalizeFields& f, const Operands& in) { return normalize(in[0], f); }),
      neural.operation<LayerNormFields>("LayerNorm", "x, gamma, beta",
                                        "Mean 0 and variance 1 over axes, then scale and offset.", layer_norm),
      neural.operation<AxisEpsilonFields>("RMSNorm", "x, scale", "Root mean square 1 over axes, then a scale.",
                                          rms_norm),
      neural.operation<BatchNormFields>("BatchNorm", "x, mean, variance, offset, scale",
                                        "Given mean and variance taken out, then scale and offset.", batch_norm),
      neural.operation<AttentionFields>("DotProductAttention", "query, key, value, bias, mask, scale",
                                        "softmax(q·kᵀ) · v of (batch, time, heads, features).", attention),
      neural.operation<ConvFields>("Conv", "inputs, kernel", "The convolution with a kernel.", conv),
      neural.operation<ConvFields>("DepthwiseConv", "inputs, kernel", "A convolution of each channel on its own.",
                                   depthwise_conv),
      neural.operation<ConvFields>("SeparableConv", "inputs, depthwise_kernel, pointwise_kernel",
                                   "A convolution of each channel, then one that mixes them.", separable_conv),
      neural.operation<ConvTransposeFields>("ConvTranspose", "inputs, kernel",
                                            "The transposed convolution with a kernel.", conv_transpose),
      pooling("MaxPool", "The largest element of each window.", "MaxPooling"),
      pooling("AveragePool", "The mean of each window.", "AveragePooling"),
      adaptive_pooling("AdaptiveMaxPool", "The largest element of each of a given number of windows.",
                       "AdaptiveMaxPooling"),
      adaptive_pooling("AdaptiveAveragePool", "The mean of each of a given number of windows.",
                       "AdaptiveAveragePooling"),
      neural.operation<BlockFields>("DepthToSpace", "x", "Channels as blocks of the picture.", depth_to_space),
      neural.operation<BlockFields>("SpaceToDepth", "x", "Blocks of the picture as channels.", space_to_depth),
      neural.operation<LogitsField>("BinaryCrossentropy", "target, output",
                                    "The cross-entropy of two classes, element by element.", binary_crossentropy),
      neural.operation<ClassesFields>("CategoricalCrossentropy", "target, output",
                                      "The cross-entropy with given shares of the classes.", categorical_crossentropy),
      neural.operation<ClassesFields>("SparseCategoricalCrossentropy", "target, output",
                                      "The cross-entropy with the number of the class.", sparse_crossentropy),
      neural.operation<RangeField>("PSNR", "x1, x2", "The peak signal to noise ratio, in decibels.",
                                   [](const RangeField& f, const Operands& in) {
                                     const auto [a, b] = in.real_pair();
                                     return 20 * std::log10(f.max_val) -
                                            10 / std::log(10.0) * ops::log(ops::mean(ops::square(a - b)));
                                   }),
  };
}

}  // namespace nacre::operations
