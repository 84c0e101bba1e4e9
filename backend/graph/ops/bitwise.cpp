#include "backend/graph/ops/bitwise.h"

#include "backend/graph/ops/shape.h"

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

Types infer_bitcast(const CastAttrs& p, const Types& in) {
  for (DType dtype : {in[0].dtype, p.dtype})
    need(dtype != DType::boolean && dtype != DType::string, "got {} to read as {}, wanted numbers", in[0], name_of(p.dtype));
  const auto before = static_cast<std::int64_t>(size_of(in[0].dtype)), after = static_cast<std::int64_t>(size_of(p.dtype));
  Shape shape = in[0].shape;
  if (before == after) return {{p.dtype, shape}};
  need(shape.rank() > 0, "got one number of {} bytes to read as {}", before, name_of(p.dtype));
  if (const std::int64_t size = shape[-1]; size != unknown) {
    std::int64_t bytes = 0;
    need(!__builtin_mul_overflow(size, before, &bytes) && bytes % after == 0, "got {}, whose last axis is no whole number of {}",
         in[0], name_of(p.dtype));
    shape.set(-1, bytes / after);
  }
  return {{p.dtype, shape}};
}

Types infer_next_after(const NoAttributes&, const Types& in) {
  need(is_floating(in[0].dtype) && in[0].dtype == in[1].dtype, "needs two operands of one floating dtype, got {} and {}", in[0],
       in[1]);
  return {{in[0].dtype, broadcast(in[0].shape, in[1].shape)}};
}
Gradients grad_next_after(const NoAttributes&, const Node& n, const Cotangents& d) { return {ops::sum_like(d[0], n.in(0)), {}}; }

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
constinit const OpDef<CastAttrs> bitcast{{.name = "bitcast", .doc = "the bytes of x as other numbers"}, infer_bitcast};
constinit const OpDef<NoAttributes> next_after{
    {.name = "next_after", .doc = "the number next to a on the way to b"}, infer_next_after, grad_next_after};
}  // namespace op

namespace ops {
Value bitwise_and(Value a, Value b) { return apply(op::bitwise_and, a, b); }
Value bitwise_or(Value a, Value b) { return apply(op::bitwise_or, a, b); }
Value bitwise_xor(Value a, Value b) { return apply(op::bitwise_xor, a, b); }
Value shift_left(Value a, Value b) { return apply(op::shift_left, a, b); }
Value shift_right(Value a, Value b) { return apply(op::shift_right, a, b); }
Value gcd(Value a, Value b) { return apply(op::gcd, a, b); }
Value lcm(Value a, Value b) { return apply(op::lcm, a, b); }
Value bitcast(Value x, DType dtype) { return x.graph().add(op::bitcast, CastAttrs{dtype}, {x}).out(); }
Value next_after(Value a, Value b) { return apply(op::next_after, a, b); }
}  // namespace ops

}  // namespace nacre
