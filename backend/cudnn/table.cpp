// Which kernel builder serves which op. What is borrowed is computed on the host: everything works, and what matters is
// moved to the device op by op.
#include <vector>

#include "backend/branch_kernel.h"
#include "backend/cudnn/kernels.h"
#include "backend/graph/ops/all_reduce.h"
#include "backend/graph/ops/attention.h"
#include "backend/graph/ops/bitwise.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/fused.h"
#include "backend/graph/ops/ops.h"
#include "backend/graph/ops/order.h"
#include "backend/graph/ops/random.h"
#include "backend/loop_kernel.h"
#include "backend/pass_on_kernel.h"
#include "backend/scan_kernel.h"

namespace nacre::gpu {

namespace {

constexpr KernelRow own_rows[] = {
    {&op::reshape, view},
    {&op::reshape_like, view},
    {&op::after, view},
    {&op::transpose, transpose},
    {&op::broadcast_to, broadcast},
    {&op::broadcast_like, broadcast},
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
    {&op::sum_like, sum_like},
    {&op::argmax, argmax},
    {&op::softmax, softmax},
    {&op::log_softmax, softmax},
    {&op::softmax_backward, softmax_backward},
    {&op::log_softmax_backward, softmax_backward},
    {&op::batch_norm, batch_norm},
    {&op::batch_norm_backward, batch_norm_backward},
    {&op::layer_norm, layer_norm},
    {&op::layer_norm_backward, layer_norm_backward},
    {&op::max_pool, max_pool},
    {&op::max_pool_backward, max_pool_backward},
    {&op::average_pool, average_pool},
    {&op::average_pool_backward, average_pool_backward},
    {&op::gather, gather},
    {&op::scatter_add, scatter_add, nullptr, sums_rows},
    {&op::take_along, take_along},
    {&op::take_along_backward, take_along_backward},
    {&op::argsort, argsort},
    {&op::resample, resample},
    {&op::resample_backward, resample_backward},
    {&op::bitcast, view},
    {&op::matmul, matmul},
    {&op::float8, float8},
    {&op::float8_matmul, float8_matmul, float8_matmul_fits},
    {&op::conv, conv},
    {&op::conv_backward_data, conv_backward_data},
    {&op::conv_backward_weights, conv_backward_weights},
    {&op::attention, attention, attention_fits},
    {&op::attention_backward, attention_backward, attention_fits},
    {&op::all_reduce, all_reduce},
    {&op::random_uniform, elementwise, nullptr, generates},
    {&op::scan, scan_kernel},
    {&op::branch, branch_kernel},
    {&op::loop, loop_kernel},
    {&op::custom_gradient, pass_on_kernel},
    {&op::fused, fused},
    {&op::fused_groups, fused_groups},
};

std::vector<KernelRow> all_rows() {
  std::vector<KernelRow> rows(std::begin(own_rows), std::end(own_rows));
  for (const KernelRow& row : reference_backend().table()) {
    if (row.op->kind == OpKind::elementwise) rows.push_back({row.op, elementwise, row.fits, generates});
    else rows.push_back({row.op, borrowed, row.fits});
  }
  return rows;
}

}  // namespace

std::span<const KernelRow> table() {
  static const std::vector<KernelRow> rows = all_rows();
  return rows;
}

}  // namespace nacre::gpu
