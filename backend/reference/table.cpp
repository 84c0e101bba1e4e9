// Which kernel builder serves which op.
#include "backend/all_reduce_kernel.h"
#include "backend/branch_kernel.h"
#include "backend/graph/ops/all_reduce.h"
#include "backend/graph/ops/ops.h"
#include "backend/graph/ops/order.h"
#include "backend/loop_kernel.h"
#include "backend/pass_on_kernel.h"
#include "backend/reference/kernel.h"
#include "backend/reference/kernels.h"
#include "backend/scan_kernel.h"

namespace nacre::reference {

std::span<const KernelRow> table() {
  static constexpr KernelRow rows[] = {
      {&op::negate, unary},
      {&op::abs, unary},
      {&op::sign, unary},
      {&op::exp, unary},
      {&op::expm1, unary},
      {&op::log, unary},
      {&op::log1p, unary},
      {&op::sqrt, unary},
      {&op::rsqrt, unary},
      {&op::square, unary},
      {&op::reciprocal, unary},
      {&op::sin, unary},
      {&op::cos, unary},
      {&op::tanh, unary},
      {&op::sigmoid, unary},
      {&op::relu, unary},
      {&op::erf, unary},
      {&op::floor, unary},
      {&op::ceil, unary},
      {&op::round, unary},
      {&op::logical_not, unary},
      {&op::is_finite, unary},
      {&op::add, binary},
      {&op::subtract, binary},
      {&op::multiply, binary},
      {&op::divide, binary},
      {&op::power, binary},
      {&op::maximum, binary},
      {&op::minimum, binary},
      {&op::modulo, binary},
      {&op::equal, binary},
      {&op::not_equal, binary},
      {&op::less, binary},
      {&op::less_equal, binary},
      {&op::greater, binary},
      {&op::greater_equal, binary},
      {&op::logical_and, binary},
      {&op::logical_or, binary},
      {&op::bitwise_and, integer_binary},
      {&op::bitwise_or, integer_binary},
      {&op::bitwise_xor, integer_binary},
      {&op::shift_left, integer_binary},
      {&op::shift_right, integer_binary},
      {&op::gcd, integer_binary},
      {&op::lcm, integer_binary},
      {&op::bitcast, bitcast},
      {&op::next_after, next_after},
      {&op::select, select},
      {&op::cast, cast},
      {&op::stop_gradient, view},

      {&op::reshape, view},
      {&op::reshape_like, view},
      {&op::after, view},
      {&op::transpose, transpose},
      {&op::broadcast_to, broadcast_to},
      {&op::broadcast_like, broadcast_to},
      {&op::sum_like, sum_like},
      {&op::slice, slice},
      {&op::slice_gradient, slice_gradient},
      {&op::pad, pad},
      {&op::concat, concat},
      {&op::reverse, reverse},
      {&op::iota, iota},

      {&op::sum, reduce},
      {&op::mean, reduce},
      {&op::max, reduce},
      {&op::min, reduce},
      {&op::product, reduce},
      {&op::argmax, argmax},

      {&op::matmul, matmul},

      {&op::conv, conv},
      {&op::conv_backward_data, conv_backward_data},
      {&op::conv_backward_weights, conv_backward_weights},

      {&op::max_pool, max_pool},
      {&op::max_pool_backward, max_pool_backward},
      {&op::average_pool, average_pool},
      {&op::average_pool_backward, average_pool_backward},

      {&op::scan, scan_kernel},
      {&op::branch, branch_kernel},
      {&op::loop, loop_kernel},
      {&op::custom_gradient, pass_on_kernel},
      {&op::all_reduce, all_reduce_kernel},

      {&op::batch_norm, batch_norm},
      {&op::batch_norm_backward, batch_norm_backward},
      {&op::layer_norm, layer_norm},
      {&op::layer_norm_backward, layer_norm_backward},

      {&op::softmax, softmax},
      {&op::log_softmax, log_softmax},
      {&op::softmax_backward, softmax_backward},
      {&op::log_softmax_backward, log_softmax_backward},

      {&op::gather, gather},
      {&op::scatter_add, scatter_add},
      {&op::take_along, take_along},
      {&op::take_along_backward, take_along_backward},
      {&op::argsort, argsort},

      {&op::resample, resample},
      {&op::resample_backward, resample_backward},

      {&op::random_uniform, random_uniform},

      {&op::solve, solve},
      {&op::triangular_solve, triangular_solve},
      {&op::determinant, determinant},
      {&op::log_determinant, log_determinant},
      {&op::cholesky, cholesky},
      {&op::lu, lu},
      {&op::qr, qr},
      {&op::eigh, eigh},
      {&op::svd, svd},
      {&op::pseudo_inverse, pseudo_inverse},
  };
  return rows;
}

}  // namespace nacre::reference
