// What reference kernels are made of: loops over doubles that read like the formula of the op, whatever the element
// types are, and walks over index spaces.
//
//   KernelPlan matmul(const KernelRequest& request) {
//     return compute(request, [m, n, k](Operands x, Results y) {
//       for (…) y[0][i * n + j] += x[0][i * k + l] * x[1][l * n + j];
//     });
//   }
#pragma once

#include <array>
#include <utility>

#include "backend/backend.h"

namespace nacre::reference {

// An operand, row-major.
struct Operand {
  Shape shape;
  std::span<const double> values;
  double operator[](std::int64_t i) const { return values[static_cast<std::size_t>(i)]; }
};

// A result, row-major; all zeros when the work begins.
struct Result {
  Shape shape;
  std::span<double> values;
  double& operator[](std::int64_t i) const { return values[static_cast<std::size_t>(i)]; }
};

using Operands = std::span<const Operand>;
using Results = std::span<const Result>;

// Stages a node's operands and results as doubles in scratch memory. Results are stored when all work is done, so
// any of them may lie where an operand of the same type lies.
class Staging {
 public:
  explicit Staging(const Node& node);
  std::size_t scratch_bytes() const { return scratch_bytes_; }
  std::vector<KernelPlan::InPlace> in_place() const;

  void load(const KernelArguments& arguments);
  void store(const KernelArguments& arguments) const;
  Operands operands() const { return operands_; }
  Results results() const { return results_; }

 private:
  std::vector<DType> operand_types_, result_types_;
  std::vector<Operand> operands_;
  std::vector<Result> results_;
  std::size_t scratch_bytes_ = 0;
};

// A kernel of plain operands and results that does `work(arguments)`.
template <class Work>
KernelPlan plain_kernel(const KernelRequest& request, Work work) {
  struct PlainKernel final : Kernel {
    explicit PlainKernel(Work function) : work(std::move(function)) {}
    void run(const KernelArguments& arguments) override { work(arguments); }
    Work work;
  };
  KernelPlan plan;
  plan.kernel = std::make_unique<PlainKernel>(std::move(work));
  plan.inputs.assign(request.node.inputs().size(), Layout::plain());
  plan.outputs.assign(request.node.types().size(), Layout::plain());
  return plan;
}

// A kernel that computes in double: `work(operands, results)`.
template <class Work>
KernelPlan compute(const KernelRequest& request, Work work) {
  Staging staging(request.node);
  const std::size_t scratch_bytes = staging.scratch_bytes();
  std::vector<KernelPlan::InPlace> in_place = staging.in_place();
  KernelPlan plan = plain_kernel(
      request, [staging = std::move(staging), work = std::move(work)](const KernelArguments& arguments) mutable {
        staging.load(arguments);
        work(staging.operands(), staging.results());
        staging.store(arguments);
      });
  plan.scratch_bytes = scratch_bytes;
  plan.in_place = std::move(in_place);
  return plan;
}

// A view: output 0 has the elements of input 0.
KernelPlan view(const KernelRequest& request);

// Strides of a row-major tensor of shape `from` as it is walked by an index of shape `to`, to which it broadcasts.
std::vector<std::int64_t> broadcast_strides(const Shape& from, const Shape& to);

// A walk over an index space in row-major order that keeps N offsets: each starts at its base and moves by its strides.
template <std::size_t N>
class Walk {
 public:
  using Offsets = std::array<std::int64_t, N>;

  Walk(Shape space, std::array<std::vector<std::int64_t>, N> strides, Offsets bases = {})
      : space_(std::move(space)), strides_(std::move(strides)), bases_(bases) {}

  // body(offset…) at each index.
  template <class Body>
  void operator()(Body&& body) const {
    descend(0, bases_, body);
  }

 private:
  template <class Body>
  void descend(int axis, Offsets offsets, Body& body) const {
    if (axis == space_.rank()) {
      std::apply(body, offsets);
      return;
    }
    for (std::int64_t i = 0; i < space_[axis]; ++i) {
      descend(axis + 1, offsets, body);
      for (std::size_t n = 0; n < N; ++n) offsets[n] += strides_[n][static_cast<std::size_t>(axis)];
    }
  }

  Shape space_;
  std::array<std::vector<std::int64_t>, N> strides_;
  Offsets bases_;
};

// The sizes around an axis: an element (o, i, n) of a row-major tensor lies at (o * axis + i) * inner + n.
struct AxisSizes {
  std::int64_t outer = 1, axis = 1, inner = 1;
};
AxisSizes around(const Shape& shape, std::int64_t axis);

}  // namespace nacre::reference
