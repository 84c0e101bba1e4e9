// Reading and adding rows by index.
#pragma once

#include "backend/graph/ops/shape.h"

namespace nacre {

struct RowsAttrs {
  std::int64_t rows = 0;
  bool operator==(const RowsAttrs&) const = default;
  static void describe(auto&& field) { field("rows", &RowsAttrs::rows, "of the table"); }
};

namespace op {
// (table (rows, …), indices of any shape, integer) → indices.shape + table.shape[1:]. An index out of range gives NaN
// (zeros for integer tables); whoever owns the data checks it before.
extern const OpDef<NoAttributes> gather;
// (indices, updates) → (rows, …): zeros with updates added to their rows, in index order; those out of range are dropped.
extern const OpDef<RowsAttrs> scatter_add;
// (x, indices with the shape of x without the axis) → the element of x at that index of the axis, or NaN out of range.
extern const OpDef<AxisAttrs> take_along;
// (x, indices, dy) → zeros of x's shape with dy put at the indices; of x only the shape is used.
extern const OpDef<AxisAttrs> take_along_backward;
// x → int32 of x's shape: the places of its elements along the axis in ascending order. Equal ones keep their order, NaN
// comes last.
extern const OpDef<AxisAttrs> argsort;
}  // namespace op

namespace ops {
Value gather(Value table, Value indices);
Value take_along(Value x, Value indices, int axis);
Value argsort(Value x, int axis = -1);
Value one_hot(Value indices, std::int64_t classes, DType dtype = DType::float32);  // on a new last axis
}  // namespace ops

}  // namespace nacre
