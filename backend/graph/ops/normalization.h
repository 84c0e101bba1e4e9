// Normalisations that backends have kernels for.
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

struct EpsilonAttrs {
  double epsilon = 1e-3;
  bool operator==(const EpsilonAttrs&) const = default;
  static void describe(auto&& field) { field("epsilon", &EpsilonAttrs::epsilon, "added to the variance"); }
};

namespace op {
// gamma and beta have the size of the last axis and either x's dtype or float32; means, variances and sums have theirs.
// Variances are biased. A decomposition serves backends without a kernel, and second derivatives.

// (x, gamma, beta) → y, mean, variance; over all axes but the last.
extern const OpDef<EpsilonAttrs> batch_norm;
// (x, gamma, mean, variance, dy) → dx, dgamma, dbeta.
extern const OpDef<EpsilonAttrs> batch_norm_backward;
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
