#include "backend/core/memory.h"

#include <unistd.h>

#include <limits>

#include "backend/core/error.h"

namespace nacre {

std::size_t machine_memory() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), size = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || size <= 0) return std::numeric_limits<std::size_t>::max();  // it does not say
  return static_cast<std::size_t>(pages) * static_cast<std::size_t>(size);
}

void want_memory(std::size_t bytes, std::string_view what) {
  static const std::size_t present = machine_memory();
  if (bytes > present) throw Error("{} takes {} bytes, and this machine has {} bytes of memory", what, bytes, present);
}

}  // namespace nacre
