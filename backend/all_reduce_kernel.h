// The kernel of `all_reduce` (graph/ops/all_reduce.h): it copies all values into one piece of memory, which is
// exchanged while other kernels run.
#pragma once

#include "backend/backend.h"
#include "backend/collective.h"

namespace nacre {

// For backends whose memory is the host's.
KernelPlan all_reduce_kernel(const KernelRequest& request);

// For others: `exchange` takes the memory of the backend's kernels, and `copies` copies all values between the places
// that it is called with; null: one after the other.
KernelPlan all_reduce_kernel(const KernelRequest& request, std::unique_ptr<Collective::Exchange> exchange,
                             std::unique_ptr<Kernel> copies = nullptr);

// What an all_reduce exchanges: all its values' elements.
struct ExchangedNumbers {
  std::size_t count = 0;
  Collective::Number kind = Collective::Number::float32;
};
ExchangedNumbers numbers_of_all_reduce(const Node& node);

}  // namespace nacre
