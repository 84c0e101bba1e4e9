#include "api/data/preprocessing.h"

#include <algorithm>

#include "api/data/dataset.h"

namespace nacre {

namespace {

std::size_t channels_of(const Shape& shape) { return static_cast<std::size_t>(shape.rank() ? shape[-1] : 1); }

// Of inputs that have this shape; throws where they cannot be preprocessed.
ChannelScaling scaling_of(const Preprocessing& preprocessing, const Shape& shape) {
  if (preprocessing.channel_order == ChannelOrder::bgr && channels_of(shape) != 3)
    throw Error("inputs of shape {}, wanted 3 channels to order them as blue, green, red", shape).usage();
  return channel_scaling(preprocessing, channels_of(shape));
}

class Preprocessed final : public ChangedDataset {
 public:
  Preprocessed(DatasetRef raw, const Preprocessing& preprocessing)
      : ChangedDataset(std::move(raw)), preprocessing_(preprocessing) {
    for (Column& column : inputs_) {
      if (!preprocessing_.changes(column.type.dtype)) continue;
      scaling_of(preprocessing_, column.type.shape);
      const Preprocessing given = column.preprocessing.value_or(Preprocessing{});
      column.preprocessing = preprocessing_;
      column.preprocessing->size = given.size;
      column.preprocessing->fit = given.fit;
      column.preprocessing->antialias = given.antialias;
      column.type.dtype = DType::float32;
    }
  }
  std::string description() const override { return raw_->description() + ", normalised"; }
  void read_targets(std::span<const std::int64_t> indices, Batch& batch) const override {
    raw_->read_targets(indices, batch);
  }
  void read(std::span<const std::int64_t> indices, Batch& batch) const override {
    raw_->read(indices, batch);
    for (Tensor& input : batch.inputs) input = preprocessed(preprocessing_, input);
  }

 private:
  Preprocessing preprocessing_;
};

}  // namespace

ChannelScaling channel_scaling(const Preprocessing& preprocessing, std::size_t channels) {
  for (const auto* values : {&preprocessing.mean, &preprocessing.deviation})
    if (values->size() > 1 && values->size() != channels)
      throw Error("{} numbers to preprocess inputs of {} channels", values->size(), channels)
          .hint("one number, or one for each element of the last axis")
          .usage();
  ChannelScaling scaling;
  for (std::size_t i = 0; i < channels; ++i) {
    const auto at = [&](const std::vector<double>& values, double otherwise) {
      return values.empty() ? otherwise : values[values.size() == 1 ? 0 : i];
    };
    const double deviation = at(preprocessing.deviation, 1);
    scaling.factors.push_back(preprocessing.scale / deviation);
    scaling.offsets.push_back(-at(preprocessing.mean, 0) / deviation);
  }
  return scaling;
}

Tensor preprocessed(const Preprocessing& preprocessing, const Tensor& numbers) {
  if (!preprocessing.changes(numbers.dtype())) return numbers;
  const std::size_t channels = channels_of(numbers.shape());
  const ChannelScaling scaling = scaling_of(preprocessing, numbers.shape());
  const std::vector<float> factor(scaling.factors.begin(), scaling.factors.end()),
      offset(scaling.offsets.begin(), scaling.offsets.end());
  Tensor result = numbers.cast(DType::float32);
  const std::span<float> values = result.writable<float>();
  for (std::size_t first = 0; first < values.size(); first += channels) {
    if (preprocessing.channel_order == ChannelOrder::bgr) std::swap(values[first], values[first + 2]);
    for (std::size_t channel = 0; channel < channels; ++channel)
      values[first + channel] = values[first + channel] * factor[channel] + offset[channel];
  }
  return result;
}

DatasetRef preprocessed(DatasetRef data, const Preprocessing& preprocessing) {
  const auto changed = [&](const Column& column) {
    const bool done = column.preprocessing && !column.preprocessing->is_identity();
    return preprocessing.changes(column.type.dtype) && !done;
  };
  if (std::ranges::none_of(data->inputs(), changed)) return data;
  return std::make_shared<Preprocessed>(std::move(data), preprocessing);
}

}  // namespace nacre
