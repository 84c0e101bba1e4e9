// The bits of integers and other numbers, and divisors.
#include "backend/graph/ops/bitwise.h"
#include "layers/operations/functions.h"
#include "layers/operations/operation.h"

namespace nacre::operations {

namespace {

constexpr Family numpy("keras.src.ops.numpy");

template <Value (*function)(Value, Value)>
Row of_pair(std::string_view class_name, std::string_view arguments, std::string_view doc) {
  return numpy.plain(class_name, arguments, doc, [](const Operands& in) {
    const auto [a, b] = in.pair();
    if (is_floating(a.dtype())) throw Error("got {} and {}, wanted integers", a.type(), b.type());
    return function(number(a), number(b));
  });
}

// Of bool the opposite.
Value bitwise_not(Value x) {
  if (x.dtype() == DType::boolean) return ops::logical_not(x);
  return ops::bitwise_xor(x, ops::scalar_like(x, x.dtype() == DType::uint8 ? 255 : -1));
}

struct ViewField {
  std::optional<DType> dtype;
  static void describe(auto&& field) { field("dtype", &ViewField::dtype, "of the result; null: x's"); }
};

}  // namespace

Rows bits() {
  return {
      of_pair<ops::bitwise_and>("BitwiseAnd", "x, y", "the bits that x and y have"),
      of_pair<ops::bitwise_or>("BitwiseOr", "x, y", "the bits that x or y has"),
      of_pair<ops::bitwise_xor>("BitwiseXor", "x, y", "the bits that one of x and y has"),
      of_pair<ops::shift_left>("BitwiseLeftShift", "x, y", "x · 2^y, keeping the lower bits"),
      of_pair<ops::shift_left>("LeftShift", "x, y", "x · 2^y, keeping the lower bits"),
      of_pair<ops::shift_right>("BitwiseRightShift", "x, y", "the largest integer not above x / 2^y"),
      of_pair<ops::shift_right>("RightShift", "x, y", "the largest integer not above x / 2^y"),
      numpy.plain("BitwiseNot", "x", "the bits that x has not", [](const Operands& in) { return bitwise_not(in[0]); }),
      numpy.plain("BitwiseInvert", "x", "the bits that x has not",
                  [](const Operands& in) { return bitwise_not(in[0]); }),
      of_pair<ops::gcd>("Gcd", "x1, x2", "the greatest common divisor of x1 and x2"),
      of_pair<ops::lcm>("Lcm", "x1, x2", "the least common multiple of x1 and x2"),
      numpy.real_binary("Nextafter", "the number next to x1 on the way to x2", ops::next_after),
      numpy.operation<ViewField>("View", "x", "The bytes of x read as numbers of another dtype.",
                                 [](const ViewField& f, const Operands& in) {
                                   return f.dtype.value_or(in[0].dtype()) == in[0].dtype() ? in[0] : ops::bitcast(in[0], *f.dtype);
                                 }),
  };
}

}  // namespace nacre::operations
