// Layer normalisation. oneDNN's variance is the biased one, like the op's.
#include "backend/graph/ops/normalization.h"

#include "backend/onednn/kernels.h"

namespace nacre::onednn {
namespace {

dnnl::normalization_flags scale_and_shift() {
  return dnnl::normalization_flags::use_scale | dnnl::normalization_flags::use_shift;
}

Desc rows(const Type& x) {
  return plain_desc(Type{x.dtype, {x.shape.first(x.shape.rank() - 1).elements(), x.shape[-1]}});
}

// oneDNN wants statistics and parameters in float32.
bool has_float32_parameters(const KernelRequest& request) { return request.node.in(1).dtype() == DType::float32; }

// (x, gamma, beta) → y, mean, variance. `statistics` is their descriptor.
KernelPlan plan_forward(const dnnl::primitive& made, const Desc& scratchpad, const Desc& x, const Desc& parameters,
                        const Desc& statistics) {
  auto primitive = std::make_unique<PrimitiveKernel>(made, scratchpad);
  primitive->input(DNNL_ARG_SRC, 0, x);
  primitive->input(DNNL_ARG_SCALE, 1, parameters);
  primitive->input(DNNL_ARG_SHIFT, 2, parameters);
  primitive->output(DNNL_ARG_DST, 0, x);
  primitive->output(DNNL_ARG_MEAN, 1, statistics);
  primitive->output(DNNL_ARG_VARIANCE, 2, statistics);
  const Layout plain = Layout::plain();
  KernelPlan plan = plan_of(std::move(primitive), {plain, plain, plain}, {plain, plain, plain});
  plan.in_place = {{.output = 0, .input = 0}};
  return plan;
}

// (x, gamma, mean, variance, dy) → dx, dgamma, dbeta.
KernelPlan plan_backward(std::unique_ptr<PrimitiveKernel> primitive, const Desc& x, const Desc& parameters,
                         const Desc& statistics) {
  primitive->input(DNNL_ARG_SRC, 0, x);
  primitive->input(DNNL_ARG_SCALE, 1, parameters);
  primitive->input(DNNL_ARG_MEAN, 2, statistics);
  primitive->input(DNNL_ARG_VARIANCE, 3, statistics);
  primitive->input(DNNL_ARG_DIFF_DST, 4, x);
  primitive->output(DNNL_ARG_DIFF_SRC, 0, x);
  primitive->output(DNNL_ARG_DIFF_SCALE, 1, parameters);
  primitive->output(DNNL_ARG_DIFF_SHIFT, 2, parameters);
  const Layout plain = Layout::plain();
  KernelPlan plan = plan_of(std::move(primitive), {plain, plain, plain, plain, plain}, {plain, plain, plain});
  plan.in_place = {{.output = 0, .input = 4}};
  return plan;
}

float epsilon_of(const KernelRequest& request) {
  return static_cast<float>(request.node.attrs<EpsilonAttrs>().epsilon);
}

}  // namespace

KernelPlan layer_norm(const KernelRequest& request) {
  if (!has_float32_parameters(request)) return borrowed(request);
  const Desc x = rows(request.node.in(0).type()), parameters = plain_desc(request.node.in(1).type());
  const Desc statistics = plain_desc(Type{DType::float32, {x.get_dims()[0]}});
  const dnnl::layer_normalization_forward::primitive_desc made(engine(), dnnl::prop_kind::forward_training, x, x,
                                                               statistics, epsilon_of(request), scale_and_shift(),
                                                               attributes());
  return plan_forward(dnnl::layer_normalization_forward(made), made.scratchpad_desc(), x, parameters, statistics);
}

KernelPlan layer_norm_backward(const KernelRequest& request) {
  if (!has_float32_parameters(request)) return borrowed(request);
  const Desc x = rows(request.node.in(0).type()), parameters = plain_desc(request.node.in(1).type());
  const Desc statistics = plain_desc(Type{DType::float32, {x.get_dims()[0]}});
  const float epsilon = epsilon_of(request);
  const dnnl::layer_normalization_forward::primitive_desc hint(engine(), dnnl::prop_kind::forward_training, x, x,
                                                               statistics, epsilon, scale_and_shift(), attributes());
  const dnnl::layer_normalization_backward::primitive_desc made(
      engine(), dnnl::prop_kind::backward, x, x, x, statistics, epsilon, scale_and_shift(), hint, attributes());
  auto primitive = std::make_unique<PrimitiveKernel>(dnnl::layer_normalization_backward(made), made.scratchpad_desc());
  primitive->input(DNNL_ARG_SHIFT, 1, parameters);  // oneDNN 3.2 asks for a shift here, whose elements it does not read
  return plan_backward(std::move(primitive), x, parameters, statistics);
}

}  // namespace nacre::onednn
