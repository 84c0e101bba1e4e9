// A backend for tests of compilation: the reference kernels, except that `square` insists on a layout of its own (the
// elements in reverse order) and `add`, `subtract` and `multiply` take whatever layout their operands have. It counts
// the kernels that run.
#pragma once

#include <algorithm>
#include <map>

#include "backend/backend.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/passes/dead_code.h"

namespace nacre::test {

class ReversedLayout final : public LayoutDetail {
 public:
  explicit ReversedLayout(std::size_t size) : size_(size) {}
  bool equals(const LayoutDetail& other) const override {
    return dynamic_cast<const ReversedLayout*>(&other) != nullptr;
  }
  std::size_t bytes() const override { return size_; }
  std::string text() const override { return "reversed"; }
  static Layout of(const Type& type) { return Layout::opaque(std::make_shared<ReversedLayout>(type.bytes())); }

 private:
  std::size_t size_;
};

class LayoutBackend final : public Backend {
 public:
  LayoutBackend() {
    rows_ = {{&op::square, reversed}, {&op::add, flexible}, {&op::subtract, flexible}, {&op::multiply, flexible}};
    for (const KernelRow& row : reference_backend().table()) rows_.push_back(row);
  }
  std::string_view name() const override { return "layouts"; }
  std::string_view description() const override { return "for tests"; }
  std::span<const KernelRow> table() const override { return rows_; }
  std::span<const Pass> passes() const override {
    static constexpr Pass passes[] = {{"dead code", remove_dead_code}};
    return passes;
  }
  std::unique_ptr<Kernel> reorder(const Type& type, const Layout& from, const Layout& to) const override {
    return std::make_unique<Copy>(type, from.is_plain() != to.is_plain());
  }
  std::shared_ptr<std::byte[]> allocate(std::size_t bytes) const override { return allocate_bytes(bytes); }

  static int square_runs() { return counter(); }

 private:
  static int& counter() {
    static int runs = 0;
    return runs;
  }

  struct Copy final : Kernel {
    Copy(const Type& type, bool reverse)
        : size(static_cast<std::int64_t>(size_of(type.dtype))), count(type.shape.elements()), reversed(reverse) {}
    void run(const KernelArguments& arguments) override {
      const auto* from = static_cast<const std::byte*>(arguments.inputs[0]);
      auto* to = static_cast<std::byte*>(arguments.outputs[0]);
      for (std::int64_t i = 0; i < count; ++i)
        std::copy_n(from + (reversed ? count - 1 - i : i) * size, size, to + i * size);
    }
    std::int64_t size, count;
    bool reversed;
  };
  struct Counted final : Kernel {
    explicit Counted(std::unique_ptr<Kernel> kernel) : inner(std::move(kernel)) {}
    void run(const KernelArguments& arguments) override {
      ++counter();
      inner->run(arguments);
    }
    std::unique_ptr<Kernel> inner;
  };

  static KernelPlan reversed(const KernelRequest& request) {
    KernelPlan plan = reference_backend().row(request.node)->build(request);
    plan.kernel = std::make_unique<Counted>(std::move(plan.kernel));
    plan.inputs = plan.outputs = {ReversedLayout::of(request.node.types()[0])};
    return plan;
  }
  static KernelPlan flexible(const KernelRequest& request) {
    KernelPlan plan = reference_backend().row(request.node)->build(request);
    const auto same_size = [&](Value value) { return value.shape() == request.node.types()[0].shape; };
    const auto& inputs = request.node.inputs();
    const bool flat =
        std::all_of(inputs.begin(), inputs.end(), same_size) &&
        std::any_of(request.inputs.begin(), request.inputs.end(), [](const Layout& layout) { return layout.detail(); });
    if (flat) {
      plan.inputs.assign(inputs.size(), ReversedLayout::of(request.node.types()[0]));
      plan.outputs = {plan.inputs[0]};
    }
    return plan;
  }

  std::vector<KernelRow> rows_;
};

}  // namespace nacre::test
