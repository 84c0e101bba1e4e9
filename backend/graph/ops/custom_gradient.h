// Values whose gradient is given by hand.
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

// The backward graph has inputs for the cotangents of all results and for the residuals, in this order, and an output
// for each argument. It has no variables.
struct CustomGradientAttrs {
  Subgraph backward;
  std::int64_t results = 0, arguments = 0;  // the remaining operands are residuals
  bool operator==(const CustomGradientAttrs&) const = default;
  static void describe(auto&& field) {
    field("backward", &CustomGradientAttrs::backward, "the gradients of the arguments");
    field("results", &CustomGradientAttrs::results, "values that are passed on");
    field("arguments", &CustomGradientAttrs::arguments, "values that the gradients go to");
  }
};

namespace op {
// (results, arguments, residuals) → the results, as they are. Their gradients do not go on to what they were computed
// from, but, by the backward graph, to the arguments: backward(cotangents, residuals), zeros where there is no
// cotangent. Emitted where a node stands, so a second derivative goes on into residuals. Nothing is left of the op
// where no gradient was taken; see passes/simplify.h.
extern const OpDef<CustomGradientAttrs> custom_gradient;
}  // namespace op

namespace ops {
Values custom_gradient(const Values& results, const Values& arguments, const Values& residuals, Subgraph backward);
}  // namespace ops

}  // namespace nacre
