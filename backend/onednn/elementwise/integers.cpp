#include "backend/onednn/elementwise/integers.h"

#include "backend/core/parallel.h"
#include "backend/graph/ops/bitwise.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/onednn/elementwise/access.h"

namespace nacre::onednn {

namespace {

using Integer = std::int64_t;

// Arithmetic modulo 2⁶⁴.
template <auto f>
Integer wrapping(Integer a, Integer b) {
  return static_cast<Integer>(f(static_cast<std::uint64_t>(a), static_cast<std::uint64_t>(b)));
}
Integer modulo(Integer a, Integer b) {  // the sign of b
  if (b == 0 || b == -1) return 0;
  const Integer rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

using Word = std::uint64_t;
struct Formula {
  const Op* op;
  Integer (*of)(Integer a, Integer b, Integer c);
};
constexpr Formula formulas[] = {
    {&op::negate, [](Integer a, Integer, Integer) { return wrapping<[](Word x, Word) { return Word{0} - x; }>(a, 0); }},
    {&op::abs,
     [](Integer a, Integer, Integer) { return a < 0 ? wrapping<[](Word x, Word) { return Word{0} - x; }>(a, 0) : a; }},
    {&op::sign, [](Integer a, Integer, Integer) -> Integer { return a == 0  ? 0
                                                                    : a < 0 ? -1
                                                                            : 1; }},
    {&op::relu, [](Integer a, Integer, Integer) -> Integer { return a < 0 ? 0 : a; }},
    {&op::square, [](Integer a, Integer, Integer) { return wrapping<[](Word x, Word) { return x * x; }>(a, 0); }},
    {&op::cast, [](Integer a, Integer, Integer) { return a; }},
    {&op::add, [](Integer a, Integer b, Integer) { return wrapping<[](Word x, Word y) { return x + y; }>(a, b); }},
    {&op::subtract, [](Integer a, Integer b, Integer) { return wrapping<[](Word x, Word y) { return x - y; }>(a, b); }},
    {&op::multiply, [](Integer a, Integer b, Integer) { return wrapping<[](Word x, Word y) { return x * y; }>(a, b); }},
    {&op::maximum, [](Integer a, Integer b, Integer) { return a < b ? b : a; }},
    {&op::minimum, [](Integer a, Integer b, Integer) { return a < b ? a : b; }},
    {&op::modulo, [](Integer a, Integer b, Integer) { return modulo(a, b); }},
    {&op::bitwise_and, [](Integer a, Integer b, Integer) { return a & b; }},
    {&op::bitwise_or, [](Integer a, Integer b, Integer) { return a | b; }},
    {&op::bitwise_xor, [](Integer a, Integer b, Integer) { return a ^ b; }},
    {&op::shift_left, [](Integer a, Integer b, Integer) { return bits::shift_left(a, b); }},
    {&op::shift_right, [](Integer a, Integer b, Integer) { return bits::shift_right(a, b); }},
    {&op::gcd, [](Integer a, Integer b, Integer) { return bits::gcd(a, b); }},
    {&op::lcm, [](Integer a, Integer b, Integer) { return bits::lcm(a, b); }},
    {&op::equal, [](Integer a, Integer b, Integer) -> Integer { return a == b; }},
    {&op::not_equal, [](Integer a, Integer b, Integer) -> Integer { return a != b; }},
    {&op::less, [](Integer a, Integer b, Integer) -> Integer { return a < b; }},
    {&op::less_equal, [](Integer a, Integer b, Integer) -> Integer { return a <= b; }},
    {&op::greater, [](Integer a, Integer b, Integer) -> Integer { return b < a; }},
    {&op::greater_equal, [](Integer a, Integer b, Integer) -> Integer { return b <= a; }},
    {&op::select, [](Integer a, Integer b, Integer c) { return a != 0 ? b : c; }},
};

const Formula* formula_of(const Node& node) {
  for (const Formula& formula : formulas)
    if (node.is(*formula.op)) return &formula;
  return nullptr;
}

class IntegerKernel final : public Kernel {
 public:
  explicit IntegerKernel(const Node& node)
      : formula_(formula_of(node)->of), dtype_(node.types()[0].dtype), elements_(node.types()[0].shape.elements()) {
    for (Value value : node.inputs())
      operands_.push_back({value.dtype(), Access(value.shape(), node.types()[0].shape)});
  }

  // Each tile is read before it is written.
  bool may_overwrite(std::size_t operand) const {
    return operands_[operand].access.full() && size_of(operands_[operand].dtype) == size_of(dtype_);
  }

  void run(const KernelArguments& arguments) override {
    constexpr std::int64_t tile = 256, grain = 64;
    parallel_for((elements_ + tile - 1) / tile, grain, [&](std::int64_t first, std::int64_t last) {
      Integer values[3][tile] = {};
      for (std::int64_t t = first; t < last; ++t) {
        const std::int64_t begin = t * tile, count = std::min(tile, elements_ - begin);
        for (std::size_t i = 0; i < operands_.size(); ++i)
          load(operands_[i], arguments.inputs[i], begin, count, values[i]);
        visit(dtype_, [&]<class T>(T*) {
          T* y = static_cast<T*>(arguments.outputs[0]) + begin;
          for (std::int64_t i = 0; i < count; ++i)
            y[i] = convert<T>(formula_(values[0][i], values[1][i], values[2][i]));
        });
      }
    });
  }

 private:
  struct Operand {
    DType dtype;
    Access access;
  };
  static void load(const Operand& operand, const void* from, std::int64_t begin, std::int64_t count, Integer* to) {
    visit(operand.dtype, [&]<class T>(T*) {
      operand.access.walk(begin, count,
                          [&](std::int64_t offset, std::int64_t stride, std::int64_t length, std::int64_t times) {
                            const T* first = static_cast<const T*>(from) + offset;
                            for (; times > 0; --times)
                              for (std::int64_t i = 0; i < length; ++i) *to++ = convert<Integer>(first[i * stride]);
                          });
    });
  }

  Integer (*formula_)(Integer, Integer, Integer);
  DType dtype_;
  std::int64_t elements_;
  std::vector<Operand> operands_;
};

}  // namespace

bool computes_on_integers(const Node& node) {
  for (Value value : node.inputs())
    if (is_floating(value.dtype())) return false;
  return !is_floating(node.types()[0].dtype) && formula_of(node) != nullptr;
}

KernelPlan integers(const KernelRequest& request) {
  auto kernel = std::make_unique<IntegerKernel>(request.node);
  KernelPlan plan;
  plan.inputs.assign(request.inputs.size(), Layout::plain());
  plan.outputs = {Layout::plain()};
  for (std::size_t i = 0; i < request.inputs.size(); ++i)
    if (kernel->may_overwrite(i)) plan.in_place.push_back({0, static_cast<int>(i)});
  plan.kernel = std::move(kernel);
  return plan;
}

}  // namespace nacre::onednn
