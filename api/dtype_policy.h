// Models under another dtype policy.
#pragma once

#include "api/model.h"

namespace nacre {

// The same model with this policy in all its layers, but those whose dtype is no floating one (int64 of a lookup), and
// that of float8 in those alone that multiply with kernels; with the same weights, as far as they have values, in the
// policy's variable dtype, and compiled in the same way with a fresh optimizer, on the same device. What the original
// shares with other models, the result has for itself.
Model with_dtype(const Model& model, const DTypePolicy& policy);

// The same, for training fast: where the model's device has no instructions for the dtype that the policy computes in,
// bfloat16 or float16, it would be slower than float32; the model gets the policy "float32" then, and a note on
// standard error says so. Where it has no products of eight bits, float8 is computed all the same, and a note says
// that, too.
Model with_training_dtype(const Model& model, const DTypePolicy& policy);

// The policies of the layers, each named once: "float32", "float32+mixed_bfloat16".
std::string dtype_policies(const Model& model);

}  // namespace nacre
