#include "api/vintage/arrays.h"

namespace nacre::arrays {

namespace {

// Copies elements in the row-major order of `shape`, each from where the strides (in elements) lead.
Tensor strided(const Tensor& tensor, const Shape& shape, const std::vector<std::int64_t>& strides, std::int64_t offset) {
  Tensor result = Tensor::uninitialised({tensor.dtype(), shape});
  const std::size_t size = size_of(tensor.dtype());
  const auto* from = static_cast<const std::byte*>(tensor.raw());
  auto* to = static_cast<std::byte*>(result.raw_writable());
  std::vector<std::int64_t> index(strides.size());
  for (std::int64_t i = 0; i < result.size(); ++i, to += size) {
    std::memcpy(to, from + static_cast<std::size_t>(offset) * size, size);
    for (std::size_t axis = strides.size(); axis-- > 0;) {
      offset += strides[axis];
      if (++index[axis] < shape[static_cast<int>(axis)]) break;
      offset -= strides[axis] * index[axis];
      index[axis] = 0;
    }
  }
  return result;
}

}  // namespace

Tensor transposed(const Tensor& tensor, std::span<const int> order) {
  need(static_cast<int>(order.size()) == tensor.shape().rank(), "got an array {}, wanted rank {}", tensor.shape(), order.size());
  const std::vector<std::int64_t> strides = row_major_strides(tensor.shape());
  Shape shape;
  std::vector<std::int64_t> chosen;
  for (int axis : order) {
    shape.append(tensor.shape()[axis]);
    chosen.push_back(strides[static_cast<std::size_t>(axis)]);
  }
  return strided(tensor, shape, chosen, 0);
}

Tensor reversed(const Tensor& tensor, int axes) {
  std::vector<std::int64_t> strides = row_major_strides(tensor.shape());
  std::int64_t offset = 0;
  for (int axis = 0; axis < axes; ++axis) {
    std::int64_t& stride = strides[static_cast<std::size_t>(axis)];
    offset += stride * (tensor.shape()[axis] - 1);
    stride = -stride;
  }
  return tensor.size() == 0 ? tensor : strided(tensor, tensor.shape(), strides, offset);
}

Tensor joined(const std::vector<Tensor>& tensors) {
  Shape shape = tensors.at(0).shape();
  need(shape.rank() > 0, "got a scalar, wanted an array");
  std::int64_t width = 0;
  for (const Tensor& tensor : tensors) {
    need(tensor.shape().rank() == shape.rank() && tensor.shape().first(shape.rank() - 1) == shape.first(shape.rank() - 1) && tensor.dtype() == tensors[0].dtype(),
         "cannot join arrays {} and {}", shape, tensor.shape());
    width += tensor.shape()[-1];
  }
  shape.set(-1, width);
  Tensor result = Tensor::uninitialised({tensors[0].dtype(), shape});
  const std::size_t size = size_of(result.dtype()), row = static_cast<std::size_t>(width) * size;
  const std::int64_t rows = width == 0 ? 0 : result.size() / width;
  auto* to = static_cast<std::byte*>(result.raw_writable());
  std::size_t column = 0;
  for (const Tensor& tensor : tensors) {
    const std::size_t part = static_cast<std::size_t>(tensor.shape()[-1]) * size;
    for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i)
      std::memcpy(to + i * row + column, static_cast<const std::byte*>(tensor.raw()) + i * part, part);
    column += part;
  }
  return result;
}

std::vector<Tensor> split(const Tensor& tensor, std::int64_t count) {
  need(tensor.shape().rank() > 0 && tensor.shape()[-1] % count == 0, "cannot split an array {} into {}", tensor.shape(), count);
  const std::int64_t width = tensor.shape()[-1] / count;
  Shape shape = tensor.shape();
  shape.set(-1, width);
  std::vector<Tensor> parts;
  for (std::int64_t i = 0; i < count; ++i) parts.push_back(strided(tensor, shape, row_major_strides(tensor.shape()), i * width));
  return parts;
}

Tensor added(const Tensor& a, const Tensor& b) {
  need(a.type() == b.type(), "cannot add arrays {} and {}", a.shape(), b.shape());
  Tensor sum = a;
  visit(sum.dtype(), [&]<class T>(T*) {
    const std::span<const T> from = b.data<T>();
    std::size_t i = 0;
    for (T& value : sum.writable<T>()) value = convert<T>(convert<double>(value) + convert<double>(from[i++]));
  });
  return sum;
}

}  // namespace nacre::arrays
