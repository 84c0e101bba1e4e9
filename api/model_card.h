// What a model's file says besides the network: what its classes are called, how pictures become its input, and where
// it is from. It is saved in .keras and .h5 files, where Keras ignores it.
#pragma once

#include <string>
#include <vector>

#include "api/data/dataset.h"
#include "formats/config.h"

namespace nacre {

enum class ChannelOrder : std::uint8_t { rgb, bgr };
template <>
struct EnumNames<ChannelOrder> {
  static constexpr std::string_view names[] = {"rgb", "bgr"};
};

// How pictures of 0 to 255 become what the network takes: (x · scale - mean) / deviation for each channel, after the
// channels have the order that the network wants. Keras's preprocess_input is scale 1/127.5 and mean 1 (its mode tf),
// scale 1/255 with mean and deviation (torch), or a mean in the order bgr (caffe).
struct Preprocessing {
  double scale = 1;
  std::vector<double> mean, deviation;
  ChannelOrder channel_order = ChannelOrder::rgb;
  Fit fit = Fit::stretch;  // how pictures of files come to the network's size
  bool antialias = false;
  static void describe(auto&& field) {
    field("scale", &Preprocessing::scale, "multiplied with values from 0 to 255");
    field("mean", &Preprocessing::mean, "subtracted then: one number, or one for each channel");
    field("deviation", &Preprocessing::deviation, "divided by last", above(0));
    field("channel_order", &Preprocessing::channel_order, "of the network");
    field("fit", &Preprocessing::fit, "how pictures of another shape come to the network's size");
    field("antialias", &Preprocessing::antialias, "smoothly where they shrink");
  }
  bool operator==(const Preprocessing&) const = default;
  // Whether it leaves numbers as they are.
  bool is_identity() const {
    return scale == 1 && mean.empty() && deviation.empty() && channel_order == ChannelOrder::rgb;
  }
};

struct ModelCard {
  std::vector<std::string> labels;  // of the classes, in the order of the output; empty: they have no names
  Preprocessing preprocessing;
  std::string source, licence;
  static void describe(auto&& field) {
    field("labels", &ModelCard::labels, "names of the classes");
    field("preprocessing", &ModelCard::preprocessing, "of pictures, before they reach the network");
    field("source", &ModelCard::source, "where the weights are from");
    field("licence", &ModelCard::licence, "under which they may be used");
  }
  bool operator==(const ModelCard&) const = default;
};

// uint8 or floating pictures of 0 to 255, (…, channels), as the network takes them: float32, or unchanged when there is
// nothing to do. Throws a usage Error when they have another number of channels.
Tensor preprocessed(const Preprocessing& preprocessing, const Tensor& pictures);
// The samples of a data set of pictures with their inputs preprocessed.
DatasetRef preprocessed(DatasetRef pictures, const Preprocessing& preprocessing);

}  // namespace nacre
