#include "backend/graph/ops/linear_algebra.h"

#include <algorithm>
#include <utility>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"

namespace nacre {

namespace {

using ops::lower_triangle, ops::matmul, ops::matrix_transpose, ops::upper_triangle;

void check_matrices(const Type& x) {
  need(is_floating(x.dtype) && x.shape.rank() >= 2, "got {}, wanted matrices of a floating type", x);
  need(x.shape[-1] != 0 && x.shape[-2] != 0, "got {}, wanted matrices that have elements", x);
}
void check_square(const Type& x) {
  check_matrices(x);
  need(same(x.shape[-1], x.shape[-2]), "got {}, wanted square matrices", x.shape);
}
Shape leading(const Type& x) { return x.shape.first(x.shape.rank() - 2); }
std::int64_t smaller(std::int64_t a, std::int64_t b) { return a == unknown || b == unknown ? unknown : std::min(a, b); }

// A matrix with zeros off its diagonal, (…, n) → (…, n, n).
Value diagonal_matrix(Value diagonal) {
  const Value rows = ops::expand_dims(diagonal, -1), like = rows * ops::expand_dims(diagonal, -2);
  return rows * ops::identity_like(like);
}

// 1 / (x[j] - x[i]) for i ≠ j, else 0.
Value inverse_differences(Value x) {
  const Value differences = ops::expand_dims(x, -2) - ops::expand_dims(x, -1), one = ops::identity_like(differences);
  return ops::reciprocal(differences + one) - one;
}

// --- systems ------------------------------------------------------------------------------------------------------

Types infer_system(const Types& in) {
  const Type &a = in[0], &b = in[1];
  check_square(a);
  check_matrices(b);
  need(a.dtype == b.dtype && a.shape.rank() == b.shape.rank() && same(leading(a), leading(b)) &&
           same(a.shape[-1], b.shape[-2]),
       "got {} and {}, which are no systems of equations", a, b);
  return {b};
}
Types infer_solve(const SolveAttrs&, const Types& in) { return infer_system(in); }
Types infer_triangular_solve(const TriangularAttrs&, const Types& in) { return infer_system(in); }

// d(a⁻¹) = -a⁻¹ da a⁻¹.
Gradients grad_solve(const SolveAttrs& p, const Node& n, const Cotangents& d) {
  const Value db = ops::solve(n.in(0), d[0], !p.transpose), y = n.out();
  return {-(p.transpose ? matmul(y, db, false, true) : matmul(db, y, false, true)), db};
}
Gradients grad_triangular_solve(const TriangularAttrs& p, const Node& n, const Cotangents& d) {
  const Value db = ops::triangular_solve(n.in(0), d[0], p.lower, !p.transpose), y = n.out();
  const Value da = -(p.transpose ? matmul(y, db, false, true) : matmul(db, y, false, true));
  return {p.lower ? lower_triangle(da) : upper_triangle(da), db};
}

// --- determinants -------------------------------------------------------------------------------------------------

Types infer_determinant(const NoAttributes&, const Types& in) {
  check_square(in[0]);
  return {{in[0].dtype, leading(in[0])}};
}
Types infer_log_determinant(const NoAttributes&, const Types& in) {
  check_square(in[0]);
  const Type type{in[0].dtype, leading(in[0])};
  return {type, type};
}
// Jacobi: d(det x) = det x · tr(x⁻¹ dx).
Gradients grad_of_log(Value x, Value dlog) {
  const Value factor = ops::expand_dims(ops::expand_dims(dlog, -1), -1);
  return {factor * ops::solve(x, ops::identity_like(x), true)};
}
Gradients grad_determinant(const NoAttributes&, const Node& n, const Cotangents& d) {
  return grad_of_log(n.in(0), d[0] * n.out());
}
Gradients grad_log_determinant(const NoAttributes&, const Node& n, const Cotangents& d) {
  if (!d[1]) return {{}};
  return grad_of_log(n.in(0), d[1]);
}

// --- factors ------------------------------------------------------------------------------------------------------

Types infer_cholesky(const NoAttributes&, const Types& in) {
  check_square(in[0]);
  return {in[0]};
}
// Murray, "Differentiation of the Cholesky decomposition" (2016), symmetric.
Gradients grad_cholesky(const NoAttributes&, const Node& n, const Cotangents& d) {
  const Value l = n.out(), product = matmul(l, d[0], true);
  const Value inner = lower_triangle(product) - 0.5 * product * ops::identity_like(product);
  const Value half = ops::triangular_solve(l, inner, true, true);
  const Value s = ops::triangular_solve(l, matrix_transpose(half), true, true);
  return {0.5 * (s + matrix_transpose(s))};
}

Types infer_lu(const NoAttributes&, const Types& in) {
  check_square(in[0]);
  return {in[0], {DType::int32, in[0].shape.first(in[0].shape.rank() - 1)}};
}
// dx = Pᵀ L⁻ᵀ (strictly lower(Lᵀ dL) + upper(dU Uᵀ)) U⁻ᵀ: de Hoog, Anderssen, Lukas, "Differentiation of matrix functionals
// using triangular factorization" (2011).
Gradients grad_lu(const NoAttributes&, const Node& n, const Cotangents& d) {
  if (!d[0]) return {{}};
  const Value both = n.out(0), u = upper_triangle(both), l = lower_triangle(both, -1) + ops::identity_like(both);
  const Value inner = lower_triangle(matmul(l, lower_triangle(d[0], -1), true), -1) +
                      upper_triangle(matmul(upper_triangle(d[0]), u, false, true));
  const Value half = ops::triangular_solve(l, inner, true, true);
  const Value s = matrix_transpose(ops::triangular_solve(u, matrix_transpose(half), false));
  const Value permutation = ops::one_hot(n.out(1), both.shape()[-1], both.dtype());
  return {matmul(permutation, s, true)};
}

Types infer_qr(const FullAttrs& p, const Types& in) {
  check_matrices(in[0]);
  const std::int64_t rows = in[0].shape[-2], columns = in[0].shape[-1], inner = p.full ? rows : smaller(rows, columns);
  return {{in[0].dtype, leading(in[0]) + Shape{rows, inner}}, {in[0].dtype, leading(in[0]) + Shape{inner, columns}}};
}
// Of x = q r with square r; either cotangent may be absent. Walter, Lehmann, Lamour, "On evaluating higher-order derivatives
// of the QR decomposition of tall matrices with full column rank" (2012).
Value grad_of_tall_qr(Value q, Value r, Value dq, Value dr) {
  Value m;
  if (dr) m = matmul(r, upper_triangle(dr), false, true);
  if (dq) m = m ? m - matmul(dq, q, true) : -matmul(dq, q, true);
  const Value symmetric = lower_triangle(m) + matrix_transpose(lower_triangle(m, -1));
  const Value sum = dq ? dq + matmul(q, symmetric) : matmul(q, symmetric);
  return matrix_transpose(ops::triangular_solve(r, matrix_transpose(sum), false));
}
// Wide matrices (a b) have q and r's first columns of a, and the others are qᵀ b: Roberts, Roberts, "QR and LQ decomposition
// matrix backpropagation algorithms for square, wide, and deep matrices" (2020).
Gradients grad_qr(const FullAttrs& p, const Node& n, const Cotangents& d) {
  const Value x = n.in(0), q = n.out(0), r = n.out(1);
  const std::int64_t rows = x.shape()[-2], columns = x.shape()[-1];
  const bool wide = rows != unknown && rows < columns;
  if (!wide) {
    if (p.full && !same(rows, columns)) throw Error("the complete QR factors of tall matrices have no gradient").hint("use mode: reduced");
    return {grad_of_tall_qr(q, r, d[0], d[1])};
  }
  const Value b = ops::slice_axis(x, -1, rows, columns);
  if (!d[1]) return {ops::concat({grad_of_tall_qr(q, ops::slice_axis(r, -1, 0, rows), d[0], {}), ops::fill_like(b, 0)}, -1)};
  const Value dr = ops::slice_axis(d[1], -1, 0, rows), dr_b = ops::slice_axis(d[1], -1, rows, columns);
  const Value dq = matmul(b, dr_b, false, true);
  const Value da = grad_of_tall_qr(q, ops::slice_axis(r, -1, 0, rows), d[0] ? d[0] + dq : dq, dr);
  return {ops::concat({da, matmul(q, dr_b)}, -1)};
}

// --- spectra ------------------------------------------------------------------------------------------------------

Types infer_eigh(const NoAttributes&, const Types& in) {
  check_square(in[0]);
  return {{in[0].dtype, in[0].shape.first(in[0].shape.rank() - 1)}, in[0]};
}
// Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation" (2008). Only the
// lower triangle is read.
Gradients grad_eigh(const NoAttributes&, const Node& n, const Cotangents& d) {
  const Value w = n.out(0), v = n.out(1);
  Value inner;
  if (d[0]) inner = diagonal_matrix(d[0]);
  if (d[1]) {
    const Value turned = inverse_differences(w) * matmul(v, d[1], true);
    inner = inner ? inner + turned : turned;
  }
  const Value full = matmul(matmul(v, inner), v, false, true), both = full + matrix_transpose(full);
  return {lower_triangle(both, -1) + full * ops::identity_like(full)};
}

Types infer_svd(const FullAttrs& p, const Types& in) {
  check_matrices(in[0]);
  const Shape batch = leading(in[0]);
  const std::int64_t rows = in[0].shape[-2], columns = in[0].shape[-1], inner = smaller(rows, columns);
  return {{in[0].dtype, batch + Shape{rows, p.full ? rows : inner}},
          {in[0].dtype, batch + Shape{inner}},
          {in[0].dtype, batch + Shape{p.full ? columns : inner, columns}}};
}
// Townsend, "Differentiating the singular value decomposition" (2016).
Gradients grad_svd(const FullAttrs& p, const Node& n, const Cotangents& d) {
  const std::int64_t rows = n.in(0).shape()[-2], columns = n.in(0).shape()[-1];
  const std::int64_t inner_size = smaller(rows, columns);
  if (p.full && !same(rows, columns) && (d[0] || d[2]))
    throw Error("the full singular vectors of matrices that are not square have no gradient").hint("use full_matrices: false");
  const auto narrow = [&](Value x, int axis) {
    return same(x.shape()[axis], inner_size) ? x : ops::slice_axis(x, axis, 0, inner_size);
  };
  const Value u = narrow(n.out(0), -1), s = n.out(1), vt = narrow(n.out(2), -2);
  Value inner;
  const auto add = [](Value& sum, Value term) { sum = sum ? sum + term : term; };
  if (d[1]) add(inner, diagonal_matrix(d[1]));
  const Value apart = d[0] || d[2] ? inverse_differences(ops::square(s)) : Value();
  if (d[0]) {
    const Value turn = matmul(u, d[0], true);
    add(inner, apart * (turn - matrix_transpose(turn)) * ops::expand_dims(s, -2));
  }
  if (d[2]) {
    const Value turn = matmul(vt, d[2], false, true);
    add(inner, ops::expand_dims(s, -1) * (apart * (turn - matrix_transpose(turn))));
  }
  Value dx = matmul(matmul(u, inner), vt);
  const Value over = ops::reciprocal(s);
  if (d[0] && rows > columns)
    dx = dx + matmul((d[0] - matmul(u, matmul(u, d[0], true))) * ops::expand_dims(over, -2), vt);
  if (d[2] && columns > rows)
    dx = dx + matmul(u, ops::expand_dims(over, -1) * (d[2] - matmul(matmul(d[2], vt, false, true), vt)));
  return {dx};
}

Types infer_pseudo_inverse(const CutoffAttrs&, const Types& in) {
  check_matrices(in[0]);
  return {{in[0].dtype, leading(in[0]) + Shape{in[0].shape[-1], in[0].shape[-2]}}};
}
// yᵀ = u f(s) vᵀ with f(s) = 1 / s, and 0 for what counts as zero. The derivative of such a function of singular values is
// made of divided differences: Noferini, "A formula for the Fréchet derivative of a generalized matrix function" (2017).
Gradients grad_pseudo_inverse(const CutoffAttrs& p, const Node& n, const Cotangents& d) {
  const auto [u, s, vt] = ops::svd(n.in(0));
  const Value dy = matrix_transpose(d[0]), zero = ops::scalar_like(s, 0), one = ops::scalar_like(s, 1);
  const Value kept = ops::greater(s, p.cutoff * ops::max(s, {-1}, true));
  const Value f = ops::select(kept, ops::reciprocal(ops::select(kept, s, one)), zero);
  const Value si = ops::expand_dims(s, -1), sj = ops::expand_dims(s, -2), fi = ops::expand_dims(f, -1), fj = ops::expand_dims(f, -2);
  // Where one of two counts, the differences are not zero; where both do they are known; where none does nothing changes.
  const Value either = ops::not_equal(ops::expand_dims(kept, -1), ops::expand_dims(kept, -2));
  const Value differences = ops::select(either, (fi - fj) / ops::select(either, si - sj, one), -(fi * fj));
  const Value sums = ops::select(either, (fi + fj) / ops::select(either, si + sj, one), fi * fj);
  const Value m = matmul(matmul(u, dy, true), vt, false, true), mt = matrix_transpose(m);
  const Value inner = 0.5 * (differences * (m + mt) + sums * (m - mt));
  const Value squares = ops::square(f);
  const Value of_columns = dy - matmul(u, matmul(u, dy, true)), of_rows = dy - matmul(matmul(dy, vt, false, true), vt);
  const Value v = matrix_transpose(vt);
  return {matmul(matmul(u, inner), vt) + matmul(matmul(of_columns, v) * ops::expand_dims(squares, -2), vt) +
          matmul(u, ops::expand_dims(squares, -1) * matmul(u, of_rows, true))};
}

}  // namespace

namespace op {

constinit const OpDef<SolveAttrs> solve{{.name = "solve", .doc = "y = a⁻¹ b"}, infer_solve, grad_solve};
constinit const OpDef<TriangularAttrs> triangular_solve{
    {.name = "triangular_solve", .doc = "y = a⁻¹ b, a triangular"}, infer_triangular_solve, grad_triangular_solve};
constinit const OpDef<NoAttributes> determinant{
    {.name = "determinant", .doc = "y = det x"}, infer_determinant, grad_determinant};
constinit const OpDef<NoAttributes> log_determinant{
    {.name = "log_determinant", .doc = "sign of det x, log |det x|"}, infer_log_determinant, grad_log_determinant};
constinit const OpDef<NoAttributes> cholesky{{.name = "cholesky", .doc = "L Lᵀ = x"}, infer_cholesky, grad_cholesky};
constinit const OpDef<NoAttributes> lu{{.name = "lu", .doc = "(L U)[i] = x[p[i]]"}, infer_lu, grad_lu};
constinit const OpDef<FullAttrs> qr{{.name = "qr", .doc = "q r = x, qᵀ q = 1"}, infer_qr, grad_qr};
constinit const OpDef<NoAttributes> eigh{{.name = "eigh", .doc = "x v = v diag(w), vᵀ v = 1"}, infer_eigh, grad_eigh};
constinit const OpDef<FullAttrs> svd{{.name = "svd", .doc = "u diag(s) vᵀ = x"}, infer_svd, grad_svd};
constinit const OpDef<CutoffAttrs> pseudo_inverse{
    {.name = "pseudo_inverse", .doc = "x y x = x, y x y = y, x y and y x symmetric"},
    infer_pseudo_inverse,
    grad_pseudo_inverse};

}  // namespace op

namespace ops {

Value solve(Value a, Value b, bool transpose) { return a.graph().add(op::solve, SolveAttrs{transpose}, {a, b}).out(); }
Value triangular_solve(Value a, Value b, bool lower, bool transpose) {
  return a.graph().add(op::triangular_solve, TriangularAttrs{lower, transpose}, {a, b}).out();
}
Value inverse(Value x) { return solve(x, identity_like(x)); }
Value determinant(Value x) { return x.graph().add(op::determinant, NoAttributes{}, {x}).out(); }
std::array<Value, 2> log_determinant(Value x) {
  const Node& node = x.graph().add(op::log_determinant, NoAttributes{}, {x});
  return {node.out(0), node.out(1)};
}
Value cholesky(Value x) { return x.graph().add(op::cholesky, NoAttributes{}, {x}).out(); }
std::array<Value, 2> lu(Value x) {
  const Node& node = x.graph().add(op::lu, NoAttributes{}, {x});
  return {node.out(0), node.out(1)};
}
std::array<Value, 2> qr(Value x, bool full) {
  const Node& node = x.graph().add(op::qr, FullAttrs{full}, {x});
  return {node.out(0), node.out(1)};
}
std::array<Value, 2> eigh(Value x) {
  const Node& node = x.graph().add(op::eigh, NoAttributes{}, {x});
  return {node.out(0), node.out(1)};
}
std::array<Value, 3> svd(Value x, bool full) {
  const Node& node = x.graph().add(op::svd, FullAttrs{full}, {x});
  return {node.out(0), node.out(1), node.out(2)};
}
Value pseudo_inverse(Value x, double cutoff) {
  return x.graph().add(op::pseudo_inverse, CutoffAttrs{cutoff}, {x}).out();
}

Value matrix_transpose(Value x) {
  std::vector<std::int64_t> axes(static_cast<std::size_t>(x.shape().rank()));
  for (std::size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<std::int64_t>(i);
  std::swap(axes[axes.size() - 2], axes.back());
  return transpose(x, std::move(axes));
}

namespace {

// Where column - row of x's matrices compares so with a number; null while their sizes are unknown.
Value where_diagonal(Value x, Value (*compare)(Value, Value), std::int64_t number) {
  const Type type{DType::int32, x.shape().from(x.shape().rank() - 2)};
  if (!type.shape.known()) return {};
  const Value difference = iota(x.graph(), type, 1) - iota(x.graph(), type, 0);
  return compare(difference, x.graph().scalar(static_cast<double>(number), DType::int32));
}

}  // namespace

Value lower_triangle(Value x, std::int64_t diagonal) {
  const Value kept = where_diagonal(x, less_equal, diagonal);
  return kept ? select(kept, x, scalar_like(x, 0)) : x;
}
Value upper_triangle(Value x, std::int64_t diagonal) {
  const Value kept = where_diagonal(x, greater_equal, diagonal);
  return kept ? select(kept, x, scalar_like(x, 0)) : x;
}
Value identity_like(Value x) {
  const Value one = where_diagonal(x, equal, 0);
  if (!one) return fill_like(x, 1);
  return x.shape().rank() == 2 ? cast(one, x.dtype()) : broadcast_like(cast(one, x.dtype()), x);
}

}  // namespace ops

}  // namespace nacre
