// What a product or a convolution does with its result at last: bias, residual and activation, in the compute type.
#pragma once

#include "backend/cudnn/kernels.h"
#include "backend/graph/ops/epilogue.h"

namespace nacre::gpu {

// The statements that turn `y`, a number of the compute type at element `i` of the result, into what the epilogue makes
// of it. The epilogue's operands are the kernel's from `first` on.
std::string epilogue_text(const Epilogue& epilogue, const Types& operands, std::size_t first, const Type& result);

// A kernel over output 0 in place, called with all operands and results of the request's node; null where there is
// nothing to do.
std::unique_ptr<Kernel> epilogue_kernel(const KernelRequest& request, const Epilogue& epilogue, std::size_t first);

}  // namespace nacre::gpu
