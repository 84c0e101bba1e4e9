// Pooling over spatial axes, channels last.
#pragma once

#include "backend/graph/ops/conv.h"

namespace nacre {

struct PoolAttrs {
  std::vector<std::int64_t> window, strides;  // per spatial axis
  Padding padding = Padding::valid;           // padded places never count, neither as maximum nor in the average
  bool operator==(const PoolAttrs&) const = default;
  static void describe(auto&& field) {
    field("window", &PoolAttrs::window, "per spatial axis");
    field("strides", &PoolAttrs::strides, "per spatial axis");
    field("padding", &PoolAttrs::padding, "valid or same");
  }
};

namespace op {
extern const OpDef<PoolAttrs> max_pool;           // x → y, workspace (opaque to all but the backend; uint8, size of y)
extern const OpDef<PoolAttrs> max_pool_backward;  // (x, workspace, dy) → dx: dy goes to the first largest of its window
extern const OpDef<PoolAttrs> average_pool;           // x → y
extern const OpDef<PoolAttrs> average_pool_backward;  // (x, dy) → dx; of x only the shape is used
}  // namespace op

namespace ops {
Value max_pool(Value x, PoolAttrs attrs);
Value average_pool(Value x, PoolAttrs attrs);
}  // namespace ops

}  // namespace nacre
