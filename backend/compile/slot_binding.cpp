#include "backend/compile/slot_binding.h"

namespace nacre::compile {

SlotBinding::SlotBinding(VariableRef variable, Layout layout, bool read, bool updated, const Backend& backend)
    : variable_(std::move(variable)), layout_(std::move(layout)), read_(read), updated_(updated), backend_(backend) {}

bool SlotBinding::refresh() {
  if (buffer_ && variable_->residence().get() == source_ && variable_->version() == version_) return false;
  if (auto present = residence_on(backend_, *variable_); present && present->layout() == layout_) {
    if (present != buffer_) own_bytes_ = 0;
    buffer_ = std::move(present);
    if (updated_) buffer_->claim();
  } else {
    load();
  }
  source_ = variable_->residence().get();
  version_ = variable_->version();
  return true;
}

// The host tensor of the variable becomes its residence, where it lies as the kernels want it.
bool SlotBinding::adopt_host() {
  if (buffer_ || !layout_.is_plain() || !backend_.shares_host_memory() || variable_->residence() || !variable_->has_value())
    return false;
  Tensor plain = variable_->value();
  if (reinterpret_cast<std::uintptr_t>(plain.raw()) % buffer_alignment) return false;  // in foreign memory
  buffer_ = std::make_shared<BackendResidence>(variable_->type(), backend_, updated_);
  variable_->settle(buffer_);  // which lets go of the tensor, so that it is copied only when others hold it
  buffer_->take(std::move(plain));
  own_bytes_ = layout_.bytes(variable_->type());
  return true;
}

void SlotBinding::load() {
  if (adopt_host()) return;
  const auto present = residence_on(backend_, *variable_);
  // A buffer that other executables adopted from this one is theirs too: they see the new version and follow.
  if (!buffer_) {
    buffer_ = std::make_shared<BackendResidence>(variable_->type(), layout_, backend_, updated_);
    own_bytes_ = layout_.bytes(variable_->type());
  }
  if (read_ || variable_->has_value()) {
    if (present) buffer_->write(*present);
    else buffer_->write(variable_->value());
  }
  if (updated_ || !variable_->residence()) variable_->settle(buffer_);
}

void SlotBinding::mark_updated() {
  variable_->touched();
  version_ = variable_->version();
}

}  // namespace nacre::compile
