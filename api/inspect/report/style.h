// How a report looks: light and dark after the reader's setting, on any width from 360 pixels on, and on paper.
#pragma once

#include <string_view>

namespace nacre::html {

std::string_view style();

}  // namespace nacre::html
