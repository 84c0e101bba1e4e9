// The state of optimizers as Keras 1 and 2 saved it.
#pragma once

#include "api/train/optimizer.h"
#include "formats/keras_h5.h"

namespace nacre {

// Gives a built optimizer the state of a file: the counter of steps, then the slots, of one kind after another for all
// weights, or weight by weight (tf.keras from 2.11 on). Weights are in the model's order, in early Keras 2 in that of
// their names. Throws an Error, and changes nothing, when they do not fit.
void restore_old_state(Optimizer& optimizer, const KerasFile& file);

}  // namespace nacre
