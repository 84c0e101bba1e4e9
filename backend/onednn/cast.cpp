// Casts are element-wise, but for those of weights that products want in another order than their variable has: one
// walk does both.
#include "backend/onednn/elementwise/elementwise.h"
#include "backend/onednn/kernels.h"

namespace nacre::onednn {

namespace {

std::optional<KernelPlan> cast_into_order(const KernelRequest& request) try {
  const Layout &given = request.inputs[0], &wanted = request.wanted;
  const Type &x = request.node.in(0).type(), &y = request.node.types()[0];
  if (given.is_any() || wanted.is_any() || (!given.detail() && !wanted.detail()) || is_packed(wanted)) return {};
  if (!data_type(x.dtype) || !data_type(y.dtype) || !is_floating(x.dtype) || !is_floating(y.dtype)) return {};
  if (weights_layout_for(wanted, y, x) == given) return {};  // the loops are as fast
  Desc from = desc_of(given, x), to = desc_of(wanted, y);
  if (!given.detail()) from = from.reshape(to.get_dims());  // groups have an axis of their own
  if (!wanted.detail()) to = to.reshape(from.get_dims());
  if (from.get_dims() != to.get_dims() || to.get_data_type() != data_type(y.dtype)) return {};
  const dnnl::reorder::primitive_desc made(engine(), from, engine(), to);
  auto primitive = std::make_unique<PrimitiveKernel>(dnnl::reorder(made), made.scratchpad_desc());
  primitive->input(DNNL_ARG_FROM, 0, from);
  primitive->output(DNNL_ARG_TO, 0, to);
  return plan_of(std::move(primitive), {given}, {wanted});
} catch (const dnnl::error&) {  // not implemented for these orders
  return {};
}

}  // namespace

KernelPlan cast(const KernelRequest& request) {
  if (auto plan = cast_into_order(request)) return *std::move(plan);
  return elementwise(request);
}

}  // namespace nacre::onednn
