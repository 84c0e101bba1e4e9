// The axes of charts.
#pragma once

#include <limits>
#include <vector>

namespace nacre {

struct AxisRange {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  void include(double value);  // if it is finite
  void widen(double share);    // a little beyond the data; then it is never empty
};

// Round numbers within a range, about `wanted` of them; at least `smallest` apart.
std::vector<double> axis_ticks(const AxisRange& range, int wanted, double smallest = 0);

}  // namespace nacre
