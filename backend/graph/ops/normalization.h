// Normalisations that backends have kernels for.
#pragma once

#include "backend/graph/ops/epilogue.h"

namespace nacre {

struct EpsilonAttrs {
  double epsilon = 1e-3;
  bool operator==(const EpsilonAttrs&) const = default;
  static void describe(auto&& field) { field("epsilon", &EpsilonAttrs::epsilon, "added to the variance"); }
};

struct BatchNormAttrs {
  double epsilon = 1e-3;
  Epilogue epilogue;  // without bias; relu or clip, the latter without residual
  bool operator==(const BatchNormAttrs&) const = default;
  static void describe(auto&& field) {
    field("epsilon", &BatchNormAttrs::epsilon, "added to the variance");
    field("epilogue", &BatchNormAttrs::epilogue, "computed on the result");
  }
};

namespace op {
// gamma and beta have the size of the last axis and either x's dtype or float32; means, variances and sums have theirs.
// Variances are biased. A decomposition serves backends without a kernel, and second derivatives.

// (x, gamma, beta [, residual]) → y, mean, variance; over all axes but the last. y is activation(normal [+ residual]).
extern const OpDef<BatchNormAttrs> batch_norm;
// (x, gamma, mean, variance, dy [, beta or y]) → dx, dgamma, dbeta [, dresidual]. With an activation the last operand
// tells where it passes gradients on: beta, from which y comes again, or y where there was a residual; dresidual is a
// result then.
extern const OpDef<BatchNormAttrs> batch_norm_backward;
// (x, gamma, beta) → y, mean, variance; over the last axis, which mean and variance lack.
extern const OpDef<EpsilonAttrs> layer_norm;
// (x, gamma, mean, variance, dy) → dx, dgamma, dbeta.
extern const OpDef<EpsilonAttrs> layer_norm_backward;
}  // namespace op

namespace ops {
struct Normalized {
  Value y, mean, variance;
};
Normalized batch_norm(Value x, Value gamma, Value beta, double epsilon);
Normalized layer_norm(Value x, Value gamma, Value beta, double epsilon);
}  // namespace ops

}  // namespace nacre
