#include "backend/graph/variable.h"

namespace nacre {

Tensor Variable::value() const {
  if (residence_) return residence_->read();
  ensure(has_host_, "variable '{}' was read before it had a value", path_);
  return host_;
}

void Variable::assign(Tensor value) {
  need(value.type() == type_, "variable '{}' is {}, got {}", path_, type_, value.type());
  host_ = std::move(value);
  has_host_ = true;
  residence_.reset();
  ++version_;
}

}  // namespace nacre
