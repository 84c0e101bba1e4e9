#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "backend/graph/ops/bitwise.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/reference/kernel.h"
#include "backend/reference/kernels.h"

namespace nacre::reference {

namespace {

struct UnaryFormula {
  const Op* op;
  double (*of)(double x);
};
constexpr UnaryFormula unary_formulas[] = {
    {&op::negate, [](double x) { return -x; }},
    {&op::abs, [](double x) { return std::abs(x); }},
    {&op::sign, [](double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : x; }},
    {&op::exp, [](double x) { return std::exp(x); }},
    {&op::expm1, [](double x) { return std::expm1(x); }},
    {&op::log, [](double x) { return std::log(x); }},
    {&op::log1p, [](double x) { return std::log1p(x); }},
    {&op::sqrt, [](double x) { return std::sqrt(x); }},
    {&op::rsqrt, [](double x) { return 1 / std::sqrt(x); }},
    {&op::square, [](double x) { return x * x; }},
    {&op::reciprocal, [](double x) { return 1 / x; }},
    {&op::sin, [](double x) { return std::sin(x); }},
    {&op::cos, [](double x) { return std::cos(x); }},
    {&op::tanh, [](double x) { return std::tanh(x); }},
    {&op::sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }},
    {&op::relu, [](double x) { return x <= 0 ? 0.0 : x; }},
    {&op::erf, [](double x) { return std::erf(x); }},
    {&op::floor, [](double x) { return std::floor(x); }},
    {&op::ceil, [](double x) { return std::ceil(x); }},
    {&op::round, [](double x) { return std::nearbyint(x); }},
    {&op::logical_not, [](double x) { return x == 0 ? 1.0 : 0.0; }},
    {&op::is_finite, [](double x) { return std::isfinite(x) ? 1.0 : 0.0; }},
};

struct BinaryFormula {
  const Op* op;
  double (*of)(double a, double b);
};
constexpr BinaryFormula binary_formulas[] = {
    {&op::add, [](double a, double b) { return a + b; }},
    {&op::subtract, [](double a, double b) { return a - b; }},
    {&op::multiply, [](double a, double b) { return a * b; }},
    {&op::divide, [](double a, double b) { return a / b; }},
    {&op::power, [](double a, double b) { return std::pow(a, b); }},
    {&op::maximum, [](double a, double b) { return a >= b || std::isnan(a) ? a : b; }},
    {&op::minimum, [](double a, double b) { return a <= b || std::isnan(a) ? a : b; }},
    {&op::modulo,
     [](double a, double b) {
       const double rest = std::fmod(a, b);
       return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
     }},
    {&op::equal, [](double a, double b) { return a == b ? 1.0 : 0.0; }},
    {&op::not_equal, [](double a, double b) { return a != b ? 1.0 : 0.0; }},
    {&op::less, [](double a, double b) { return a < b ? 1.0 : 0.0; }},
    {&op::less_equal, [](double a, double b) { return a <= b ? 1.0 : 0.0; }},
    {&op::greater, [](double a, double b) { return a > b ? 1.0 : 0.0; }},
    {&op::greater_equal, [](double a, double b) { return a >= b ? 1.0 : 0.0; }},
    {&op::logical_and, [](double a, double b) { return a != 0 && b != 0 ? 1.0 : 0.0; }},
    {&op::logical_or, [](double a, double b) { return a != 0 || b != 0 ? 1.0 : 0.0; }},
};

// Doubles do not hold every int64.
struct IntegerFormula {
  const Op* op;
  std::int64_t (*of)(std::int64_t a, std::int64_t b);
};
constexpr IntegerFormula integer_formulas[] = {
    {&op::bitwise_and, [](std::int64_t a, std::int64_t b) { return a & b; }},
    {&op::bitwise_or, [](std::int64_t a, std::int64_t b) { return a | b; }},
    {&op::bitwise_xor, [](std::int64_t a, std::int64_t b) { return a ^ b; }},
    {&op::shift_left, bits::shift_left},
    {&op::shift_right, bits::shift_right},
    {&op::gcd, bits::gcd},
    {&op::lcm, bits::lcm},
};

auto formula_of(const Node& node, const auto& formulas) {
  for (const auto& formula : formulas)
    if (node.is(*formula.op)) return formula.of;
  throw InternalError("no formula for '{}'", node.op().name);
}

// A walk over the result that keeps the places of N operands.
template <std::size_t N>
Walk<N> operand_walk(const Node& node) {
  const Shape& space = node.types()[0].shape;
  std::array<std::vector<std::int64_t>, N> strides;
  for (std::size_t i = 0; i < N; ++i) strides[i] = broadcast_strides(node.inputs()[i].shape(), space);
  return Walk<N>(space, std::move(strides));
}

}  // namespace

KernelPlan unary(const KernelRequest& request) {
  return compute(request, [f = formula_of(request.node, unary_formulas)](Operands x, Results y) {
    for (std::size_t i = 0; i < y[0].values.size(); ++i) y[0].values[i] = f(x[0].values[i]);
  });
}

KernelPlan binary(const KernelRequest& request) {
  return compute(request, [f = formula_of(request.node, binary_formulas),
                           walk = operand_walk<2>(request.node)](Operands x, Results y) {
    std::int64_t i = 0;
    walk([&](std::int64_t a, std::int64_t b) { y[0][i++] = f(x[0][a], x[1][b]); });
  });
}

KernelPlan integer_binary(const KernelRequest& request) {
  return plain_kernel(request, [f = formula_of(request.node, integer_formulas), walk = operand_walk<2>(request.node),
                                dtype = request.node.types()[0].dtype](const KernelArguments& arguments) {
    visit(dtype, [&]<class T>(T*) {
      const auto *a = static_cast<const T*>(arguments.inputs[0]), *b = static_cast<const T*>(arguments.inputs[1]);
      auto* y = static_cast<T*>(arguments.outputs[0]);
      walk([&](std::int64_t i, std::int64_t j) {
        *y++ = convert<T>(f(convert<std::int64_t>(a[i]), convert<std::int64_t>(b[j])));
      });
    });
  });
}

KernelPlan bitcast(const KernelRequest& request) {
  return plain_kernel(request, [bytes = request.node.types()[0].bytes()](const KernelArguments& arguments) {
    if (bytes > 0) std::memcpy(arguments.outputs[0], arguments.inputs[0], bytes);
  });
}

namespace {

// Numbers of one sign stand in the order of their bits.
template <class T>
T next_number(T from, T to) {
  using Bits = std::conditional_t<sizeof(T) == 2, std::uint16_t, std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>;
  const auto a = convert<double>(from), b = convert<double>(to);
  if (std::isnan(a)) return from;
  if (std::isnan(b) || a == b) return to;
  constexpr Bits sign = Bits{1} << (8 * sizeof(T) - 1);
  const auto bits = std::bit_cast<Bits>(from);
  if (a == 0) return std::bit_cast<T>(static_cast<Bits>(b > 0 ? 1 : sign | 1));
  return std::bit_cast<T>(static_cast<Bits>((a < b) == (a > 0) ? bits + 1 : bits - 1));
}

}  // namespace

KernelPlan next_after(const KernelRequest& request) {
  return plain_kernel(request, [walk = operand_walk<2>(request.node), dtype = request.node.types()[0].dtype](const KernelArguments& arguments) {
    visit(dtype, [&]<class T>(T*) {
      if constexpr (is_floating(dtype_of<T>())) {
        const auto *a = static_cast<const T*>(arguments.inputs[0]), *b = static_cast<const T*>(arguments.inputs[1]);
        auto* y = static_cast<T*>(arguments.outputs[0]);
        walk([&](std::int64_t i, std::int64_t j) { *y++ = next_number(a[i], b[j]); });
      }
    });
  });
}

KernelPlan select(const KernelRequest& request) {
  return compute(request, [walk = operand_walk<3>(request.node)](Operands x, Results y) {
    std::int64_t i = 0;
    walk([&](std::int64_t condition, std::int64_t a, std::int64_t b) {
      y[0][i++] = x[0][condition] != 0 ? x[1][a] : x[2][b];
    });
  });
}

// Directly from type to type: a double does not hold every int64.
KernelPlan cast(const KernelRequest& request) {
  const Type from = request.node.in(0).type(), to = request.node.types()[0];
  return plain_kernel(request, [from = from.dtype, to = to.dtype, count = to.shape.elements()](const KernelArguments& arguments) {
    visit(from, [&]<class From>(From*) {
      visit(to, [&]<class To>(To*) {
        const auto* x = static_cast<const From*>(arguments.inputs[0]);
        auto* y = static_cast<To*>(arguments.outputs[0]);
        for (std::int64_t i = 0; i < count; ++i) y[i] = convert<To>(x[i]);
      });
    });
  });
}

}  // namespace nacre::reference
