// Learning what layers know without gradients: mean and variance, bins, vocabularies.
//
//   LayerRef words = TextVectorization({.max_tokens = 10000});
//   adapt(words, reviews);   // a data set, or texts in a tensor
//
// Model::fit lets layers that have not learned yet do so from its training data.
#pragma once

#include "api/data/dataset.h"
#include "api/functional.h"
#include "api/train/progress.h"

namespace nacre {

// From the first input of the data. Throws a usage Error when the layer learns nothing so.
void adapt(const LayerRef& layer, const DatasetRef& data);
void adapt(const LayerRef& layer, const Tensor& data);

// All layers of a model that have not learned yet, in the order of calls, each from what comes to it. What computes that
// gets its initial weights from `seed`, where it has none. Says each layer to the listener.
void adapt_layers(FunctionalLayer& model, const DatasetRef& data, std::uint64_t seed, ProgressListener& listener);

}  // namespace nacre
