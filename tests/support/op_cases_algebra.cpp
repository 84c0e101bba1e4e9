#include "tests/support/op_cases.h"

namespace nacre::test {

namespace {

OpCase matmul_case(RandomStream& random, bool batched) {
  const std::int64_t m = draw_size(random), k = draw(random, 1, 40), n = draw(random, 1, 20);
  const bool transpose_a = draw(random, 0, 1) == 0, transpose_b = draw(random, 0, 1) == 0;
  const Shape batch = batched ? draw_shape(random, 1, 2) : Shape{};
  const Shape other = batched ? draw_narrower(random, batch) : Shape{};
  const bool first_is_full = draw(random, 0, 1) == 0;
  const Shape a = (first_is_full ? batch : other) + (transpose_a ? Shape{k, m} : Shape{m, k});
  const Shape b = (first_is_full ? other : batch) + (transpose_b ? Shape{n, k} : Shape{k, n});
  return {{{{DType::float32, a}}, {{DType::float32, b}}},
          [=](const Values& x) { return Values{ops::matmul(x[0], x[1], transpose_a, transpose_b)}; }};
}

OpCase matmul_epilogue(RandomStream& random) {
  const bool bias = draw(random, 0, 1) == 0, residual = draw(random, 0, 1) == 0;
  const auto kind = static_cast<EpilogueKind>(draw(random, 0, std::ssize(EnumNames<EpilogueKind>::names) - 1));
  const bool transpose_a = draw(random, 0, 1) == 0, transpose_b = draw(random, 0, 1) == 0;
  const std::int64_t m = draw_size(random), k = draw(random, 1, 40), n = draw(random, 1, 20);
  const Shape batch = draw_shape(random, 0, 1);
  const MatMulAttrs attrs{transpose_a, transpose_b, {bias, residual, kind, 0.25, 0.75}};
  OpCase sample;
  sample.operands = {{{DType::float32, batch + (transpose_a ? Shape{k, m} : Shape{m, k})}},
                     {{DType::float32, transpose_b ? Shape{n, k} : Shape{k, n}}}};
  if (bias) sample.operands.push_back({{DType::float32, {n}}});
  if (residual) sample.operands.push_back({{DType::float32, batch + Shape{m, n}}});
  sample.apply = [attrs](const Values& x) { return Values{x[0].graph().add(op::matmul, attrs, x).out()}; };
  return sample;
}

OpRecord along_axis(std::string name, Value (*builder)(Value, int)) {
  return {std::move(name), [=](RandomStream& random) {
            const Shape shape = draw_shape(random, 1, 4);
            const int axis = static_cast<int>(draw(random, -shape.rank(), shape.rank() - 1));
            return OpCase{{{{DType::float32, shape}}}, [=](const Values& x) { return Values{builder(x[0], axis)}; }};
          }};
}

// Indices below `size`, of a dtype that holds them.
OpCase::Operand draw_indices(RandomStream& random, Shape shape, std::int64_t size) {
  constexpr DType dtypes[] = {DType::int32, DType::int64, DType::uint8};
  return {{dtypes[draw(random, 0, size < 256 ? 2 : 1)], std::move(shape)}, {0, static_cast<double>(size)}};
}

}  // namespace

std::vector<OpRecord> algebra_records() {
  return {
      {"matmul", [](RandomStream& random) { return matmul_case(random, false); }},
      {"matmul_batched", [](RandomStream& random) { return matmul_case(random, true); }},
      {"matmul_epilogue", matmul_epilogue, 0},
      {"matmul_int32",
       [](RandomStream& random) {
         const std::int64_t m = draw_size(random), k = draw(random, 1, 9), n = draw(random, 1, 9);
         return OpCase{{{{DType::int32, {2, m, k}}, {-9, 9}}, {{DType::int32, {k, n}}, {-9, 9}}},
                       [](const Values& x) { return Values{ops::matmul(x[0], x[1])}; }};
       }},
      {"dense",
       [](RandomStream& random) {
         const std::int64_t k = draw(random, 1, 20), n = draw(random, 1, 20);
         return OpCase{{{{DType::float32, draw_shape(random, 0, 3) + Shape{k}}}, {{DType::float32, {k, n}}}},
                       [](const Values& x) { return Values{ops::dense(x[0], x[1])}; }};
       }},
      {"float8_matmul",
       [](RandomStream& random) {
         const std::int64_t m = 16 * draw(random, 1, 2), n = 16 * draw(random, 1, 2), k = 16 * draw(random, 1, 2);
         Float8MatMulAttrs attrs{.transpose_a = draw(random, 0, 1) == 0, .transpose_b = draw(random, 0, 1) == 0};
         (draw(random, 0, 1) == 0 ? attrs.a : attrs.b) = Float8Format::e5m2;
         const OpCase::Operand scale{{DType::float32, {}}, {0.01, 0.02}};
         return OpCase{
             {{{DType::float32, attrs.transpose_a ? Shape{k, m} : Shape{m, k}}},
              {{DType::float32, attrs.transpose_b ? Shape{n, k} : Shape{k, n}}, {-0.5, 0.5}},
              scale,
              scale},
             [attrs](const Values& x) {
               return Values{x[0].graph()
                                 .add(op::float8_matmul, attrs,
                                      {x[0], x[1], ops::cast(x[2], DType::float32), ops::cast(x[3], DType::float32)})
                                 .out()};
             }};
       },
       0},
      along_axis("softmax", ops::softmax),
      along_axis("log_softmax", ops::log_softmax),
      {"gather",
       [](RandomStream& random) {
         const Shape table = draw_shape(random, 1, 3);
         return OpCase{{{{DType::float32, table}}, draw_indices(random, draw_shape(random, 0, 2), table[0])},
                       [](const Values& x) { return Values{ops::gather(x[0], x[1])}; }};
       }},
      {"scatter_add",
       [](RandomStream& random) {
         const Shape indices = draw_shape(random, 0, 2);
         const std::int64_t rows = draw(random, 1, 5);
         return OpCase{{draw_indices(random, indices, rows), {{DType::float32, indices + draw_shape(random, 0, 1)}}},
                       [rows](const Values& x) {
                         return Values{x[0].graph().add(op::scatter_add, RowsAttrs{rows}, {x[0], x[1]}).out()};
                       }};
       }},
      {"take_along",
       [](RandomStream& random) {
         const Shape shape = draw_shape(random, 1, 4);
         const int axis = static_cast<int>(draw(random, 0, shape.rank() - 1));
         return OpCase{{{{DType::float32, shape}}, draw_indices(random, shape.first(axis) + shape.from(axis + 1), shape[axis])},
                       [axis](const Values& x) { return Values{ops::take_along(x[0], x[1], axis)}; }};
       }},
      {"argsort",
       [](RandomStream& random) {
         const Shape shape = draw_shape(random, 1, 4);
         const int axis = static_cast<int>(draw(random, 0, shape.rank() - 1));
         return OpCase{{{{DType::int32, shape}, {-3, 3}}},  // with equal elements
                       [axis](const Values& x) { return Values{ops::argsort(x[0], axis)}; }};
       }},
      {"argsort_long",
       [](RandomStream& random) {
         const std::int64_t size = draw(random, 500, 700);
         return OpCase{{{{DType::float32, {size, 2}}}}, [](const Values& x) { return Values{ops::argsort(x[0], 0)}; }};
       },
       0},
      {"one_hot",
       [](RandomStream& random) {
         return OpCase{{draw_indices(random, draw_shape(random, 0, 3), 5)},
                       [](const Values& x) { return Values{ops::one_hot(x[0], 4)}; }};
       }},
      {"random_uniform",
       [](RandomStream& random) {
         const std::int64_t call = draw(random, 0, 3);
         return OpCase{{{{DType::int64, {}}, {0, 1e15}}, {{DType::int64, {}}, {0, 1e6}}, {{DType::float32, draw_shape(random)}}},
                       [call](const Values& x) { return Values{ops::random_uniform(x[0], x[1], x[2], "layer", call)}; }};
       }},
  };
}

}  // namespace nacre::test
