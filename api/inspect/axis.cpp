#include "api/inspect/axis.h"

#include <algorithm>
#include <cmath>

namespace nacre {

void AxisRange::include(double value) {
  if (std::isfinite(value)) low = std::min(low, value), high = std::max(high, value);
}

void AxisRange::widen(double share) {
  if (!(low <= high)) low = 0, high = 1;
  const double margin = high > low ? (high - low) * share : high != 0 ? std::abs(high) * 0.1 : 0.5;
  low -= margin;
  high += margin;
}

std::vector<double> axis_ticks(const AxisRange& range, int wanted, double smallest) {
  const double rough = (range.high - range.low) / wanted, power = std::pow(10, std::floor(std::log10(rough)));
  double step = power;
  for (double factor : {1.0, 2.0, 5.0, 10.0})
    if (factor * power >= rough) {
      step = factor * power;
      break;
    }
  step = std::max(step, smallest);
  std::vector<double> result;
  for (double tick = std::ceil(range.low / step) * step; tick <= range.high + step * 1e-9; tick += step)
    result.push_back(std::abs(tick) < step * 1e-9 ? 0 : tick);
  return result;
}

}  // namespace nacre
