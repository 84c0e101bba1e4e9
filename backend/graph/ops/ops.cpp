#include "backend/graph/ops/ops.h"

#include "backend/graph/ops/all_reduce.h"
#include "backend/graph/ops/order.h"

namespace nacre {

std::span<const Op* const> op::all_ops() {
  // clang-format off
  static constexpr const Op* list[] = {
      &input, &variable, &constant,
      &host,
      // elementwise
      &negate, &abs, &sign, &exp, &expm1, &log, &log1p, &sqrt, &rsqrt, &square, &reciprocal, &sin, &cos, &tanh, &sigmoid,
      &relu, &erf, &floor, &ceil, &round, &logical_not, &is_finite, &add, &subtract, &multiply, &divide, &power, &maximum,
      &minimum, &modulo, &equal, &not_equal, &less, &less_equal, &greater, &greater_equal, &logical_and, &logical_or,
      &select, &cast, &stop_gradient,
      &bitwise_and, &bitwise_or, &bitwise_xor, &shift_left, &shift_right, &gcd, &lcm, &bitcast, &next_after,
      &float8, &float8_matmul,
      // shape
      &reshape, &reshape_like, &transpose, &broadcast_to, &broadcast_like, &sum_like, &slice, &slice_gradient, &pad,
      &concat, &reverse, &iota,
      // reduce
      &sum, &mean, &max, &min, &product, &argmax,
      &after,
      // the rest
      &matmul,
      &softmax, &log_softmax, &softmax_backward, &log_softmax_backward,
      &gather, &scatter_add, &take_along, &take_along_backward, &argsort,
      &solve, &triangular_solve, &determinant, &log_determinant, &cholesky, &lu, &qr, &eigh, &svd, &pseudo_inverse,
      &random_uniform,
      &resample, &resample_backward,
      &fused, &fused_groups,
      &conv, &conv_backward_data, &conv_backward_weights, &pointwise_depthwise,
      &max_pool, &max_pool_backward, &average_pool, &average_pool_backward,
      &batch_norm, &batch_norm_backward, &layer_norm, &layer_norm_backward,
      &attention, &attention_backward,
      &scan, &branch, &loop,
      &custom_gradient,
      &all_reduce,
      &recurrent, &recurrent_backward,
  };
  // clang-format on
  return list;
}

}  // namespace nacre
