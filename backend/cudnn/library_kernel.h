// Work of NVIDIA's libraries between kernels of ours, which bring operands and results into the form that it wants.
#pragma once

#include <algorithm>
#include <optional>

#include "backend/cudnn/kernels.h"

namespace nacre::gpu {

class LibraryKernel final : public Kernel {
 public:
  explicit LibraryKernel(std::unique_ptr<Work> work) : work_(std::move(work)) {}

  // The operand is taken from scratch memory, where the kernel writes it, of so many bytes, from those that come at its
  // place and after it.
  void rewrite(std::size_t operand, std::unique_ptr<Kernel> kernel, std::size_t bytes, std::size_t from = 1);
  // Output 0 is made by the kernel from so many bytes that the work writes to scratch memory.
  void rewrite_result(std::unique_ptr<Kernel> kernel, std::size_t bytes);
  // An operand that the work does not take; those after it move up.
  void leave_out(std::size_t operand) { left_out_ = operand; }
  // A kernel that comes last, called with all operands and results, and its scratch memory. Null does nothing.
  void then(std::unique_ptr<Kernel> last, std::size_t scratch_bytes = 0);

  std::size_t scratch_bytes() const { return std::max(own_bytes_ + work_->scratch_bytes(), last_bytes_); }
  void run(const KernelArguments& arguments) override;
  std::int64_t launches() const override;

 private:
  struct Rewritten {
    std::size_t operand, from;
    std::unique_ptr<Kernel> kernel;
    std::size_t place;
  };
  std::size_t take(std::size_t bytes);

  std::unique_ptr<Work> work_;
  std::vector<Rewritten> rewritten_;
  std::unique_ptr<Kernel> result_, last_;
  std::size_t result_place_ = 0, own_bytes_ = 0, last_bytes_ = 0;
  std::optional<std::size_t> left_out_;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

// A kernel with one operand and one result that does `body` for each element `i` of the result.
std::unique_ptr<Kernel> rewritten(Device& device, const Type& from, const Type& to, std::string_view body);

}  // namespace nacre::gpu
