// Matrices of the last two axes: solvers, factorisations, determinants.
#include "backend/graph/ops/linear_algebra.h"

#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/reduce.h"
#include "layers/operations/functions.h"
#include "layers/operations/operation.h"

namespace nacre::operations {

namespace {

constexpr Family linalg("keras.src.ops.linalg"), math("keras.src.ops.math"), numpy("keras.src.ops.numpy");

struct UpperField {
  bool upper = false;
  static void describe(auto&& field) { field("upper", &UpperField::upper, "the factor is upper triangular"); }
};
struct LowerField {
  bool lower = false;
  static void describe(auto&& field) { field("lower", &LowerField::lower, "the lower triangle of a counts"); }
};
struct ModeField {
  std::string mode = "reduced";
  static void describe(auto&& field) {
    field("mode", &ModeField::mode, "complete: q is square", one_of({"reduced", "complete"}));
  }
};
struct SingularFields {
  bool full_matrices = true, compute_uv = true;
  static void describe(auto&& field) {
    field("full_matrices", &SingularFields::full_matrices, "the singular vectors are bases of the whole space");
    field("compute_uv", &SingularFields::compute_uv, "false: the singular values alone");
  }
};
struct RcondField {
  std::optional<double> rcond;
  static void describe(auto&& field) {
    field("rcond", &RcondField::rcond,
          "singular values up to this share of the largest count as zero; null: as the precision allows");
  }
};
struct ToleranceField {
  std::optional<double> tol;
  static void describe(auto&& field) {
    field("tol", &ToleranceField::tol, "singular values up to this count as zero; null: as the precision allows");
  }
};

// The distance from 1 to the next number.
double precision(DType dtype) {
  switch (dtype) {
    case DType::float16: return 0x1p-10;
    case DType::bfloat16: return 0x1p-7;
    case DType::float64: return 0x1p-52;
    default: return 0x1p-23;
  }
}
double larger_size(Value x) {
  return static_cast<double>(std::max(emit::known_size(x.shape(), -2), emit::known_size(x.shape(), -1)));
}

// a x = b for matrices, or vectors of one axis less.
template <class Solve>
Value solved(const Operands& in, Solve solve) {
  const auto [a, b] = in.real_pair();
  const bool vectors = b.shape().rank() == a.shape().rank() - 1;
  const Value y = solve(a, vectors ? ops::expand_dims(b, -1) : b);
  return vectors ? ops::squeeze(y, -1) : y;
}

Value cholesky(const UpperField& f, const Operands& in) {
  const Value l = ops::cholesky(real(in[0]));
  return f.upper ? ops::matrix_transpose(l) : l;
}
// (L Lᵀ)⁻¹, or (Uᵀ U)⁻¹, of the factor.
Value cholesky_inverse(const UpperField& f, const Operands& in) {
  const Value factor = real(in[0]), inverse = ops::triangular_solve(factor, ops::identity_like(factor), !f.upper);
  return ops::matmul(inverse, inverse, !f.upper, f.upper);
}

Values svd(const SingularFields& f, const Operands& in) {
  const auto [u, s, vt] = ops::svd(real(in[0]), f.full_matrices && f.compute_uv);
  if (!f.compute_uv) return {s};
  return {u, s, vt};
}

Value rank(const ToleranceField& f, const Operands& in) {
  const Value x = real(in[0]), s = ops::svd(x)[1];
  const Value bound = f.tol ? ops::scalar_like(s, *f.tol) : ops::max(s, {-1}, true) * (precision(x.dtype()) * larger_size(x));
  return ops::sum(ops::cast(ops::greater(s, bound), DType::int32), {-1});
}

Value pseudo_inverse(const RcondField& f, const Operands& in) {
  const Value x = real(in[0]);
  return ops::pseudo_inverse(x, f.rcond.value_or(10 * precision(x.dtype()) * larger_size(x)));
}

Value least_squares(const RcondField& f, const Operands& in) {
  const auto [a, b] = in.real_pair();
  emit::want_rank(a.shape(), 2);
  const double precise = precision(a.dtype());
  const double cutoff = f.rcond ? (*f.rcond < 0 ? precise : *f.rcond) : precise * larger_size(a);
  const bool vector = b.shape().rank() == 1;
  const Value x = ops::matmul(ops::pseudo_inverse(a, cutoff), vector ? ops::expand_dims(b, -1) : b);
  return vector ? ops::squeeze(x, -1) : x;
}

Values pair(const std::array<Value, 2>& values) { return {values[0], values[1]}; }

// Where row i of x went, as Keras has it on TensorFlow.
Values lu_factor(const Operands& in) {
  const auto [lu, from] = ops::lu(real(in[0]));
  return {lu, order(from, -1, false)};
}

}  // namespace

Rows linear_algebra() {
  return {
      linalg.operation<UpperField>("Cholesky", "x", "L with L Lᵀ = x, of symmetric positive definite matrices.", cholesky),
      linalg.operation<UpperField>("CholeskyInverse", "x", "The inverses of the matrices whose Cholesky factors are given.",
                                   cholesky_inverse),
      linalg.plain("Det", "x", "The determinants of matrices.",
                   [](const Operands& in) { return ops::determinant(real(in[0])); }),
      linalg.plain("Eigh", "x", "The eigenvalues, ascending, and eigenvectors of symmetric matrices.",
                   [](const Operands& in) { return pair(ops::eigh(real(in[0]))); }),
      linalg.plain("Inv", "x", "The inverses of matrices.", [](const Operands& in) { return ops::inverse(real(in[0])); }),
      linalg.plain("LuFactor", "x", "L and U in one matrix, and to which of its rows each row of x went.", lu_factor),
      linalg.operation<ModeField>("Qr", "x", "q and r with q r = x, qᵀ q = 1 and r upper triangular.",
                                  [](const ModeField& f, const Operands& in) {
                                    return pair(ops::qr(real(in[0]), f.mode == "complete"));
                                  }),
      linalg.plain("Solve", "a, b", "x with a x = b.",
                   [](const Operands& in) {
                     return solved(in, [](Value a, Value b) { return ops::solve(a, b); });
                   }),
      linalg.operation<LowerField>("SolveTriangular", "a, b", "x with a x = b, of triangular matrices a.",
                                   [](const LowerField& f, const Operands& in) {
                                     return solved(in, [&](Value a, Value b) { return ops::triangular_solve(a, b, f.lower); });
                                   }),
      linalg.operation<SingularFields>("SVD", "x", "u, s and vᵀ with u diag(s) vᵀ = x, s descending.", svd),
      linalg.operation<RcondField>("Lstsq", "a, b", "The shortest x with the least |a x - b|.", least_squares),
      linalg.operation<ToleranceField>("MatrixRank", "x", "How many singular values are not zero.", rank),
      linalg.operation<RcondField>("Pinv", "x", "The Moore-Penrose inverses of matrices.", pseudo_inverse),
      math.plain("Logdet", "x", "The logarithms of the determinants of positive definite matrices.",
                 [](const Operands& in) {
                   const Value l = ops::cholesky(real(in[0]));
                   return 2.0 * ops::sum(ops::log(ops::sum(l * ops::identity_like(l), {-1})), {-1});
                 }),
      numpy.plain("Slogdet", "x", "The signs of determinants, and the logarithms of their magnitudes.",
                  [](const Operands& in) { return pair(ops::log_determinant(real(in[0]))); }),
  };
}

}  // namespace nacre::operations
