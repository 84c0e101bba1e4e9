#include "backend/core/memory.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>

#include "backend/core/error.h"

namespace nacre {

namespace {

// A number of KiB in a file of /proc, as bytes.
std::size_t kibibytes_in(const char* file, std::string_view key) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(key)) return static_cast<std::size_t>(std::strtoull(line.c_str() + key.size(), nullptr, 10)) << 10;
  return 0;
}

}  // namespace

std::size_t machine_memory() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), size = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || size <= 0) return std::numeric_limits<std::size_t>::max();  // it does not say
  return static_cast<std::size_t>(pages) * static_cast<std::size_t>(size);
}

std::size_t available_memory() {
  const std::size_t available = kibibytes_in("/proc/meminfo", "MemAvailable:");
  return available ? available : machine_memory();
}

void want_memory(std::size_t bytes, std::string_view what) {
  static const std::size_t present = machine_memory();
  if (bytes > present) throw Error("{} takes {} bytes, and this machine has {} bytes of memory", what, bytes, present);
}

// Linux counts exactly in smaps_rollup; what it keeps in status lags behind by some pages for each processor.
std::size_t resident_memory() {
  if (const std::size_t exact = kibibytes_in("/proc/self/smaps_rollup", "Rss:")) return exact;
  return kibibytes_in("/proc/self/status", "VmRSS:");
}

// Not getrusage's maximum, which begins with the memory of the program that started this one.
std::size_t peak_resident_memory() { return kibibytes_in("/proc/self/status", "VmHWM:"); }

}  // namespace nacre
