#include "backend/reference/epilogue.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace nacre::reference {

void apply_epilogue(const Epilogue& epilogue, Operands operands, std::size_t first, const Result& y) {
  const auto count = static_cast<std::int64_t>(y.values.size());
  if (epilogue.bias) {
    const Operand& bias = operands[first];
    const auto width = static_cast<std::int64_t>(bias.values.size());
    for (std::int64_t i = 0; i < count; ++i) y[i] += bias[i % width];
  }
  if (epilogue.residual) {
    const Operand& residual = operands.back();
    for (std::int64_t i = 0; i < count; ++i) y[i] += residual[i];
  }
  for (double& value : y.values) switch (epilogue.activation) {
      case EpilogueKind::none: break;
      case EpilogueKind::relu: value = value <= 0 ? 0 : value; break;
      case EpilogueKind::tanh: value = std::tanh(value); break;
      case EpilogueKind::sigmoid: value = 1 / (1 + std::exp(-value)); break;
      case EpilogueKind::clip:
        value = value < epilogue.alpha ? epilogue.alpha : value > epilogue.beta ? epilogue.beta : value;
        break;
      case EpilogueKind::leaky_relu: value = value > 0 ? value : value * epilogue.alpha; break;
      case EpilogueKind::elu: value = value < 0 ? epilogue.alpha * std::expm1(value) : value; break;
      case EpilogueKind::silu: value /= 1 + std::exp(-value); break;
      case EpilogueKind::hard_silu: value *= std::clamp(epilogue.alpha * value + epilogue.beta, 0.0, 1.0); break;
      case EpilogueKind::gelu: value *= (1 + std::erf(value / std::numbers::sqrt2)) / 2; break;
    }
}

}  // namespace nacre::reference
