#include <numeric>

#include "backend/graph/ops/order.h"
#include "tests/support/op_cases.h"

namespace nacre::test {

namespace {

using Axes = std::vector<std::int64_t>;

OpCase one_operand(Shape shape, std::function<Value(Value)> apply, DType dtype = DType::float32, Domain domain = {}) {
  return {{{{dtype, std::move(shape)}, domain}}, [apply](const Values& x) { return Values{apply(x[0])}; }};
}
OpCase two_operands(Shape a, Shape b, std::function<Value(Value, Value)> apply) {
  return {{{{DType::float32, std::move(a)}}, {{DType::float32, std::move(b)}}},
          [apply](const Values& x) { return Values{apply(x[0], x[1])}; }};
}

Axes draw_permutation(RandomStream& random, int rank) { return permutation(random, rank); }

// Some axes, at least one, in any order.
Axes draw_axes(RandomStream& random, int rank) {
  Axes axes = permutation(random, rank);
  axes.resize(static_cast<std::size_t>(draw(random, 1, rank)));
  return axes;
}

Shape shuffled(RandomStream& random, const Shape& shape) {
  Shape result;
  for (std::int64_t axis : draw_permutation(random, shape.rank())) result.append(shape[static_cast<int>(axis)]);
  return result;
}

OpCase slice_case(RandomStream& random, bool strided) {
  const Shape shape = draw_shape(random, 1, 4);
  Axes begin, end, stride;
  for (std::int64_t size : shape) {
    begin.push_back(draw(random, 0, size - 1));
    end.push_back(draw(random, begin.back() + 1, size));
    stride.push_back(strided ? draw(random, 1, 3) : 1);
    if (draw(random, 0, 2) == 0) begin.back() -= size;  // the same place counted from the end
    if (draw(random, 0, 3) == 0) end.back() = whole_axis;
  }
  return one_operand(shape, [=](Value x) { return ops::slice(x, begin, end, stride); });
}

OpCase pad_case(RandomStream& random) {
  const Shape shape = draw_shape(random, 1, 4);
  Axes before, after;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    before.push_back(draw(random, 0, 2));
    after.push_back(draw(random, 0, 2));
  }
  const double value = random.uniform(-1, 1);
  return one_operand(shape, [=](Value x) { return ops::pad(x, before, after, value); });
}

OpCase concat_case(RandomStream& random) {
  const Shape shape = draw_shape(random, 1, 4);
  const int axis = static_cast<int>(draw(random, 0, shape.rank() - 1));
  OpCase result;
  for (std::int64_t count = draw(random, 1, 3); count > 0; --count) {
    Shape part = shape;
    part.set(axis, draw(random, 1, 3));
    result.operands.push_back({{DType::float32, part}});
  }
  result.apply = [axis](const Values& x) { return Values{ops::concat(x, axis)}; };
  return result;
}

OpRecord reduction(std::string name, Value (*builder)(Value, Axes, bool), DType dtype = DType::float32, Domain domain = {}) {
  return {std::move(name), [=](RandomStream& random) {
            const Shape shape = draw_shape(random, 1, 4);
            const Axes axes = draw(random, 0, 4) == 0 ? Axes{} : draw_axes(random, shape.rank());
            const bool keepdims = draw(random, 0, 1) == 0;
            return one_operand(shape, [=](Value x) { return builder(x, axes, keepdims); }, dtype, domain);
          }};
}

}  // namespace

std::vector<OpRecord> shape_records() {
  return {
      {"reshape",
       [](RandomStream& random) {
         const Shape shape = draw_shape(random, 1, 4);
         Shape target = shuffled(random, shape);
         if (draw(random, 0, 1) == 0) target.set(0, unknown);
         return one_operand(shape, [=](Value x) { return ops::reshape(x, target); });
       }},
      {"reshape_like",
       [](RandomStream& random) {
         const Shape shape = draw_shape(random, 0, 4);
         return two_operands(shape, shuffled(random, shape), ops::reshape_like);
       }},
      {"transpose",
       [](RandomStream& random) {
         const Shape shape = draw_shape(random, 1, 4);
         const Axes axes = draw_permutation(random, shape.rank());
         return one_operand(shape, [=](Value x) { return ops::transpose(x, axes); });
       }},
      {"broadcast_to",
       [](RandomStream& random) {
         const Shape shape = draw_shape(random);
         return one_operand(draw_narrower(random, shape), [=](Value x) { return ops::broadcast_to(x, shape); });
       }},
      {"broadcast_like",
       [](RandomStream& random) {
         const Shape shape = draw_shape(random);
         return two_operands(draw_narrower(random, shape), shape, ops::broadcast_like);
       }},
      {"sum_like",
       [](RandomStream& random) {
         const Shape shape = draw_shape(random);
         return two_operands(shape, draw_narrower(random, shape), ops::sum_like);
       }},
      {"after",
       [](RandomStream& random) { return two_operands(draw_shape(random), draw_shape(random), ops::after); }},
      {"slice", [](RandomStream& random) { return slice_case(random, false); }},
      {"slice_strided", [](RandomStream& random) { return slice_case(random, true); }},
      {"pad", pad_case},
      {"concat", concat_case},
      {"reverse",
       [](RandomStream& random) {
         const Shape shape = draw_shape(random, 1, 4);
         const Axes axes = draw_axes(random, shape.rank());
         return one_operand(shape, [=](Value x) { return ops::reverse(x, axes); });
       }},
      {"expand_and_squeeze",
       [](RandomStream& random) {
         const Shape shape = draw_shape(random, 1, 3);
         const int to = static_cast<int>(draw(random, -shape.rank() - 1, shape.rank()));
         return one_operand(shape, [=](Value x) { return ops::squeeze(ops::square(ops::expand_dims(x, to)), to); });
       }},
      {"iota",
       [](RandomStream& random) {
         const Shape shape = draw_shape(random, 1, 4);
         const int axis = static_cast<int>(draw(random, 0, shape.rank() - 1));
         const DType dtype = draw(random, 0, 1) == 0 ? DType::int32 : DType::float32;
         return OpCase{{}, [=](const Values& x) { return Values{ops::iota(x[0].graph(), {dtype, shape}, axis)}; }};
       }},

      reduction("sum", ops::sum),
      reduction("sum_int32", ops::sum, DType::int32, {-9, 9}),
      reduction("mean", ops::mean),
      reduction("max", ops::max),
      reduction("max_bool", ops::max, DType::boolean, {0, 2}),
      reduction("min", ops::min),
      reduction("product", ops::product, DType::float32, {0.7, 1.4}),
      {"argmax",
       [](RandomStream& random) {
         const Shape shape = draw_shape(random, 1, 4);
         const int axis = static_cast<int>(draw(random, -shape.rank(), shape.rank() - 1));
         const bool keepdims = draw(random, 0, 1) == 0;
         return one_operand(shape, [=](Value x) { return ops::argmax(x, axis, keepdims); });
       }},
      // Long lines, and lines that lie beside each other.
      {"reduce_long",
       [](RandomStream& random) {
         const bool beside = draw(random, 0, 1) == 0;
         const std::int64_t size = draw(random, beside ? 80 : 4100, beside ? 200 : 4400);
         return OpCase{{{{DType::int32, beside ? Shape{size, 3} : Shape{3, size}}, {-9, 9}}}, [=](const Values& x) {
                         const int axis = beside ? 0 : 1;
                         return Values{ops::sum(x[0], {axis}), ops::max(x[0], {axis}), ops::argmax(x[0], axis)};
                       }};
       },
       0},
  };
}

}  // namespace nacre::test
