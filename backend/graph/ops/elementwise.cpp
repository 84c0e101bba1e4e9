#include "backend/graph/ops/elementwise.h"

#include <numbers>

#include "backend/graph/ops/shape.h"

namespace nacre {

namespace {

// --- shape rules --------------------------------------------------------------------------------------------------

// y has x's type; x is floating.
Types infer_real(const NoAttributes&, const Types& in) {
  need(is_floating(in[0].dtype), "needs a floating dtype, got {}", in[0]);
  return {in[0]};
}
// y has x's type, whatever it is.
Types infer_same(const NoAttributes&, const Types& in) { return {in[0]}; }

Types infer_logical_not(const NoAttributes&, const Types& in) {
  need(in[0].dtype == DType::boolean, "needs bool, got {}", in[0]);
  return {in[0]};
}
Types infer_is_finite(const NoAttributes&, const Types& in) {
  need(is_floating(in[0].dtype), "needs a floating dtype, got {}", in[0]);
  return {{DType::boolean, in[0].shape}};
}

DType common_dtype(const Type& a, const Type& b) {
  if (a.dtype != b.dtype) throw Error("operands have different dtypes: {} and {}", a, b).hint("cast one of them");
  return a.dtype;
}
Types infer_binary(const NoAttributes&, const Types& in) {
  return {{common_dtype(in[0], in[1]), broadcast(in[0].shape, in[1].shape)}};
}
Types infer_binary_real(const NoAttributes&, const Types& in) {
  need(is_floating(in[0].dtype), "needs floating dtypes, got {} and {}", in[0], in[1]);
  return {{common_dtype(in[0], in[1]), broadcast(in[0].shape, in[1].shape)}};
}
Types infer_comparison(const NoAttributes&, const Types& in) {
  common_dtype(in[0], in[1]);
  return {{DType::boolean, broadcast(in[0].shape, in[1].shape)}};
}
Types infer_logical(const NoAttributes&, const Types& in) {
  need(in[0].dtype == DType::boolean && in[1].dtype == DType::boolean, "needs bool, got {} and {}", in[0], in[1]);
  return {{DType::boolean, broadcast(in[0].shape, in[1].shape)}};
}
Types infer_select(const NoAttributes&, const Types& in) {
  need(in[0].dtype == DType::boolean, "needs a bool condition, got {}", in[0]);
  return {{common_dtype(in[1], in[2]), broadcast(in[0].shape, broadcast(in[1].shape, in[2].shape))}};
}
Types infer_cast(const CastAttrs& p, const Types& in) {
  need(p.dtype != DType::string, "got numbers {}, wanted texts", in[0]);
  return {{p.dtype, in[0].shape}};
}

// --- gradient rules -----------------------------------------------------------------------------------------------
// Where the output says enough the rule reads the output, so that a backend that computes the op on the way out of
// another kernel need not keep the operand.

// The gradient of y = f(x) from (dy, y, x).
template <auto gradient>
Gradients unary_rule(const NoAttributes&, const Node& n, const Cotangents& d) {
  return {gradient(d[0], n.out(), n.in(0))};
}

// The gradients of y = f(a, b) from (dy, y, a, b), before broadcasting is undone.
struct Pair {
  Value a, b;
};
template <auto gradient>
Gradients binary_rule(const NoAttributes&, const Node& n, const Cotangents& d) {
  const Value a = n.in(0), b = n.in(1);
  const Pair found = gradient(d[0], n.out(), a, b);
  return {ops::sum_like(found.a, a), ops::sum_like(found.b, b)};
}

// d where the condition holds, else zero.
Value where(Value condition, Value d) { return ops::select(condition, d, ops::scalar_like(d, 0)); }
Value unless(Value condition, Value d) { return ops::select(condition, ops::scalar_like(d, 0), d); }

Gradients grad_select(const NoAttributes&, const Node& n, const Cotangents& d) {
  return {{}, ops::sum_like(where(n.in(0), d[0]), n.in(1)), ops::sum_like(unless(n.in(0), d[0]), n.in(2))};
}

Gradients grad_cast(const CastAttrs& p, const Node& n, const Cotangents& d) {
  if (!is_floating(p.dtype) || !is_floating(n.in(0).dtype())) return {{}};
  return {ops::cast(d[0], n.in(0).dtype())};
}

template <class Grad = std::nullptr_t>
constexpr OpDef<NoAttributes> elementwise(std::string_view name, std::string_view doc, bool keeps_zero,
                                          OpDef<NoAttributes>::Infer infer, Grad grad = nullptr) {
  return {{.name = name, .doc = doc, .kind = OpKind::elementwise, .keeps_zero = keeps_zero}, infer, grad};
}

}  // namespace

// --- definitions --------------------------------------------------------------------------------------------------

namespace op {

// clang-format off
constinit const OpDef<NoAttributes> negate = elementwise("negate", "y = -x", true, infer_same,
    unary_rule<[](Value d, Value, Value) { return -d; }>);
constinit const OpDef<NoAttributes> abs = elementwise("abs", "y = |x|", true, infer_same,
    unary_rule<[](Value d, Value, Value x) { return d * ops::sign(x); }>);
constinit const OpDef<NoAttributes> sign = elementwise("sign", "y = -1, 0 or 1", true, infer_same);
constinit const OpDef<NoAttributes> exp = elementwise("exp", "y = eˣ", false, infer_real,
    unary_rule<[](Value d, Value y, Value) { return d * y; }>);
constinit const OpDef<NoAttributes> expm1 = elementwise("expm1", "y = eˣ - 1", true, infer_real,
    unary_rule<[](Value d, Value y, Value) { return d * (y + 1.0); }>);
constinit const OpDef<NoAttributes> log = elementwise("log", "y = ln x", false, infer_real,
    unary_rule<[](Value d, Value, Value x) { return d / x; }>);
constinit const OpDef<NoAttributes> log1p = elementwise("log1p", "y = ln(1 + x)", true, infer_real,
    unary_rule<[](Value d, Value, Value x) { return d / (x + 1.0); }>);
constinit const OpDef<NoAttributes> sqrt = elementwise("sqrt", "y = √x", true, infer_real,
    unary_rule<[](Value d, Value y, Value) { return d / (y * 2.0); }>);
constinit const OpDef<NoAttributes> rsqrt = elementwise("rsqrt", "y = 1 / √x", false, infer_real,
    unary_rule<[](Value d, Value y, Value) { return d * (y * ops::square(y)) * -0.5; }>);
constinit const OpDef<NoAttributes> square = elementwise("square", "y = x²", true, infer_same,
    unary_rule<[](Value d, Value, Value x) { return d * (x * 2.0); }>);
constinit const OpDef<NoAttributes> reciprocal = elementwise("reciprocal", "y = 1 / x", false, infer_real,
    unary_rule<[](Value d, Value y, Value) { return -(d * ops::square(y)); }>);
constinit const OpDef<NoAttributes> sin = elementwise("sin", "y = sin x", true, infer_real,
    unary_rule<[](Value d, Value, Value x) { return d * ops::cos(x); }>);
constinit const OpDef<NoAttributes> cos = elementwise("cos", "y = cos x", false, infer_real,
    unary_rule<[](Value d, Value, Value x) { return -(d * ops::sin(x)); }>);
constinit const OpDef<NoAttributes> tanh = elementwise("tanh", "y = tanh x", true, infer_real,
    unary_rule<[](Value d, Value y, Value) { return d * (1.0 - ops::square(y)); }>);
constinit const OpDef<NoAttributes> sigmoid = elementwise("sigmoid", "y = 1 / (1 + e⁻ˣ)", false, infer_real,
    unary_rule<[](Value d, Value y, Value) { return d * (y * (1.0 - y)); }>);
constinit const OpDef<NoAttributes> relu = elementwise("relu", "y = max(x, 0)", true, infer_same,
    unary_rule<[](Value d, Value y, Value) { return where(ops::greater(y, ops::scalar_like(y, 0)), d); }>);
constinit const OpDef<NoAttributes> erf = elementwise("erf", "y = 2/√π ∫₀ˣ exp(-t²) dt", true, infer_real,
    unary_rule<[](Value d, Value, Value x) { return d * ops::exp(-ops::square(x)) * (2 * std::numbers::inv_sqrtpi); }>);
constinit const OpDef<NoAttributes> floor = elementwise("floor", "largest integer not above x", true, infer_real);
constinit const OpDef<NoAttributes> ceil = elementwise("ceil", "smallest integer not below x", true, infer_real);
constinit const OpDef<NoAttributes> round = elementwise("round", "nearest integer, half to even", true, infer_real);
constinit const OpDef<NoAttributes> logical_not = elementwise("logical_not", "y = not x", false, infer_logical_not);
constinit const OpDef<NoAttributes> is_finite = elementwise("is_finite", "neither infinite nor NaN", false, infer_is_finite);

constinit const OpDef<NoAttributes> add = elementwise("add", "y = a + b", true, infer_binary,
    binary_rule<[](Value d, Value, Value, Value) { return Pair{d, d}; }>);
constinit const OpDef<NoAttributes> subtract = elementwise("subtract", "y = a - b", true, infer_binary,
    binary_rule<[](Value d, Value, Value, Value) { return Pair{d, -d}; }>);
constinit const OpDef<NoAttributes> multiply = elementwise("multiply", "y = a · b", true, infer_binary,
    binary_rule<[](Value d, Value, Value a, Value b) { return Pair{d * b, d * a}; }>);
constinit const OpDef<NoAttributes> divide = elementwise("divide", "y = a / b", false, infer_binary_real,
    binary_rule<[](Value d, Value y, Value, Value b) { const Value da = d / b; return Pair{da, -(da * y)}; }>);
// d/da = b·aᵇ⁻¹; d/db = aᵇ ln a, zero where a is not positive (as TensorFlow has it).
constinit const OpDef<NoAttributes> power = elementwise("power", "y = aᵇ", false, infer_binary,
    binary_rule<[](Value d, Value y, Value a, Value b) {
      const Value positive = ops::greater(a, ops::scalar_like(a, 0));
      const Value logarithm = where(positive, ops::log(ops::select(positive, a, ops::scalar_like(a, 1))));
      return Pair{d * (b * ops::power(a, b - 1.0)), d * (y * logarithm)};
    }>);
// Where both are equal the gradient goes to a, as in TensorFlow.
constinit const OpDef<NoAttributes> maximum = elementwise("maximum", "y = max(a, b)", true, infer_binary,
    binary_rule<[](Value d, Value, Value a, Value b) {
      const Value first = ops::greater_equal(a, b);
      return Pair{where(first, d), unless(first, d)};
    }>);
constinit const OpDef<NoAttributes> minimum = elementwise("minimum", "y = min(a, b)", true, infer_binary,
    binary_rule<[](Value d, Value, Value a, Value b) {
      const Value first = ops::less_equal(a, b);
      return Pair{where(first, d), unless(first, d)};
    }>);
constinit const OpDef<NoAttributes> modulo = elementwise("modulo", "y = a - b ⌊a/b⌋, with the sign of b", false, infer_binary,
    binary_rule<[](Value d, Value, Value a, Value b) { return Pair{d, -(d * ops::floor(a / b))}; }>);

constinit const OpDef<NoAttributes> equal = elementwise("equal", "a = b", false, infer_comparison);
constinit const OpDef<NoAttributes> not_equal = elementwise("not_equal", "a ≠ b", true, infer_comparison);
constinit const OpDef<NoAttributes> less = elementwise("less", "a < b", true, infer_comparison);
constinit const OpDef<NoAttributes> less_equal = elementwise("less_equal", "a ≤ b", false, infer_comparison);
constinit const OpDef<NoAttributes> greater = elementwise("greater", "a > b", true, infer_comparison);
constinit const OpDef<NoAttributes> greater_equal = elementwise("greater_equal", "a ≥ b", false, infer_comparison);
constinit const OpDef<NoAttributes> logical_and = elementwise("logical_and", "a and b", true, infer_logical);
constinit const OpDef<NoAttributes> logical_or = elementwise("logical_or", "a or b", true, infer_logical);

constinit const OpDef<NoAttributes> select{
    {.name = "select", .doc = "y = condition ? a : b", .kind = OpKind::elementwise, .keeps_zero = true}, infer_select, grad_select};
constinit const OpDef<CastAttrs> cast{
    {.name = "cast", .doc = "x with another element type", .kind = OpKind::elementwise, .keeps_zero = true}, infer_cast, grad_cast};
constinit const OpDef<NoAttributes> stop_gradient = elementwise("stop_gradient", "y = x, and no gradient flows", true, infer_same);
// clang-format on

}  // namespace op

// --- builders -----------------------------------------------------------------------------------------------------

namespace ops {

namespace {
Value apply(const OpDef<NoAttributes>& op, Values inputs) {
  Graph& graph = inputs[0].graph();
  return graph.add(op, NoAttributes{}, std::move(inputs)).out();
}
// A constant whose only element is `value`.
bool is_scalar(Value x, double value) {
  if (!x.is(op::constant) || x.shape().rank() > 0) return false;
  return x.node().attrs<ConstantAttrs>().value.item() == value;
}
}  // namespace

Value negate(Value x) { return apply(op::negate, {x}); }
Value abs(Value x) { return apply(op::abs, {x}); }
Value sign(Value x) { return apply(op::sign, {x}); }
Value exp(Value x) { return apply(op::exp, {x}); }
Value expm1(Value x) { return apply(op::expm1, {x}); }
Value log(Value x) { return apply(op::log, {x}); }
Value log1p(Value x) { return apply(op::log1p, {x}); }
Value sqrt(Value x) { return apply(op::sqrt, {x}); }
Value rsqrt(Value x) { return apply(op::rsqrt, {x}); }
Value square(Value x) { return apply(op::square, {x}); }
Value reciprocal(Value x) { return apply(op::reciprocal, {x}); }
Value sin(Value x) { return apply(op::sin, {x}); }
Value cos(Value x) { return apply(op::cos, {x}); }
Value tanh(Value x) { return apply(op::tanh, {x}); }
Value sigmoid(Value x) { return apply(op::sigmoid, {x}); }
Value relu(Value x) { return apply(op::relu, {x}); }
Value erf(Value x) { return apply(op::erf, {x}); }
Value floor(Value x) { return apply(op::floor, {x}); }
Value ceil(Value x) { return apply(op::ceil, {x}); }
Value round(Value x) { return apply(op::round, {x}); }
Value logical_not(Value x) { return apply(op::logical_not, {x}); }
Value is_finite(Value x) { return apply(op::is_finite, {x}); }

// A scalar 0 or 1 that changes nothing is left out; operands of different dtypes are left to the shape rule.
Value add(Value a, Value b) {
  if (a.dtype() == b.dtype() && is_scalar(b, 0)) return a;
  if (a.dtype() == b.dtype() && is_scalar(a, 0)) return b;
  return apply(op::add, {a, b});
}
Value subtract(Value a, Value b) {
  if (a.dtype() == b.dtype() && is_scalar(b, 0)) return a;
  return apply(op::subtract, {a, b});
}
Value multiply(Value a, Value b) {
  if (a.dtype() == b.dtype() && is_scalar(b, 1)) return a;
  if (a.dtype() == b.dtype() && is_scalar(a, 1)) return b;
  return apply(op::multiply, {a, b});
}
Value divide(Value a, Value b) {
  if (is_floating(a.dtype()) && a.dtype() == b.dtype() && is_scalar(b, 1)) return a;
  return apply(op::divide, {a, b});
}
Value power(Value a, Value b) {
  if (a.dtype() == b.dtype() && is_scalar(b, 1)) return a;
  if (a.dtype() == b.dtype() && is_scalar(b, 2)) return square(a);
  return apply(op::power, {a, b});
}
Value maximum(Value a, Value b) { return apply(op::maximum, {a, b}); }
Value minimum(Value a, Value b) { return apply(op::minimum, {a, b}); }
Value modulo(Value a, Value b) { return apply(op::modulo, {a, b}); }
Value equal(Value a, Value b) { return apply(op::equal, {a, b}); }
Value not_equal(Value a, Value b) { return apply(op::not_equal, {a, b}); }
Value less(Value a, Value b) { return apply(op::less, {a, b}); }
Value less_equal(Value a, Value b) { return apply(op::less_equal, {a, b}); }
Value greater(Value a, Value b) { return apply(op::greater, {a, b}); }
Value greater_equal(Value a, Value b) { return apply(op::greater_equal, {a, b}); }
Value logical_and(Value a, Value b) { return apply(op::logical_and, {a, b}); }
Value logical_or(Value a, Value b) { return apply(op::logical_or, {a, b}); }
Value select(Value condition, Value a, Value b) { return apply(op::select, {condition, a, b}); }

Value cast(Value x, DType dtype) {
  return x.dtype() == dtype ? x : x.graph().add(op::cast, CastAttrs{dtype}, {x}).out();
}
Value stop_gradient(Value x) { return apply(op::stop_gradient, {x}); }

Value scalar_like(Value x, double value) { return x.graph().scalar(value, x.dtype()); }
Value fill_like(Value x, double value) { return broadcast_like(scalar_like(x, value), x); }
Value clip(Value x, double low, double high) { return minimum(maximum(x, scalar_like(x, low)), scalar_like(x, high)); }

}  // namespace ops

Value operator-(Value x) { return ops::negate(x); }
Value operator+(Value a, Value b) { return ops::add(a, b); }
Value operator-(Value a, Value b) { return ops::subtract(a, b); }
Value operator*(Value a, Value b) { return ops::multiply(a, b); }
Value operator/(Value a, Value b) { return ops::divide(a, b); }
Value operator+(Value a, double b) { return a + ops::scalar_like(a, b); }
Value operator-(Value a, double b) { return a - ops::scalar_like(a, b); }
Value operator*(Value a, double b) { return a * ops::scalar_like(a, b); }
Value operator/(Value a, double b) { return a / ops::scalar_like(a, b); }
Value operator+(double a, Value b) { return ops::scalar_like(b, a) + b; }
Value operator-(double a, Value b) { return ops::scalar_like(b, a) - b; }
Value operator*(double a, Value b) { return ops::scalar_like(b, a) * b; }
Value operator/(double a, Value b) { return ops::scalar_like(b, a) / b; }

}  // namespace nacre
