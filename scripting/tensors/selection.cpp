#include "scripting/tensors/selection.h"

#include <algorithm>
#include <unordered_map>

namespace nacre::scripting {

namespace {

// Calls run(index in the tensor, index among the selected, how many lie in a row) for all, in order.
template <class Run>
class Walk {
 public:
  Walk(const Selection& selection, const Run& run) : selection_(selection), run_(run) {
    const auto& axes = selection_.axes;
    depth_ = axes.size();
    strides_ = row_major_strides(selection_.whole);
    for (const Selection::Axis& axis : axes)
      if (axis.count == 0) return;
    // Axes at the end that are whole, then one that is dense, lie in a row.
    while (depth_ > 0 && is_whole(depth_ - 1)) row_ *= axes[--depth_].count;
    if (depth_ > 0 && !axes[depth_ - 1].listed && axes[depth_ - 1].step == 1) {
      --depth_;
      start_ = axes[depth_].first * strides_[depth_];
      row_ *= axes[depth_].count;
    }
    visit(0, start_);
  }

 private:
  bool is_whole(std::size_t axis) const {
    const Selection::Axis& picked = selection_.axes[axis];
    return !picked.listed && picked.step == 1 && picked.count == selection_.whole[static_cast<int>(axis)];
  }
  void visit(std::size_t axis, std::int64_t offset) {
    if (axis == depth_) {
      run_(offset, selected_, row_);
      selected_ += row_;
      return;
    }
    const Selection::Axis& picked = selection_.axes[axis];
    for (std::int64_t i = 0; i < picked.count; ++i) visit(axis + 1, offset + picked.place(i) * strides_[axis]);
  }

  const Selection& selection_;
  const Run& run_;
  std::vector<std::int64_t> strides_;
  std::size_t depth_ = 0;
  std::int64_t row_ = 1, start_ = 0, selected_ = 0;
};

// Calls work with a null pointer of a type of the size of the dtype's elements, or of texts.
template <class Work>
void by_size(DType dtype, const Work& work) {
  if (dtype == DType::string) return work(static_cast<std::string*>(nullptr));
  switch (size_of(dtype)) {
    case 1: return work(static_cast<std::uint8_t*>(nullptr));
    case 2: return work(static_cast<std::uint16_t*>(nullptr));
    case 4: return work(static_cast<std::uint32_t*>(nullptr));
    default: return work(static_cast<std::uint64_t*>(nullptr));
  }
}
template <class T>
const T* elements(const Tensor& tensor) {
  if constexpr (std::is_same_v<T, std::string>) return tensor.data<std::string>().data();
  else return static_cast<const T*>(tensor.raw());
}
template <class T>
T* elements_to_write(Tensor& tensor) {
  if constexpr (std::is_same_v<T, std::string>) return tensor.writable<std::string>().data();
  else return static_cast<T*>(tensor.raw_writable());
}

// Zeros of a shape with the values added at their places: the adjoint of taken().
Tensor put(const Tensor& values, const Shape& shape, const Selection& selection) {
  Tensor x(values.dtype(), shape);
  visit(values.dtype(), [&]<class T>(T*) {
    const std::span<const T> from = values.data<T>();
    const std::span<T> to = x.writable<T>();
    Walk(selection, [&](std::int64_t place, std::int64_t selected, std::int64_t count) {
      for (std::int64_t i = 0; i < count; ++i) {
        T& sum = to[static_cast<std::size_t>(place + i)];
        const T value = from[static_cast<std::size_t>(selected + i)];
        if constexpr (std::is_same_v<T, bool>) sum = sum || value;
        else if constexpr (std::is_same_v<T, BFloat16>)
          sum = BFloat16(static_cast<float>(sum) + static_cast<float>(value));
        else sum = static_cast<T>(sum + value);
      }
    });
  });
  return x;
}

eager::Array put(eager::Eager& eager, const eager::Array& values, const Shape& shape, SelectionRef selection) {
  Tensor x = put(values.value, shape, *selection);
  return eager
      .join({std::move(x)}, {values},
            [&eager,
             selection](std::span<const std::optional<eager::Array>> d) -> std::vector<std::optional<eager::Array>> {
              if (!d[0]) return {std::nullopt};
              return {taken(eager, *d[0], selection)};
            })
      .front();
}

// The selection without the places that come again later, and the values that stay.
std::pair<SelectionRef, eager::Array> without_repeats(eager::Eager& eager, const Selection& selection,
                                                      const eager::Array& values) {
  auto unique = std::make_shared<Selection>(selection);
  auto kept = std::make_shared<Selection>();  // among the values
  unique->result = {};
  for (Selection::Axis& axis : unique->axes) {
    Selection::Axis& of_values = kept->axes.emplace_back();
    kept->whole.append(axis.count);
    of_values.count = axis.count;
    if (axis.listed) {
      std::unordered_map<std::int64_t, std::int64_t> last;
      for (std::int64_t i = 0; i < axis.count; ++i) last[axis.place(i)] = i;
      of_values.listed = true;
      for (std::int64_t i = 0; i < axis.count; ++i)
        if (last[axis.place(i)] == i) of_values.places.push_back(i);
      std::vector<std::int64_t> places;
      for (const std::int64_t i : of_values.places) places.push_back(axis.place(i));
      axis.places = std::move(places);
      axis.count = of_values.count = std::ssize(of_values.places);
    }
    unique->result.append(axis.count);
  }
  kept->result = unique->result;
  return {unique, taken(eager, values, std::move(kept))};
}

}  // namespace

bool Selection::repeats() const {
  for (const Axis& axis : axes) {
    if (!axis.listed) continue;
    std::vector<std::int64_t> sorted = axis.places;
    std::ranges::sort(sorted);
    if (std::ranges::adjacent_find(sorted) != sorted.end()) return true;
  }
  return false;
}

Tensor taken(const Tensor& x, const Selection& selection) {
  Tensor y = Tensor::uninitialised({x.dtype(), selection.result});
  by_size(x.dtype(), [&]<class T>(T*) {
    const T* const from = elements<T>(x);
    T* const to = elements_to_write<T>(y);
    Walk(selection, [&](std::int64_t place, std::int64_t selected, std::int64_t count) {
      std::copy_n(from + place, count, to + selected);
    });
  });
  return y;
}

void write(Tensor& x, const Selection& selection, const Tensor& values) {
  by_size(x.dtype(), [&]<class T>(T*) {
    const T* const from = elements<T>(values);
    T* const to = elements_to_write<T>(x);
    const bool same = values.size() == 1;
    Walk(selection, [&](std::int64_t place, std::int64_t selected, std::int64_t count) {
      if (same) std::fill_n(to + place, count, *from);
      else std::copy_n(from + selected, count, to + place);
    });
  });
}

Tensor repeated(const Tensor& x, const Shape& shape) {
  Selection selection{
      .whole =
          Shape(std::vector<std::int64_t>(static_cast<std::size_t>(shape.rank() - x.shape().rank()), 1)) + x.shape(),
      .axes = {},
      .result = shape};
  for (int axis = 0; axis < shape.rank(); ++axis)
    selection.axes.push_back({.step = selection.whole[axis] == 1 ? 0 : 1, .count = shape[axis]});
  return taken(x, selection);
}

eager::Array taken(eager::Eager& eager, const eager::Array& x, SelectionRef selection) {
  Tensor y = taken(x.value, *selection);
  if (!x.origin || !eager.recording()) return {std::move(y)};
  return eager
      .join({std::move(y)}, {x},
            [&eager, selection, shape = x.value.shape()](
                std::span<const std::optional<eager::Array>> d) -> std::vector<std::optional<eager::Array>> {
              if (!d[0]) return {std::nullopt};
              return {put(eager, *d[0], shape, selection)};
            })
      .front();
}

eager::Array written(eager::Eager& eager, const eager::Array& x, SelectionRef selection, eager::Array values) {
  if (selection->repeats()) std::tie(selection, values) = without_repeats(eager, *selection, values);
  Tensor y = x.value;
  write(y, *selection, values.value);
  return eager
      .join({std::move(y)}, {{Tensor(), x.origin, x.output}, {Tensor(), values.origin, values.output}},
            [&eager, selection, shape = values.value.shape()](
                std::span<const std::optional<eager::Array>> d) -> std::vector<std::optional<eager::Array>> {
              if (!d[0]) return {std::nullopt, std::nullopt};
              const eager::Array nothing{Tensor(d[0]->value.dtype(), shape)};
              return {written(eager, *d[0], selection, nothing), taken(eager, *d[0], selection)};
            })
      .front();
}

}  // namespace nacre::scripting
