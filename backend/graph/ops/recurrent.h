// Whole recurrent layers, for backends whose library has them; they decompose into `scan` elsewhere and wherever a
// kernel does not fit. Decomposition takes place before gradients are taken, so only backends that have the forward
// kernel need the backward one.
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

enum class CellKind : std::uint8_t { simple, lstm, gru, gru_reset_after };
template <>
struct EnumNames<CellKind> {
  static constexpr std::string_view names[] = {"simple", "lstm", "gru", "gru_reset_after"};
};

struct RecurrentAttrs {
  CellKind cell = CellKind::lstm;
  bool reverse = false;  // walks from the last step to the first; results stay at the steps they belong to
  bool operator==(const RecurrentAttrs&) const = default;
  static void describe(auto&& field) {
    field("cell", &RecurrentAttrs::cell, "kind of the cell, with Keras's default activations (tanh, sigmoid)");
    field("reverse", &RecurrentAttrs::reverse, "from the last step to the first");
  }
};

// How many gates a cell has.
constexpr std::int64_t gates(CellKind cell) { return cell == CellKind::simple ? 1 : cell == CellKind::lstm ? 4 : 3; }

namespace op {
// (x (batch, time, features), kernel (features, gates·units), recurrent_kernel (units, gates·units), bias, h₀ [, c₀])
//   → sequence (batch, time, units), h (batch, units), c (batch, units; only for lstm), workspace.
// Gates in Keras's order: lstm i f c o, gru z r h. bias: (gates·units), for gru_reset_after (2, gates·units): that of
// the input, then that of the state. The workspace is uint8 without elements: what a backend keeps for its
// recurrent_backward lies in an opaque layout, of whatever size.
extern const OpDef<RecurrentAttrs> recurrent;
// (the operands of recurrent, its outputs, dsequence, dh [, dc]) → dx, dkernel, drecurrent_kernel, dbias, dh₀ [, dc₀].
extern const OpDef<RecurrentAttrs> recurrent_backward;
}  // namespace op

namespace ops {
struct RecurrentResult {
  Value sequence, h, c;  // c: lstm only
};
RecurrentResult recurrent(Value x, Value kernel, Value recurrent_kernel, Value bias, Value h, Value c, RecurrentAttrs attrs);
}  // namespace ops

}  // namespace nacre
