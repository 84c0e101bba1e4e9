// Convolution over one to three spatial axes, channels last: x (batch, spatial…, channels),
// kernel (spatial…, channels / groups, filters). Cross-correlation, as in Keras.
#pragma once

#include "backend/graph/ops/epilogue.h"

namespace nacre {

enum class Padding : std::uint8_t { valid, same };
template <>
struct EnumNames<Padding> {
  static constexpr std::string_view names[] = {"valid", "same"};
};

struct ConvAttrs {
  std::vector<std::int64_t> strides, dilations;  // per spatial axis
  Padding padding = Padding::valid;              // same: TensorFlow's, the odd element goes after
  std::vector<std::int64_t> before{},
      after{};  // zeros around each spatial axis, before `padding` adds its own; empty: none
  std::int64_t groups = 1;
  Epilogue epilogue;
  bool operator==(const ConvAttrs&) const = default;
  static void describe(auto&& field) {
    field("strides", &ConvAttrs::strides, "per spatial axis");
    field("dilations", &ConvAttrs::dilations, "per spatial axis");
    field("padding", &ConvAttrs::padding, "valid or same");
    field("before", &ConvAttrs::before, "zeros put before each spatial axis");
    field("after", &ConvAttrs::after, "zeros put after each spatial axis");
    field("groups", &ConvAttrs::groups, "channels are split into so many independent convolutions");
    field("epilogue", &ConvAttrs::epilogue, "computed on the result");
  }
};

// Elements put before and after one spatial axis, and the size of the result.
struct WindowAxis {
  std::int64_t before = 0, after = 0, output = unknown;
};
// Of a window of `window` elements, `dilation` apart; `size` may be unknown. Throws Error when the window does not fit.
WindowAxis window_axis(std::int64_t size, std::int64_t window, std::int64_t stride, std::int64_t dilation,
                       Padding padding);
// The same with zeros put around the axis first; they count as part of what is put before and after.
WindowAxis window_axis(std::int64_t size, std::int64_t window, std::int64_t stride, std::int64_t dilation,
                       Padding padding, std::int64_t before, std::int64_t after);
// Of each spatial axis of x.
std::vector<WindowAxis> window_axes(const ConvAttrs& p, const Shape& x, const Shape& kernel);

struct ConvBackwardDataAttrs {
  ConvAttrs conv;
  Shape shape;  // of the result: the operand of the convolution; sizes unknown there are unknown here
  bool operator==(const ConvBackwardDataAttrs&) const = default;
  static void describe(auto&& field) {
    field("conv", &ConvBackwardDataAttrs::conv, "the convolution");
    field("shape", &ConvBackwardDataAttrs::shape, "of the convolution's operand");
  }
};
struct ConvBackwardWeightsAttrs {
  ConvAttrs conv;
  Shape shape;        // of the kernel
  bool bias = false;  // a second output: the gradient of a bias, dy summed over all but the last axis
  bool operator==(const ConvBackwardWeightsAttrs&) const = default;
  static void describe(auto&& field) {
    field("conv", &ConvBackwardWeightsAttrs::conv, "the convolution");
    field("shape", &ConvBackwardWeightsAttrs::shape, "of the kernel");
    field("bias", &ConvBackwardWeightsAttrs::bias, "also gives the gradient of a bias");
  }
};

namespace op {
// The gradients are convolutions again, so they exist to any order. They come before epilogues are fused: the
// convolution of a backward op has none.
extern const OpDef<ConvAttrs> conv;                            // (x, kernel [, bias] [, residual]) → y
extern const OpDef<ConvBackwardDataAttrs> conv_backward_data;  // (dy, kernel) → dx; also the transposed convolution
extern const OpDef<ConvBackwardWeightsAttrs> conv_backward_weights;  // (x, dy) → dkernel [, dbias]
}  // namespace op

namespace ops {
Value conv(Value x, Value kernel, ConvAttrs attrs);
// The transposed convolution: the adjoint of `conv` whose operand has `shape` (batch and spatial sizes may be unknown).
Value conv_transpose(Value y, Value kernel, ConvAttrs attrs, Shape shape);
}  // namespace ops

}  // namespace nacre
