// The formulas of losses, which metrics share: what each says about one sample. Both operands have one floating dtype
// (labels that are indices may be integers); results lack the last axis unless a comment says otherwise.
#pragma once

#include <optional>

#include "backend/graph/graph.h"

namespace nacre {
class Exchange;
}

namespace nacre::losses {

inline constexpr double epsilon = 1e-7;  // Keras's backend.epsilon()

Value mean_squared_error(Value y_true, Value y_pred);                // mean (y_true - y_pred)²
Value mean_absolute_error(Value y_true, Value y_pred);               // mean |y_true - y_pred|
Value mean_absolute_percentage_error(Value y_true, Value y_pred);    // 100 mean |(y_true - y_pred) / y_true|
Value mean_squared_logarithmic_error(Value y_true, Value y_pred);    // mean (log(1 + y_true) - log(1 + y_pred))²
Value cosine_similarity(Value y_true, Value y_pred, int axis = -1);  // Σ of the products of the unit vectors
Value huber(Value y_true, Value y_pred, double delta);  // mean e²/2 up to delta, delta (|e| - delta/2) beyond
Value log_cosh(Value y_true, Value y_pred);             // mean log cosh(y_pred - y_true)
Value hinge(Value y_true, Value y_pred);                // mean max(1 - y_true y_pred, 0); labels 0, 1 become -1, 1
Value squared_hinge(Value y_true, Value y_pred);        // mean max(1 - y_true y_pred, 0)²
Value categorical_hinge(Value y_true, Value y_pred);    // max(1 + max((1 - y_true) y_pred) - Σ y_true y_pred, 0)
Value kl_divergence(Value y_true, Value y_pred);        // Σ y_true log(y_true / y_pred)
Value poisson(Value y_true, Value y_pred);              // mean (y_pred - y_true log y_pred)

// Probabilities made by a softmax or sigmoid op are replaced by its operand, the logits: exact where they saturate.
// Others are kept away from 0 and 1 by epsilon. This one keeps the last axis:
Value binary_crossentropy(Value y_true, Value y_pred, bool from_logits);  // -(y log p + (1 - y) log(1 - p))
Value categorical_crossentropy(Value y_true, Value y_pred, bool from_logits, int axis = -1);  // -Σ y log p
// -log p[label]; labels may have a last axis of size 1.
Value sparse_categorical_crossentropy(Value labels, Value y_pred, bool from_logits, int axis = -1);

// Labels moved by `amount` towards 1/2, or towards one part in the size of the last axis.
Value smooth_binary(Value y_true, double amount);
Value smooth_categorical(Value y_true, double amount);

// --- weights and masks ----------------------------------------------------------------------------------------------

// Removes or adds a last axis of size 1 where the ranks differ by one.
void match_ranks(Value& a, Value& b);
// Merges a mask into sample weights; either may be null. With `rescale` the weights of what counts grow by
// total/counted, so that a plain mean becomes one over what counts: here or, with an exchange, in all processes. Source:
// Keras 3, losses/loss.py.
Value apply_mask(Value sample_weight, Value mask, DType dtype, bool rescale, Exchange* exchange = nullptr);
// Weights with axes of size 1 added or taken away at the end, so that they go with values of this rank.
Value align_weights(Value weights, int rank);
Value divide_no_nan(Value a, Value b);  // 0 where b is 0
Value softplus(Value x);                // log(1 + exp x), without overflow

}  // namespace nacre::losses
