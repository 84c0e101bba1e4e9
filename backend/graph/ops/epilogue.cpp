#include "backend/graph/ops/epilogue.h"

namespace nacre {

void check_epilogue(const Epilogue& epilogue, const Types& operands, std::size_t first, const Type& result) {
  const std::size_t wanted = first + (epilogue.bias ? 1 : 0) + (epilogue.residual ? 1 : 0);
  ensure(operands.size() == wanted, "{} operands instead of {}", operands.size(), wanted);
  if (epilogue.bias) {
    const Type& bias = operands[first];
    ensure((bias.dtype == result.dtype || bias.dtype == DType::float32) && same(bias.shape, Shape{result.shape[-1]}), "a bias {} for {}", bias, result);
  }
  if (epilogue.residual) {
    const Type& residual = operands.back();
    ensure(residual.dtype == result.dtype && same(residual.shape, result.shape), "a residual {} for {}", residual,
           result);
  }
}

}  // namespace nacre
