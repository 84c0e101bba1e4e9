// Quantiles of a stream of numbers, as Keras's Discretization learns them.
#pragma once

#include <cstdint>
#include <vector>

namespace nacre {

// The inner boundaries of `bins` bins with about equally many values each; `epsilon` is the error allowed on the way: the
// values are first summed up as 1 / epsilon representatives with weights. Fewer than bins-1 when there are few values.
std::vector<double> quantile_boundaries(std::vector<float> values, std::int64_t bins, double epsilon);

}  // namespace nacre
