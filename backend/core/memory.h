// Memory: blocks for numbers, how much the machine has, how much the process takes.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

namespace nacre {

// Blocks of this size or more are better pages of their own; the heap, which uses smaller ones again without clearing
// them, would map them too.
inline constexpr std::size_t large_block = std::size_t{32} << 20;
// Pages, huge ones where the system has them, that go back to it as soon as nobody holds them; their elements are 0.
// Null when it has none to give, or when a sanitizer is to watch over the block, which looks at the heap only.
std::shared_ptr<std::byte[]> allocate_pages(std::size_t bytes);

std::size_t machine_memory();  // bytes
// Throws an Error that says so unless the machine has as much: "float32(8, 10) takes 320 bytes, …". What a file declares
// is refused when it cannot fit, before anything is asked for: systems promise more than they have, and end processes
// that take it.
void want_memory(std::size_t bytes, std::string_view what);

// Bytes of this process that lie in memory, code and libraries among them: now, and at most so far. 0 where the system
// does not say.
std::size_t resident_memory();
std::size_t peak_resident_memory();

}  // namespace nacre
