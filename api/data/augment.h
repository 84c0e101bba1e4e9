// Data that layers change while it is read.
#pragma once

#include "api/data/dataset.h"
#include "layers/layer.h"

namespace nacre {

// The same samples, whose pictures the layers change as in training: anew for each batch, a function of the seed and of
// Batch::step alone. The samples have one input, a picture, whose shape stays; it becomes float32. Layers that mix
// samples (CutMix, MixUp) mix the only target too, which is then a vector. Last, the pictures are preprocessed as those
// of the data set itself would be: its type says whether they are, not the float32 that they have become.
DatasetRef augmented(DatasetRef dataset, std::vector<Ref<Layer>> layers, std::uint64_t seed,
                     const Preprocessing& preprocessing = {});

// The same samples with class numbers 0 … classes-1 as vectors of shares, one of them 1.
DatasetRef one_hot(DatasetRef dataset, std::int64_t classes);

}  // namespace nacre
