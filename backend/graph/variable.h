// Quantities that outlive a run of a graph: weights, moving statistics, optimizer slots, counters, the random seed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "backend/core/tensor.h"

namespace nacre {

// A variable's value inside a backend, in whatever layout that backend's executable wants.
class Residence {
 public:
  virtual ~Residence() = default;
  virtual Tensor read() const = 0;  // in plain order
};

// Belongs to a layer, optimizer or metric; shared by every graph that mentions it. Its newest value is either the
// plain host tensor or its residence, the buffer that the owning executable updates in place.
// Not synchronised: used by the thread that trains.
class Variable {
 public:
  Variable(std::string path, Type type, bool trainable) : path_(std::move(path)), type_(std::move(type)), trainable_(trainable) {}
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

  const std::string& path() const { return path_; }  // "conv1/kernel": unique within a model, used in files
  void rename(std::string path) { path_ = std::move(path); }
  const Type& type() const { return type_; }
  const Shape& shape() const { return type_.shape; }
  bool trainable() const { return trainable_; }
  // A trainable one to which training gives its gradient as its new value (Keras's overwrite_with_gradient).
  bool overwritten() const { return overwritten_; }
  void be_overwritten() { overwritten_ = true; }

  bool has_value() const { return residence_ || has_host_; }
  Tensor value() const;        // plain order; throws InternalError when never assigned
  void assign(Tensor value);   // shape and dtype must be the variable's
  std::uint64_t version() const { return version_; }  // grows with every change of the value

  // For executables. `settle` moves ownership of the newest value to a residence; `touched` says that the
  // residence was written to by a run.
  const std::shared_ptr<Residence>& residence() const { return residence_; }
  void settle(std::shared_ptr<Residence> residence) { residence_ = std::move(residence), has_host_ = false, host_ = Tensor(); }
  void touched() { ++version_; }

 private:
  std::string path_;
  Type type_;
  bool trainable_;
  bool overwritten_ = false;
  bool has_host_ = false;
  Tensor host_;
  std::shared_ptr<Residence> residence_;
  std::uint64_t version_ = 0;
};

using VariableRef = std::shared_ptr<Variable>;

}  // namespace nacre
