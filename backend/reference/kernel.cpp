#include "backend/reference/kernel.h"

#include <algorithm>

namespace nacre::reference {

Staging::Staging(const Node& node) {
  for (Value value : node.inputs()) {
    operand_types_.push_back(value.dtype());
    operands_.push_back({value.shape(), {}});
    if (value.dtype() != DType::float64) scratch_bytes_ += static_cast<std::size_t>(value.shape().elements()) * sizeof(double);
  }
  for (const Type& type : node.types()) {
    result_types_.push_back(type.dtype);
    results_.push_back({type.shape, {}});
    scratch_bytes_ += static_cast<std::size_t>(type.shape.elements()) * sizeof(double);
  }
}

std::vector<KernelPlan::InPlace> Staging::in_place() const {
  std::vector<KernelPlan::InPlace> pairs;
  for (std::size_t o = 0; o < results_.size(); ++o)
    for (std::size_t i = 0; i < operands_.size(); ++i)
      if (result_types_[o] == operand_types_[i] && results_[o].shape == operands_[i].shape)
        pairs.push_back({static_cast<int>(o), static_cast<int>(i)});
  return pairs;
}

void Staging::load(const KernelArguments& arguments) {
  auto* free = static_cast<double*>(arguments.scratch);
  for (std::size_t i = 0; i < operands_.size(); ++i) {
    const auto count = static_cast<std::size_t>(operands_[i].shape.elements());
    if (operand_types_[i] == DType::float64) {
      operands_[i].values = {static_cast<const double*>(arguments.inputs[i]), count};
      continue;
    }
    visit(operand_types_[i], [&]<class T>(T*) {
      std::transform(static_cast<const T*>(arguments.inputs[i]), static_cast<const T*>(arguments.inputs[i]) + count, free,
                     convert<double, T>);
    });
    operands_[i].values = {free, count};
    free += count;
  }
  for (Result& result : results_) {
    const auto count = static_cast<std::size_t>(result.shape.elements());
    std::fill_n(free, count, 0.0);
    result.values = {free, count};
    free += count;
  }
}

void Staging::store(const KernelArguments& arguments) const {
  for (std::size_t o = 0; o < results_.size(); ++o)
    visit(result_types_[o], [&]<class T>(T*) {
      std::transform(results_[o].values.begin(), results_[o].values.end(), static_cast<T*>(arguments.outputs[o]),
                     convert<T, double>);
    });
}

KernelPlan view(const KernelRequest& request) {
  KernelPlan plan;
  plan.inputs.assign(request.node.inputs().size(), Layout::plain());
  plan.outputs = {Layout::plain()};
  return plan;
}

std::vector<std::int64_t> broadcast_strides(const Shape& from, const Shape& to) {
  const std::vector<std::int64_t> own = row_major_strides(from);
  const int missing = to.rank() - from.rank();
  std::vector<std::int64_t> strides(static_cast<std::size_t>(to.rank()), 0);
  for (int axis = 0; axis < from.rank(); ++axis)
    if (from[axis] != 1) strides[static_cast<std::size_t>(axis + missing)] = own[static_cast<std::size_t>(axis)];
  return strides;
}

AxisSizes around(const Shape& shape, std::int64_t axis) {
  const int at = static_cast<int>(axis);
  return {shape.first(at).elements(), shape[at], shape.from(at + 1).elements()};
}

}  // namespace nacre::reference
