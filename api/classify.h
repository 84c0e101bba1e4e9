// A classifier's predictions by the names of the classes.
#pragma once

#include <string>
#include <vector>

#include "backend/core/tensor.h"

namespace nacre {

struct ClassAnswer {
  std::string label;
  double probability = 0;
};

// The most probable classes of each sample, the likeliest first. `predictions` are (samples, classes), or (samples, 1)
// for two classes, of which the number is the second's: probabilities as a softmax or sigmoids give them, or the logits
// before a softmax, told by numbers outside of 0 to 1. A sample whose predictions are NaN has no answers. Throws an
// Error where there are not as many classes as labels.
std::vector<std::vector<ClassAnswer>> classify(const std::vector<std::string>& labels, const Tensor& predictions,
                                               std::size_t most = 5);

// Whether predictions of this shape are about as many classes as there are labels.
bool are_classes(const std::vector<std::string>& labels, const Shape& predictions);

}  // namespace nacre
