#include "backend/onednn/kernels.h"

namespace nacre::onednn {

dnnl::primitive_attr epilogue_attributes(const Epilogue& epilogue) {
  dnnl::post_ops operations;
  if (epilogue.residual) operations.append_sum(1.0f);
  const auto append = [&](dnnl::algorithm algorithm, double alpha = 0, double beta = 0) {
    operations.append_eltwise(algorithm, static_cast<float>(alpha), static_cast<float>(beta));
  };
  switch (epilogue.activation) {
    case EpilogueKind::none: break;
    case EpilogueKind::relu: append(dnnl::algorithm::eltwise_relu); break;
    case EpilogueKind::tanh: append(dnnl::algorithm::eltwise_tanh); break;
    case EpilogueKind::sigmoid: append(dnnl::algorithm::eltwise_logistic); break;
    case EpilogueKind::clip: append(dnnl::algorithm::eltwise_clip_v2, epilogue.alpha, epilogue.beta); break;
    case EpilogueKind::leaky_relu: append(dnnl::algorithm::eltwise_relu, epilogue.alpha); break;
    case EpilogueKind::elu: append(dnnl::algorithm::eltwise_elu, epilogue.alpha); break;
    case EpilogueKind::silu: append(dnnl::algorithm::eltwise_swish, 1); break;
    case EpilogueKind::hard_silu: append(dnnl::algorithm::eltwise_hardswish, epilogue.alpha, epilogue.beta); break;
    case EpilogueKind::gelu: append(dnnl::algorithm::eltwise_gelu_erf); break;
  }
  dnnl::primitive_attr attributes = onednn::attributes();
  attributes.set_post_ops(operations);
  return attributes;
}

void append_epilogue(const Epilogue& epilogue, int first, KernelPlan& plan) {
  if (epilogue.bias) plan.inputs.push_back(Layout::plain());
  if (!epilogue.residual) return;
  plan.inputs.push_back(plan.outputs[0]);
  plan.in_place.push_back({.output = 0, .input = first + (epilogue.bias ? 1 : 0)});
}

void bind_epilogue(const Epilogue& epilogue, int first, const Desc& bias, const Type& y, PrimitiveKernel& kernel,
                   KernelPlan& plan) {
  if (epilogue.bias) kernel.input(DNNL_ARG_BIAS, first, bias);
  if (epilogue.residual) kernel.accumulate(first + (epilogue.bias ? 1 : 0), plan.outputs[0].bytes(y));
  append_epilogue(epilogue, first, plan);
}

}  // namespace nacre::onednn
