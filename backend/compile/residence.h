// Where variables live: the buffer of a backend that executables read and update in place.
#pragma once

#include "backend/backend.h"

namespace nacre::compile {

class BackendResidence final : public Residence {
 public:
  // A buffer of undefined contents. `updated` says that the executable which settles it also updates the variable:
  // its choice of the layout stands above that of executables that only read.
  BackendResidence(Type type, Layout layout, const Backend& backend, bool updated);
  // In plain layout and without a buffer, until it takes a tensor's.
  BackendResidence(Type type, const Backend& backend, bool updated);
  void take(Tensor plain);

  Tensor read() const override;
  void write(const Tensor& plain);
  void write(const BackendResidence& other);  // of the same backend, in another layout

  const Type& type() const { return type_; }
  const Layout& layout() const { return layout_; }
  const Backend& backend() const { return backend_; }
  bool updated() const { return updated_; }
  void claim() { updated_ = true; }
  void* raw() const { return buffer_.get(); }

 private:
  void reorder(const Layout& from, const Layout& to, const void* source, void* destination) const;

  Type type_;
  Layout layout_;
  const Backend& backend_;
  bool updated_;
  std::shared_ptr<std::byte[]> buffer_;
};

// The variable's residence when it is one of this backend, else null.
std::shared_ptr<BackendResidence> residence_on(const Backend& backend, const Variable& variable);

}  // namespace nacre::compile
