#include "backend/core/tensor.h"

#include <memory>
#include <new>

#include "backend/core/memory.h"

namespace nacre {

std::shared_ptr<std::byte[]> allocate_bytes(std::size_t bytes) {
  const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + buffer_alignment - 1) / buffer_alignment * buffer_alignment;
  // Small ones come and go by the million in eager mode: the system is slow to give, and to take back, memory that it has
  // aligned.
  constexpr std::size_t small = 1024;
  if (rounded <= small) {
    auto* const whole = static_cast<std::byte*>(::operator new[](rounded + buffer_alignment));
    void* start = whole;
    std::size_t space = rounded + buffer_alignment;
    return {static_cast<std::byte*>(std::align(buffer_alignment, rounded, start, space)),
            [whole](std::byte*) { ::operator delete[](whole); }};
  }
  auto* memory = static_cast<std::byte*>(::operator new[](rounded, std::align_val_t(buffer_alignment), std::nothrow));
  if (!memory) throw Error("out of memory: {} MiB wanted", rounded >> 20);
  return {memory, [](std::byte* p) { ::operator delete[](p, std::align_val_t(buffer_alignment)); }};
}

namespace {

// Memory for the elements of a tensor; texts are constructed in it, and destroyed with it.
std::shared_ptr<std::byte[]> allocate_elements(const Type& type) {
  constexpr std::size_t certain = 1 << 20;  // there is as much
  if (type.bytes() > certain) want_memory(type.bytes(), type.text());
  std::shared_ptr<std::byte[]> memory = allocate_bytes(type.bytes());
  if (type.dtype != DType::string) return memory;
  const auto count = static_cast<std::size_t>(type.shape.elements());
  auto* texts = reinterpret_cast<std::string*>(memory.get());
  std::uninitialized_default_construct_n(texts, count);
  return {memory.get(), [memory, texts, count](std::byte*) { std::destroy_n(texts, count); }};
}

}  // namespace

Tensor::Tensor(Type type, std::shared_ptr<std::byte[]> bytes)
    : type_(std::move(type)), size_(type_.shape.elements()), bytes_(std::move(bytes)) {}

Tensor::Tensor(Type type) : Tensor(uninitialised(std::move(type))) {
  if (dtype() != DType::string) std::memset(bytes_.get(), 0, bytes());
}

Tensor Tensor::uninitialised(Type type) {
  auto elements = allocate_elements(type);
  return Tensor(std::move(type), std::move(elements));
}

Tensor Tensor::wrap(Type type, std::shared_ptr<std::byte[]> bytes) {
  ensure(type.dtype != DType::string, "texts in foreign memory");
  return Tensor(std::move(type), std::move(bytes));
}

const void* Tensor::raw() const {
  ensure(dtype() != DType::string, "the bytes of texts were asked for");
  return bytes_.get();
}

void* Tensor::raw_writable() {
  ensure(dtype() != DType::string, "the bytes of texts were asked for");
  return own();
}

void* Tensor::own() {
  if (bytes_.use_count() > 1) {
    Tensor copy = uninitialised(type_);
    copy_elements(*this, 0, size_, copy, 0);
    bytes_ = std::move(copy.bytes_);
  }
  return bytes_.get();
}

void copy_elements(const Tensor& from, std::int64_t begin, std::int64_t count, Tensor& to, std::int64_t at) {
  ensure(from.dtype() == to.dtype(), "{} elements were copied to {}", from.dtype(), to.dtype());
  ensure(begin >= 0 && at >= 0 && begin + count <= from.size() && at + count <= to.size(),
         "elements {}+{} of {} were copied to {} of {}", begin, count, from.size(), at, to.size());
  if (from.dtype() == DType::string) {
    std::ranges::copy_n(from.data<std::string>().begin() + begin, count, to.writable<std::string>().begin() + at);
    return;
  }
  const std::size_t width = size_of(from.dtype());
  auto* target = static_cast<std::byte*>(to.raw_writable()) + static_cast<std::size_t>(at) * width;
  std::memcpy(target, static_cast<const std::byte*>(from.raw()) + static_cast<std::size_t>(begin) * width,
              static_cast<std::size_t>(count) * width);
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
  copy_elements(*this, shape()[0] ? begin * (size_ / shape()[0]) : 0, result.size(), result, 0);
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
  if (type_ != other.type_) return false;
  if (dtype() == DType::string) return std::ranges::equal(data<std::string>(), other.data<std::string>());
  return std::memcmp(bytes_.get(), other.bytes_.get(), bytes()) == 0;
}

}  // namespace nacre
