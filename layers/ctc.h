#pragma once

#include "backend/graph/graph.h"

namespace nacre::emit {

// What of the labels and steps counts, and which class is the blank.
struct CtcExtent {
  Value labels{}, steps{};  // how many of each sample, integers (batch); null: labels that are not blank, all steps
  std::int64_t blank = 0;
};

// Connectionist temporal classification: -log of the probability of all alignments of the labels with the steps, one
// for each sample. labels: integers (batch, places); logits: (batch, steps, classes). Where the steps are too few for the
// labels, the loss is near 707, as Keras has it on TensorFlow. Source: Graves et al., "Connectionist Temporal
// Classification" (2006).
Value ctc(Value labels, Value logits, const CtcExtent& extent = {});
// The class that is no label, of so many; a negative one counts from the end. Throws an Error when there is none such.
std::int64_t blank_class(std::int64_t given, std::int64_t classes);

}  // namespace nacre::emit
