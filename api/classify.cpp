#include "api/classify.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace nacre {

namespace {

// Logits of a row become probabilities.
void softmax(std::span<double> row) {
  const double highest = *std::ranges::max_element(row);
  double sum = 0;
  for (double& value : row) sum += value = std::exp(value - highest);
  for (double& value : row) value /= sum;
}

}  // namespace

bool are_classes(const std::vector<std::string>& labels, const Shape& predictions) {
  if (labels.empty() || predictions.rank() != 2) return false;
  const auto count = static_cast<std::int64_t>(labels.size());
  return predictions[1] == count || (predictions[1] == 1 && count == 2);
}

std::vector<std::vector<ClassAnswer>> classify(const std::vector<std::string>& labels, const Tensor& predictions,
                                               std::size_t most) {
  if (!are_classes(labels, predictions.shape()))
    throw Error("predictions of shape {} are not about {} classes", predictions.shape(), labels.size()).usage();
  std::vector<double> values = predictions.to_doubles();
  // Rows without an answer say nothing about what the others are.
  const bool probabilities = std::ranges::none_of(values, [](double value) { return value < 0 || value > 1; });
  const auto columns = static_cast<std::size_t>(predictions.shape()[1]);
  std::vector<std::vector<ClassAnswer>> answers;
  for (std::size_t first = 0; first < values.size(); first += columns) {
    std::vector<double> row(values.begin() + static_cast<std::ptrdiff_t>(first),
                            values.begin() + static_cast<std::ptrdiff_t>(first + columns));
    std::vector<ClassAnswer>& best = answers.emplace_back();
    if (std::ranges::any_of(row, [](double value) { return std::isnan(value); })) continue;
    if (columns == 1) {
      const double second = probabilities ? row[0] : 1 / (1 + std::exp(-row[0]));
      row = {1 - second, second};
    } else if (!probabilities) {
      softmax(row);
    }
    std::vector<std::size_t> order(row.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const std::size_t kept = std::min(most, order.size());
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(),
                      [&](std::size_t a, std::size_t b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
    for (std::size_t i = 0; i < kept; ++i) best.push_back({labels[order[i]], row[order[i]]});
  }
  return answers;
}

}  // namespace nacre
