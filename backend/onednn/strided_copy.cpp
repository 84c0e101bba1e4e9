#include "backend/onednn/strided_copy.h"

#include <algorithm>

#include "backend/core/parallel.h"

namespace nacre::onednn {
namespace {

constexpr std::int64_t grain = 1 << 14;  // elements worth a thread

template <class Element>
void copy_line(Element* to, std::int64_t to_stride, const Element* from, std::int64_t from_stride, std::int64_t count) {
  if (to_stride == 1 && from_stride == 1) {
    std::copy(from, from + count, to);
  } else if (to_stride == 1 && from_stride == 0) {
    std::fill(to, to + count, *from);
  } else {
    for (std::int64_t i = 0; i < count; ++i) to[i * to_stride] = from[i * from_stride];
  }
}

}  // namespace

Box dense_box(const Shape& shape) { return {row_major_strides(shape), 0}; }

StridedCopy::StridedCopy(DType dtype, const Shape& shape, const Box& to, const Box& from)
    : element_bytes_(size_of(dtype)), to_base_(to.base), from_base_(from.base) {
  // Axes that continue each other in both boxes are one.
  for (std::size_t i = 0; i < to.strides.size(); ++i) {
    const Axis axis = {shape[static_cast<int>(i)], to.strides[i], from.strides[i]};
    if (axis.size == 1) continue;
    if (!outer_.empty() && outer_.back().to == axis.to * axis.size && outer_.back().from == axis.from * axis.size)
      outer_.back() = {outer_.back().size * axis.size, axis.to, axis.from};
    else outer_.push_back(axis);
  }
  if (!outer_.empty()) {
    inner_ = outer_.back();
    outer_.pop_back();
  }
}

template <class Element>
void StridedCopy::copy(Element* to, const Element* from) const {
  to += to_base_;
  from += from_base_;
  if (outer_.empty()) {
    parallel_for(inner_.size, grain, [&](std::int64_t begin, std::int64_t end) {
      copy_line(to + begin * inner_.to, inner_.to, from + begin * inner_.from, inner_.from, end - begin);
    });
    return;
  }
  std::int64_t lines = 1;
  for (const Axis& axis : outer_) lines *= axis.size;
  if (lines == 0) return;
  parallel_for(lines, std::max<std::int64_t>(grain / std::max<std::int64_t>(inner_.size, 1), 1),
               [&](std::int64_t begin, std::int64_t end) {
                 // The fastest of the outer axes is walked in a loop of its own.
                 const Axis& fast = outer_.back();
                 for (std::int64_t line = begin; line < end;) {
                   std::int64_t rest = line / fast.size, to_place = 0, from_place = 0;
                   for (std::size_t i = outer_.size() - 1; i-- > 0; rest /= outer_[i].size) {
                     const std::int64_t index = rest % outer_[i].size;
                     to_place += index * outer_[i].to;
                     from_place += index * outer_[i].from;
                   }
                   const std::int64_t first = line % fast.size, last = std::min(fast.size, first + end - line);
                   for (std::int64_t index = first; index < last; ++index)
                     copy_line(to + to_place + index * fast.to, inner_.to, from + from_place + index * fast.from,
                               inner_.from, inner_.size);
                   line += last - first;
                 }
               });
}

void StridedCopy::operator()(void* to, const void* from) const {
  switch (element_bytes_) {
    case 1: return copy(static_cast<std::uint8_t*>(to), static_cast<const std::uint8_t*>(from));
    case 2: return copy(static_cast<std::uint16_t*>(to), static_cast<const std::uint16_t*>(from));
    case 4: return copy(static_cast<std::uint32_t*>(to), static_cast<const std::uint32_t*>(from));
    default: return copy(static_cast<std::uint64_t*>(to), static_cast<const std::uint64_t*>(from));
  }
}

}  // namespace nacre::onednn
