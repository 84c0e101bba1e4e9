#include "backend/graph/ops/matmul.h"

#include "backend/graph/ops/shape.h"

namespace nacre {

namespace {

Types infer_matmul(const MatMulAttrs& p, const Types& in) {
  const Type &a = in[0], &b = in[1];
  need(a.dtype == b.dtype, "operands have different dtypes: {} and {}", a, b);
  need(a.shape.rank() >= 2 && b.shape.rank() >= 2, "needs operands of rank 2 or more, got {} and {}", a.shape, b.shape);
  const std::int64_t m = a.shape[p.transpose_a ? -1 : -2], k = a.shape[p.transpose_a ? -2 : -1];
  const std::int64_t n = b.shape[p.transpose_b ? -2 : -1], inner = b.shape[p.transpose_b ? -1 : -2];
  need(same(k, inner), "inner sizes differ: {}{} · {}{}", a.shape, p.transpose_a ? "ᵀ" : "", b.shape, p.transpose_b ? "ᵀ" : "");
  const Shape batch = broadcast(a.shape.first(a.shape.rank() - 2), b.shape.first(b.shape.rank() - 2));
  const Type result{a.dtype, batch + Shape{m, n}};
  check_epilogue(p.epilogue, in, 2, result);
  return {result};
}

Gradients grad_matmul(const MatMulAttrs& p, const Node& n, const Cotangents& d) {
  ensure(p.epilogue.empty(), "the gradient of a fused matmul");
  Value a = n.in(0), b = n.in(1), dy = d[0];
  const Value da = p.transpose_a ? ops::matmul(b, dy, p.transpose_b, true) : ops::matmul(dy, b, false, !p.transpose_b);
  if (b.shape().rank() == 2 && !p.transpose_a) {  // all rows of a meet the same b: one product gives the sum over them
    a = ops::reshape(a, {a.shape().rank() == 2 ? a.shape()[0] : unknown, a.shape()[-1]});
    dy = ops::reshape(dy, {dy.shape().rank() == 2 ? dy.shape()[0] : unknown, dy.shape()[-1]});
  }
  const Value db = p.transpose_b ? ops::matmul(dy, a, true, p.transpose_a) : ops::matmul(a, dy, !p.transpose_a, false);
  return {ops::sum_like(da, n.in(0)), ops::sum_like(db, b)};
}

}  // namespace

constinit const OpDef<MatMulAttrs> op::matmul{
    {.name = "matmul", .doc = "y[..,m,n] = Σₖ a[..,m,k] · b[..,k,n]; leading axes broadcast"}, infer_matmul, grad_matmul};

Value ops::matmul(Value a, Value b, bool transpose_a, bool transpose_b) {
  return a.graph().add(op::matmul, MatMulAttrs{transpose_a, transpose_b, {}}, {a, b}).out();
}

Value ops::dense(Value x, Value kernel) {
  if (x.shape().rank() != 1) return matmul(x, kernel);
  return reshape(matmul(reshape(x, {1, x.shape()[0]}), kernel), {kernel.shape()[-1]});
}

}  // namespace nacre
