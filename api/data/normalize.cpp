#include <algorithm>
#include <cmath>
#include <numeric>

#include "api/data/source.h"

namespace nacre {

namespace {

bool is_text(const Column& column) { return column.type.dtype == DType::string; }

class Normalized final : public ChangedDataset {
 public:
  Normalized(DatasetRef raw, NormalizeConfig config) : ChangedDataset(std::move(raw)), config_(std::move(config)) {
    for (Column& column : inputs_) {
      if (is_text(column)) continue;
      const std::int64_t last = column.type.shape.rank() ? column.type.shape[-1] : 1;
      for (const auto* values : {&config_.mean, &config_.deviation})
        if (values->size() > 1 && static_cast<std::int64_t>(values->size()) != last)
          throw Error("{} numbers to normalise by for inputs of shape {}", values->size(), column.type.shape).usage();
      column.type.dtype = DType::float32;
    }
  }

  std::string description() const override { return raw_->description() + ", normalised"; }

  void read_targets(std::span<const std::int64_t> indices, Batch& batch) const override { raw_->read_targets(indices, batch); }

  void read(std::span<const std::int64_t> indices, Batch& batch) const override {
    raw_->read(indices, batch);
    for (Tensor& input : batch.inputs) {
      if (input.dtype() == DType::string) continue;
      input = input.cast(DType::float32);
      const std::span<float> values = input.writable<float>();
      const std::size_t period = std::max({config_.mean.size(), config_.deviation.size(), std::size_t{1}});
      std::vector<float> shift(period), scale(period);
      for (std::size_t i = 0; i < period; ++i) {
        shift[i] = static_cast<float>(at(config_.mean, i, 0));
        scale[i] = static_cast<float>(1 / (at(config_.deviation, i, 1) * config_.divide.value_or(1)));
      }
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = (values[i] - shift[i % period]) * scale[i % period];
    }
  }

 private:
  static double at(const std::vector<double>& values, std::size_t index, double otherwise) {
    return values.empty() ? otherwise : values[values.size() == 1 ? 0 : index];
  }

  NormalizeConfig config_;
};

void check_one_way(const NormalizeConfig& config) {
  const bool given = !config.mean.empty() || !config.deviation.empty();
  if (config.standard + config.divide.has_value() + given > 1)
    throw Error("wanted one of 'standard', 'divide', and 'mean' with 'deviation'").about("'normalize'").usage();
}

}  // namespace

NormalizeConfig measured(const NormalizeConfig& config, const Dataset& train) {
  check_one_way(config);
  if (!config.standard) return config;
  const std::vector<Column>& columns = train.inputs();
  if (const auto count = columns.size() - static_cast<std::size_t>(std::ranges::count_if(columns, is_text)); count != 1)
    throw Error("'standard' wants one input of numbers, the data has {}", count).hint("give mean and deviation").usage();
  const auto numbers = static_cast<std::size_t>(std::ranges::find_if_not(columns, is_text) - columns.begin());
  const Shape& shape = columns[numbers].type.shape;
  const auto period = static_cast<std::size_t>(shape.rank() ? shape[-1] : 1);
  std::vector<double> sum(period), squares(period);
  std::vector<std::int64_t> indices;
  Batch batch;
  for (std::int64_t begin = 0; begin < train.size(); begin += 1024) {
    indices.resize(static_cast<std::size_t>(std::min<std::int64_t>(1024, train.size() - begin)));
    std::iota(indices.begin(), indices.end(), begin);
    train.read(indices, batch);
    const std::vector<double> values = batch.inputs[numbers].to_doubles();
    for (std::size_t i = 0; i < values.size(); ++i) {
      sum[i % period] += values[i];
      squares[i % period] += values[i] * values[i];
    }
  }
  NormalizeConfig result{.standard = false, .divide = {}, .mean = {}, .deviation = {}};
  const double count = static_cast<double>(train.size()) * static_cast<double>(shape.elements()) / static_cast<double>(period);
  for (std::size_t i = 0; i < period; ++i) {
    const double mean = sum[i] / count, variance = std::max(squares[i] / count - mean * mean, 0.0);
    result.mean.push_back(mean);
    result.deviation.push_back(variance > 0 ? std::sqrt(variance) : 1.0);  // a constant column becomes zeros
  }
  return result;
}

DatasetRef normalized(DatasetRef dataset, const NormalizeConfig& config) {
  check_one_way(config);
  return std::make_shared<Normalized>(std::move(dataset), config);
}

}  // namespace nacre
