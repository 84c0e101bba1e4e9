#include "backend/compile/stand_alone.h"

#include <algorithm>
#include <atomic>

#include "backend/core/clock.h"
#include "backend/core/parallel.h"

namespace nacre::compile {

namespace {

constexpr int repetitions = 5;
// More than the caches of a few cores. A larger one may keep operands, which lets a kernel seem faster by itself: the
// comparison with it errs to the strict side.
constexpr std::size_t more_than_caches = std::size_t{64} << 20;
constexpr std::int64_t cache_line = 64;

double median(std::vector<double>& times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::ranges::nth_element(times, middle);
  return *middle;
}

}  // namespace

StandAlone::StandAlone(const Backend& backend) : backend_(backend), other_(more_than_caches, std::byte{1}) {}

// Only read: lines that were written would go to memory while the kernel runs.
void StandAlone::empty_caches() {
  std::atomic<std::int64_t> sum = 0;
  parallel_for(static_cast<std::int64_t>(other_.size()) / cache_line, 1, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t part = 0;
    for (std::int64_t line = begin; line < end; ++line)
      part += std::to_integer<std::int64_t>(other_[static_cast<std::size_t>(line * cache_line)]);
    sum += part;
  });
  sum_ += sum;
}

StandAlone::Times StandAlone::measure(Kernel& kernel, const KernelArguments& arguments,
                                      std::span<const Overwritten> overwritten) {
  kept_.resize(overwritten.size());
  for (std::size_t i = 0; i < overwritten.size(); ++i) {
    kept_[i].resize(overwritten[i].bytes);
    backend_.copy(kept_[i].data(), overwritten[i].memory, overwritten[i].bytes);
  }
  backend_.wait();
  const auto timed = [&] {
    const double begin = now();
    kernel.run(arguments);
    backend_.wait();
    return now() - begin;
  };
  const auto put_back = [&] {
    for (std::size_t i = 0; i < overwritten.size(); ++i)
      backend_.copy(overwritten[i].memory, kept_[i].data(), kept_[i].size());
    backend_.wait();
  };
  std::vector<double> cold, warm;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    if (repetition > 0) put_back();
    empty_caches();
    cold.push_back(timed());
    put_back();
    warm.push_back(timed());
  }
  return {median(cold), median(warm)};
}

}  // namespace nacre::compile
