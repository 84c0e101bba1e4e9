#include "backend/graph/ops/bitwise.h"

namespace nacre {

namespace {

Types infer_bits(const NoAttributes&, const Types& in) {
  const DType dtype = in[0].dtype;
  if (dtype != in[1].dtype) throw Error("operands have different dtypes: {} and {}", in[0], in[1]).hint("cast one of them");
  need(dtype == DType::uint8 || dtype == DType::int32 || dtype == DType::int64, "needs integers, got {} and {}", in[0],
       in[1]);
  return {{dtype, broadcast(in[0].shape, in[1].shape)}};
}

constexpr OpDef<NoAttributes> bitwise(std::string_view name, std::string_view doc) {
  return {{.name = name, .doc = doc, .kind = OpKind::elementwise, .keeps_zero = true}, infer_bits, nullptr};
}

Value apply(const OpDef<NoAttributes>& op, Value a, Value b) { return a.graph().add(op, NoAttributes{}, {a, b}).out(); }

}  // namespace

namespace op {
constinit const OpDef<NoAttributes> bitwise_and = bitwise("bitwise_and", "bits that a and b have");
constinit const OpDef<NoAttributes> bitwise_or = bitwise("bitwise_or", "bits that a or b has");
constinit const OpDef<NoAttributes> bitwise_xor = bitwise("bitwise_xor", "bits that one of a and b has");
constinit const OpDef<NoAttributes> shift_left = bitwise("shift_left", "y = a · 2ᵇ, keeping the lower bits");
constinit const OpDef<NoAttributes> shift_right = bitwise("shift_right", "y = ⌊a / 2ᵇ⌋");
constinit const OpDef<NoAttributes> gcd = bitwise("gcd", "the greatest common divisor of a and b");
constinit const OpDef<NoAttributes> lcm = bitwise("lcm", "the least common multiple of a and b");
}  // namespace op

namespace ops {
Value bitwise_and(Value a, Value b) { return apply(op::bitwise_and, a, b); }
Value bitwise_or(Value a, Value b) { return apply(op::bitwise_or, a, b); }
Value bitwise_xor(Value a, Value b) { return apply(op::bitwise_xor, a, b); }
Value shift_left(Value a, Value b) { return apply(op::shift_left, a, b); }
Value shift_right(Value a, Value b) { return apply(op::shift_right, a, b); }
Value gcd(Value a, Value b) { return apply(op::gcd, a, b); }
Value lcm(Value a, Value b) { return apply(op::lcm, a, b); }
}  // namespace ops

}  // namespace nacre
