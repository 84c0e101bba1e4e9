// Files of this folder that are part of the library.
#pragma once

#include <span>
#include <string_view>

namespace nacre::zoo {

struct EmbeddedText {
  std::string_view name;  // relative to this folder: "architectures/lenet.yaml"
  std::string_view text;
};
std::span<const EmbeddedText> embedded_texts();

}  // namespace nacre::zoo
