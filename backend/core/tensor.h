// Arrays in host memory.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "backend/core/shape.h"

namespace nacre {

// Every buffer starts at a multiple of this many bytes (a cache line, and the widest vector register).
inline constexpr std::size_t buffer_alignment = 64;

// Bytes on the heap, aligned to buffer_alignment; not initialised.
std::shared_ptr<std::byte[]> allocate_bytes(std::size_t bytes);

// A dense row-major array with value semantics: copies share their elements until one of them is written to. Elements
// are numbers, or texts (DType::string; std::string objects, which are not read or written as bytes).
// Distinct Tensor objects may be used from distinct threads; one object is not synchronised.
class Tensor {
 public:
  Tensor() : Tensor(Type{DType::float32, {0}}) {}
  explicit Tensor(Type type);  // zeros, or empty texts
  Tensor(DType dtype, Shape shape) : Tensor(Type{dtype, std::move(shape)}) {}
  static Tensor uninitialised(Type type);  // numbers of any value, or empty texts
  static Tensor wrap(Type type, std::shared_ptr<std::byte[]> bytes);  // shares a buffer of at least type.bytes()
  template <class T>
  static Tensor of(Shape shape, std::span<const T> values);
  template <class T>
  static Tensor of(Shape shape, std::initializer_list<T> values) {
    return of(std::move(shape), std::span<const T>(values.begin(), values.size()));
  }
  template <class T>
  static Tensor scalar(T value) { return of({}, std::span<const T>(&value, 1)); }

  const Type& type() const { return type_; }
  const Shape& shape() const { return type_.shape; }
  DType dtype() const { return type_.dtype; }
  std::int64_t size() const { return size_; }  // number of elements
  std::size_t bytes() const { return static_cast<std::size_t>(size_) * size_of(type_.dtype); }

  const void* raw() const;  // of numbers
  void* raw_writable();     // of numbers; takes a private copy first when the elements are shared

  template <class T>
  std::span<const T> data() const {
    ensure(dtype_of<T>() == dtype(), "a {} tensor was read as {}", dtype(), dtype_of<T>());
    return {reinterpret_cast<const T*>(bytes_.get()), static_cast<std::size_t>(size_)};
  }
  template <class T>
  std::span<T> writable() {
    ensure(dtype_of<T>() == dtype(), "a {} tensor was written as {}", dtype(), dtype_of<T>());
    return {static_cast<T*>(own()), static_cast<std::size_t>(size_)};
  }

  double item() const;             // the only element, as a double
  double at(std::int64_t index) const;  // element at a row-major index, as a double
  Tensor cast(DType dtype) const;  // throws Error between texts and numbers
  Tensor reshaped(Shape shape) const;  // same elements, shared
  Tensor rows(std::int64_t begin, std::int64_t end) const;  // a copy of [begin, end) of the first axis
  std::vector<double> to_doubles() const;
  bool identical(const Tensor& other) const;  // same type and same bits, or same texts

 private:
  Tensor(Type type, std::shared_ptr<std::byte[]> bytes);
  void* own();  // the elements, after a private copy when they are shared

  Type type_;
  std::int64_t size_ = 0;
  std::shared_ptr<std::byte[]> bytes_;
};

template <class T>
Tensor Tensor::of(Shape shape, std::span<const T> values) {
  Tensor tensor = uninitialised({dtype_of<T>(), std::move(shape)});
  ensure(tensor.size() == static_cast<std::int64_t>(values.size()), "{} values for shape {}", values.size(), tensor.shape());
  if constexpr (std::is_same_v<T, std::string>) std::ranges::copy(values, tensor.template writable<T>().begin());
  else if (!values.empty()) std::memcpy(tensor.raw_writable(), values.data(), values.size_bytes());
  return tensor;
}

// Copies `count` elements between tensors of one dtype, from row-major index `begin` on to index `at` on.
void copy_elements(const Tensor& from, std::int64_t begin, std::int64_t count, Tensor& to, std::int64_t at);

}  // namespace nacre
