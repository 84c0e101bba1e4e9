#include "backend/scan_kernel.h"

#include <algorithm>
#include <utility>

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
      carries_at_.push_back(take(lies_in_stack(i) ? 0 : 2 * aligned(input_bytes_[i])));
    }
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      input_at_.push_back(
          take(i >= carries_ && i < carries_ + sequences_ && misaligned(input_bytes_[i]) ? input_bytes_[i] : 0));
    for (std::size_t i = 0; i < outputs_.size(); ++i)
      output_at_.push_back(take(i >= carries_ && misaligned(output_bytes_[i]) ? output_bytes_[i] : 0));
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
      backend_.copy(stack(arguments, i, 0), arguments.inputs[i], input_bytes_[i]);
      if (lies_in_stack(i)) inputs_[i] = stack(arguments, i, 0);
    }
    for (std::size_t i = carries_ + sequences_; i < inputs_.size(); ++i) inputs_[i] = arguments.inputs[i];

    auto* const scratch = static_cast<std::byte*>(arguments.scratch);
    for (std::size_t step = 0; step < steps_; ++step) {
      const std::size_t place = place_of(step);
      for (std::size_t i = carries_; i < carries_ + sequences_; ++i) {
        inputs_[i] = static_cast<const std::byte*>(arguments.inputs[i]) + place * input_bytes_[i];
        if (!misaligned(input_bytes_[i])) continue;
        backend_.copy(scratch + input_at_[i], inputs_[i], input_bytes_[i]);
        inputs_[i] = scratch + input_at_[i];
      }
      for (std::size_t i = 0; i < carries_; ++i)
        outputs_[i] = step + 1 < steps_ ? slot(arguments, i, step + 1) : arguments.outputs[i];
      for (std::size_t i = carries_; i < outputs_.size(); ++i)
        outputs_[i] = misaligned(output_bytes_[i]) ? scratch + output_at_[i] : part(arguments, i, place);
      body_.run_raw(inputs_, outputs_);
      for (std::size_t i = carries_; i < outputs_.size(); ++i)
        if (misaligned(output_bytes_[i])) backend_.copy(part(arguments, i, place), outputs_[i], output_bytes_[i]);
      for (std::size_t i = 0; i < carries_; ++i) {
        inputs_[i] = outputs_[i];
        if (stacked_[i] && !lies_in_stack(i) && step + 1 < steps_)
          backend_.copy(stack(arguments, i, step + 1), outputs_[i], input_bytes_[i]);
      }
    }
  }

  std::int64_t launches() const override {
    const auto steps = static_cast<std::int64_t>(length_);
    if (counted_ || (steps > 0 && body_.launches() == 0)) return 0;
    std::int64_t copies = 0;  // in a step
    for (std::size_t i = 0; i < carries_; ++i) copies += stacked_[i] && !lies_in_stack(i);
    for (std::size_t i = carries_; i < carries_ + sequences_; ++i) copies += misaligned(input_bytes_[i]);
    for (std::size_t i = carries_; i < outputs_.size(); ++i) copies += misaligned(output_bytes_[i]);
    return static_cast<std::int64_t>(carries_) + steps * (body_.launches() + copies);
  }

 private:
  // Whether parts of so many bytes in a row begin where a device's libraries do not take them; the host's kernels do.
  bool misaligned(std::size_t bytes) const { return !backend_.shares_host_memory() && bytes % buffer_alignment != 0; }
  bool lies_in_stack(std::size_t carry) const { return stacked_[carry] && !misaligned(input_bytes_[carry]); }
  std::size_t take(std::size_t bytes) { return std::exchange(scratch_bytes_, scratch_bytes_ + aligned(bytes)); }
  std::size_t place_of(std::size_t step) const { return reverse_ ? steps_ - 1 - step : step; }

  void* part(const KernelArguments& arguments, std::size_t output, std::size_t place) const {
    return static_cast<std::byte*>(arguments.outputs[output]) + place * output_bytes_[output];
  }
  // Where a carry is kept as it comes into a step.
  void* stack(const KernelArguments& arguments, std::size_t carry, std::size_t step) const {
    return static_cast<std::byte*>(arguments.outputs[outputs_.size() + carry]) + place_of(step) * input_bytes_[carry];
  }
  // Where it lies then: there, or in one of two buffers taken in turn.
  void* slot(const KernelArguments& arguments, std::size_t carry, std::size_t step) const {
    if (lies_in_stack(carry)) return stack(arguments, carry, step);
    return static_cast<std::byte*>(arguments.scratch) + carries_at_[carry] + step % 2 * aligned(input_bytes_[carry]);
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
  std::vector<std::size_t> input_bytes_, output_bytes_;
  std::vector<std::size_t> carries_at_, input_at_, output_at_;  // in scratch memory
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
    if (!kernel->stacked(i)) plan.outputs[plan.outputs.size() - carries + i] = discarded();
  plan.scratch_bytes = kernel->scratch_bytes();
  plan.kernel = std::move(kernel);
  return plan;
}

}  // namespace nacre
