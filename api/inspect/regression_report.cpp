#include "api/inspect/regression_report.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "api/inspect/readable.h"

namespace nacre {

namespace {

Tree tree_of(const RegressionReport::Errors& errors) {
  Tree tree;
  tree.set("mean_absolute_error", errors.mean_absolute);
  tree.set("root_mean_squared_error", errors.root_mean_squared);
  tree.set("r2", errors.r_squared);
  tree.set("mean_error", errors.mean);
  return tree;
}

Tree list_of(const std::vector<double>& numbers) {
  Tree list = Tree::sequence();
  for (double number : numbers) list.push(number);
  return list;
}

}  // namespace

bool is_regression(const Loss& loss) {
  return dynamic_cast<const losses::MeanSquaredError*>(&loss) ||
         dynamic_cast<const losses::MeanAbsoluteError*>(&loss) ||
         dynamic_cast<const losses::MeanAbsolutePercentageError*>(&loss) ||
         dynamic_cast<const losses::MeanSquaredLogarithmicError*>(&loss) ||
         dynamic_cast<const losses::LogCosh*>(&loss) || dynamic_cast<const losses::Huber*>(&loss) ||
         dynamic_cast<const losses::Poisson*>(&loss);
}

void RegressionTally::Sums::add(double truth, double predicted) {
  const double difference = predicted - truth, step = truth - mean;
  ++count;
  error += difference, absolute += std::abs(difference), squared += difference * difference;
  mean += step / count;
  spread += step * (truth - mean);
}

RegressionReport::Errors RegressionTally::Sums::errors() const {
  if (count == 0) return {};
  return {error / count, absolute / count, std::sqrt(squared / count), spread > 0 ? 1 - squared / spread : 0.0};
}

void RegressionTally::add(std::int64_t first, const Tensor& prediction, const Tensor& target, const Tensor* mask,
                          const Tensor* weight) {
  const std::int64_t samples = prediction.shape().rank() > 0 ? prediction.shape()[0] : 0;
  if (samples == 0) return;
  ensure(target.size() == prediction.size(), "targets of shape {} do not go with predictions of shape {}",
         target.shape(), prediction.shape());
  const std::int64_t numbers = prediction.size() / samples;
  const std::int64_t last = prediction.shape().rank() > 1 ? prediction.shape()[-1] : 1;
  const auto width =
      last <= static_cast<std::int64_t>(RegressionReport::most_columns) ? static_cast<std::size_t>(last) : 1;
  if (columns_.empty()) columns_.resize(width);
  ensure(columns_.size() == width, "predictions of {} columns in one batch, of {} in another", columns_.size(), width);
  report_.numbers = numbers;
  const auto counts = [&](const Tensor* tensor, std::int64_t index) {
    if (!tensor || tensor->size() == 0 || prediction.size() % tensor->size() != 0) return true;
    return tensor->at(index / (prediction.size() / tensor->size())) != 0;
  };
  for (std::int64_t sample = 0; sample < samples; ++sample) {
    RegressionReport::Sample at{.index = first + sample};
    std::int64_t counted = 0;
    for (std::int64_t i = sample * numbers; i < (sample + 1) * numbers; ++i) {
      if (!counts(mask, i) || !counts(weight, i)) continue;
      const double truth = target.at(i), predicted = prediction.at(i);
      columns_[static_cast<std::size_t>(i) % width].add(truth, predicted);
      at.error += std::abs(predicted - truth);
      ++counted;
      if (at.truth.size() < RegressionReport::most_numbers)
        at.truth.push_back(truth), at.predicted.push_back(predicted);
    }
    if (counted == 0) continue;
    ++report_.count;
    at.error /= static_cast<double>(counted);
    if (std::isnan(at.error)) at.error = std::numeric_limits<double>::infinity();
    if (at.index % stride_ == 0) report_.points.push_back({at.truth.front(), at.predicted.front()});
    const auto greater = [](const auto& a, const auto& b) { return a.error > b.error; };  // the least is on top
    if (report_.worst.size() >= listed_) {
      if (report_.worst.empty() || !(at.error > report_.worst.front().error)) continue;
      std::ranges::pop_heap(report_.worst, greater);
      report_.worst.pop_back();
    }
    report_.worst.push_back(std::move(at));
    std::ranges::push_heap(report_.worst, greater);
  }
}

RegressionReport RegressionTally::finish() && {
  double total = 0;
  for (const Sums& column : columns_) {
    const RegressionReport::Errors errors = column.errors();
    if (columns_.size() > 1) report_.columns.push_back(errors);
    total += column.count;
    report_.errors.mean += errors.mean * column.count;
    report_.errors.mean_absolute += errors.mean_absolute * column.count;
    report_.errors.root_mean_squared += column.squared;
    report_.errors.r_squared += errors.r_squared / static_cast<double>(columns_.size());
  }
  if (total > 0) {
    report_.errors.mean /= total;
    report_.errors.mean_absolute /= total;
    report_.errors.root_mean_squared = std::sqrt(report_.errors.root_mean_squared / total);
  }
  std::ranges::sort(report_.worst, [](const auto& a, const auto& b) {
    return a.error != b.error ? a.error > b.error : a.index < b.index;
  });
  return std::move(report_);
}

std::string RegressionReport::text(int width) const {
  std::string text;
  const auto line = [&](std::string_view name, double value) { text += fmt::format("{:<24} {:.6g}\n", name, value); };
  line("mean absolute error", errors.mean_absolute);
  line("root mean squared error", errors.root_mean_squared);
  line("R²", errors.r_squared);
  line("mean error", errors.mean);
  if (!columns.empty()) {
    TextTable table({{"column"}, {"mae", true}, {"rmse", true}, {"R²", true}, {"mean error", true}});
    for (std::size_t i = 0; i < columns.size(); ++i)
      table.row({std::to_string(i), fmt::format("{:.4g}", columns[i].mean_absolute),
                 fmt::format("{:.4g}", columns[i].root_mean_squared), fmt::format("{:.4f}", columns[i].r_squared),
                 fmt::format("{:.4g}", columns[i].mean)});
    text += "\n" + table.text(width);
  }
  if (worst.empty()) return text;
  TextTable table({{"sample", true}, {"truth", true}, {"predicted", true}, {"error", true}, {"name"}});
  for (const Sample& sample : worst)
    table.row({std::to_string(sample.index), readable_numbers(sample.truth, 3), readable_numbers(sample.predicted, 3),
               fmt::format("{:.4g}", sample.error), sample.name});
  return text + "\nlargest errors\n" + table.text(width);
}

Tree RegressionReport::tree() const {
  Tree tree;
  tree.set("kind", "regression");
  tree.set("samples", count);
  tree.set("numbers", numbers);
  for (auto& [name, value, mark] : tree_of(errors).entries()) tree.set(name, std::move(value));
  Tree by_column = Tree::sequence(), samples = Tree::sequence();
  for (const Errors& one : columns) by_column.push(tree_of(one));
  for (const Sample& sample : worst) {
    Tree& entry = samples.items().emplace_back();
    entry.set("index", sample.index);
    if (!sample.name.empty()) entry.set("name", sample.name);
    entry.set("truth", list_of(sample.truth));
    entry.set("predicted", list_of(sample.predicted));
    entry.set("error", sample.error);
  }
  tree.set("columns", std::move(by_column));
  tree.set("worst", std::move(samples));
  return tree;
}

}  // namespace nacre
