// Values that are rounded to numbers of eight bits, and stay in a dtype of their own.
#pragma once

#include "backend/core/float8_format.h"
#include "backend/graph/graph.h"

namespace nacre {

struct Float8Attrs {
  Float8Format format = Float8Format::e4m3fn;
  bool operator==(const Float8Attrs&) const = default;
  static void describe(auto&& field) { field("format", &Float8Attrs::format, "what is rounded to"); }
};

struct Float8MatMulAttrs {
  Float8Format a = Float8Format::e4m3fn, b = Float8Format::e4m3fn;
  bool transpose_a = false, transpose_b = false;
  bool operator==(const Float8MatMulAttrs&) const = default;
  static void describe(auto&& field) {
    field("a", &Float8MatMulAttrs::a, "what a is rounded to");
    field("b", &Float8MatMulAttrs::b, "what b is rounded to");
    field("transpose_a", &Float8MatMulAttrs::transpose_a, "a is stored (k, m)");
    field("transpose_b", &Float8MatMulAttrs::transpose_b, "b is stored (n, k)");
  }
};

namespace op {
// (x, scale) → scale · r(x / scale), where quotient and result are of x's dtype: r gives the nearest number of the
// format, half to even, at most its largest. scale: a float32 scalar. No gradient.
extern const OpDef<Float8Attrs> float8;
// (a, b, scale of a, scale of b) → float8(a) · float8(b), of matrices: for devices that multiply numbers of eight bits;
// products of such values become this op there, after gradients were taken.
extern const OpDef<Float8MatMulAttrs> float8_matmul;
}  // namespace op

namespace ops {
Value float8(Value x, Value scale, Float8Format format);
}  // namespace ops

}  // namespace nacre
