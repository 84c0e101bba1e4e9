// Preprocessing as one multiplication and one addition for each channel.
#pragma once

#include "api/model_card.h"

namespace nacre {

// (x · scale - mean) / deviation = x · factor + offset.
struct ChannelScaling {
  std::vector<double> factors, offsets;
};
// One number stands for all channels.
ChannelScaling channel_scaling(const Preprocessing& preprocessing, std::size_t channels);

}  // namespace nacre
