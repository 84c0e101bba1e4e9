#include "backend/cudnn/library_kernel.h"

#include <fmt/format.h>

#include "backend/discarded.h"

namespace nacre::gpu {

void LibraryKernel::rewrite(std::size_t operand, std::unique_ptr<Kernel> kernel, std::size_t bytes, std::size_t from) {
  rewritten_.push_back({operand, from, std::move(kernel), take(bytes)});
}

void LibraryKernel::rewrite_result(std::unique_ptr<Kernel> kernel, std::size_t bytes) {
  result_ = std::move(kernel), result_place_ = take(bytes);
}

void LibraryKernel::then(std::unique_ptr<Kernel> last, std::size_t scratch_bytes) {
  last_ = std::move(last), last_bytes_ = scratch_bytes;
}

std::size_t LibraryKernel::take(std::size_t bytes) {
  const std::size_t place = own_bytes_;
  own_bytes_ += aligned(bytes);
  return place;
}

void LibraryKernel::run(const KernelArguments& arguments) {
  auto* const scratch = static_cast<std::byte*>(arguments.scratch);
  inputs_.assign(arguments.inputs.begin(), arguments.inputs.end());
  for (const auto& [operand, from, kernel, place] : rewritten_) {
    void* const to = scratch + place;
    kernel->run({.inputs = arguments.inputs.subspan(operand, from), .outputs = {&to, 1}, .scratch = nullptr});
    inputs_[operand] = to;
  }
  if (left_out_) inputs_.erase(inputs_.begin() + static_cast<std::ptrdiff_t>(*left_out_));
  outputs_.assign(arguments.outputs.begin(), arguments.outputs.end());
  if (result_) outputs_[0] = scratch + result_place_;
  work_->run(inputs_, outputs_, scratch + own_bytes_);
  if (result_) {
    const void* const from = outputs_[0];
    result_->run({.inputs = {&from, 1}, .outputs = arguments.outputs.first(1), .scratch = nullptr});
  }
  if (last_) last_->run(arguments);
}

std::int64_t LibraryKernel::launches() const {
  std::int64_t all = 1;
  for (const auto& [operand, from, kernel, place] : rewritten_) all = launches_together(all, kernel->launches());
  for (const Kernel* kernel : {result_.get(), last_.get()})
    if (kernel) all = launches_together(all, kernel->launches());
  return all;
}

std::unique_ptr<Kernel> rewritten(Device& device, const Type& from, const Type& to, std::string_view body) {
  const std::int64_t count = to.shape.elements();
  const std::string source = fmt::format("{} {{\n  {}    {}\n  }}\n}}\n", signature("run", {from}, {to}),
                                         loop_head(count, from.shape.elements()), body);
  return generated_kernel(device, source, grid_over(count, device));
}

}  // namespace nacre::gpu
