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
class AllReduce {
 public:
  AllReduce(const KernelRequest& request, std::unique_ptr<Collective::Exchange> exchange, std::unique_ptr<Kernel> copies)
      : collective_(request.node.attrs<AllReduceAttrs>().collective),
        exchange_(std::move(exchange)),
        copies_(std::move(copies)),
        backend_(request.backend) {
    for (const Type& type : request.node.types()) bytes_.push_back(type.bytes());
    places_.resize(bytes_.size());
    sources_.resize(bytes_.size());
  }
  Collective::Exchange& exchange() { return *exchange_; }
  std::size_t values() const { return bytes_.size(); }
  std::size_t all_bytes() const { return std::accumulate(bytes_.begin(), bytes_.end(), std::size_t{0}); }

  // To the memory of which one piece is exchanged, and back.
  void gather(std::span<const void* const> values, void* all) {
    divide(all);
    copy(values.first(bytes_.size()), places_);
  }
  void scatter(const void* all, std::span<void* const> values) {
    divide(const_cast<void*>(all));
    std::ranges::copy(places_, sources_.begin());
    copy(sources_, values);
  }

 private:
  void divide(void* all) {
    auto* at = static_cast<std::byte*>(all);
    for (std::size_t i = 0; i < bytes_.size(); at += bytes_[i++]) places_[i] = at;
  }
  void copy(std::span<const void* const> from, std::span<void* const> to) {
    if (copies_) return copies_->run({.inputs = from, .outputs = to, .scratch = nullptr});
    for (std::size_t i = 0; i < bytes_.size(); ++i)
      if (from[i] != to[i]) backend_.copy(to[i], from[i], bytes_[i]);
  }

  CollectiveRef collective_;
  std::unique_ptr<Collective::Exchange> exchange_;
  std::unique_ptr<Kernel> copies_;
  const Backend& backend_;
  std::vector<std::size_t> bytes_;  // of each value
  std::vector<void*> places_;
  std::vector<const void*> sources_;
};

class AllReduceRest final : public Kernel {
 public:
  explicit AllReduceRest(std::shared_ptr<AllReduce> all) : all_(std::move(all)) {}
  void run(const KernelArguments& arguments) override {
    told_in_our_words([&] { all_->exchange().wait(); });
    all_->scatter(arguments.inputs[0], arguments.outputs);
  }

 private:
  std::shared_ptr<AllReduce> all_;
};

class AllReduceKernel final : public BeginningKernel {
 public:
  explicit AllReduceKernel(std::shared_ptr<AllReduce> all) : all_(std::move(all)) {}
  void run(const KernelArguments& arguments) override {
    all_->gather(arguments.inputs, arguments.outputs[0]);
    told_in_our_words([&] { all_->exchange().start(arguments.outputs[0]); });
  }
  std::size_t state_bytes() const override { return all_->all_bytes(); }
  std::unique_ptr<Kernel> rest() const override { return std::make_unique<AllReduceRest>(all_); }
  bool in_place() const override { return all_->values() == 1; }

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

KernelPlan all_reduce_kernel(const KernelRequest& request, std::unique_ptr<Collective::Exchange> exchange,
                             std::unique_ptr<Kernel> copies) {
  KernelPlan plan = row_major_plan(request);
  plan.kernel = std::make_unique<AllReduceKernel>(
      std::make_shared<AllReduce>(request, std::move(exchange), std::move(copies)));
  return plan;
}

KernelPlan all_reduce_kernel(const KernelRequest& request) {
  const ExchangedNumbers numbers = numbers_of_all_reduce(request.node);
  return all_reduce_kernel(request, request.node.attrs<AllReduceAttrs>().collective->exchange(
                                        numbers.count, numbers.kind, Collective::Combine::sum));
}

}  // namespace nacre
