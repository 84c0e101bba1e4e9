// What a convolution or matmul computes on its result before storing it; filled in by the fuse_epilogue pass.
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

enum class EpilogueKind : std::uint8_t {
  none,
  relu,
  tanh,
  sigmoid,
  clip,        // min(max(x, alpha), beta)
  leaky_relu,  // x, or alpha·x below 0
  elu,         // x, or alpha·(eˣ - 1) below 0
  silu,        // x / (1 + e⁻ˣ)
  hard_silu,   // x · min(max(alpha·x + beta, 0), 1)
  gelu,        // x·Φ(x), Φ the normal distribution function
};
template <>
struct EnumNames<EpilogueKind> {
  static constexpr std::string_view names[] = {"none",       "relu", "tanh", "sigmoid",   "clip",
                                               "leaky_relu", "elu",  "silu", "hard_silu", "gelu"};
};

// y = activation(product [+ bias] [+ residual]); bias is over the last axis, of the result's dtype or float32,
// residual has the result's type. The operands come after the op's own, in this order.
struct Epilogue {
  bool bias = false, residual = false;
  EpilogueKind activation = EpilogueKind::none;
  double alpha = 0, beta = 0;  // of the activation
  bool operator==(const Epilogue&) const = default;
  bool empty() const { return *this == Epilogue{}; }
  static void describe(auto&& field) {
    field("bias", &Epilogue::bias, "an operand over the last axis is added");
    field("residual", &Epilogue::residual, "an operand of the result's shape is added");
    field("activation", &Epilogue::activation, "applied last");
    field("alpha", &Epilogue::alpha, "first number of the activation");
    field("beta", &Epilogue::beta, "second number of the activation");
  }
};

// Throws InternalError unless the operands from `first` on are those that the epilogue of a `result` asks for.
void check_epilogue(const Epilogue& epilogue, const Types& operands, std::size_t first, const Type& result);

}  // namespace nacre
