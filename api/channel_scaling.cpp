#include "api/channel_scaling.h"

namespace nacre {

ChannelScaling channel_scaling(const Preprocessing& preprocessing, std::size_t channels) {
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

}  // namespace nacre
