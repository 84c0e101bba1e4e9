// Training and validation data taken off one place, in the words of Keras's image_dataset_from_directory.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "formats/config.h"

namespace nacre {

enum class Part : std::uint8_t { training, validation };
template <>
struct EnumNames<Part> {
  static constexpr std::string_view names[] = {"training", "validation"};
};

// What configs of sources that can be split derive from.
struct PartConfig {
  std::optional<Part> subset;
  std::optional<double> validation_split;

  // The range of `count` samples in their order that is the part: the first ones train, the last ⌊split · count⌋ validate;
  // all of them when there is no subset. Throws usage Errors when one of the two is given alone, and when nothing is left.
  std::pair<std::size_t, std::size_t> range(std::size_t count) const;
};

template <class Config>
void describe_part(auto&& field) {
  field("subset", &Config::subset, "training: all but the share of validation_split; validation: that share; default: everything");
  field("validation_split", &Config::validation_split, "the share that validates", all_of(above(0), from_below(0, 1)));
}

}  // namespace nacre
