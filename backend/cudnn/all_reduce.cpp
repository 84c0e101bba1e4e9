// Sums over the processes that train together: by the devices themselves where they can, else by way of the host.
#include "backend/graph/ops/all_reduce.h"

#include <algorithm>
#include <utility>

#include "backend/all_reduce_kernel.h"
#include "backend/core/tensor.h"
#include "backend/cudnn/backend.h"
#include "backend/cudnn/kernels.h"

namespace nacre::gpu {

namespace {

// Numbers of the device that the hosts exchange.
class ByTheHost final : public Collective::Exchange {
 public:
  ByTheHost(Device& device, Collective& processes, const ExchangedNumbers& numbers)
      : device_(device),
        bytes_(numbers.count * size_of(numbers.kind)),
        memory_(allocate_bytes(bytes_)),
        exchange_(processes.exchange(numbers.count, numbers.kind, Collective::Combine::sum)) {}
  void start(void* numbers) override {
    numbers_ = numbers;
    device_.copy(memory_.get(), numbers, bytes_);
    device_.wait();
    exchange_->start(memory_.get());
  }
  void wait() override {
    exchange_->wait();
    device_.copy(numbers_, memory_.get(), bytes_);
  }

 private:
  Device& device_;
  std::size_t bytes_;
  void* numbers_ = nullptr;
  std::shared_ptr<std::byte[]> memory_;
  std::unique_ptr<Collective::Exchange> exchange_;  // given up before its memory goes
};

std::unique_ptr<Collective::Exchange> exchange_on(Device& device, const CollectiveRef& processes,
                                                  const ExchangedNumbers& numbers) {
  if (auto exchange = device.sum_over(processes, numbers.count, numbers.kind)) return exchange;
  return std::make_unique<ByTheHost>(device, *processes, numbers);
}

}  // namespace

KernelPlan all_reduce(const KernelRequest& request) {
  Device& device = device_of(request);
  const ExchangedNumbers numbers = numbers_of_all_reduce(request.node);
  const Types& types = request.node.types();
  const bool several =
      types.size() > 1 && std::ranges::none_of(types, [](const Type& type) { return type.bytes() == 0; });
  return all_reduce_kernel(request, exchange_on(device, request.node.attrs<AllReduceAttrs>().collective, numbers),
                           several ? copies(device, types) : nullptr);
}

}  // namespace nacre::gpu
