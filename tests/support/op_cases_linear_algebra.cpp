#include "backend/graph/ops/linear_algebra.h"
#include "backend/graph/ops/matmul.h"
#include "tests/support/op_cases.h"

namespace nacre::test {

namespace {

// Small random numbers around 1, 3, 5, … on the diagonal: far from singular, and spectra are far apart, so that what is
// computed is smooth.
class Matrices {
 public:
  Matrices(RandomStream& random, std::int64_t rows, std::int64_t columns) : batch(draw_shape(random, 0, 2)), middle_(DType::float64, {rows, columns}) {
    for (std::int64_t i = 0; i < std::min(rows, columns); ++i)
      middle_.writable<double>()[static_cast<std::size_t>(i * columns + i)] = 1 + 2 * static_cast<double>(i);
  }

  OpCase::Operand operand() const { return {{DType::float32, batch + middle_.shape()}, {-0.2, 0.2}}; }
  Value around(Value x) const { return x + x.graph().constant(middle_.cast(x.dtype())); }

  Shape batch;

 private:
  Tensor middle_;
};

using Function = Values (*)(Value);

OpRecord of_square(std::string name, Function function) {
  return {std::move(name), [=](RandomStream& random) {
            const std::int64_t size = draw(random, 1, 4);
            const Matrices matrices(random, size, size);
            return OpCase{{matrices.operand()}, [=](const Values& x) { return function(matrices.around(x[0])); }};
          }};
}

OpRecord of_rectangle(std::string name, int taller, Function function, int derivatives = 2) {  // taller: 1, wider: -1, either: 0
  return {std::move(name), [=](RandomStream& random) {
            const std::int64_t small = draw(random, 1, 3), large = small + draw(random, 0, 2);
            const bool tall = taller == 1 || (taller == 0 && draw(random, 0, 1) == 0);
            const Matrices matrices(random, tall ? large : small, tall ? small : large);
            return OpCase{{matrices.operand()}, [=](const Values& x) { return function(matrices.around(x[0])); }};
          },
          derivatives};
}

template <class Solve>
OpRecord system(std::string name, Solve solve) {
  return {std::move(name), [=](RandomStream& random) {
            const std::int64_t size = draw(random, 1, 4);
            const Matrices matrices(random, size, size);
            const OpCase::Operand right{{DType::float32, matrices.batch + Shape{size, draw(random, 1, 3)}}};
            const bool a = draw(random, 0, 1) == 0, b = draw(random, 0, 1) == 0;
            return OpCase{{matrices.operand(), right},
                          [=](const Values& x) { return Values{solve(matrices.around(x[0]), x[1], a, b)}; }};
          }};
}

Value symmetric(Value x) { return 0.5 * (x + ops::matrix_transpose(x)); }

}  // namespace

std::vector<OpRecord> linear_algebra_records() {
  return {
      system("solve", [](Value a, Value b, bool transpose, bool) { return ops::solve(a, b, transpose); }),
      system("triangular_solve",
             [](Value a, Value b, bool lower, bool transpose) { return ops::triangular_solve(a, b, lower, transpose); }),
      of_square("inverse", [](Value x) { return Values{ops::inverse(x)}; }),
      of_square("determinant", [](Value x) { return Values{ops::determinant(x)}; }),
      of_square("log_determinant",
                [](Value x) {
                  const auto [sign, log] = ops::log_determinant(x);
                  return Values{ops::stop_gradient(sign), log};
                }),
      of_square("cholesky", [](Value x) { return Values{ops::cholesky(symmetric(x))}; }),
      of_square("lu",
                [](Value x) {
                  const auto [lu, from] = ops::lu(x);
                  return Values{lu, from};
                }),
      of_rectangle("qr", 0,
                   [](Value x) {
                     const auto [q, r] = ops::qr(x);
                     return Values{q, r};
                   }),
      of_rectangle("qr_full_wide", -1,
                   [](Value x) {
                     const auto [q, r] = ops::qr(x, true);
                     return Values{q, r};
                   }),
      // Singular vectors and eigenvectors have either sign.
      of_square("eigh",
                [](Value x) {
                  const auto [w, v] = ops::eigh(x);
                  return Values{w, ops::square(v)};
                }),
      of_rectangle("svd", 0,
                   [](Value x) {
                     const auto [u, s, vt] = ops::svd(x);
                     return Values{ops::square(u), s, ops::square(vt)};
                   }),
      of_rectangle("svd_full", 0,
                   [](Value x) {
                     const auto [u, s, vt] = ops::svd(x, true);
                     // The vectors have no gradient here, these products do not change.
                     const Value left = ops::stop_gradient(u), right = ops::stop_gradient(vt);
                     return Values{ops::matmul(left, left, true), s, ops::matmul(right, right, false, true)};
                   },
                   1),
      of_rectangle("pseudo_inverse_truncated", 0, [](Value x) { return Values{ops::pseudo_inverse(x, 0.5)}; }),
      of_rectangle("pseudo_inverse", 0, [](Value x) { return Values{ops::pseudo_inverse(x, 1e-3)}; }),
  };
}

}  // namespace nacre::test
