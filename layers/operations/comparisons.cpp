// Comparisons and logic, and what they choose.
#include <limits>

#include "backend/graph/ops/reduce.h"
#include "layers/operations/functions.h"
#include "layers/operations/operation.h"

namespace nacre::operations {

namespace {

constexpr Family numpy("keras.src.ops.numpy");
constexpr double infinity = std::numeric_limits<double>::infinity();

// Of integers too, of which all are finite.
template <Value (*function)(Value)>
Value of_real(Value x) {
  return is_floating(x.dtype()) ? function(x) : ops::cast(ops::fill_like(x, 0), DType::boolean);
}
Value not_number(Value x) { return is_nan(x); }
Value infinite(Value x) { return equals(ops::abs(x), infinity); }
Value positive_infinite(Value x) { return equals(x, infinity); }
Value negative_infinite(Value x) { return equals(x, -infinity); }
Value finite(Value x) { return is_floating(x.dtype()) ? ops::is_finite(x) : truth(ops::fill_like(x, 1)); }
Value always(Value x) { return truth(ops::fill_like(x, 1)); }
// Also of -0, whose reciprocal is -∞.
Value sign_bit(Value x) {
  if (x.dtype() == DType::boolean) return truth(ops::fill_like(x, 0));
  if (!is_floating(x.dtype())) return is_below(x, 0);
  return ops::logical_or(is_below(x, 0), ops::logical_and(equals(x, 0), is_below(ops::reciprocal(x), 0)));
}
Value same(Value x) { return x; }

Row logic(std::string_view name, std::string_view doc, Value (*function)(Value, Value)) {
  return numpy.plain(name, "x1, x2", doc, [=](const Operands& in) { return function(truth(in[0]), truth(in[1])); });
}

Value close(Value a, Value b, double relative, double absolute, bool equal_nan) {
  const Value near = ops::less_equal(ops::abs(a - b), absolute + relative * ops::abs(b));
  const Value exact =
      ops::logical_or(ops::equal(a, b), ops::logical_and(near, ops::logical_and(ops::is_finite(a), ops::is_finite(b))));
  return equal_nan ? ops::logical_or(exact, ops::logical_and(is_nan(a), is_nan(b))) : exact;
}

struct CloseFields {
  bool equal_nan = false;
  static void describe(auto&& field) { field("equal_nan", &CloseFields::equal_nan, "NaN is close to NaN"); }
};
struct AllCloseFields {
  double rtol = 1e-5, atol = 1e-8;
  bool equal_nan = false;
  static void describe(auto&& field) {
    field("rtol", &AllCloseFields::rtol, "difference allowed, in parts of |x2|");
    field("atol", &AllCloseFields::atol, "difference allowed besides");
    field("equal_nan", &AllCloseFields::equal_nan, "NaN is close to NaN");
  }
};
struct IsInFields {
  bool assume_unique = false, invert = false;
  static void describe(auto&& field) {
    field("assume_unique", &IsInFields::assume_unique, "changes nothing in the result");
    field("invert", &IsInFields::invert, "whether it is not among them");
  }
};

double number_or(const Operands& in, std::size_t argument, double fallback) {
  return in.given(argument) ? in.constant(argument).as_number() : fallback;
}

Value select(const Operands& in) {
  Values conditions = in.list(0), choices = in.list(1);
  need(conditions.size() == choices.size(), "got {} conditions and {} choices", conditions.size(), choices.size());
  std::vector<Operand> operands{{choices[0]}};
  operands.push_back(in.given(2) ? in.operand(2) : Operand{in.graph().scalar(0, DType::int32), true});
  const DType dtype = common_dtype(operands);
  Value y = ops::cast(operands[1].value, dtype);
  for (std::size_t i = conditions.size(); i-- > 0;) y = where(truth(conditions[i]), ops::cast(choices[i], dtype), y);
  return y;
}

}  // namespace

Rows comparisons() {
  return {
      numpy.binary("Equal", "x1 = x2, element by element.", ops::equal),
      numpy.binary("NotEqual", "x1 ≠ x2, element by element.", ops::not_equal),
      numpy.binary("Less", "x1 < x2, element by element.", ops::less),
      numpy.binary("LessEqual", "x1 ≤ x2, element by element.", ops::less_equal),
      numpy.binary("Greater", "x1 > x2, element by element.", ops::greater),
      numpy.binary("GreaterEqual", "x1 ≥ x2, element by element.", ops::greater_equal),
      logic("LogicalAnd", "x1 and x2, element by element.", ops::logical_and),
      logic("LogicalOr", "x1 or x2, element by element.", ops::logical_or),
      logic("LogicalXor", "Either x1 or x2, element by element.", ops::not_equal),
      numpy.unary(
          "LogicalNot", "not x", [](Value x) { return ops::logical_not(truth(x)); }, same),
      numpy.unary("Isnan", "Whether x is NaN.", of_real<not_number>, same),
      numpy.unary("Isinf", "Whether x is infinite.", of_real<infinite>, same),
      numpy.unary("Isposinf", "Whether x is ∞.", of_real<positive_infinite>, same),
      numpy.unary("Isneginf", "Whether x is -∞.", of_real<negative_infinite>, same),
      numpy.unary("Isfinite", "Whether x is neither infinite nor NaN.", finite, same),
      numpy.unary("Isreal", "True: numbers here are real.", always, same),
      numpy.unary("Signbit", "Whether x has the sign of a negative number.", sign_bit, same),
      numpy.operation<CloseFields>("Isclose", "x1, x2, rtol, atol", "|x1 - x2| ≤ atol + rtol·|x2|",
                                   [](const CloseFields& f, const Operands& in) {
                                     const auto [a, b] = in.real_pair();
                                     return close(a, b, number_or(in, 2, 1e-5), number_or(in, 3, 1e-8), f.equal_nan);
                                   }),
      numpy.operation<AllCloseFields>("AllClose", "x1, x2", "Whether |x1 - x2| ≤ atol + rtol·|x2| everywhere.",
                                      [](const AllCloseFields& f, const Operands& in) {
                                        const auto [a, b] = in.real_pair();
                                        return ops::logical_not(
                                            emit::any(ops::logical_not(close(a, b, f.rtol, f.atol, f.equal_nan)), {}));
                                      }),
      numpy.operation<IsInFields>("IsIn", "x1, x2", "Whether x1 is among the elements of x2, element by element.",
                                  [](const IsInFields& f, const Operands& in) {
                                    const auto [a, b] = in.pair();
                                    const Value found = emit::any(
                                        ops::equal(ops::expand_dims(a, -1), emit::reshape(b, {unknown})), {-1});
                                    return f.invert ? ops::logical_not(found) : found;
                                  }),
      numpy.plain("Where", "condition, x1, x2", "x1 where the condition holds, else x2.",
                  [](const Operands& in) {
                    const auto [a, b] = in.pair(1, 2);
                    return where(truth(in[0]), a, b);
                  }),
      numpy.plain("Select", "[condlist], [choicelist], default",
                  "The choice of the first condition that holds, else the default.", select),
  };
}

}  // namespace nacre::operations
