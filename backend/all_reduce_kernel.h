// The kernel of `all_reduce` (graph/ops/all_reduce.h): it copies all values into one piece of memory, which is
// exchanged while other kernels run.
#pragma once

#include <functional>

#include "backend/backend.h"
#include "backend/collective.h"

namespace nacre {

// For backends whose memory is the host's.
KernelPlan all_reduce_kernel(const KernelRequest& request);

// For others: `exchange` takes, and `copy` copies within, the memory of the backend's kernels. Layouts are left to the
// caller.
using CopyBytes = std::function<void(void* to, const void* from, std::size_t bytes)>;
KernelPlan all_reduce_kernel(const KernelRequest& request, std::unique_ptr<Collective::Exchange> exchange,
                             CopyBytes copy);

// What an all_reduce exchanges: all its values' elements.
struct ExchangedNumbers {
  std::size_t count = 0;
  Collective::Number kind = Collective::Number::float32;
};
ExchangedNumbers numbers_of_all_reduce(const Node& node);

}  // namespace nacre
