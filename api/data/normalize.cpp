#include <algorithm>
#include <cmath>
#include <numeric>

#include "api/data/source.h"

namespace nacre {

namespace {

bool is_text(const Column& column) { return column.type.dtype == DType::string; }

void check_one_way(const NormalizeConfig& config) {
  const bool given = !config.mean.empty() || !config.deviation.empty();
  if (config.standard + config.divide.has_value() + given > 1)
    throw Error("wanted one of 'standard', 'divide', and 'mean' with 'deviation'").about("'normalize'").usage();
}

}  // namespace

Preprocessing measured(const NormalizeConfig& config, const DatasetRef& train) {
  check_one_way(config);
  if (!config.standard)
    return {.scale = 1 / config.divide.value_or(1), .mean = config.mean, .deviation = config.deviation, .floats = true};
  if (!train) throw Error("'data.normalize.standard' measures training data, but 'data.train' is missing").usage();
  const std::vector<Column>& columns = train->inputs();
  if (const auto count = columns.size() - static_cast<std::size_t>(std::ranges::count_if(columns, is_text)); count != 1)
    throw Error("'standard' wants one input of numbers, the data has {}", count).hint("give mean and deviation").usage();
  const auto numbers = static_cast<std::size_t>(std::ranges::find_if_not(columns, is_text) - columns.begin());
  const Shape& shape = columns[numbers].type.shape;
  const auto period = static_cast<std::size_t>(shape.rank() ? shape[-1] : 1);
  std::vector<double> sum(period), squares(period);
  std::vector<std::int64_t> indices;
  Batch batch;
  for (std::int64_t begin = 0; begin < train->size(); begin += 1024) {
    indices.resize(static_cast<std::size_t>(std::min<std::int64_t>(1024, train->size() - begin)));
    std::iota(indices.begin(), indices.end(), begin);
    train->read(indices, batch);
    const std::vector<double> values = batch.inputs[numbers].to_doubles();
    for (std::size_t i = 0; i < values.size(); ++i) {
      sum[i % period] += values[i];
      squares[i % period] += values[i] * values[i];
    }
  }
  Preprocessing result{.floats = true};
  const double count = static_cast<double>(train->size()) * static_cast<double>(shape.elements()) / static_cast<double>(period);
  for (std::size_t i = 0; i < period; ++i) {
    const double mean = sum[i] / count, variance = std::max(squares[i] / count - mean * mean, 0.0);
    result.mean.push_back(mean);
    result.deviation.push_back(variance > 0 ? std::sqrt(variance) : 1.0);  // a constant column becomes zeros
  }
  return result;
}

}  // namespace nacre
