#include "backend/all_reduce_kernel.h"

#include <cstring>
#include <numeric>

#include "backend/graph/ops/all_reduce.h"

namespace nacre {
namespace {

class AllReduceKernel final : public Kernel {
 public:
  AllReduceKernel(CollectiveRef collective, const Types& types)
      : collective_(std::move(collective)),
        number_(types.front().dtype == DType::float32 ? Collective::Number::float32 : Collective::Number::float64),
        size_(size_of(types.front().dtype)) {
    for (const Type& type : types) bytes_.push_back(type.bytes());
  }

  void run(const KernelArguments& arguments) override {
    if (bytes_.size() == 1) {
      if (arguments.outputs[0] != arguments.inputs[0])
        std::memcpy(arguments.outputs[0], arguments.inputs[0], bytes_[0]);
      return exchange(arguments.outputs[0], bytes_[0]);
    }
    // One exchange of all of them: each costs a round trip.
    auto* const all = static_cast<std::byte*>(arguments.scratch);
    std::size_t at = 0;
    for (std::size_t i = 0; i < bytes_.size(); at += bytes_[i++]) std::memcpy(all + at, arguments.inputs[i], bytes_[i]);
    exchange(all, at);
    at = 0;
    for (std::size_t i = 0; i < bytes_.size(); at += bytes_[i++])
      std::memcpy(arguments.outputs[i], all + at, bytes_[i]);
  }

  std::size_t scratch_bytes() const {
    return bytes_.size() == 1 ? 0 : std::accumulate(bytes_.begin(), bytes_.end(), std::size_t{0});
  }

 private:
  void exchange(void* numbers, std::size_t bytes) {
    try {
      collective_->all_reduce(numbers, bytes / size_, number_, Collective::Combine::sum);
    } catch (const std::runtime_error& error) {
      throw Error("the processes that train together have lost each other: {}", error.what());
    }
  }

  CollectiveRef collective_;
  Collective::Number number_;
  std::size_t size_;
  std::vector<std::size_t> bytes_;
};

}  // namespace

KernelPlan all_reduce_kernel(const KernelRequest& request) {
  auto kernel =
      std::make_unique<AllReduceKernel>(request.node.attrs<AllReduceAttrs>().collective, request.node.types());
  KernelPlan plan;
  plan.scratch_bytes = kernel->scratch_bytes();
  plan.kernel = std::move(kernel);
  plan.inputs.assign(request.node.inputs().size(), Layout::plain());
  plan.outputs.assign(request.node.types().size(), Layout::plain());
  for (int i = 0; i < static_cast<int>(request.node.types().size()); ++i) plan.in_place.push_back({i, i});
  return plan;
}

}  // namespace nacre
