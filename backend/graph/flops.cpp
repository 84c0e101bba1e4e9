#include "backend/graph/flops.h"

#include "backend/graph/ops/ops.h"

namespace nacre {

namespace {

// What a convolution or matmul computes on its results besides the product.
std::int64_t epilogue_flops(const Epilogue& epilogue, std::int64_t results) {
  return results * (epilogue.bias + epilogue.residual + (epilogue.activation != EpilogueKind::none));
}

std::int64_t product(const std::vector<std::int64_t>& sizes) {
  std::int64_t result = 1;
  for (std::int64_t size : sizes) result *= size;
  return result;
}

}  // namespace

std::int64_t flops_of(const Node& node) {
  if (node.types().empty() || node.op().kind == OpKind::leaf || node.op().kind == OpKind::host) return 0;
  const std::int64_t results = node.types()[0].shape.elements();
  const auto operand = [&](int index) { return node.in(index).shape().elements(); };
  const auto is_any = [&](std::initializer_list<const Op*> ops) {
    for (const Op* op : ops)
      if (node.is(*op)) return true;
    return false;
  };
  // Each result of a convolution sums as many products as the kernel has places and channels for one filter.
  if (node.is(op::conv))
    return 2 * results * operand(1) / node.in(1).shape()[-1] +
           epilogue_flops(node.attrs<ConvAttrs>().epilogue, results);
  if (node.is(op::pointwise_depthwise)) {
    const auto& p = node.attrs<PointwiseDepthwiseAttrs>();
    const std::int64_t between = pointwise_type(node).shape.elements();
    const Shape& taps = node.in(depthwise_operand(p)).shape();
    return 2 * between * node.in(0).shape()[-1] + epilogue_flops(p.pointwise.epilogue, between) +
           2 * results * taps.first(taps.rank() - 1).elements() + epilogue_flops(p.depthwise.epilogue, results);
  }
  if (node.is(op::conv_backward_data)) return 2 * operand(0) * operand(1) / node.in(1).shape()[-1];
  if (node.is(op::conv_backward_weights))
    return 2 * operand(1) * results / node.types()[0].shape[-1] +
           (node.attrs<ConvBackwardWeightsAttrs>().bias ? operand(1) : 0);
  if (node.is(op::matmul)) {
    const Shape& a = node.in(0).shape();
    const MatMulAttrs& attrs = node.attrs<MatMulAttrs>();
    return 2 * results * a[attrs.transpose_a ? -2 : -1] + epilogue_flops(attrs.epilogue, results);
  }
  if (is_any({&op::recurrent, &op::recurrent_backward})) {
    // The products of x and h with the kernels, at every step; backward those for x and h and those for the kernels.
    const Shape& x = node.in(0).shape();
    return (node.is(op::recurrent) ? 2 : 4) * x[0] * x[1] * (operand(1) + operand(2));
  }
  if (is_any({&op::attention, &op::attention_backward})) {
    // Scores and weighted values, scale and softmax; backward the scores again and four more products.
    const Shape &query = node.in(0).shape(), &key = node.in(1).shape();
    const std::int64_t scores = query[0] * query[2] * query[1] * key[1], d = query[3], e = node.in(2).shape()[3];
    return node.is(op::attention) ? scores * (2 * (d + e) + 6) : scores * (2 * (3 * d + 2 * e) + 6);
  }
  if (node.is(op::fused)) return flops_of(*node.attrs<FusedAttrs>().body);
  if (node.is(op::fused_groups)) {
    std::int64_t sum = 0;
    for (const Subgraph& body : node.attrs<FusedGroupsAttrs>().bodies) sum += flops_of(*body);
    return sum;
  }
  if (node.is(op::scan)) {
    const ScanAttrs& scan = node.attrs<ScanAttrs>();
    return flops_of(*scan.body) * node.in(static_cast<int>(scan.carries)).shape()[0];
  }
  if (node.is(op::branch)) {  // as if the most expensive one were always chosen
    std::int64_t most = 0;
    for (const Subgraph& body : node.attrs<BranchAttrs>().bodies) most = std::max(most, flops_of(*body));
    return most;
  }
  if (node.is(op::loop)) {  // as if it ran as long as it may, or once
    const LoopAttrs& loop = node.attrs<LoopAttrs>();
    return (flops_of(*loop.condition) + flops_of(*loop.body)) * (loop.most_steps == unknown ? 1 : loop.most_steps);
  }
  if (is_any({&op::max_pool, &op::average_pool})) return results * product(node.attrs<PoolAttrs>().window);
  if (node.is(op::average_pool_backward)) return operand(0) * product(node.attrs<PoolBackwardAttrs>().pool.window);
  if (is_any({&op::softmax, &op::log_softmax})) return 5 * results;  // largest, difference, exp, sum, quotient
  if (is_any({&op::softmax_backward, &op::log_softmax_backward})) return 4 * results;
  if (is_any({&op::batch_norm, &op::layer_norm})) return 7 * results;
  if (is_any({&op::batch_norm_backward, &op::layer_norm_backward})) return 10 * results;
  if (is_any({&op::sum, &op::mean, &op::max, &op::min, &op::product, &op::argmax, &op::sum_like})) return operand(0);
  if (node.is(op::scatter_add)) return operand(1);
  if (is_any({&op::cast, &op::stop_gradient, &op::select})) return 0;
  return node.op().kind == OpKind::elementwise ? results : 0;
}

std::int64_t flops_of(const Graph& graph) {
  std::int64_t total = 0;
  for (const Node* node : graph.nodes()) total += flops_of(*node);
  return total;
}

std::int64_t work_of(const Graph& graph) {
  std::int64_t total = 1;
  for (const Node* node : graph.nodes()) {
    if (!node->is(op::loop)) total += flops_of(*node);
    for (const Type& type : node->types()) total += type.shape.elements();
  }
  return total;
}

}  // namespace nacre
