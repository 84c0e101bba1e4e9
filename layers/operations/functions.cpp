// Functions of one element.
#include "layers/operations/functions.h"

#include <cmath>
#include <numbers>

#include "layers/operations/operation.h"

namespace nacre::operations {

namespace {

constexpr Family numpy("keras.src.ops.numpy"), math("keras.src.ops.math");

// Horner's scheme, highest power first.
Value polynomial(Value x, std::initializer_list<double> coefficients) {
  Value y = ops::fill_like(x, *coefficients.begin());
  for (const double* c = coefficients.begin() + 1; c != coefficients.end(); ++c) y = y * x + *c;
  return y;
}

// -1 below 0, else 1, so that x · side(x) is |x| and has a derivative in 0.
Value side(Value x) { return where(is_below(x, 0), ops::scalar_like(x, -1), ops::scalar_like(x, 1)); }

Value tan(Value x) { return ops::sin(x) / ops::cos(x); }
// With t = eˣ - 1, which is exact near 0.
Value sinh(Value x) {
  const Value sign = side(x), t = ops::expm1(x * sign);
  return sign * 0.5 * (t + t / (t + 1.0));
}
Value cosh(Value x) {
  const Value e = ops::exp(ops::abs(x));
  return 0.5 * (e + ops::reciprocal(e));
}
Value arcsin(Value x) { return arctan(x / ops::sqrt((1.0 - x) * (1.0 + x))); }
Value arccos(Value x) { return std::numbers::pi / 2 - arcsin(x); }
Value arcsinh(Value x) {
  const Value sign = side(x), a = x * sign;
  return sign * ops::log1p(a + ops::square(a) / (1.0 + ops::sqrt(ops::square(a) + 1.0)));
}
Value arccosh(Value x) { return ops::log(x + ops::sqrt((x - 1.0) * (x + 1.0))); }
Value arctanh(Value x) { return 0.5 * (ops::log1p(x) - ops::log1p(-x)); }
Value sinc(Value x) {
  const Value none = equals(x, 0), angle = where(none, ops::scalar_like(x, 1), x) * std::numbers::pi;
  return where(none, ops::scalar_like(x, 1), ops::sin(angle) / angle);
}
Value exp2(Value x) { return ops::exp(x * std::numbers::ln2); }
Value log2(Value x) { return ops::log(x) * std::numbers::log2e; }
Value log10(Value x) { return ops::log(x) * std::numbers::log10e; }
Value cbrt(Value x) { return ops::sign(x) * ops::power(ops::abs(x), ops::scalar_like(x, 1.0 / 3)); }
Value degrees(Value x) { return x * (180 / std::numbers::pi); }
Value radians(Value x) { return x * (std::numbers::pi / 180); }
Value truncate(Value x) { return is_floating(x.dtype()) ? ops::sign(x) * ops::floor(ops::abs(x)) : x; }
Value erfc(Value x) { return 1.0 - ops::erf(x); }

// Giles, "Approximating the erfinv function" (2012), in single precision.
Value erfinv(Value x) {
  const Value w = -ops::log((1.0 - x) * (1.0 + x));
  const Value middle = polynomial(w - 2.5, {2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06,
                                            0.00021858087, -0.00125372503, -0.00417768164, 0.246640727, 1.50140941});
  const Value ends = polynomial(ops::sqrt(ops::maximum(w, ops::scalar_like(w, 5))) - 3.0,
                                {-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
                                 -0.0076224613, 0.00943887047, 1.00167406, 2.83297682});
  const Value y = where(is_below(w, 5), middle, ends) * x;
  return where(equals(ops::abs(x), 1), ops::stop_gradient(x) * std::numeric_limits<double>::infinity(), y);
}

// The modified Bessel function of order 0; Abramowitz and Stegun, 9.8.1 and 9.8.2.
Value bessel_i0(Value x) {
  const Value a = ops::abs(x), small = ops::square(ops::minimum(a, ops::scalar_like(a, 3.75)) / 3.75);
  const Value large = ops::maximum(a, ops::scalar_like(a, 3.75));
  const Value near = polynomial(small, {0.0045813, 0.0360768, 0.2659732, 1.2067492, 3.0899424, 3.5156229, 1.0});
  const Value far = polynomial(3.75 / large, {0.00392377, -0.01647633, 0.02635537, -0.02057706, 0.00916281, -0.00157565,
                                              0.00225319, 0.01328592, 0.39894228});
  return where(is_below(a, 3.75), near, ops::exp(large) * ops::rsqrt(large) * far);
}

Value absolute(Value x) { return x.dtype() == DType::boolean ? x : ops::abs(x); }
Value same(Value x) { return x; }
Value zero(Value x) { return ops::fill_like(x, 0); }
Value angle(Value x) { return where(is_below(x, 0), ops::fill_like(x, std::numbers::pi), ops::fill_like(x, 0)); }
Value square_of_number(Value x) { return ops::square(number(x)); }

struct RoundFields {
  std::int64_t decimals = 0;
  static void describe(auto&& field) { field("decimals", &RoundFields::decimals, "digits behind the point"); }
};

}  // namespace

// The reduction and the polynomial of Cephes' atanf: exact to about 1e-7.
Value arctan(Value x) {
  const Value sign = side(x), a = x * sign;
  const Value large = ops::greater(a, ops::scalar_like(a, 2.414213562373095));
  const Value middle = ops::greater(a, ops::scalar_like(a, 0.4142135623730950));
  const Value divisor = where(large, a, ops::scalar_like(a, 1));
  const Value reduced = where(large, -ops::reciprocal(divisor), where(middle, (a - 1.0) / (a + 1.0), a));
  const Value offset = where(large, ops::scalar_like(a, std::numbers::pi / 2),
                             where(middle, ops::scalar_like(a, std::numbers::pi / 4), ops::scalar_like(a, 0)));
  const Value z = ops::square(reduced);
  const Value series = polynomial(z, {8.05374449538e-2, -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1});
  return sign * (offset + (reduced + reduced * z * series));
}

Value arctan2(Value a, Value b) {
  const Value zero = equals(b, 0);
  const Value slope = arctan(a / where(zero, ops::scalar_like(b, 1), b));
  const Value left =
      slope + where(is_below(a, 0), ops::scalar_like(a, -std::numbers::pi), ops::scalar_like(a, std::numbers::pi));
  return where(zero, ops::sign(a) * (std::numbers::pi / 2), where(is_below(b, 0), left, slope));
}

Rows functions() {
  return {
      numpy.unary("Negative", "-x", ops::negate, number),
      numpy.unary("Absolute", "|x|", absolute, same),
      numpy.unary("Abs", "|x|", absolute, same),
      numpy.unary("Fabs", "|x|", ops::abs),
      numpy.unary("Sign", "-1, 0 or 1", ops::sign, number),
      numpy.unary("Square", "x²", square_of_number, same),
      numpy.unary("Sqrt", "√x", ops::sqrt),
      math.unary("Rsqrt", "1 / √x", ops::rsqrt),
      numpy.unary("Cbrt", "the cube root of x", cbrt),
      numpy.unary("Reciprocal", "1 / x", ops::reciprocal),
      numpy.unary("Exp", "exp(x)", ops::exp),
      numpy.unary("Exp2", "2ˣ", exp2),
      numpy.unary("Expm1", "exp(x) - 1", ops::expm1),
      numpy.unary("Log", "the natural logarithm of x", ops::log),
      numpy.unary("Log1p", "log(1 + x)", ops::log1p),
      numpy.unary("Log2", "the logarithm to base 2", log2),
      numpy.unary("Log10", "the logarithm to base 10", log10),
      numpy.unary("Sin", "the sine of x", ops::sin),
      numpy.unary("Cos", "the cosine of x", ops::cos),
      numpy.unary("Tan", "the tangent of x", tan),
      numpy.unary("Sinh", "the hyperbolic sine of x", sinh),
      numpy.unary("Cosh", "the hyperbolic cosine of x", cosh),
      numpy.unary("Tanh", "the hyperbolic tangent of x", ops::tanh),
      numpy.unary("Arcsin", "the angle whose sine is x", arcsin),
      numpy.unary("Arccos", "the angle whose cosine is x", arccos),
      numpy.unary("Arctan", "the angle whose tangent is x", arctan),
      numpy.unary("Arcsinh", "the inverse of the hyperbolic sine", arcsinh),
      numpy.unary("Arccosh", "the inverse of the hyperbolic cosine", arccosh),
      numpy.unary("Arctanh", "the inverse of the hyperbolic tangent", arctanh),
      numpy.unary("Sinc", "sin(πx) / (πx)", sinc),
      numpy.unary("Deg2rad", "degrees as radians", radians),
      numpy.unary("Rad2deg", "radians as degrees", degrees),
      numpy.unary("Floor", "the largest integer not above x", ops::floor),
      numpy.unary("Ceil", "the smallest integer not below x", ops::ceil),
      numpy.unary("Trunc", "x without what is behind the point", truncate, same),
      numpy.unary("I0", "the modified Bessel function of order 0", bessel_i0),
      numpy.unary("Real", "x: numbers here are real", same, same),
      numpy.unary("Imag", "0: numbers here are real", zero, same),
      numpy.unary("Conjugate", "x: numbers here are real", same, same),
      numpy.unary("Conj", "x: numbers here are real", same, same),
      numpy.unary("Angle", "π below 0, else 0", angle),
      math.unary("Erf", "2/√π ∫₀ˣ exp(-t²) dt", ops::erf),
      math.unary("Erfc", "1 - erf(x)", erfc),
      math.unary("Erfinv", "the inverse of erf", erfinv),
      numpy.operation<RoundFields>("Round", "x", "x to so many decimals, halves to even",
                                   [](const RoundFields& f, const Operands& in) {
                                     const Value x = number(in[0]);
                                     if (!is_floating(x.dtype())) return x;
                                     const double scale = std::pow(10.0, static_cast<double>(f.decimals));
                                     return ops::round(x * scale) / scale;
                                   }),
  };
}

}  // namespace nacre::operations
