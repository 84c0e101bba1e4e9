#include "backend/onednn/elementwise/access.h"

namespace nacre::onednn {

Access::Access(const Shape& operand, const Shape& result) {
  if (operand.elements() == result.elements()) {
    kind_ = Kind::full;
    return;
  }
  if (operand.elements() == 1) {
    kind_ = Kind::scalar;
    return;
  }
  const std::vector<std::int64_t> own = row_major_strides(operand);
  const int missing = result.rank() - operand.rank();
  std::vector<std::int64_t> strides;
  for (int axis = 0; axis < result.rank(); ++axis) {
    const bool repeated = axis < missing || operand[axis - missing] == 1;
    strides.push_back(repeated ? 0 : own[static_cast<std::size_t>(axis - missing)]);
  }
  *this = Access(result, strides);
}

Access::Access(const Shape& result, const std::vector<std::int64_t>& strides) {
  for (int axis = 0; axis < result.rank(); ++axis) {
    const std::int64_t size = result[axis], stride = strides[static_cast<std::size_t>(axis)];
    if (size == 1) continue;
    if (!axes_.empty() && axes_.back().stride == stride * size) axes_.back() = {axes_.back().size * size, stride};
    else axes_.push_back({size, stride});
  }
  if (axes_.empty()) axes_.push_back({1, 1});
  ensure(axes_.size() <= most_axes, "an operand of {} is walked along too many axes", result);
  if (axes_.size() == 2 && axes_[0].stride == 0 && axes_[1].stride == 1) period_ = axes_[1].size;
}

}  // namespace nacre::onednn
