// The version of nacre.
#pragma once

#include <string_view>

namespace nacre {

std::string_view version();  // "0.1.0"

}  // namespace nacre
