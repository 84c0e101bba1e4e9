// Pooling over spatial axes, channels last.
#pragma once

#include "backend/graph/ops/conv.h"

namespace nacre {

struct PoolAttrs {
  std::vector<std::int64_t> window, strides;  // per spatial axis
  Padding padding = Padding::valid;           // padded places never count, neither as maximum nor in the average
  std::vector<std::int64_t> before{},
      after{};  // such places around each spatial axis, before `padding` adds its own; empty: none
  bool operator==(const PoolAttrs&) const = default;
  static void describe(auto&& field) {
    field("window", &PoolAttrs::window, "per spatial axis");
    field("strides", &PoolAttrs::strides, "per spatial axis");
    field("padding", &PoolAttrs::padding, "valid or same");
    field("before", &PoolAttrs::before, "places put before each spatial axis");
    field("after", &PoolAttrs::after, "places put after each spatial axis");
  }
};

struct PoolBackwardAttrs {
  PoolAttrs pool;
  Shape shape;  // of the result: the operand of the pooling; an unknown batch is that of dy
  bool operator==(const PoolBackwardAttrs&) const = default;
  static void describe(auto&& field) {
    field("pool", &PoolBackwardAttrs::pool, "the pooling");
    field("shape", &PoolBackwardAttrs::shape, "of the pooling's operand");
  }
};

std::vector<WindowAxis> window_axes(const PoolAttrs& p, const Shape& x);  // of each spatial axis

namespace op {
// x → y, workspace: int32 of y's shape, the place of the first largest element within its window (row-major, counted
// from the window's first place, which may be padding). A backend may keep its own form of it in an opaque layout, of
// whatever size; only its max_pool_backward reads it.
extern const OpDef<PoolAttrs> max_pool;
extern const OpDef<PoolBackwardAttrs> max_pool_backward;      // (workspace, dy) → dx: dy goes to the first largest
extern const OpDef<PoolAttrs> average_pool;                   // x → y
extern const OpDef<PoolBackwardAttrs> average_pool_backward;  // dy → dx
}  // namespace op

namespace ops {
Value max_pool(Value x, PoolAttrs attrs);
Value average_pool(Value x, PoolAttrs attrs);
}  // namespace ops

}  // namespace nacre
