#include "backend/graph/ops/softmax.h"

#include "backend/onednn/kernels.h"

namespace nacre::onednn {
namespace {

// The axis at place 1, what comes before it at 0, and what comes after it, if there is any, at 2.
Desc around_axis(const Type& type, std::int64_t axis) {
  const int at = static_cast<int>(axis);
  Shape shape = {type.shape.first(at).elements(), type.shape[at]};
  if (at + 1 < type.shape.rank()) shape.append(type.shape.from(at + 1).elements());
  return plain_desc(Type{type.dtype, shape});
}

dnnl::algorithm algorithm_of(const Node& node) {
  return node.is(op::log_softmax) || node.is(op::log_softmax_backward) ? dnnl::algorithm::softmax_log
                                                                       : dnnl::algorithm::softmax_accurate;
}

}  // namespace

KernelPlan softmax(const KernelRequest& request) {
  const Desc x = around_axis(request.node.types()[0], request.node.attrs<AxisAttrs>().axis);
  const dnnl::softmax_forward::primitive_desc made(engine(), dnnl::prop_kind::forward_inference,
                                                   algorithm_of(request.node), x, x, 1, attributes());
  auto primitive = std::make_unique<PrimitiveKernel>(dnnl::softmax_forward(made), made.scratchpad_desc());
  primitive->input(DNNL_ARG_SRC, 0, x);
  primitive->output(DNNL_ARG_DST, 0, x);
  KernelPlan plan = plan_of(std::move(primitive), {Layout::plain()}, {Layout::plain()});
  plan.in_place = {{.output = 0, .input = 0}};
  return plan;
}

KernelPlan softmax_backward(const KernelRequest& request) {
  const Desc x = around_axis(request.node.types()[0], request.node.attrs<AxisAttrs>().axis);
  const dnnl::algorithm algorithm = algorithm_of(request.node);
  const dnnl::softmax_forward::primitive_desc hint(engine(), dnnl::prop_kind::forward_training, algorithm, x, x, 1,
                                                   attributes());
  const dnnl::softmax_backward::primitive_desc made(engine(), algorithm, x, x, x, 1, hint, attributes());
  auto primitive = std::make_unique<PrimitiveKernel>(dnnl::softmax_backward(made), made.scratchpad_desc());
  primitive->input(DNNL_ARG_DST, 0, x);
  primitive->input(DNNL_ARG_DIFF_DST, 1, x);
  primitive->output(DNNL_ARG_DIFF_SRC, 0, x);
  KernelPlan plan = plan_of(std::move(primitive), {Layout::plain(), Layout::plain()}, {Layout::plain()});
  plan.in_place = {{.output = 0, .input = 1}};
  return plan;
}

}  // namespace nacre::onednn
