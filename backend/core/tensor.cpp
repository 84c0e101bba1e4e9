#include "backend/core/tensor.h"

#include <new>

namespace nacre {

std::shared_ptr<std::byte[]> allocate_bytes(std::size_t bytes) {
  const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + buffer_alignment - 1) / buffer_alignment * buffer_alignment;
  auto* memory = static_cast<std::byte*>(::operator new[](rounded, std::align_val_t(buffer_alignment), std::nothrow));
  if (!memory) throw Error("out of memory: {} MiB wanted", rounded >> 20);
  return {memory, [](std::byte* p) { ::operator delete[](p, std::align_val_t(buffer_alignment)); }};
}

Tensor::Tensor(Type type, std::shared_ptr<std::byte[]> bytes)
    : type_(std::move(type)), size_(type_.shape.elements()), bytes_(std::move(bytes)) {}

Tensor::Tensor(Type type) : Tensor(uninitialised(std::move(type))) { std::memset(bytes_.get(), 0, bytes()); }

Tensor Tensor::uninitialised(Type type) {
  const std::size_t bytes = type.bytes();
  return Tensor(std::move(type), allocate_bytes(bytes));
}

Tensor Tensor::wrap(Type type, std::shared_ptr<std::byte[]> bytes) { return Tensor(std::move(type), std::move(bytes)); }

void* Tensor::raw_writable() {
  if (bytes_.use_count() > 1) {
    auto copy = allocate_bytes(bytes());
    std::memcpy(copy.get(), bytes_.get(), bytes());
    bytes_ = std::move(copy);
  }
  return bytes_.get();
}

double Tensor::item() const {
  ensure(size_ == 1, "item() of a tensor with {} elements", size_);
  return at(0);
}

double Tensor::at(std::int64_t index) const {
  return visit(dtype(), [&]<class T>(T*) { return convert<double>(data<T>()[static_cast<std::size_t>(index)]); });
}

Tensor Tensor::cast(DType dtype) const {
  if (dtype == type_.dtype) return *this;
  Tensor result = uninitialised({dtype, shape()});
  visit(type_.dtype, [&]<class From>(From*) {
    visit(dtype, [&]<class To>(To*) {
      auto from = data<From>();
      auto to = result.writable<To>();
      for (std::size_t i = 0; i < from.size(); ++i) to[i] = convert<To>(from[i]);
    });
  });
  return result;
}

Tensor Tensor::reshaped(Shape shape) const {
  need(shape.elements() == size_, "cannot reshape {} to {}", this->shape(), shape);
  return Tensor({dtype(), std::move(shape)}, bytes_);
}

Tensor Tensor::rows(std::int64_t begin, std::int64_t end) const {
  ensure(shape().rank() > 0 && 0 <= begin && begin <= end && end <= shape()[0], "rows {}..{} of {}", begin, end, shape());
  Tensor result = uninitialised({dtype(), Shape{end - begin} + shape().from(1)});
  const std::size_t row = shape()[0] ? bytes() / static_cast<std::size_t>(shape()[0]) : 0;
  std::memcpy(result.bytes_.get(), bytes_.get() + static_cast<std::size_t>(begin) * row, result.bytes());
  return result;
}

std::vector<double> Tensor::to_doubles() const {
  std::vector<double> values(static_cast<std::size_t>(size_));
  visit(dtype(), [&]<class T>(T*) {
    auto from = data<T>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = convert<double>(from[i]);
  });
  return values;
}

bool Tensor::identical(const Tensor& other) const {
  return type_ == other.type_ && std::memcmp(bytes_.get(), other.bytes_.get(), bytes()) == 0;
}

}  // namespace nacre
