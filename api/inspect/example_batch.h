// Batches that fit a model, for measurements.
#pragma once

#include "api/model.h"

namespace nacre {

// What the loss of each output takes for `batch` samples: integer labels, or something like the prediction. The
// objective is one without metrics, which would say nothing about targets; it is resolved for them.
Types target_types(const FunctionalLayer& model, Objective& objective, std::int64_t batch);

// Floats uniform in [0, 1); integers below the smallest input_dim of the Embeddings that they reach, else zeros and
// ones. For a compiled model also a target for each output: integer labels below the number of classes, else one-hot,
// or zeros and ones where the last axis is 1. The same at each call with one seed. Throws a usage Error where a size is
// not known, and for texts.
Batch example_batch(const Model& model, std::int64_t size, std::uint64_t seed = 0);

}  // namespace nacre
