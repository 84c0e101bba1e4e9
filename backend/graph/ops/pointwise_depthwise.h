// A convolution of 1 × 1 pixels followed by a depthwise one, as inverted residuals begin (M. Sandler et al.,
// "MobileNetV2", 2018); made by the fuse_depthwise pass.
#pragma once

#include "backend/graph/ops/conv.h"

namespace nacre {

// The epilogues have no residual.
struct PointwiseDepthwiseAttrs {
  ConvAttrs pointwise, depthwise;
  bool operator==(const PointwiseDepthwiseAttrs&) const = default;
  static void describe(auto&& field) {
    field("pointwise", &PointwiseDepthwiseAttrs::pointwise, "the first convolution");
    field("depthwise", &PointwiseDepthwiseAttrs::depthwise, "the second one, of its result");
  }
};

// The place of the depthwise kernel among the operands.
constexpr int depthwise_operand(const PointwiseDepthwiseAttrs& p) { return p.pointwise.epilogue.bias ? 3 : 2; }
// Of what lies between the convolutions.
Type pointwise_type(const Node& node);

namespace op {
extern const OpDef<PointwiseDepthwiseAttrs> pointwise_depthwise;  // (x, kernel [, bias], kernel [, bias]) → y
}  // namespace op

}  // namespace nacre
