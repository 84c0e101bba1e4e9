// How the numbers of data become what a network takes.
#pragma once

#include <optional>
#include <vector>

#include "backend/core/tensor.h"
#include "formats/config.h"
#include "formats/image.h"

namespace nacre {

enum class ChannelOrder : std::uint8_t { rgb, bgr };
template <>
struct EnumNames<ChannelOrder> {
  static constexpr std::string_view names[] = {"rgb", "bgr"};
};

// (x · scale - mean) / deviation for each channel, after the channels have the order that the network wants. Keras's
// preprocess_input of pictures of 0 to 255 is scale 1/127.5 and mean 1 (its mode tf), scale 1/255 with mean and
// deviation (torch), or a mean in the order bgr (caffe).
struct Preprocessing {
  double scale = 1;
  std::vector<double> mean, deviation;
  ChannelOrder channel_order = ChannelOrder::rgb;
  bool floats = false;
  std::optional<Extent<2>> size;  // height and width of pictures of files where the network takes any
  Fit fit = Fit::stretch;         // how they come to this or the network's own size
  bool antialias = false;
  static void describe(auto&& field) {
    field("scale", &Preprocessing::scale, "multiplied with the numbers");
    field("mean", &Preprocessing::mean, "subtracted then: one number, or one for each channel");
    field("deviation", &Preprocessing::deviation, "divided by last", above(0));
    field("channel_order", &Preprocessing::channel_order, "of the network");
    field("floats", &Preprocessing::floats,
          "whether floating numbers are changed too, or are what the network takes already");
    field("size", &Preprocessing::size, "height and width of pictures, where the network takes any");
    field("fit", &Preprocessing::fit, "how pictures of another shape come to the network's size");
    field("antialias", &Preprocessing::antialias, "smoothly where they shrink");
  }
  bool operator==(const Preprocessing&) const = default;
  // Whether it leaves all numbers as they are.
  bool is_identity() const {
    return scale == 1 && mean.empty() && deviation.empty() && channel_order == ChannelOrder::rgb;
  }
  bool changes(DType dtype) const {
    return !is_identity() && dtype != DType::string && (floats || !is_floating(dtype));
  }
};

// Preprocessing as one multiplication and one addition for each channel: x · factor + offset.
struct ChannelScaling {
  std::vector<double> factors, offsets;
};
// One number stands for all channels. Throws a usage Error when there are several, but not one for each channel.
ChannelScaling channel_scaling(const Preprocessing& preprocessing, std::size_t channels);

// Numbers (…, channels) as the network takes them: float32, or unchanged when there is nothing to do. Throws a usage
// Error when they have another number of channels.
Tensor preprocessed(const Preprocessing& preprocessing, const Tensor& numbers);

}  // namespace nacre
