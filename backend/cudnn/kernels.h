// The kernel builders of the GPU backend, by op family; table.cpp says which op each of them serves.
#pragma once

#include "backend/backend.h"
#include "backend/cudnn/device.h"
#include "backend/cudnn/source.h"

namespace nacre::gpu {

std::span<const KernelRow> table();

// A plan without a kernel yet: all operands and results row-major in the device's memory.
KernelPlan plan_on_device(const KernelRequest& request);

// How many threads run: `threads` in each of `blocks`.
struct Grid {
  std::int64_t blocks = 1, threads = 1;
};
// Enough threads to walk over `count` elements, each thread over several where there are many.
Grid grid_over(std::int64_t count, const Device& device);

// The function `run` of the source (without the prelude), called with all operands, then all results that it is given.
std::unique_ptr<Kernel> generated_kernel(Device& device, std::string_view source, Grid grid);
// A plan whose kernel is that.
KernelPlan generated(const KernelRequest& request, std::string_view source, Grid grid);

// Kernel::launches of two kernels together: neither may be recorded where one of them may not.
constexpr std::int64_t launches_together(std::int64_t first, std::int64_t second) {
  return first > 0 && second > 0 ? first + second : 0;
}

// One kernel after the other, both called with all operands and results.
KernelPlan in_turn(KernelPlan first, KernelPlan second);

// A plan whose first kernel is called with all operands and writes `bytes` of scratch memory, from which the second
// makes the results.
KernelPlan through_scratch(const KernelRequest& request, std::unique_ptr<Kernel> first, std::size_t bytes,
                           std::unique_ptr<Kernel> second);

// A kernel with those operands and results that does `body` for each `i` of so many.
std::unique_ptr<Kernel> kernel_over(Device& device, std::int64_t count, const Types& inputs, const Types& outputs,
                                    std::string_view body);
// A plan whose kernel does `body` for each element `i` of the first result.
KernelPlan over_elements(const KernelRequest& request, std::string_view body);
// What a thread of grid_over walks: "for (…; i < count; …) {". `reach`: the elements of the largest operand.
std::string loop_head(std::int64_t count, std::int64_t reach = 0, std::string_view name = "i");

// The types of a request's operands.
Types operand_types(const KernelRequest& request);

// Kernels that do something for each of many lines of elements: a block of threads for each line where lines are long,
// else a thread. Their text speaks of `line` and, in loops over the elements of a line, of `r`.
class Lines {
 public:
  static constexpr std::int64_t block_threads = 128;

  Lines(std::int64_t count, std::int64_t length);

  // A loop over the elements of a line.
  std::string each(std::string_view body) const;
  // A value of a compute type or a struct, one in each thread, joined by a struct of the prelude: sum, largest, ….
  std::string joined(std::string_view join, std::string_view type, std::string_view state) const;
  // The statement, done once a line.
  std::string once(std::string_view statement) const;
  // A kernel that does `body` for each line; `state` is the type of what is joined, `definitions` what comes before.
  std::unique_ptr<Kernel> kernel(Device& device, const Types& inputs, const Types& outputs, std::string_view state,
                                 std::string_view body, std::string_view definitions = {}) const;
  // The plan of one that is called with all operands and results.
  KernelPlan plan(const KernelRequest& request, std::string_view state, std::string_view body) const;

 private:
  std::int64_t count_, length_;
  bool by_block_;
};

// borrowed.cpp: what the reference backend computes, on the host, with its operands copied there and its results back.
KernelPlan borrowed(const KernelRequest& request);

// elementwise.cpp
bool generates(const Node& node);  // element-wise or random_uniform, of types that the source can say
KernelPlan elementwise(const KernelRequest& request);
KernelPlan fused(const KernelRequest& request);
KernelPlan fused_groups(const KernelRequest& request);
bool sums_rows(const Node& node);  // a scatter_add that may be in groups
KernelPlan scatter_add(const KernelRequest& request);
// Copies values, none of which is empty, from the operands to the results that it is called with.
std::unique_ptr<Kernel> copies(Device& device, const Types& types);

// shape.cpp
KernelPlan view(const KernelRequest& request);
KernelPlan transpose(const KernelRequest& request);
KernelPlan broadcast(const KernelRequest& request);
KernelPlan slice(const KernelRequest& request);
KernelPlan slice_gradient(const KernelRequest& request);
KernelPlan pad(const KernelRequest& request);
KernelPlan concat(const KernelRequest& request);
KernelPlan reverse(const KernelRequest& request);
KernelPlan iota(const KernelRequest& request);

// reduce.cpp
KernelPlan reduce(const KernelRequest& request);
KernelPlan sum_like(const KernelRequest& request);
KernelPlan argmax(const KernelRequest& request);
// One result of a node that has more of them: the sum of one of its operands over axes.
KernelPlan sum_over(const KernelRequest& request, int operand, const std::vector<std::int64_t>& axes,
                    std::size_t result);

// softmax.cpp
KernelPlan softmax(const KernelRequest& request);
KernelPlan softmax_backward(const KernelRequest& request);

// normalization.cpp
KernelPlan batch_norm(const KernelRequest& request);
KernelPlan batch_norm_backward(const KernelRequest& request);
KernelPlan layer_norm(const KernelRequest& request);
KernelPlan layer_norm_backward(const KernelRequest& request);

// pool.cpp
KernelPlan max_pool(const KernelRequest& request);
KernelPlan max_pool_backward(const KernelRequest& request);
KernelPlan average_pool(const KernelRequest& request);
KernelPlan average_pool_backward(const KernelRequest& request);

// gather.cpp
KernelPlan gather(const KernelRequest& request);
KernelPlan take_along(const KernelRequest& request);
KernelPlan take_along_backward(const KernelRequest& request);

// all_reduce.cpp
KernelPlan all_reduce(const KernelRequest& request);

// sort.cpp
KernelPlan argsort(const KernelRequest& request);
// That kernel, for a type, and the scratch memory that it wants.
std::unique_ptr<Kernel> sort(Device& device, const Type& x, int along);
std::size_t sort_scratch_bytes(const Type& x, int along);

// resample.cpp
KernelPlan resample(const KernelRequest& request);
KernelPlan resample_backward(const KernelRequest& request);

// matmul.cpp
KernelPlan matmul(const KernelRequest& request);

// float8.cpp
KernelPlan float8(const KernelRequest& request);
KernelPlan float8_matmul(const KernelRequest& request);
bool float8_matmul_fits(const Node& node, const Backend& backend);

// attention.cpp
KernelPlan attention(const KernelRequest& request);
KernelPlan attention_backward(const KernelRequest& request);
bool attention_fits(const Node& node, const Backend& backend);  // both

// convolution.cpp
KernelPlan conv(const KernelRequest& request);
KernelPlan conv_backward_data(const KernelRequest& request);
KernelPlan conv_backward_weights(const KernelRequest& request);

}  // namespace nacre::gpu
