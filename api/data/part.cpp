#include "api/data/part.h"

namespace nacre {

std::pair<std::size_t, std::size_t> PartConfig::range(std::size_t count) const {
  if (!subset && !validation_split) return {0, count};
  if (!subset || !validation_split)
    throw Error("'{}' is given without '{}'", subset ? "subset" : "validation_split", subset ? "validation_split" : "subset")
        .hint("subset: training with validation_split: 0.2 for data.train; subset: validation with the same split for data.validation")
        .usage();
  const auto validating = static_cast<std::size_t>(static_cast<double>(count) * *validation_split);
  if (validating == 0)
    throw Error("a validation split of {} leaves nothing of {} samples to validate", *validation_split, count).usage();
  if (*subset == Part::training) return {0, count - validating};
  return {count - validating, count};
}

}  // namespace nacre
