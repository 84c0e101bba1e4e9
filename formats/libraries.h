// The libraries behind the formats.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace nacre {

// Name and version of each, as it was found when the program started.
std::vector<std::pair<std::string, std::string>> library_versions();

}  // namespace nacre
