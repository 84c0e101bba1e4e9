// How much memory there is. What a file declares is refused when it cannot fit, before anything is asked for: systems
// promise more than they have, and end processes that take it.
#pragma once

#include <cstddef>
#include <string_view>

namespace nacre {

std::size_t machine_memory();  // bytes
// Throws an Error that says so unless the machine has as much: "float32(8, 10) takes 320 bytes, …".
void want_memory(std::size_t bytes, std::string_view what);

}  // namespace nacre
