#include "backend/loop_kernel.h"

#include <limits>

#include "backend/core/stop_flag.h"
#include "backend/discarded.h"
#include "backend/executable.h"
#include "backend/graph/flops.h"
#include "backend/graph/ops/loop.h"

namespace nacre {
namespace {

class LoopKernel final : public Kernel {
 public:
  LoopKernel(const Node& node, const Backend& backend, Numerics numerics)
      : backend_(backend),
        workspace_(std::make_shared<Workspace>(backend)),  // one of them runs at a time
        condition_(*node.attrs<LoopAttrs>().condition, backend, workspace_, numerics, Borders::row_major),
        body_(*node.attrs<LoopAttrs>().body, backend, workspace_, numerics, Borders::row_major),
        carries_(static_cast<std::size_t>(node.attrs<LoopAttrs>().carries)),
        most_steps_(node.attrs<LoopAttrs>().most_steps),
        work_(work_of(*node.attrs<LoopAttrs>().condition) + work_of(*node.attrs<LoopAttrs>().body)),
        inputs_(node.inputs().size()),
        outputs_(carries_) {
    for (std::size_t i = 0; i < carries_; ++i) {
      bytes_.push_back(node.in(static_cast<int>(i)).type().bytes());
      stacked_.push_back(most_steps_ != unknown && node.uses(static_cast<int>(carries_ + 1 + i)) > 0);
      scratch_at_.push_back(scratch_bytes_);
      scratch_bytes_ += aligned(bytes_.back());
    }
  }

  bool stacked(std::size_t carry) const { return stacked_[carry]; }
  std::size_t scratch_bytes() const { return scratch_bytes_ + aligned(sizeof(bool)); }

  void run(const KernelArguments& arguments) override {
    for (std::size_t i = 0; i < inputs_.size(); ++i) inputs_[i] = arguments.inputs[i];
    std::int64_t steps = 0;
    for (; steps != most_steps_ && holds(arguments); ++steps) {
      StopFlag::check(work_);
      for (std::size_t i = 0; i < carries_; ++i) {
        if (stacked_[i]) backend_.copy(place(arguments, i, steps), inputs_[i], bytes_[i]);
        // The result and the scratch memory in turn.
        outputs_[i] = inputs_[i] == arguments.outputs[i] ? static_cast<std::byte*>(arguments.scratch) + scratch_at_[i]
                                                         : arguments.outputs[i];
      }
      body_.run_raw(inputs_, outputs_);
      for (std::size_t i = 0; i < carries_; ++i) inputs_[i] = outputs_[i];
    }
    for (std::size_t i = 0; i < carries_; ++i) {
      if (inputs_[i] != arguments.outputs[i]) backend_.copy(arguments.outputs[i], inputs_[i], bytes_[i]);
      if (stacked_[i])
        backend_.clear(place(arguments, i, steps), static_cast<std::size_t>(most_steps_ - steps) * bytes_[i]);
    }
    const auto made =
        static_cast<std::int32_t>(std::min<std::int64_t>(steps, std::numeric_limits<std::int32_t>::max()));
    backend_.copy(arguments.outputs[carries_], &made, sizeof made);
  }

 private:
  bool holds(const KernelArguments& arguments) {
    void* const flag = static_cast<std::byte*>(arguments.scratch) + scratch_bytes_;
    condition_.run_raw(inputs_, {&flag, 1});
    bool held = false;
    backend_.copy(&held, flag, sizeof held);
    backend_.wait();
    return held;
  }

  // Of a carry as it comes into a step.
  std::byte* place(const KernelArguments& arguments, std::size_t carry, std::int64_t step) const {
    return static_cast<std::byte*>(arguments.outputs[carries_ + 1 + carry]) +
           static_cast<std::size_t>(step) * bytes_[carry];
  }

  const Backend& backend_;
  std::shared_ptr<Workspace> workspace_;
  Executable condition_, body_;
  std::size_t carries_;
  std::int64_t most_steps_, work_;  // of a step
  std::size_t scratch_bytes_ = 0;   // of the carries
  std::vector<std::size_t> bytes_, scratch_at_;
  std::vector<char> stacked_;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

}  // namespace

KernelPlan loop_kernel(const KernelRequest& request) {
  auto kernel = std::make_unique<LoopKernel>(request.node, request.backend, request.numerics);
  const auto& attrs = request.node.attrs<LoopAttrs>();
  const auto carries = static_cast<std::size_t>(attrs.carries);
  KernelPlan plan = row_major_plan(request);
  if (attrs.most_steps != unknown)
    for (std::size_t i = 0; i < carries; ++i)
      if (!kernel->stacked(i)) plan.outputs[carries + 1 + i] = discarded();
  plan.scratch_bytes = kernel->scratch_bytes();
  plan.kernel = std::move(kernel);
  return plan;
}

}  // namespace nacre
