// Which kernel builder serves which op. `borrow` marks what the reference backend computes.
#include "backend/all_reduce_kernel.h"
#include "backend/branch_kernel.h"
#include "backend/graph/ops/all_reduce.h"
#include "backend/graph/ops/fused.h"
#include "backend/graph/ops/ops.h"
#include "backend/graph/ops/order.h"
#include "backend/loop_kernel.h"
#include "backend/onednn/elementwise/elementwise.h"
#include "backend/onednn/kernels.h"
#include "backend/pass_on_kernel.h"
#include "backend/scan_kernel.h"

namespace nacre::onednn {
namespace {

bool without_float64(const Node& node, const Backend&) {
  for (Value value : node.inputs())
    if (value.dtype() == DType::float64) return false;
  for (const Type& type : node.types())
    if (type.dtype == DType::float64) return false;
  return true;
}

// A kernel of ours.
constexpr KernelRow own(const Op& op, KernelBuilder build) { return {&op, build, without_float64}; }

bool has_elements(const Node& node) {
  for (Value value : node.inputs())
    if (value.shape().elements() == 0) return false;
  for (const Type& type : node.types())
    if (type.shape.elements() == 0) return false;
  return true;
}

// A primitive of oneDNN, which computes floating types, some of them (bfloat16, float16) on some machines only, and
// leaves results alone when there is nothing to compute them from.
template <KernelBuilder build>
KernelPlan if_implemented(const KernelRequest& request) {
  if (!is_floating(request.node.types()[0].dtype) || !has_elements(request.node)) return borrowed(request);
  try {
    return build(request);
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented) return borrowed(request);
    throw InternalError("oneDNN refused '{}': {}", request.node.op().name, error.what());
  }
}
template <KernelBuilder build>
constexpr KernelRow primitive(const Op& op) {
  return own(op, if_implemented<build>);
}

// Element-wise, alone or as part of a group.
constexpr KernelRow loop(const Op& op, KernelBuilder build = elementwise) {
  return {&op, build, without_float64, fuses};
}

constexpr KernelRow borrow(const Op& op) { return own(op, borrowed); }

}  // namespace

std::span<const KernelRow> table() {
  static constexpr KernelRow rows[] = {
      loop(op::negate),
      loop(op::abs),
      loop(op::sign),
      loop(op::exp),
      loop(op::expm1),
      loop(op::log),
      loop(op::log1p),
      loop(op::sqrt),
      loop(op::rsqrt),
      loop(op::square),
      loop(op::reciprocal),
      loop(op::sin),
      loop(op::cos),
      loop(op::tanh),
      loop(op::sigmoid),
      loop(op::relu),
      loop(op::erf),
      loop(op::floor),
      loop(op::ceil),
      loop(op::round),
      loop(op::logical_not),
      loop(op::is_finite),
      loop(op::add),
      loop(op::subtract),
      loop(op::multiply),
      loop(op::divide),
      loop(op::power),
      loop(op::maximum),
      loop(op::minimum),
      loop(op::modulo),
      loop(op::equal),
      loop(op::not_equal),
      loop(op::less),
      loop(op::less_equal),
      loop(op::greater),
      loop(op::greater_equal),
      loop(op::logical_and),
      loop(op::logical_or),
      loop(op::bitwise_and),
      loop(op::bitwise_or),
      loop(op::bitwise_xor),
      loop(op::shift_left),
      loop(op::shift_right),
      loop(op::gcd),
      loop(op::lcm),
      borrow(op::bitcast),
      borrow(op::next_after),
      loop(op::select),
      loop(op::cast, cast),
      borrow(op::stop_gradient),

      own(op::reshape, view),
      own(op::reshape_like, view),
      own(op::transpose, transpose),
      own(op::broadcast_to, broadcast),
      own(op::broadcast_like, broadcast),
      own(op::sum_like, sum_like),
      own(op::slice, slice),
      own(op::slice_gradient, slice_gradient),
      own(op::pad, pad),
      own(op::concat, concat),
      own(op::reverse, reverse),
      own(op::iota, iota),
      {&op::after, as_it_lies},

      own(op::sum, reduce),
      own(op::mean, reduce),
      own(op::max, reduce),
      own(op::min, reduce),
      own(op::product, reduce),
      own(op::argmax, argmax),

      primitive<matmul>(op::matmul),

      primitive<conv>(op::conv),
      primitive<conv_backward_data>(op::conv_backward_data),
      primitive<conv_backward_weights>(op::conv_backward_weights),

      {&op::pointwise_depthwise, pointwise_depthwise, pointwise_depthwise_fits},

      primitive<max_pool>(op::max_pool),
      primitive<max_pool_backward>(op::max_pool_backward),
      primitive<average_pool>(op::average_pool),
      primitive<average_pool_backward>(op::average_pool_backward),

      primitive<softmax>(op::softmax),
      primitive<softmax>(op::log_softmax),
      primitive<softmax_backward>(op::softmax_backward),
      primitive<softmax_backward>(op::log_softmax_backward),

      primitive<batch_norm>(op::batch_norm),
      primitive<batch_norm_backward>(op::batch_norm_backward),
      primitive<layer_norm>(op::layer_norm),
      primitive<layer_norm_backward>(op::layer_norm_backward),

      {&op::attention, attention, attention_fits},
      {&op::attention_backward, attention_backward, attention_fits},

      own(op::gather, gather),
      {&op::scatter_add, scatter_add, without_float64, sums_rows},
      own(op::take_along, take_along),
      own(op::take_along_backward, take_along_backward),
      own(op::resample, resample),
      own(op::resample_backward, resample_backward),
      borrow(op::argsort),

      borrow(op::solve),
      borrow(op::triangular_solve),
      borrow(op::determinant),
      borrow(op::log_determinant),
      borrow(op::cholesky),
      borrow(op::lu),
      borrow(op::qr),
      borrow(op::eigh),
      borrow(op::svd),
      borrow(op::pseudo_inverse),

      loop(op::random_uniform),
      own(op::fused, fused),
      own(op::fused_groups, fused_groups),

      own(op::scan, scan_kernel),
      own(op::branch, branch_kernel),
      own(op::loop, loop_kernel),
      own(op::custom_gradient, pass_on_kernel),
      {&op::all_reduce, all_reduce_kernel},
      {&op::recurrent, recurrent, recurrent_fits},
      {&op::recurrent_backward, recurrent_backward, recurrent_fits},
  };
  return rows;
}

}  // namespace nacre::onednn
