// The processors that this process may use.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

namespace nacre {

// The numbers of those on which the system lets the process run; empty where it does not say.
std::vector<int> allowed_processors();

// How many physical cores these processors are: two hardware threads of one core get in each other's way in kernels.
// `root` is where /sys lies. A processor of which nothing is said counts as a core.
int physical_cores(std::span<const int> processors, const std::filesystem::path& root = "/");

// The time that control groups, of either version, allow the process, in processors, rounded up; 0: as much as there is.
// `root` is where /proc and /sys lie.
int processor_quota(const std::filesystem::path& root = "/");

// The first number in the text of OMP_NUM_THREADS ("4", or "4,2" for nested loops); 0 when it is none.
int threads_in(const char* text);

// OMP_NUM_THREADS where it is set, else the physical cores that the process may use; at most OMP_THREAD_LIMIT.
int default_threads();

}  // namespace nacre
