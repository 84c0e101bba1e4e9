#include "api/model_card.h"

#include <algorithm>

#include "api/channel_scaling.h"

namespace nacre {

namespace {

void check_channels(const Preprocessing& preprocessing, const Shape& shape) {
  const std::int64_t channels = shape.rank() ? shape[-1] : 1;
  for (const auto* values : {&preprocessing.mean, &preprocessing.deviation})
    if (values->size() > 1 && static_cast<std::int64_t>(values->size()) != channels)
      throw Error("{} numbers to preprocess pictures of shape {}", values->size(), shape)
          .hint("pictures have as many channels as the network was trained with")
          .usage();
  if (preprocessing.channel_order == ChannelOrder::bgr && channels != 3)
    throw Error("pictures of shape {}, wanted 3 channels to order them as blue, green, red", shape).usage();
}

class Preprocessed final : public ChangedDataset {
 public:
  Preprocessed(DatasetRef pictures, Preprocessing preprocessing)
      : ChangedDataset(std::move(pictures)), preprocessing_(std::move(preprocessing)) {
    for (Column& column : inputs_) {
      if (column.type.dtype == DType::string) continue;
      check_channels(preprocessing_, column.type.shape);
      column.type.dtype = DType::float32;
    }
  }
  std::string description() const override { return raw_->description(); }
  void read_targets(std::span<const std::int64_t> indices, Batch& batch) const override {
    raw_->read_targets(indices, batch);
  }
  void read(std::span<const std::int64_t> indices, Batch& batch) const override {
    raw_->read(indices, batch);
    for (Tensor& input : batch.inputs)
      if (input.dtype() != DType::string) input = preprocessed(preprocessing_, input);
  }

 private:
  Preprocessing preprocessing_;
};

}  // namespace

Tensor preprocessed(const Preprocessing& preprocessing, const Tensor& pictures) {
  if (preprocessing.is_identity()) return pictures;
  check_channels(preprocessing, pictures.shape());
  const auto channels = static_cast<std::size_t>(pictures.shape().rank() ? pictures.shape()[-1] : 1);
  const ChannelScaling scaling = channel_scaling(preprocessing, channels);
  const std::vector<float> factor(scaling.factors.begin(), scaling.factors.end()),
      offset(scaling.offsets.begin(), scaling.offsets.end());
  Tensor result = pictures.cast(DType::float32);
  const std::span<float> values = result.writable<float>();
  for (std::size_t first = 0; first < values.size(); first += channels) {
    if (preprocessing.channel_order == ChannelOrder::bgr) std::swap(values[first], values[first + 2]);
    for (std::size_t channel = 0; channel < channels; ++channel)
      values[first + channel] = values[first + channel] * factor[channel] + offset[channel];
  }
  return result;
}

DatasetRef preprocessed(DatasetRef pictures, const Preprocessing& preprocessing) {
  if (preprocessing.is_identity()) return pictures;
  return std::make_shared<Preprocessed>(std::move(pictures), preprocessing);
}

}  // namespace nacre
