#include "backend/graph/ops/float8.h"

#include <cmath>

#include "backend/graph/ops/bitwise.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/matmul.h"

namespace nacre {
namespace {

Types infer_float8(const Float8Attrs&, const Types& in) {
  ensure(in.size() == 2, "float8 with {} operands", in.size());
  need(is_floating(in[0].dtype), "got {}, wanted floating numbers", in[0].dtype);
  need(in[1] == Type{DType::float32, {}}, "got a scale of {}, wanted a float32 scalar", in[1]);
  return {in[0]};
}

// Of float32, within the format's range. Numbers of one binade lie 2⁻ᵐ of its lower end apart, those below the smallest
// binade as there; next to 1.5 · 2²³⁻ᵐ times that end float32 has just this distance, so that a sum with it rounds.
Value rounded(Value x, Float8Format format) {
  const Value bits = ops::bitcast(x, DType::int32),
              exponent = ops::bitwise_and(bits, ops::scalar_like(bits, 0x7f800000));
  const Value binade =
      ops::maximum(ops::bitcast(exponent, DType::float32), ops::scalar_like(x, std::ldexp(1, 1 - bias(format))));
  const Value shift = binade * std::ldexp(1.5, 23 - mantissa(format));
  return (x + shift) - shift;
}

Values decompose_float8(const Float8Attrs& p, const Node&, const Values& in) {
  const Value ratio = ops::cast(ops::cast(in[0], DType::float32) / in[1], in[0].dtype());
  const Value within = ops::clip(ops::cast(ratio, DType::float32), -largest(p.format), largest(p.format));
  return {ops::cast(rounded(within, p.format) * in[1], in[0].dtype())};
}

Types infer_float8_matmul(const Float8MatMulAttrs& p, const Types& in) {
  ensure(in.size() == 4, "float8_matmul with {} operands", in.size());
  for (std::size_t i = 0; i < 2; ++i) infer_float8({}, {in[i], in[i + 2]});
  return op::matmul.infer({.transpose_a = p.transpose_a, .transpose_b = p.transpose_b, .epilogue = {}}, {in[0], in[1]});
}

Values decompose_float8_matmul(const Float8MatMulAttrs& p, const Node&, const Values& in) {
  return {ops::matmul(ops::float8(in[0], in[2], p.a), ops::float8(in[1], in[3], p.b), p.transpose_a, p.transpose_b)};
}

}  // namespace

namespace op {
constinit const OpDef<Float8Attrs> float8{
    {.name = "float8", .doc = "y = scale · (x / scale, rounded to a number of eight bits)"},
    infer_float8,
    nullptr,
    decompose_float8};
constinit const OpDef<Float8MatMulAttrs> float8_matmul{{.name = "float8_matmul", .doc = "y = float8(a) · float8(b)"},
                                                       infer_float8_matmul,
                                                       nullptr,
                                                       decompose_float8_matmul};
}  // namespace op

Value ops::float8(Value x, Value scale, Float8Format format) {
  return x.graph().add(op::float8, {format}, {x, scale}).out();
}

}  // namespace nacre
