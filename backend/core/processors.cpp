#include "backend/core/processors.h"

#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <thread>

namespace nacre {

namespace fs = std::filesystem;

namespace {

// The first number in a text; none when it begins otherwise.
std::optional<std::int64_t> number_in(std::string_view text) {
  std::int64_t value = 0;
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) return {};
  return value;
}

std::string first_line(const fs::path& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

// "200000 100000": microseconds of processor time in so many of the clock; "max 100000" sets no limit.
int quota_of(std::optional<std::int64_t> time, std::optional<std::int64_t> period) {
  if (!time || !period || *time <= 0 || *period <= 0) return 0;
  const std::int64_t whole = *time / *period + (*time % *period != 0);
  return static_cast<int>(std::min<std::int64_t>(whole, std::numeric_limits<int>::max()));
}

int quota_in(const fs::path& group) {
  const std::string both = first_line(group / "cpu.max");
  const std::size_t gap = both.find(' ');
  if (gap != std::string::npos) return quota_of(number_in(both), number_in(std::string_view(both).substr(gap)));
  return quota_of(number_in(first_line(group / "cpu.cfs_quota_us")), number_in(first_line(group / "cpu.cfs_period_us")));
}

// The strictest limit of a group and those that hold it. Within a container the groups above it are not to be seen.
int quota_along(const fs::path& mount, fs::path group) {
  int strictest = 0;
  for (;; group = group.parent_path()) {
    const int quota = quota_in(mount / group.relative_path());
    if (quota > 0 && (strictest == 0 || quota < strictest)) strictest = quota;
    if (!group.has_relative_path()) return strictest;
  }
}

}  // namespace

std::vector<int> allowed_processors() {
  std::vector<int> numbers;
#ifdef __linux__
  for (std::size_t size = 1024; size <= (std::size_t{1} << 20); size *= 2) {
    cpu_set_t* const set = CPU_ALLOC(size);
    if (!set) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(size);
    CPU_ZERO_S(bytes, set);
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    const bool too_small = !known && errno == EINVAL;
    for (std::size_t i = 0; known && i < size; ++i)
      if (CPU_ISSET_S(i, bytes, set)) numbers.push_back(static_cast<int>(i));
    CPU_FREE(set);
    if (!too_small) break;
  }
#endif
  return numbers;
}

int physical_cores(std::span<const int> processors, const fs::path& root) {
  std::set<std::int64_t> cores;  // by the first of the processors that share it
  for (const int processor : processors) {
    const fs::path topology = root / "sys/devices/system/cpu" / ("cpu" + std::to_string(processor)) / "topology";
    cores.insert(number_in(first_line(topology / "thread_siblings_list")).value_or(processor));
  }
  return static_cast<int>(cores.size());
}

int processor_quota(const fs::path& root) {
  int strictest = 0;
  std::ifstream groups(root / "proc/self/cgroup");
  // "0::/user.slice" of the second version, "4:cpu,cpuacct:/docker/1f" of the first.
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':'), second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string kinds = line.substr(first + 1, second - first - 1);
    const fs::path mount = root / "sys/fs/cgroup", group = line.substr(second + 1);
    int quota = 0;
    if (kinds.empty()) quota = quota_along(mount, group);
    else if (("," + kinds + ",").find(",cpu,") != std::string::npos)
      quota = std::max(quota_along(mount / kinds, group), quota_along(mount / "cpu", group));
    if (quota > 0 && (strictest == 0 || quota < strictest)) strictest = quota;
  }
  return strictest;
}

int threads_in(const char* text) {
  const std::int64_t number = text ? number_in(text).value_or(0) : 0;
  return number > 0 && number <= std::numeric_limits<int>::max() ? static_cast<int>(number) : 0;
}

int default_threads() {
  int count = threads_in(std::getenv("OMP_NUM_THREADS"));
  if (count == 0) {
    const std::vector<int> processors = allowed_processors();
    count = processors.empty() ? static_cast<int>(std::thread::hardware_concurrency()) : physical_cores(processors);
    if (const int quota = processor_quota()) count = std::min(count, quota);
  }
  if (const int most = threads_in(std::getenv("OMP_THREAD_LIMIT"))) count = std::min(count, most);
  return std::max(count, 1);
}

}  // namespace nacre
