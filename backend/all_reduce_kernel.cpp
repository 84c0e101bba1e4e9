#include "backend/all_reduce_kernel.h"

#include <numeric>
#include <stdexcept>

#include "backend/beginning_kernel.h"
#include "backend/discarded.h"
#include "backend/graph/ops/all_reduce.h"

namespace nacre {
namespace {

template <class Work>
void told_in_our_words(Work&& work) {
  try {
    work();
  } catch (const std::runtime_error& error) {
    throw Error("the processes that train together have lost each other: {}", error.what());
  }
}

// What both kernels know.
struct AllReduce {
  CollectiveRef collective;
  std::unique_ptr<Collective::Exchange> exchange;
  const Backend& backend;
  std::vector<std::size_t> bytes;  // of each value
};

class AllReduceRest final : public Kernel {
 public:
  explicit AllReduceRest(std::shared_ptr<AllReduce> all) : all_(std::move(all)) {}
  void run(const KernelArguments& arguments) override {
    told_in_our_words([&] { all_->exchange->wait(); });
    const auto* at = static_cast<const std::byte*>(arguments.inputs[0]);
    for (std::size_t i = 0; i < all_->bytes.size(); at += all_->bytes[i++])
      if (arguments.outputs[i] != at) all_->backend.copy(arguments.outputs[i], at, all_->bytes[i]);
  }

 private:
  std::shared_ptr<AllReduce> all_;
};

class AllReduceKernel final : public BeginningKernel {
 public:
  explicit AllReduceKernel(std::shared_ptr<AllReduce> all) : all_(std::move(all)) {}
  void run(const KernelArguments& arguments) override {
    void* const state = arguments.outputs[0];
    auto* at = static_cast<std::byte*>(state);
    for (std::size_t i = 0; i < all_->bytes.size(); at += all_->bytes[i++])
      if (arguments.inputs[i] != at) all_->backend.copy(at, arguments.inputs[i], all_->bytes[i]);
    told_in_our_words([&] { all_->exchange->start(state); });
  }
  std::size_t state_bytes() const override {
    return std::accumulate(all_->bytes.begin(), all_->bytes.end(), std::size_t{0});
  }
  std::unique_ptr<Kernel> rest() const override { return std::make_unique<AllReduceRest>(all_); }
  bool in_place() const override { return all_->bytes.size() == 1; }

 private:
  std::shared_ptr<AllReduce> all_;
};

}  // namespace

ExchangedNumbers numbers_of_all_reduce(const Node& node) {
  ExchangedNumbers numbers;
  for (const Type& type : node.types()) numbers.count += static_cast<std::size_t>(type.shape.elements());
  if (node.types().front().dtype == DType::float64) numbers.kind = Collective::Number::float64;
  return numbers;
}

KernelPlan all_reduce_kernel(const KernelRequest& request, std::unique_ptr<Collective::Exchange> exchange) {
  auto all = std::make_shared<AllReduce>(AllReduce{request.node.attrs<AllReduceAttrs>().collective, std::move(exchange),
                                                   request.backend, {}});
  for (const Type& type : request.node.types()) all->bytes.push_back(type.bytes());
  KernelPlan plan = row_major_plan(request);
  plan.kernel = std::make_unique<AllReduceKernel>(std::move(all));
  return plan;
}

KernelPlan all_reduce_kernel(const KernelRequest& request) {
  const ExchangedNumbers numbers = numbers_of_all_reduce(request.node);
  return all_reduce_kernel(request, request.node.attrs<AllReduceAttrs>().collective->exchange(
                                        numbers.count, numbers.kind, Collective::Combine::sum));
}

}  // namespace nacre
