// Ops that move elements without computing.
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

struct ReshapeAttrs {
  Shape shape;  // one unknown size takes what is left; several are possible only while the operand's are unknown too
  bool operator==(const ReshapeAttrs&) const = default;
  static void describe(auto&& field) { field("shape", &ReshapeAttrs::shape, "of the result; one unknown size takes what is left"); }
};
struct TransposeAttrs {
  std::vector<std::int64_t> axes;  // axis i of the result is axis axes[i] of the operand
  bool operator==(const TransposeAttrs&) const = default;
  static void describe(auto&& field) { field("axes", &TransposeAttrs::axes, "a permutation"); }
};
struct BroadcastAttrs {
  Shape shape;
  bool operator==(const BroadcastAttrs&) const = default;
  static void describe(auto&& field) { field("shape", &BroadcastAttrs::shape, "of the result"); }
};
struct SliceAttrs {  // per axis; `end` and negative indices are already resolved unless the size is unknown
  std::vector<std::int64_t> begin, end, stride;  // stride >= 1; end = whole_axis means "to the end"
  bool operator==(const SliceAttrs&) const = default;
  static void describe(auto&& field) {
    field("begin", &SliceAttrs::begin, "first index of each axis");
    field("end", &SliceAttrs::end, "one past the last");
    field("stride", &SliceAttrs::stride, "step of each axis");
  }
};
inline constexpr std::int64_t whole_axis = std::int64_t{1} << 62;
struct PadAttrs {
  std::vector<std::int64_t> before, after;  // per axis, >= 0
  double value = 0;
  bool operator==(const PadAttrs&) const = default;
  static void describe(auto&& field) {
    field("before", &PadAttrs::before, "elements put before each axis");
    field("after", &PadAttrs::after, "elements put after each axis");
    field("value", &PadAttrs::value, "of the new elements");
  }
};
struct AxisAttrs {
  std::int64_t axis = 0;
  bool operator==(const AxisAttrs&) const = default;
  static void describe(auto&& field) { field("axis", &AxisAttrs::axis, "counted from the front"); }
};
struct AxesAttrs {
  std::vector<std::int64_t> axes;
  bool operator==(const AxesAttrs&) const = default;
  static void describe(auto&& field) { field("axes", &AxesAttrs::axes, "counted from the front"); }
};
struct IotaAttrs {
  Type type;
  std::int64_t axis = 0;
  bool operator==(const IotaAttrs&) const = default;
  static void describe(auto&& field) {
    field("type", &IotaAttrs::type, "of the result");
    field("axis", &IotaAttrs::axis, "along which it counts");
  }
};
inline std::string text_of(const Type& type) { return type.text(); }

namespace op {
extern const OpDef<ReshapeAttrs> reshape;
extern const OpDef<NoAttributes> reshape_like;  // the elements of the first operand in the shape of the second
extern const OpDef<TransposeAttrs> transpose;
extern const OpDef<BroadcastAttrs> broadcast_to;
extern const OpDef<NoAttributes> broadcast_like;  // the first operand repeated to the shape of the second
extern const OpDef<NoAttributes> sum_like;        // the first operand summed down to the shape of the second
extern const OpDef<SliceAttrs> slice;
extern const OpDef<SliceAttrs> slice_gradient;    // (dy, x): zeros of x's shape with dy put where slice took
extern const OpDef<PadAttrs> pad;
extern const OpDef<AxisAttrs> concat;
extern const OpDef<AxesAttrs> reverse;
extern const OpDef<IotaAttrs> iota;  // index along an axis
}  // namespace op

namespace ops {
Value reshape(Value x, Shape shape);
Value reshape_like(Value x, Value like);
Value transpose(Value x, std::vector<std::int64_t> axes);
Value broadcast_to(Value x, Shape shape);
Value broadcast_like(Value x, Value like);  // x itself when the shapes are known and equal
Value sum_like(Value x, Value like);        // likewise; the adjoint of broadcast_like
// Python's meaning: negative indices count from the end, out-of-range ends are cut.
Value slice(Value x, std::vector<std::int64_t> begin, std::vector<std::int64_t> end, std::vector<std::int64_t> stride = {});
Value slice_axis(Value x, int axis, std::int64_t begin, std::int64_t end);
Value pad(Value x, std::vector<std::int64_t> before, std::vector<std::int64_t> after, double value = 0);
Value concat(Values values, int axis);
Value reverse(Value x, std::vector<std::int64_t> axes);
Value expand_dims(Value x, int axis);  // axis of the result
Value squeeze(Value x, int axis);      // whose size is 1
Value iota(Graph& graph, Type type, int axis);
}  // namespace ops

}  // namespace nacre
