// What a convolution or matmul computes on its result before storing it; filled in by the fuse_epilogue pass.
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

enum class EpilogueKind : std::uint8_t { none, relu, tanh, sigmoid };
template <>
struct EnumNames<EpilogueKind> {
  static constexpr std::string_view names[] = {"none", "relu", "tanh", "sigmoid"};
};

// y = activation(product [+ bias] [+ residual]); bias is over the last axis, residual has the result's shape. The
// operands come after the op's own, in this order.
struct Epilogue {
  bool bias = false, residual = false;
  EpilogueKind activation = EpilogueKind::none;
  bool operator==(const Epilogue&) const = default;
  bool empty() const { return *this == Epilogue{}; }
  static void describe(auto&& field) {
    field("bias", &Epilogue::bias, "an operand over the last axis is added");
    field("residual", &Epilogue::residual, "an operand of the result's shape is added");
    field("activation", &Epilogue::activation, "applied last");
  }
};

// Throws InternalError unless the operands from `first` on are those that the epilogue of a `result` asks for.
void check_epilogue(const Epilogue& epilogue, const Types& operands, std::size_t first, const Type& result);

}  // namespace nacre
