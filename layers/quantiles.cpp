#include "layers/quantiles.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace nacre {

namespace {

// Representatives in ascending order, each standing for so many values.
struct Summary {
  std::vector<float> values, weights;
};

// NumPy's interp: the piecewise linear function through (x[i], y[i]) at `at`, constant beyond the ends.
double interpolated(double at, const std::vector<double>& x, const std::vector<double>& y) {
  if (at <= x.front()) return y.front();
  if (at >= x.back()) return y.back();
  const auto above = static_cast<std::size_t>(std::upper_bound(x.begin(), x.end(), at) - x.begin());
  const double slope = (y[above] - y[above - 1]) / (x[above] - x[above - 1]);
  return slope * (at - x[above - 1]) + y[above - 1];
}

Summary summarized(std::vector<float> values, double epsilon) {
  std::ranges::sort(values, [](float a, float b) { return a < b || (std::isnan(b) && !std::isnan(a)); });
  const double step = std::max(static_cast<double>(values.size()) / (1.0 / epsilon), 1.0);
  Summary summary;
  for (auto i = static_cast<std::size_t>(step - 1); i < values.size(); i += static_cast<std::size_t>(step))
    summary.values.push_back(values[i]);
  summary.weights.assign(summary.values.size(), static_cast<float>(step));
  return summary;
}

// At most about 1 / epsilon representatives.
Summary compressed(Summary summary, double epsilon) {
  if (static_cast<double>(summary.values.size()) * epsilon < 1) return summary;
  std::vector<double> sums, shares, values(summary.values.begin(), summary.values.end());
  float sum = 0;
  for (float weight : summary.weights) sums.push_back(sum += weight);
  for (double partial : sums) shares.push_back(static_cast<double>(static_cast<float>(partial) / sum));
  Summary result;
  double before = 0;
  const auto count = static_cast<std::int64_t>(std::ceil(1.0 / epsilon));
  for (std::int64_t i = 0; i < count; ++i) {
    const double share = epsilon + static_cast<double>(i) * epsilon, upto = interpolated(share, shares, sums);
    result.values.push_back(static_cast<float>(interpolated(share, shares, values)));
    result.weights.push_back(static_cast<float>(upto - before));
    before = upto;
  }
  return result;
}

}  // namespace

std::vector<double> quantile_boundaries(std::vector<float> values, std::int64_t bins, double epsilon) {
  const Summary all = compressed(summarized(std::move(values), epsilon), epsilon);
  Summary bounds = compressed(all, 1.0 / static_cast<double>(bins));
  bounds.values.pop_back();
  return {bounds.values.begin(), bounds.values.end()};
}

}  // namespace nacre
