#include "backend/core/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>

#include "backend/core/error.h"

namespace nacre {

namespace {

// Sanitizers watch the heap only.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool maps_large_blocks = false;
#else
constexpr bool maps_large_blocks = true;
#endif

constexpr std::size_t huge_page = std::size_t{2} << 20;  // of x86-64, and of AArch64 with small pages of 4 KiB

std::size_t rounded(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

// Pages of their own that begin where a huge page can; null when there are none.
std::byte* map_pages(std::size_t bytes) {
  void* const mapped = ::mmap(nullptr, bytes + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* const first = static_cast<std::byte*>(mapped);
  const std::size_t before = (huge_page - reinterpret_cast<std::uintptr_t>(first) % huge_page) % huge_page;
  if (before) ::munmap(first, before);
  if (before < huge_page) ::munmap(first + before + bytes, huge_page - before);
#ifdef MADV_HUGEPAGE
  ::madvise(first + before, bytes, MADV_HUGEPAGE);
#endif
  return first + before;
}

// A number of KiB in a file of /proc, as bytes.
std::size_t kibibytes_in(const char* file, std::string_view key) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(key)) return static_cast<std::size_t>(std::strtoull(line.c_str() + key.size(), nullptr, 10)) << 10;
  return 0;
}

}  // namespace

std::shared_ptr<std::byte[]> allocate_pages(std::size_t wanted) {
  static const auto page = static_cast<std::size_t>(std::max(::sysconf(_SC_PAGESIZE), 4096L));
  if (!maps_large_blocks || wanted > std::numeric_limits<std::ptrdiff_t>::max() - 2 * huge_page) return nullptr;
  const std::size_t bytes = rounded(std::max<std::size_t>(wanted, 1), page);
  std::byte* const memory = map_pages(bytes);
  if (!memory) return nullptr;
  return {memory, [bytes](std::byte* begin) { ::munmap(begin, bytes); }};
}

std::size_t machine_memory() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), size = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || size <= 0) return std::numeric_limits<std::size_t>::max();  // it does not say
  return static_cast<std::size_t>(pages) * static_cast<std::size_t>(size);
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
