// Examples of how classes are written, for the reference and for tests.
#pragma once

#include <optional>

#include "formats/config.h"

namespace nacre {

// The required fields of a class with values that fit, as a mapping; null when it has none.
Tree sample_fields(std::string_view class_name, std::span<const FieldTable* const> tables);

// A class as a line of YAML that can be read: "Conv2D: {filters: 32, kernel_size: 3}". None for a class that
// configurations cannot name.
template <class Base>
std::optional<Tree> example_of(const ClassInfo<Base>& info) {
  const Tree example = spell_object(info.module, info.spelling(), sample_fields(info.class_name, info.fields), Style::yaml, info.bare_in_keras);
  try {
    read_object<Base>(example);
  } catch (const Error&) {
    return std::nullopt;
  }
  return example;
}

}  // namespace nacre
