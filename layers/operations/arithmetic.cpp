// Arithmetic of two operands, constants of a shape, and what chooses between values.
#include <cmath>
#include <numbers>

#include "layers/operations/functions.h"
#include "layers/operations/operation.h"

namespace nacre::operations {

namespace {

constexpr Family numpy("keras.src.ops.numpy"), core("keras.src.ops.core");

// ⌊a / b⌋. Of integers in two steps, for float32 does not hold every quotient: the rest of the first is small.
Value floor_divide(Value a, Value b) {
  if (is_floating(a.dtype())) return ops::floor(a / b);
  const auto about = [&](Value numerator) { return ops::cast(ops::floor(real(numerator) / real(b)), a.dtype()); };
  const Value first = about(a);
  return first + about(a - first * b);
}
// The rest with the sign of a.
Value truncated_modulo(Value a, Value b) { return ops::sign(a) * ops::modulo(ops::abs(a), ops::abs(b)); }

Value divide_no_nan(Value a, Value b) {
  const Value none = equals(b, 0);
  return where(none, ops::scalar_like(a, 0), a / where(none, ops::scalar_like(b, 1), b));
}

Value logaddexp(Value a, Value b) {
  return where(ops::equal(a, b), a + std::numbers::ln2, ops::maximum(a, b) + ops::log1p(ops::exp(-ops::abs(a - b))));
}
Value logaddexp2(Value a, Value b) {
  constexpr double ln2 = std::numbers::ln2;
  return logaddexp(a * ln2, b * ln2) / ln2;
}

// √(a² + b²) without overflow.
Value hypot(Value a, Value b) {
  const Value large = ops::maximum(ops::abs(a), ops::abs(b)), small = ops::minimum(ops::abs(a), ops::abs(b));
  const Value none = equals(large, 0);
  return large * ops::sqrt(ops::square(small / where(none, ops::scalar_like(large, 1), large)) + 1.0);
}

Value heaviside(Value a, Value b) {
  return where(equals(a, 0), b, ops::cast(ops::greater(a, ops::scalar_like(a, 0)), a.dtype()));
}

Value ldexp(Value a, Value b) { return real(a) * ops::exp(ops::cast(b, real(a).dtype()) * std::numbers::ln2); }

// The larger (or smaller) one, or that which is a number.
template <Value (*extreme)(Value, Value)>
Value numeric_extreme(Value a, Value b) {
  return where(is_nan(a), b, where(is_nan(b), a, extreme(a, b)));
}

template <Value (*function)(Value, Value)>
Value of_numbers(Value a, Value b) {
  return function(number(a), number(b));
}

struct ClipFields {
  Tree x_min, x_max;
  static void describe(auto&& field) {
    field("x_min", &ClipFields::x_min, "lower bound: a number or numbers that broadcast", required());
    field("x_max", &ClipFields::x_max, "upper bound", required());
  }
};

struct DTypeField {
  std::optional<DType> dtype;
  static void describe(auto&& field) { field("dtype", &DTypeField::dtype, "of the result; null: x's"); }
};
struct CastFields {
  DType dtype = DType::float32;
  static void describe(auto&& field) { field("dtype", &CastFields::dtype, "of the result", required()); }
};
struct ConvertFields {
  std::optional<DType> dtype;
  std::optional<bool> sparse, ragged;
  static void describe(auto&& field) {
    field("dtype", &ConvertFields::dtype, "of the result; null: x's");
    field("sparse", &ConvertFields::sparse, "tensors are dense here in any case");
    field("ragged", &ConvertFields::ragged, "tensors are dense here in any case");
  }
};
struct FullFields {
  Shape shape;
  std::optional<DType> dtype;
  static void describe(auto&& field) {
    field("shape", &FullFields::shape, "of the result", required());
    field("dtype", &FullFields::dtype, "of the result; null: the value's");
  }
};
struct NanToNumFields {
  double nan = 0;
  std::optional<double> posinf, neginf;
  static void describe(auto&& field) {
    field("nan", &NanToNumFields::nan, "in the place of NaN");
    field("posinf", &NanToNumFields::posinf, "in the place of ∞; null: the largest number");
    field("neginf", &NanToNumFields::neginf, "in the place of -∞; null: the smallest number");
  }
};

double largest(DType dtype) {
  switch (dtype) {
    case DType::float16: return 65504;
    case DType::bfloat16: return 3.3895313892515355e38;
    case DType::float64: return std::numeric_limits<double>::max();
    default: return static_cast<double>(std::numeric_limits<float>::max());
  }
}

Value cast_to(Value x, std::optional<DType> dtype) { return ops::cast(x, dtype.value_or(x.dtype())); }

// Into an integer dtype by way of its bounds.
Value saturated(Value x, DType dtype) {
  const auto bounded = [&](double low, double high) { return ops::cast(ops::clip(x, low, high), dtype); };
  if (dtype == DType::uint8) return bounded(0, 255);
  if (dtype == DType::int32 && is_floating(x.dtype())) return bounded(-2147483648.0, 2147483520.0);
  if (dtype == DType::int32 && x.dtype() == DType::int64) return bounded(-2147483648.0, 2147483647.0);
  return ops::cast(x, dtype);
}

}  // namespace

Rows arithmetic() {
  return {
      numpy.binary("Add", "x1 + x2", of_numbers<ops::add>),
      numpy.binary("Subtract", "x1 - x2", of_numbers<ops::subtract>),
      numpy.binary("Multiply", "x1 · x2", of_numbers<ops::multiply>),
      numpy.real_binary("Divide", "x1 / x2", ops::divide),
      numpy.real_binary("TrueDivide", "x1 / x2", ops::divide),
      numpy.real_binary("DivideNoNan", "x1 / x2, or 0 where x2 is 0", divide_no_nan),
      numpy.binary("FloorDivide", "the largest integer not above x1 / x2", of_numbers<floor_divide>),
      numpy.binary("Mod", "the rest of x1 / x2, with the sign of x2", of_numbers<ops::modulo>),
      numpy.binary("Fmod", "the rest of x1 / x2, with the sign of x1", of_numbers<truncated_modulo>),
      numpy.binary("Power", "x1 to the power of x2", of_numbers<ops::power>),
      numpy.binary("Maximum", "the larger of x1 and x2", of_numbers<ops::maximum>),
      numpy.binary("Minimum", "the smaller of x1 and x2", of_numbers<ops::minimum>),
      numpy.real_binary("Fmax", "the larger of x1 and x2, passing NaN over", numeric_extreme<ops::maximum>),
      numpy.real_binary("Fmin", "the smaller of x1 and x2, passing NaN over", numeric_extreme<ops::minimum>),
      numpy.real_binary("Arctan2", "the angle of the point (x2, x1)", arctan2),
      numpy.real_binary("Hypot", "√(x1² + x2²)", hypot),
      numpy.real_binary("Logaddexp", "log(exp(x1) + exp(x2))", logaddexp),
      numpy.real_binary("Logaddexp2", "log₂(2^x1 + 2^x2)", logaddexp2),
      numpy.binary("Heaviside", "0 below 0, x2 at 0, 1 above 0", heaviside),
      numpy.plain("Ldexp", "x1, x2", "x1 · 2^x2", [](const Operands& in) { return ldexp(in[0], in[1]); }),
      numpy.operation<ClipFields>("Clip", "x", "x cut to [x_min, x_max]",
                                  [](const ClipFields& f, const Operands& in) {
                                    const Value x = number(in[0]);
                                    const auto bound = [&](const Tree& tree) { return constant_like(x, tree); };
                                    return ops::minimum(ops::maximum(x, bound(f.x_min)), bound(f.x_max));
                                  }),

      core.operation<CastFields>("Cast", "x", "x in another dtype",
                                 [](const CastFields& f, const Operands& in) { return ops::cast(in[0], f.dtype); }),
      core.operation<CastFields>("SaturateCast", "x", "x in another dtype, cut to what that holds",
                                 [](const CastFields& f, const Operands& in) { return saturated(in[0], f.dtype); }),
      core.operation<ConvertFields>("ConvertToTensor", "x", "x, perhaps in another dtype",
                                    [](const ConvertFields& f, const Operands& in) { return cast_to(in[0], f.dtype); }),
      core.plain("StopGradient", "variable", "x, and no gradient flows",
                 [](const Operands& in) { return ops::stop_gradient(in[0]); }),
      numpy.operation<DTypeField>("Array", "x", "x, perhaps in another dtype",
                                  [](const DTypeField& f, const Operands& in) { return cast_to(in[0], f.dtype); }),
      numpy.plain("Copy", "x", "x", [](const Operands& in) { return in[0]; }),
      numpy.operation<DTypeField>(
          "ZerosLike", "x", "Zeros in the shape of x.",
          [](const DTypeField& f, const Operands& in) { return cast_to(ops::fill_like(in[0], 0), f.dtype); }),
      numpy.operation<DTypeField>(
          "OnesLike", "x", "Ones in the shape of x.",
          [](const DTypeField& f, const Operands& in) { return cast_to(ops::fill_like(in[0], 1), f.dtype); }),
      numpy.operation<DTypeField>(
          "EmptyLike", "x", "Zeros in the shape of x.",
          [](const DTypeField& f, const Operands& in) { return cast_to(ops::fill_like(in[0], 0), f.dtype); }),
      numpy.operation<DTypeField>("FullLike", "x, fill_value", "fill_value in the shape of x.",
                                  [](const DTypeField& f, const Operands& in) {
                                    const Value x = cast_to(in[0], f.dtype);
                                    return ops::broadcast_like(ops::cast(in[1], x.dtype()), x);
                                  }),
      numpy.operation<FullFields>(
          "Full", "fill_value", "fill_value in a given shape.",
          [](const FullFields& f, const Operands& in) { return emit::broadcast(cast_to(in[0], f.dtype), f.shape); }),
      numpy.operation<NanToNumFields>(
          "NanToNum", "x", "x with numbers in the place of NaN and infinities.",
          [](const NanToNumFields& f, const Operands& in) {
            Value x = in[0];
            if (!is_floating(x.dtype())) return x;
            const double infinity = std::numeric_limits<double>::infinity(), most = largest(x.dtype());
            x = where(is_nan(x), ops::scalar_like(x, f.nan), x);
            x = where(equals(x, infinity), ops::scalar_like(x, f.posinf.value_or(most)), x);
            return where(equals(x, -infinity), ops::scalar_like(x, f.neginf.value_or(-most)), x);
          }),
  };
}

}  // namespace nacre::operations
