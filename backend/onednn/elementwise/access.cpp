#include "backend/onednn/elementwise/access.h"

#include <algorithm>
#include <array>

namespace nacre::onednn {

namespace {
constexpr std::size_t most_axes = 16;
}

Access::Access(const Shape& operand, const Shape& result) {
  if (operand.elements() == result.elements()) {
    kind_ = Kind::full;
    return;
  }
  if (operand.elements() == 1) {
    kind_ = Kind::scalar;
    return;
  }
  const std::vector<std::int64_t> strides = row_major_strides(operand);
  const int missing = result.rank() - operand.rank();
  for (int axis = 0; axis < result.rank(); ++axis) {
    const std::int64_t size = result[axis];
    if (size == 1) continue;
    const bool repeated = axis < missing || operand[axis - missing] == 1;
    const std::int64_t stride = repeated ? 0 : strides[static_cast<std::size_t>(axis - missing)];
    if (!axes_.empty() && axes_.back().stride == stride * size) axes_.back() = {axes_.back().size * size, stride};
    else axes_.push_back({size, stride});
  }
  ensure(axes_.size() <= most_axes, "an operand {} broadcasts to {} along too many axes", operand, result);
  if (axes_.size() == 2 && axes_[0].stride == 0 && axes_[1].stride == 1) period_ = axes_[1].size;
}

void Access::gather(DType dtype, const void* from, std::int64_t begin, std::int64_t count, float* to, const Loops& loops) const {
  const std::size_t outer = axes_.size() - 1;
  const Axis inner = axes_.back();
  std::array<std::int64_t, most_axes> index{};
  std::int64_t rest = begin / inner.size, offset = 0;
  for (std::size_t axis = outer; axis-- > 0;) {
    index[axis] = rest % axes_[axis].size;
    rest /= axes_[axis].size;
    offset += index[axis] * axes_[axis].stride;
  }
  std::int64_t at = begin % inner.size;
  const Load load = loops.load[static_cast<std::size_t>(dtype)];
  visit(dtype, [&]<class T>(T*) {
    const auto* values = static_cast<const T*>(from);
    while (count > 0) {
      const std::int64_t run = std::min(count, inner.size - at);
      const T* first = values + offset + at * inner.stride;
      if (inner.stride == 1) load(first, to, run);
      else if (inner.stride == 0) std::fill_n(to, run, convert<float>(*first));
      else
        for (std::int64_t i = 0; i < run; ++i) to[i] = convert<float>(first[i * inner.stride]);
      to += run;
      count -= run;
      at = 0;
      for (std::size_t axis = outer; axis-- > 0;) {
        offset += axes_[axis].stride;
        if (++index[axis] < axes_[axis].size) break;
        offset -= axes_[axis].stride * axes_[axis].size;
        index[axis] = 0;
      }
    }
  });
}

}  // namespace nacre::onednn
