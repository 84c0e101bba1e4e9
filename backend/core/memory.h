// How much memory the machine has, and how much of it the process takes.
#pragma once

#include <cstddef>
#include <string_view>

namespace nacre {

std::size_t machine_memory();    // bytes
std::size_t available_memory();  // bytes that are free or can be made so; those of the machine where it does not say
// Throws an Error that says so unless the machine has as much: "float32(8, 10) takes 320 bytes, …". What a file declares
// is refused when it cannot fit, before anything is asked for: systems promise more than they have, and end processes
// that take it.
void want_memory(std::size_t bytes, std::string_view what);

// Bytes of this process that lie in memory, code and libraries among them: now, and at most so far. 0 where the system
// does not say.
std::size_t resident_memory();
std::size_t peak_resident_memory();

}  // namespace nacre
