#include "backend/cudnn/kernels.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/cudnn/backend.h"

namespace nacre::gpu {

namespace {

class GeneratedKernel final : public Kernel {
 public:
  GeneratedKernel(std::shared_ptr<Function> function, Grid grid) : function_(std::move(function)), grid_(grid) {}
  void run(const KernelArguments& arguments) override {
    addresses_.clear();
    for (const void* input : arguments.inputs) addresses_.push_back(const_cast<void*>(input));
    addresses_.insert(addresses_.end(), arguments.outputs.begin(), arguments.outputs.end());
    pointers_.clear();
    for (void*& address : addresses_) pointers_.push_back(&address);
    function_->launch(static_cast<std::uint32_t>(grid_.blocks), static_cast<std::uint32_t>(grid_.threads), pointers_);
  }
  std::int64_t launches() const override { return 1; }

 private:
  std::shared_ptr<Function> function_;
  Grid grid_;
  std::vector<void*> addresses_, pointers_;
};

class Turns final : public Kernel {
 public:
  Turns(std::unique_ptr<Kernel> first, std::unique_ptr<Kernel> second)
      : first_(std::move(first)), second_(std::move(second)) {}
  void run(const KernelArguments& arguments) override {
    first_->run(arguments);
    second_->run(arguments);
  }
  std::int64_t launches() const override {
    return launches_together(first_->launches(), second_->launches());
  }

 private:
  std::unique_ptr<Kernel> first_, second_;
};

class ThroughScratch final : public Kernel {
 public:
  ThroughScratch(std::unique_ptr<Kernel> first, std::unique_ptr<Kernel> second)
      : first_(std::move(first)), second_(std::move(second)) {}
  void run(const KernelArguments& arguments) override {
    void* const between = arguments.scratch;
    const void* const operand = between;
    first_->run({.inputs = arguments.inputs, .outputs = {&between, 1}, .scratch = nullptr});
    second_->run({.inputs = {&operand, 1}, .outputs = arguments.outputs, .scratch = nullptr});
  }
  std::int64_t launches() const override { return launches_together(first_->launches(), second_->launches()); }

 private:
  std::unique_ptr<Kernel> first_, second_;
};

}  // namespace

KernelPlan through_scratch(const KernelRequest& request, std::unique_ptr<Kernel> first, std::size_t bytes,
                           std::unique_ptr<Kernel> second) {
  KernelPlan plan = plan_on_device(request);
  plan.kernel = std::make_unique<ThroughScratch>(std::move(first), std::move(second));
  plan.scratch_bytes = bytes;
  return plan;
}

KernelPlan in_turn(KernelPlan first, KernelPlan second) {
  first.kernel = std::make_unique<Turns>(std::move(first.kernel), std::move(second.kernel));
  first.scratch_bytes = std::max(first.scratch_bytes, second.scratch_bytes);
  first.in_place.clear();  // the second reads operands that the first's results might lie in
  return first;
}

KernelPlan plan_on_device(const KernelRequest& request) {
  KernelPlan plan;
  for (Value value : request.node.inputs()) plan.inputs.push_back(dense(value.type()));
  for (const Type& type : request.node.types()) plan.outputs.push_back(dense(type));
  return plan;
}

Grid grid_over(std::int64_t count, const Device& device) {
  constexpr std::int64_t threads = 256, blocks_of_a_processor = 8;  // 2048 threads: what a multiprocessor holds
  const std::int64_t enough = std::max<std::int64_t>((count + threads - 1) / threads, 1);
  return {std::min(enough, device.facts().processors * blocks_of_a_processor), threads};
}

std::unique_ptr<Kernel> generated_kernel(Device& device, std::string_view source, Grid grid) {
  return std::make_unique<GeneratedKernel>(device.compile(fmt::format("{}\n{}", prelude(), source), "run"), grid);
}

KernelPlan generated(const KernelRequest& request, std::string_view source, Grid grid) {
  KernelPlan plan = plan_on_device(request);
  plan.kernel = generated_kernel(device_of(request), source, grid);
  return plan;
}

std::string loop_head(std::int64_t count, std::int64_t reach, std::string_view name) {
  // Divisions of short indices are several times faster.
  const std::string_view index = std::max(count, reach) < (std::int64_t{1} << 30) ? "word" : "integer";
  return fmt::format(
      "for ({0} {2} = ({0})blockIdx.x * blockDim.x + threadIdx.x; {2} < {1}; {2} += ({0})gridDim.x * blockDim.x) {{\n",
      index, count, name);
}

Types operand_types(const KernelRequest& request) {
  Types types;
  for (Value value : request.node.inputs()) types.push_back(value.type());
  return types;
}

std::unique_ptr<Kernel> kernel_over(Device& device, std::int64_t count, const Types& inputs, const Types& outputs,
                                    std::string_view body) {
  const std::string source =
      fmt::format("{} {{\n  {}    {}\n  }}\n}}\n", signature("run", inputs, outputs), loop_head(count), body);
  return generated_kernel(device, source, grid_over(count, device));
}

KernelPlan over_elements(const KernelRequest& request, std::string_view body) {
  const std::int64_t count = request.node.types()[0].shape.elements();
  const Types operands = operand_types(request);
  std::int64_t reach = 0;
  for (const Type& type : operands) reach = std::max(reach, type.shape.elements());
  const std::string source = fmt::format(
      "{} {{\n  {}    {}\n  }}\n}}\n", signature("run", operands, request.node.types()), loop_head(count, reach), body);
  return generated(request, source, grid_over(count, device_of(request)));
}

namespace {
constexpr std::int64_t worth_a_block = 64;  // elements of a line
}  // namespace

Lines::Lines(std::int64_t count, std::int64_t length)
    : count_(count), length_(length), by_block_(length >= worth_a_block) {}

std::string Lines::each(std::string_view body) const {
  return by_block_
             ? fmt::format("for (integer r = threadIdx.x; r < {}; r += {}) {{ {} }}", length_, block_threads, body)
             : fmt::format("for (integer r = 0; r < {}; ++r) {{ {} }}", length_, body);
}

std::string Lines::joined(std::string_view join, std::string_view type, std::string_view state) const {
  return by_block_ ? fmt::format("across_block<{}, {}>(({}*)states, {})", join, type, type, state) : std::string(state);
}

std::string Lines::once(std::string_view statement) const {
  return by_block_ ? fmt::format("if (threadIdx.x == 0) {{ {} }}", statement) : std::string(statement);
}

std::unique_ptr<Kernel> Lines::kernel(Device& device, const Types& inputs, const Types& outputs, std::string_view state,
                                      std::string_view body, std::string_view definitions) const {
  const std::string head = fmt::format("{}{}", definitions, signature("run", inputs, outputs));
  if (!by_block_)
    return generated_kernel(
        device, fmt::format("{} {{\n  {}    const integer line = i;\n{}  }}\n}}\n", head, loop_head(count_), body),
        grid_over(count_, device));
  const std::string source = fmt::format(
      "{} {{\n  __shared__ {} states[{}];\n  for (integer line = blockIdx.x; line < {}; line += gridDim.x) {{\n{}  "
      "}}\n}}\n",
      head, state, block_threads, count_, body);
  constexpr std::int64_t blocks_of_a_processor = 16;
  return generated_kernel(device, source,
                          {std::min(count_, device.facts().processors * blocks_of_a_processor), block_threads});
}

KernelPlan Lines::plan(const KernelRequest& request, std::string_view state, std::string_view body) const {
  KernelPlan plan = plan_on_device(request);
  plan.kernel = kernel(device_of(request), operand_types(request), request.node.types(), state, body);
  return plan;
}

}  // namespace nacre::gpu
