// How the elements of a broadcast operand are found while the result is walked in row-major order.
#pragma once

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "backend/core/tensor.h"

namespace nacre::onednn {

class Access {
 public:
  // `operand` broadcasts to `result`.
  Access(const Shape& operand, const Shape& result);
  // Elements that lie in another order than they are walked in: a step along axis i of `result` is one by strides[i].
  Access(const Shape& result, const std::vector<std::int64_t>& strides);
  static Access in_order() { return Access(Kind::full); }
  // For operands that are not walked: those of sums of rows.
  static Access by_index() { return Access(Kind::by_index); }

  bool full() const { return kind_ == Kind::full; }      // the operand has an element for each of the result's
  bool scalar() const { return kind_ == Kind::scalar; }  // the same element for all
  // The number of elements after which the walk begins again, or 0 when it does not.
  std::int64_t period() const { return period_; }

  // Calls run(offset, stride, length, times) for the operand's elements that belong to [begin, begin + count) of the
  // result, piece by piece: elements offset, offset + stride, … of the operand, all `length` of them `times` times.
  template <class Run>
  void walk(std::int64_t begin, std::int64_t count, Run&& run) const;

 private:
  enum class Kind : std::uint8_t { full, scalar, strided, by_index };
  explicit Access(Kind kind) : kind_(kind) {}
  struct Axis {
    std::int64_t size, stride;
  };
  static constexpr std::size_t most_axes = 16;
  Kind kind_ = Kind::strided;
  std::vector<Axis> axes_;  // of the result, adjacent ones joined where the operand's strides allow it
  std::int64_t period_ = 0;
};

template <class Run>
void Access::walk(std::int64_t begin, std::int64_t count, Run&& run) const {
  if (kind_ == Kind::full) return run(begin, std::int64_t{1}, count, std::int64_t{1});
  if (kind_ == Kind::scalar) return run(std::int64_t{0}, std::int64_t{0}, count, std::int64_t{1});
  const std::size_t outer = axes_.size() - 1;
  const Axis inner = axes_.back();
  std::array<std::int64_t, most_axes> index{};
  std::int64_t rest = begin / inner.size, offset = 0, at = begin % inner.size;
  for (std::size_t axis = outer; axis-- > 0;) {
    index[axis] = rest % axes_[axis].size;
    rest /= axes_[axis].size;
    offset += index[axis] * axes_[axis].stride;
  }
  while (count > 0) {
    const std::int64_t length = std::min(count, inner.size - at);
    std::int64_t times = 1;
    if (length == inner.size && outer > 0 && axes_[outer - 1].stride == 0)
      times = std::min(count / length, axes_[outer - 1].size - index[outer - 1]);
    run(offset + at * inner.stride, inner.stride, length, times);
    count -= length * times;
    at = 0;
    std::int64_t steps = times;
    for (std::size_t axis = outer; axis-- > 0;) {
      offset += axes_[axis].stride;
      index[axis] += std::exchange(steps, 1);
      if (index[axis] < axes_[axis].size) break;
      offset -= axes_[axis].stride * axes_[axis].size;
      index[axis] = 0;
    }
  }
}

}  // namespace nacre::onednn
