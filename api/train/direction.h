#pragma once

#include <cstdint>

namespace nacre {

// Which way a monitored number gets better.
enum class Direction : std::uint8_t { up, down };

}  // namespace nacre
