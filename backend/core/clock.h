// A clock for durations.
#pragma once

#include <chrono>

namespace nacre {

// Seconds since some moment that is the same for the whole process; never goes back.
inline double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace nacre
