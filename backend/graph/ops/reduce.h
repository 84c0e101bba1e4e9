// Reductions over axes.
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

struct ReduceAttrs {
  std::vector<std::int64_t> axes;  // counted from the front, ascending
  bool keepdims = false;           // reduced axes stay, with size 1
  bool operator==(const ReduceAttrs&) const = default;
  static void describe(auto&& field) {
    field("axes", &ReduceAttrs::axes, "reduced");
    field("keepdims", &ReduceAttrs::keepdims, "reduced axes stay with size 1");
  }
};

namespace op {
extern const OpDef<ReduceAttrs> sum, mean, max, min, product;
extern const OpDef<ReduceAttrs> argmax;  // over one axis; int32; the first of equal ones
}  // namespace op

namespace ops {
// Axes may be negative; no axes given means all.
Value sum(Value x, std::vector<std::int64_t> axes = {}, bool keepdims = false);
Value mean(Value x, std::vector<std::int64_t> axes = {}, bool keepdims = false);
Value max(Value x, std::vector<std::int64_t> axes = {}, bool keepdims = false);
Value min(Value x, std::vector<std::int64_t> axes = {}, bool keepdims = false);
Value product(Value x, std::vector<std::int64_t> axes = {}, bool keepdims = false);
Value argmax(Value x, int axis, bool keepdims = false);
}  // namespace ops

}  // namespace nacre
