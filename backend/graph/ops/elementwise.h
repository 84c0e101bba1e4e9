// Element-wise ops. Operands broadcast by NumPy's rule; all floating operands have one dtype, which is the result's;
// comparisons and logic give bool.
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

struct CastAttrs {
  DType dtype = DType::float32;
  bool operator==(const CastAttrs&) const = default;
  static void describe(auto&& field) { field("dtype", &CastAttrs::dtype, "element type of the result"); }
};

namespace op {
// Unary, y = f(x).
extern const OpDef<NoAttributes> negate, abs, sign, exp, expm1, log, log1p, sqrt, rsqrt, square, reciprocal, sin, cos, tanh,
    sigmoid, relu, erf, floor, ceil, round, logical_not, is_finite;
// Binary, y = f(a, b).
extern const OpDef<NoAttributes> add, subtract, multiply, divide, power, maximum, minimum, modulo;  // modulo: sign of b
extern const OpDef<NoAttributes> equal, not_equal, less, less_equal, greater, greater_equal, logical_and, logical_or;
// y = condition ? a : b.
extern const OpDef<NoAttributes> select;
extern const OpDef<CastAttrs> cast;
extern const OpDef<NoAttributes> stop_gradient;  // y = x, and no gradient flows
}  // namespace op

namespace ops {
Value negate(Value x);
Value abs(Value x);
Value sign(Value x);
Value exp(Value x);
Value expm1(Value x);
Value log(Value x);
Value log1p(Value x);
Value sqrt(Value x);
Value rsqrt(Value x);
Value square(Value x);
Value reciprocal(Value x);
Value sin(Value x);
Value cos(Value x);
Value tanh(Value x);
Value sigmoid(Value x);
Value relu(Value x);
Value erf(Value x);
Value floor(Value x);
Value ceil(Value x);
Value round(Value x);  // half to even
Value logical_not(Value x);
Value is_finite(Value x);
Value add(Value a, Value b);
Value subtract(Value a, Value b);
Value multiply(Value a, Value b);
Value divide(Value a, Value b);
Value power(Value a, Value b);
Value maximum(Value a, Value b);
Value minimum(Value a, Value b);
Value modulo(Value a, Value b);
Value equal(Value a, Value b);
Value not_equal(Value a, Value b);
Value less(Value a, Value b);
Value less_equal(Value a, Value b);
Value greater(Value a, Value b);
Value greater_equal(Value a, Value b);
Value logical_and(Value a, Value b);
Value logical_or(Value a, Value b);
Value select(Value condition, Value a, Value b);
Value cast(Value x, DType dtype);  // x itself when it has that dtype already
Value stop_gradient(Value x);

// A scalar constant of x's dtype, in x's graph.
Value scalar_like(Value x, double value);
// A tensor of x's type filled with `value` (works for unknown sizes).
Value fill_like(Value x, double value);
Value clip(Value x, double low, double high);
}  // namespace ops

Value operator-(Value x);
Value operator+(Value a, Value b);
Value operator-(Value a, Value b);
Value operator*(Value a, Value b);
Value operator/(Value a, Value b);
Value operator+(Value a, double b);
Value operator-(Value a, double b);
Value operator*(Value a, double b);
Value operator/(Value a, double b);
Value operator+(double a, Value b);
Value operator-(double a, Value b);
Value operator*(double a, Value b);
Value operator/(double a, Value b);

}  // namespace nacre
