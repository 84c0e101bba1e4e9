#pragma once

#include "backend/graph/graph.h"

namespace nacre::losses {

// Connectionist temporal classification: -log of the probability of all alignments of the labels with the steps, one
// for each sample. labels: integers (batch, places), 0 where there is none; logits: (batch, steps, classes), class 0 is
// the blank. Where the steps are too few for the labels, the loss is near 707, as Keras has it on TensorFlow.
// Source: Graves et al., "Connectionist Temporal Classification" (2006).
Value ctc(Value labels, Value logits);

}  // namespace nacre::losses
