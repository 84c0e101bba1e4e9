#include "backend/compile/residence.h"

#include <cstring>

namespace nacre::compile {

BackendResidence::BackendResidence(Type type, Layout layout, const Backend& backend, bool updated)
    : type_(std::move(type)),
      layout_(std::move(layout)),
      backend_(backend),
      updated_(updated),
      buffer_(backend.allocate(layout_.bytes(type_))) {}

BackendResidence::BackendResidence(Type type, const Backend& backend, bool updated)
    : type_(std::move(type)), layout_(Layout::plain()), backend_(backend), updated_(updated) {}

void BackendResidence::take(Tensor plain) {
  auto held = std::make_shared<Tensor>(std::move(plain));
  auto* const bytes = static_cast<std::byte*>(held->raw_writable());
  buffer_ = std::shared_ptr<std::byte[]>(std::move(held), bytes);
}

Tensor BackendResidence::read() const {
  Tensor plain = Tensor::uninitialised(type_);
  reorder(layout_, Layout::plain(), buffer_.get(), plain.raw_writable());
  backend_.wait();
  return plain;
}

void BackendResidence::write(const Tensor& plain) { reorder(Layout::plain(), layout_, plain.raw(), buffer_.get()); }

void BackendResidence::write(const BackendResidence& other) {
  reorder(other.layout_, layout_, other.raw(), buffer_.get());
}

void BackendResidence::reorder(const Layout& from, const Layout& to, const void* source, void* destination) const {
  if (type_.shape.elements() == 0) return;
  backend_.reorder(type_, from, to)->run({.inputs = {&source, 1}, .outputs = {&destination, 1}, .scratch = nullptr});
}

std::shared_ptr<BackendResidence> residence_on(const Backend& backend, const Variable& variable) {
  auto residence = std::dynamic_pointer_cast<BackendResidence>(variable.residence());
  return residence && &residence->backend() == &backend ? residence : nullptr;
}

}  // namespace nacre::compile
