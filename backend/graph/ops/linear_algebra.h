// Linear algebra on the matrices of the last two axes, one for each place of the leading axes. Operands are floating and
// results have their dtype; backends compute in double.
#pragma once

#include <array>

#include "backend/graph/graph.h"

namespace nacre {

struct SolveAttrs {
  bool transpose = false;
  bool operator==(const SolveAttrs&) const = default;
  static void describe(auto&& field) { field("transpose", &SolveAttrs::transpose, "of the transpose of a"); }
};
struct TriangularAttrs {
  bool lower = true;  // the other triangle of a is not read
  bool transpose = false;
  bool operator==(const TriangularAttrs&) const = default;
  static void describe(auto&& field) {
    field("lower", &TriangularAttrs::lower, "which triangle of a counts");
    field("transpose", &TriangularAttrs::transpose, "of the transpose of a");
  }
};
struct FullAttrs {
  bool full = false;
  bool operator==(const FullAttrs&) const = default;
  static void describe(auto&& field) { field("full", &FullAttrs::full, "bases of the whole space, not of the range alone"); }
};
struct CutoffAttrs {
  double cutoff = 0;
  bool operator==(const CutoffAttrs&) const = default;
  static void describe(auto&& field) {
    field("cutoff", &CutoffAttrs::cutoff, "singular values up to this share of the largest count as zero");
  }
};

namespace op {
// (a (…, n, n), b (…, n, k)) → a⁻¹ b. Throws an Error when a matrix has no inverse.
extern const OpDef<SolveAttrs> solve;
// The same for triangular a.
extern const OpDef<TriangularAttrs> triangular_solve;
// (…, n, n) → (…).
extern const OpDef<NoAttributes> determinant;
// (…, n, n) → sign and log of the magnitude of the determinant, (…) each; 0 and -∞ where it is 0.
extern const OpDef<NoAttributes> log_determinant;
// Symmetric positive definite x, of which the lower triangle is read → lower L with L Lᵀ = x. Throws an Error when a matrix
// is not positive definite.
extern const OpDef<NoAttributes> cholesky;
// (…, n, n) → L (below the diagonal, its own is 1) and U in one matrix, and int32 p (…, n): row i of L U is row p[i] of x.
extern const OpDef<NoAttributes> lu;
// (…, m, n) → q (…, m, k), r (…, k, n) with k = min(m, n), full: m.
extern const OpDef<FullAttrs> qr;
// Symmetric x, of which the lower triangle is read → ascending eigenvalues (…, n), eigenvectors as columns (…, n, n).
extern const OpDef<NoAttributes> eigh;
// (…, m, n) → u (…, m, k), descending singular values (…, min(m, n)), vᵀ (…, l, n); k = l = min(m, n), full: m and n.
extern const OpDef<FullAttrs> svd;
// (…, m, n) → Moore and Penrose's inverse (…, n, m).
extern const OpDef<CutoffAttrs> pseudo_inverse;
}  // namespace op

namespace ops {
Value solve(Value a, Value b, bool transpose = false);
Value triangular_solve(Value a, Value b, bool lower, bool transpose = false);
Value inverse(Value x);
Value determinant(Value x);
std::array<Value, 2> log_determinant(Value x);
Value cholesky(Value x);
std::array<Value, 2> lu(Value x);
std::array<Value, 2> qr(Value x, bool full = false);
std::array<Value, 2> eigh(Value x);
std::array<Value, 3> svd(Value x, bool full = false);
Value pseudo_inverse(Value x, double cutoff);

Value matrix_transpose(Value x);  // of the last two axes
// The elements on and below (or above) the given diagonal, others 0; 0 is the main one, 1 that above it. While the sizes are
// unknown these and the identity are placeholders of x's type.
Value lower_triangle(Value x, std::int64_t diagonal = 0);
Value upper_triangle(Value x, std::int64_t diagonal = 0);
Value identity_like(Value x);  // matrices of x's type
}  // namespace ops

}  // namespace nacre
