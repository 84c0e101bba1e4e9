#include "backend/core/random.h"

#include <cmath>
#include <numbers>
#include <numeric>

namespace nacre {

double RandomStream::uniform() {
  const std::uint64_t high = word(), low = word();
  return static_cast<double>(((high << 32) | low) >> 11) * 0x1p-53;
}

double RandomStream::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

std::uint64_t RandomStream::below(std::uint64_t bound) {
  ensure(bound > 0, "a random number below 0");
  const std::uint64_t limit = ~std::uint64_t{0} - ~std::uint64_t{0} % bound;
  for (;;) {
    const std::uint64_t value = (std::uint64_t{word()} << 32) | word();
    if (value < limit) return value % bound;
  }
}

std::vector<std::int64_t> permutation(RandomStream& random, std::int64_t count) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  return order;
}

}  // namespace nacre
