#include "tests/support/op_cases.h"

#include "backend/graph/ops/bitwise.h"

namespace nacre::test {

namespace {

OpRecord unary(std::string name, Value (*builder)(Value), Domain domain = {}, DType dtype = DType::float32) {
  return {std::move(name), [=](RandomStream& random) {
            return OpCase{{{{dtype, draw_shape(random)}, domain}}, [=](const Values& x) { return Values{builder(x[0])}; }};
          }};
}

// One operand is of the full shape, the other broadcasts to it, or both broadcast to a third shape.
OpRecord binary(std::string name, Value (*builder)(Value, Value), Domain a = {}, Domain b = {}, DType dtype = DType::float32) {
  return {std::move(name), [=](RandomStream& random) {
            const Shape shape = draw_shape(random);
            const bool first_is_full = draw(random, 0, 1) == 0;
            const Shape other = draw_narrower(random, shape);
            return OpCase{{{{dtype, first_is_full ? shape : other}, a}, {{dtype, first_is_full ? other : shape}, b}},
                          [=](const Values& x) { return Values{builder(x[0], x[1])}; }};
          }};
}

OpRecord select_record() {
  return {"select", [](RandomStream& random) {
            const Shape shape = draw_shape(random);
            return OpCase{{{{DType::boolean, draw_narrower(random, shape)}, {0, 2}},
                           {{DType::float32, draw_narrower(random, shape)}},
                           {{DType::float32, shape}}},
                          [](const Values& x) { return Values{ops::select(x[0], x[1], x[2])}; }};
          }};
}

OpRecord cast_record(std::string name, DType from, Domain domain, DType to) {
  return {std::move(name),
          [=](RandomStream& random) {
            return OpCase{{{{from, draw_shape(random)}, domain}}, [=](const Values& x) { return Values{ops::cast(x[0], to)}; }};
          },
          0};
}

// y = tanh(a · b + c), y > b: operands that broadcast, results of two dtypes.
OpRecord fused_record() {
  return {"fused",
          [](RandomStream& random) {
            const Shape shape = draw_shape(random);
            const std::vector<OpCase::Operand> operands = {
                {{DType::float32, shape}}, {{DType::float32, draw_narrower(random, shape)}}, {{DType::float32, draw_narrower(random, shape)}}};
            return OpCase{operands, [](const Values& x) {
                            auto body = std::make_shared<Graph>();
                            Values in;
                            for (Value operand : x) in.push_back(body->input(fmt::format("in{}", in.size()), operand.type()));
                            const Value y = ops::tanh(in[0] * in[1] + in[2]);
                            body->output("out0", y);
                            body->output("out1", ops::greater(y, in[1]));
                            const Node& node = x[0].graph().add(op::fused, FusedAttrs{std::move(body)}, x);
                            return Values{node.out(0), node.out(1)};
                          }};
          },
          0};
}

// y = x · a; of another shape z = tanh(b), v = b - c.
OpRecord fused_groups_record() {
  return {"fused_groups",
          [](RandomStream& random) {
            const Shape one = draw_shape(random), other = draw_shape(random);
            const std::vector<OpCase::Operand> operands = {{{DType::float32, one}},
                                                           {{DType::float32, draw_narrower(random, one)}},
                                                           {{DType::float32, other}},
                                                           {{DType::float32, draw_narrower(random, other)}}};
            return OpCase{operands, [](const Values& x) {
                            auto product = std::make_shared<Graph>(), pair = std::make_shared<Graph>();
                            const Value a = product->input("a", x[0].type()), b = product->input("b", x[1].type());
                            product->output("out0", a * b);
                            const Value c = pair->input("c", x[2].type()), d = pair->input("d", x[3].type());
                            pair->output("out0", ops::tanh(c));
                            pair->output("out1", c - d);
                            const Node& node = x[0].graph().add(op::fused_groups, FusedGroupsAttrs{{product, pair}}, x);
                            return Values{node.out(0), node.out(1), node.out(2)};
                          }};
          },
          0};
}

}  // namespace

std::vector<OpRecord> elementwise_records() {
  const Domain positive{0.1, 3}, small{0, 5}, truth{0, 2};
  OpRecord stop_gradient = unary("stop_gradient", ops::stop_gradient);
  stop_gradient.derivatives = 0;
  return {
      unary("negate", ops::negate),
      unary("negate_int32", ops::negate, {-5, 5}, DType::int32),
      unary("abs", ops::abs),
      unary("sign", ops::sign),
      unary("exp", ops::exp),
      unary("expm1", ops::expm1),
      unary("log", ops::log, positive),
      unary("log1p", ops::log1p, {-0.8, 3}),
      unary("sqrt", ops::sqrt, positive),
      unary("rsqrt", ops::rsqrt, positive),
      unary("square", ops::square),
      unary("reciprocal", ops::reciprocal, positive),
      unary("sin", ops::sin),
      unary("cos", ops::cos),
      unary("tanh", ops::tanh),
      unary("sigmoid", ops::sigmoid, {-6, 6}),
      unary("relu", ops::relu),
      unary("erf", ops::erf),
      unary("floor", ops::floor, {-9, 9}),
      unary("ceil", ops::ceil, {-9, 9}),
      unary("round", ops::round, {-9, 9}),
      unary("logical_not", ops::logical_not, truth, DType::boolean),
      unary("is_finite", ops::is_finite),
      binary("add", ops::add),
      binary("add_int64", ops::add, {-9, 9}, {-9, 9}, DType::int64),
      binary("subtract", ops::subtract),
      binary("multiply", ops::multiply),
      binary("multiply_uint8", ops::multiply, small, small, DType::uint8),
      binary("divide", ops::divide, {}, positive),
      binary("power", ops::power, positive),
      binary("maximum", ops::maximum),
      binary("minimum", ops::minimum),
      binary("maximum_int32", ops::maximum, {-9, 9}, {-9, 9}, DType::int32),
      binary("modulo", ops::modulo, {-3, 3}, {0.7, 2}),
      binary("modulo_int64", ops::modulo, {-20, 20}, {1, 5}, DType::int64),
      binary("bitwise_and", ops::bitwise_and, {-99, 99}, {-99, 99}, DType::int32),
      binary("bitwise_or", ops::bitwise_or, {0, 99}, {0, 99}, DType::uint8),
      binary("bitwise_xor", ops::bitwise_xor, {-99, 99}, {-99, 99}, DType::int64),
      binary("shift_left", ops::shift_left, {-99, 99}, {-2, 70}, DType::int64),
      binary("shift_right", ops::shift_right, {-99, 99}, {-2, 40}, DType::int32),
      binary("gcd", ops::gcd, {-99, 99}, {-99, 99}, DType::int32),
      binary("lcm", ops::lcm, {-99, 99}, {-99, 99}, DType::int64),
      {"bitcast",
       [](RandomStream& random) {
         constexpr DType dtypes[] = {DType::uint8, DType::int32, DType::int64};
         const DType from = dtypes[draw(random, 0, 2)], to = dtypes[draw(random, 0, 2)];
         Shape shape = draw_shape(random, 0, 3);
         shape.append(8 * draw(random, 1, 3));
         return OpCase{{{{from, std::move(shape)}, {0, 99}}}, [to](const Values& x) { return Values{ops::bitcast(x[0], to)}; }};
       },
       0},
      binary("next_after", ops::next_after),
      {"float8",
       [](RandomStream& random) {
         const auto format = draw(random, 0, 1) == 0 ? Float8Format::e4m3fn : Float8Format::e5m2;
         return OpCase{
             {{{DType::float32, draw_shape(random)}, {-900, 900}}, {{DType::float32, {}}, {0.25, 1.75}}},
             [format](const Values& x) { return Values{ops::float8(x[0], ops::cast(x[1], DType::float32), format)}; }};
       },
       0},
      binary("equal", ops::equal, small, small, DType::int32),
      binary("not_equal", ops::not_equal, small, small, DType::int64),
      binary("less", ops::less),
      binary("less_equal", ops::less_equal, small, small, DType::uint8),
      binary("greater", ops::greater),
      binary("greater_equal", ops::greater_equal),
      binary("logical_and", ops::logical_and, truth, truth, DType::boolean),
      binary("logical_or", ops::logical_or, truth, truth, DType::boolean),
      select_record(),
      fused_record(),
      fused_groups_record(),
      cast_record("cast_float_to_int", DType::float32, {-9, 9}, DType::int32),
      cast_record("cast_int_to_float", DType::int64, {-9, 9}, DType::float32),
      cast_record("cast_float_to_bfloat16", DType::float32, {}, DType::bfloat16),
      cast_record("cast_float_to_float16", DType::float32, {}, DType::float16),
      cast_record("cast_float_to_bool", DType::float32, {}, DType::boolean),
      cast_record("cast_bool_to_float", DType::boolean, truth, DType::float32),
      cast_record("cast_uint8_to_float", DType::uint8, {0, 256}, DType::float32),
      stop_gradient,
  };
}

}  // namespace nacre::test
