#include "backend/scan_kernel.h"

#include <algorithm>

#include "backend/discarded.h"
#include "backend/executable.h"
#include "backend/graph/ops/scan.h"

namespace nacre {
namespace {

class ScanKernel final : public Kernel {
 public:
  ScanKernel(const Node& node, const Backend& backend, Numerics numerics)
      : backend_(backend),
        body_(*node.attrs<ScanAttrs>().body, backend, nullptr, numerics, Borders::row_major),
        carries_(static_cast<std::size_t>(node.attrs<ScanAttrs>().carries)),
        sequences_(static_cast<std::size_t>(node.attrs<ScanAttrs>().sequences)),
        reverse_(node.attrs<ScanAttrs>().reverse),
        counted_(node.attrs<ScanAttrs>().counted),
        length_(static_cast<std::size_t>(node.in(static_cast<int>(carries_)).shape()[0])),
        inputs_(body_.input_types().size()),
        outputs_(body_.output_types().size()) {
    for (const Type& type : body_.input_types()) input_bytes_.push_back(type.bytes());
    for (const Type& type : body_.output_types()) output_bytes_.push_back(type.bytes());
    for (std::size_t i = 0; i < carries_; ++i) {
      stacked_.push_back(node.uses(static_cast<int>(outputs_.size() + i)) > 0);
      scratch_at_.push_back(scratch_bytes_);
      if (!stacked_.back()) scratch_bytes_ += 2 * aligned(input_bytes_[i]);
    }
  }

  bool stacked(std::size_t carry) const { return stacked_[carry]; }
  std::size_t scratch_bytes() const { return scratch_bytes_; }

  void run(const KernelArguments& arguments) override {
    steps_ = length_;
    if (counted_) {
      std::int32_t count = 0;
      backend_.copy(&count, arguments.inputs.back(), sizeof count);
      backend_.wait();
      steps_ = std::min(length_, static_cast<std::size_t>(std::max(count, 0)));
      clear_beyond(arguments);
    }
    if (steps_ == 0) {
      for (std::size_t i = 0; i < carries_; ++i)
        backend_.copy(arguments.outputs[i], arguments.inputs[i], input_bytes_[i]);
      return;
    }
    for (std::size_t i = 0; i < carries_; ++i) {
      inputs_[i] = arguments.inputs[i];
      if (!stacked_[i]) continue;
      void* first = slot(arguments, i, 0);
      backend_.copy(first, arguments.inputs[i], input_bytes_[i]);
      inputs_[i] = first;
    }
    for (std::size_t i = carries_ + sequences_; i < inputs_.size(); ++i) inputs_[i] = arguments.inputs[i];

    for (std::size_t step = 0; step < steps_; ++step) {
      const std::size_t place = reverse_ ? steps_ - 1 - step : step;
      for (std::size_t i = carries_; i < carries_ + sequences_; ++i)
        inputs_[i] = static_cast<const std::byte*>(arguments.inputs[i]) + place * input_bytes_[i];
      for (std::size_t i = 0; i < carries_; ++i)
        outputs_[i] = step + 1 < steps_ ? slot(arguments, i, step + 1) : arguments.outputs[i];
      for (std::size_t i = carries_; i < outputs_.size(); ++i)
        outputs_[i] = static_cast<std::byte*>(arguments.outputs[i]) + place * output_bytes_[i];
      body_.run_raw(inputs_, outputs_);
      for (std::size_t i = 0; i < carries_; ++i) inputs_[i] = outputs_[i];
    }
  }

  std::int64_t launches() const override {
    const auto copies = static_cast<std::int64_t>(carries_), steps = static_cast<std::int64_t>(length_);
    if (counted_ || (steps > 0 && body_.launches() == 0)) return 0;
    return copies + steps * body_.launches();
  }

 private:
  // Where a carry lies as it comes into a step: stacked, or in one of two buffers taken in turn.
  void* slot(const KernelArguments& arguments, std::size_t carry, std::size_t step) const {
    if (!stacked_[carry])
      return static_cast<std::byte*>(arguments.scratch) + scratch_at_[carry] + step % 2 * aligned(input_bytes_[carry]);
    const std::size_t place = reverse_ ? steps_ - 1 - step : step;
    return static_cast<std::byte*>(arguments.outputs[outputs_.size() + carry]) + place * input_bytes_[carry];
  }

  // Places for which there are no steps.
  void clear_beyond(const KernelArguments& arguments) const {
    const auto clear = [&](void* stack, std::size_t bytes) {
      backend_.clear(static_cast<std::byte*>(stack) + steps_ * bytes, (length_ - steps_) * bytes);
    };
    for (std::size_t i = carries_; i < outputs_.size(); ++i) clear(arguments.outputs[i], output_bytes_[i]);
    for (std::size_t i = 0; i < carries_; ++i)
      if (stacked_[i]) clear(arguments.outputs[outputs_.size() + i], input_bytes_[i]);
  }

  const Backend& backend_;
  Executable body_;
  std::size_t carries_, sequences_;
  bool reverse_, counted_;
  std::size_t length_, steps_ = 0, scratch_bytes_ = 0;
  std::vector<std::size_t> input_bytes_, output_bytes_, scratch_at_;
  std::vector<char> stacked_;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

}  // namespace

KernelPlan scan_kernel(const KernelRequest& request) {
  auto kernel = std::make_unique<ScanKernel>(request.node, request.backend, request.numerics);
  const auto carries = static_cast<std::size_t>(request.node.attrs<ScanAttrs>().carries);
  KernelPlan plan = row_major_plan(request);
  for (std::size_t i = 0; i < carries; ++i)
    if (!kernel->stacked(i))
      plan.outputs[plan.outputs.size() - carries + i] = discarded();
  plan.scratch_bytes = kernel->scratch_bytes();
  plan.kernel = std::move(kernel);
  return plan;
}

}  // namespace nacre
