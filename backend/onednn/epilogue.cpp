#include "backend/onednn/kernels.h"

namespace nacre::onednn {

dnnl::primitive_attr epilogue_attributes(const Epilogue& epilogue) {
  dnnl::post_ops operations;
  if (epilogue.residual) operations.append_sum(1.0f);
  switch (epilogue.activation) {
    case EpilogueKind::none: break;
    case EpilogueKind::relu: operations.append_eltwise(dnnl::algorithm::eltwise_relu, 0.0f, 0.0f); break;
    case EpilogueKind::tanh: operations.append_eltwise(dnnl::algorithm::eltwise_tanh, 0.0f, 0.0f); break;
    case EpilogueKind::sigmoid: operations.append_eltwise(dnnl::algorithm::eltwise_logistic, 0.0f, 0.0f); break;
  }
  dnnl::primitive_attr attributes = onednn::attributes();
  attributes.set_post_ops(operations);
  return attributes;
}

void bind_epilogue(const Epilogue& epilogue, int first, const Desc& bias, const Type& y, PrimitiveKernel& kernel,
                   KernelPlan& plan) {
  int operand = first;
  if (epilogue.bias) {
    kernel.input(DNNL_ARG_BIAS, operand++, bias);
    plan.inputs.push_back(Layout::plain());
  }
  if (epilogue.residual) {
    const Layout layout = plan.outputs[0];
    kernel.accumulate(operand, layout.bytes(y));
    plan.inputs.push_back(layout);
    plan.in_place.push_back({.output = 0, .input = operand});
  }
}

}  // namespace nacre::onednn
