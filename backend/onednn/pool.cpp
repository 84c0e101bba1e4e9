// Pooling. The order of the operand is kept. The workspace is oneDNN's: places within windows, as the op wants them,
// but in bytes where the window is small enough.
#include "backend/graph/ops/pool.h"

#include "backend/onednn/kernels.h"

namespace nacre::onednn {
namespace {

using Tag = dnnl::memory::format_tag;

struct Geometry {
  Dims window, strides, dilations, before, after;

  Geometry(const PoolAttrs& p, const Shape& x) : window(p.window), strides(p.strides), dilations(p.window.size(), 0) {
    for (const WindowAxis& axis : window_axes(p, x)) {
      before.push_back(axis.before);
      after.push_back(axis.after);
    }
  }
};

dnnl::pooling_forward::primitive_desc forward(dnnl::algorithm algorithm, const Desc& x, const Desc& y,
                                              const Geometry& at) {
  return {engine(),    dnnl::prop_kind::forward_training,
          algorithm,   x,
          y,           at.strides,
          at.window,   at.dilations,
          at.before,   at.after,
          attributes()};
}

Desc any_order(const Type& type) {
  return Desc(channels_first(type.shape), channels_first(plain_desc(type)).get_data_type(), Tag::any);
}

KernelPlan plan_forward(const KernelRequest& request, dnnl::algorithm algorithm) {
  const Type &x = request.node.in(0).type(), &y = request.node.types()[0];
  const Geometry at(request.node.attrs<PoolAttrs>(), x.shape);
  const auto made = forward(algorithm, channels_first(desc_of(request.inputs[0], x)), any_order(y), at);
  auto primitive = std::make_unique<PrimitiveKernel>(dnnl::pooling_forward(made), made.scratchpad_desc());
  primitive->input(DNNL_ARG_SRC, 0, made.src_desc());
  primitive->output(DNNL_ARG_DST, 0, made.dst_desc());
  std::vector<Layout> outputs = {layout_of(channels_last(made.dst_desc()), y)};
  if (algorithm == dnnl::algorithm::pooling_max) {
    primitive->output(DNNL_ARG_WORKSPACE, 1, made.workspace_desc());
    outputs.push_back(layout_of(channels_last(made.workspace_desc()), request.node.types()[1]));
  }
  return plan_of(std::move(primitive), {layout_of(channels_last(made.src_desc()), x)}, std::move(outputs));
}

// dy is the last operand; the first one tells the order.
KernelPlan plan_backward(const KernelRequest& request, dnnl::algorithm algorithm) {
  const int last = static_cast<int>(request.inputs.size()) - 1;
  const Type &dy = request.node.in(last).type(), &dx = request.node.types()[0];
  const Geometry at(request.node.attrs<PoolBackwardAttrs>().pool, dx.shape);
  const Desc order = channels_first(desc_of(request.inputs[0], request.node.in(0).type()));
  auto ordered = [&](const Type& type) { return in_order_of(order, type).value_or(channels_first(plain_desc(type))); };
  const Desc x = ordered(dx), y = ordered(dy);
  const auto hint = forward(algorithm, x, y, at);
  const dnnl::pooling_backward::primitive_desc made(engine(), algorithm, x, y, at.strides, at.window, at.dilations,
                                                    at.before, at.after, hint, attributes());
  auto primitive = std::make_unique<PrimitiveKernel>(dnnl::pooling_backward(made), made.scratchpad_desc());
  std::vector<Layout> inputs;
  if (algorithm == dnnl::algorithm::pooling_max) {
    primitive->input(DNNL_ARG_WORKSPACE, 0, made.workspace_desc());
    inputs.push_back(layout_of(channels_last(made.workspace_desc()), request.node.in(0).type()));
  }
  primitive->input(DNNL_ARG_DIFF_DST, last, y);
  inputs.push_back(layout_of(channels_last(y), dy));
  primitive->output(DNNL_ARG_DIFF_SRC, 0, x);
  return plan_of(std::move(primitive), std::move(inputs), {layout_of(channels_last(x), dx)});
}

}  // namespace

KernelPlan max_pool(const KernelRequest& request) { return plan_forward(request, dnnl::algorithm::pooling_max); }

KernelPlan max_pool_backward(const KernelRequest& request) {
  return plan_backward(request, dnnl::algorithm::pooling_max);
}

KernelPlan average_pool(const KernelRequest& request) {
  return plan_forward(request, dnnl::algorithm::pooling_avg_exclude_padding);
}

KernelPlan average_pool_backward(const KernelRequest& request) {
  return plan_backward(request, dnnl::algorithm::pooling_avg_exclude_padding);
}

}  // namespace nacre::onednn
