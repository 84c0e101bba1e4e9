// Ops that move elements. All but transpose and views take and give plain layout.
#include "backend/graph/ops/shape.h"

#include <cstring>

#include "backend/core/parallel.h"
#include "backend/onednn/elementwise/blocked.h"
#include "backend/onednn/kernels.h"
#include "backend/onednn/strided_copy.h"
#include "backend/reference/kernel.h"

namespace nacre::onednn {
namespace {

using reference::plain_kernel;

constexpr std::int64_t grain = 1 << 14;  // elements worth a thread

// The part of a row-major tensor that begins at `begin` and takes every `step`-th element.
Box part_of(const Shape& whole, const std::vector<std::int64_t>& begin, const std::vector<std::int64_t>& step) {
  Box box = dense_box(whole);
  for (std::size_t axis = 0; axis < begin.size(); ++axis) {
    box.base += begin[axis] * box.strides[axis];
    box.strides[axis] *= step[axis];
  }
  return box;
}

// The result is read from a box of the operand.
KernelPlan read_box(const KernelRequest& request, const Box& from) {
  const Type& y = request.node.types()[0];
  return plain_kernel(
      request, [copy = StridedCopy(y.dtype, y.shape, dense_box(y.shape), from)](const KernelArguments& arguments) {
        copy(arguments.outputs[0], arguments.inputs[0]);
      });
}

template <class Element>
void fill(void* to, std::int64_t count, Element value) {
  parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
    std::fill(static_cast<Element*>(to) + begin, static_cast<Element*>(to) + end, value);
  });
}

}  // namespace

KernelPlan as_it_lies(const KernelRequest& request) {
  KernelPlan plan;
  plan.inputs.assign(request.inputs.size(), Layout::any());
  plan.outputs = {request.inputs[0]};
  return plan;
}

namespace {

// Channels in blocks stay there when spatial axes are joined or split, and when all axes but the batch become one: a
// layout with an axis for the spatial ones and one for the channels, which products keep to (matmul.cpp).
std::optional<Layout> view_of_blocks(const Layout& layout, const Type& x, const Type& y) {
  if (!layout.detail() || y.shape.rank() < 2 || x.shape[0] != y.shape[0]) return {};
  const Desc desc = channels_first(desc_of(layout, x));
  const auto block = channel_block(desc);
  if (!block || is_padded(desc) || desc.get_data_type() != data_type(x.dtype)) return {};
  const std::int64_t channels = desc.get_dims()[1];
  if (y.shape.rank() == 2) {
    const std::int64_t places = y.shape[1] / channels;
    if (places == 1 || channels == *block) return Layout::plain();  // the same bytes
    return layout_of(channels_last(in_channel_blocks({y.shape[0], channels, places}, desc.get_data_type(), *block)), y);
  }
  if (y.shape.rank() > 5 || y.shape[-1] != channels) return {};
  return layout_of(channels_last(in_channel_blocks(channels_first(y.shape), desc.get_data_type(), *block)), y);
}

}  // namespace

KernelPlan view(const KernelRequest& request) {
  KernelPlan plan = reference::view(request);
  if (auto blocks = view_of_blocks(request.inputs[0], request.node.in(0).type(), request.node.types()[0])) {
    plan.inputs[0] = request.inputs[0];
    plan.outputs[0] = *std::move(blocks);
    return plan;
  }
  const Shape &x = request.node.in(0).shape(), &y = request.node.types()[0].shape;
  const int outer = x.rank() - 2;
  const bool regrouped = outer >= 1 && y.rank() == x.rank() && x.first(outer) == y.first(outer);
  if (!regrouped) return plan;
  // Channels and filters of a grouped kernel, which its layouts have as axes of their own.
  if (request.inputs[0].is_any()) {
    plan.inputs[0] = plan.outputs[0] = Layout::any();
  } else if (request.inputs[0].detail()) {
    const Layout& layout = request.inputs[0];
    const Desc desc = desc_of(layout, request.node.in(0).type());
    if (desc.get_ndims() == x.rank() + 1) plan.inputs[0] = plan.outputs[0] = layout;
  }
  return plan;
}

KernelPlan transpose(const KernelRequest& request) {
  const Type &x = request.node.in(0).type(), &y = request.node.types()[0];
  const auto& axes = request.node.attrs<TransposeAttrs>().axes;
  if (!data_type(x.dtype) || x.shape.rank() < 2 || x.shape.elements() == 0) {
    const Box from = dense_box(x.shape);
    Box permuted;
    for (std::int64_t axis : axes) permuted.strides.push_back(from.strides[static_cast<std::size_t>(axis)]);
    return read_box(request, permuted);
  }
  // oneDNN's reorder walks both sides in blocks; it reads any layout whose axes are the value's.
  Desc from = desc_of(request.inputs[0], x);
  if (from.get_dims() != plain_desc(x).get_dims()) from = plain_desc(x);
  std::vector<int> permutation(axes.size());  // axis i of x becomes axis permutation[i]
  for (std::size_t i = 0; i < axes.size(); ++i) permutation[static_cast<std::size_t>(axes[i])] = static_cast<int>(i);
  const Desc permuted = from.permute_axes(permutation), to = plain_desc(y);
  const dnnl::reorder::primitive_desc made(engine(), permuted, engine(), to, attributes());
  auto primitive = std::make_unique<PrimitiveKernel>(dnnl::reorder(made), made.scratchpad_desc());
  primitive->input(DNNL_ARG_FROM, 0, permuted);
  primitive->output(DNNL_ARG_TO, 0, to);
  return plan_of(std::move(primitive), {layout_of(from, x)}, {Layout::plain()});
}

namespace {

// In blocks of channels, where the reader wants them: what is repeated is the row-major order of both.
std::optional<KernelPlan> broadcast_to_blocks(const KernelRequest& request) {
  const Type& y = request.node.types()[0];
  if (!request.wanted.detail() || is_packed(request.wanted) || !layout_in_order_of(request.wanted, y, y)) return {};
  const Desc desc = desc_of(request.wanted, y);
  if (desc.get_data_type() != data_type(y.dtype)) return {};
  const auto from = is_padded(desc) ? std::nullopt : operand_in_blocks(request.node.in(0).shape(), y.shape, desc.get_inner_blks()[0]);
  if (!from) return {};
  const Shape to = shape_in_blocks(y.shape, desc.get_inner_blks()[0]);
  const StridedCopy copy(y.dtype, to, dense_box(to), {reference::broadcast_strides(*from, to), 0});
  KernelPlan plan = plain_kernel(
      request, [copy](const KernelArguments& arguments) { copy(arguments.outputs[0], arguments.inputs[0]); });
  plan.outputs = {request.wanted};
  return plan;
}

}  // namespace

KernelPlan broadcast(const KernelRequest& request) {
  const Shape& y = request.node.types()[0].shape;
  if (auto plan = broadcast_to_blocks(request)) return *std::move(plan);
  return read_box(request, {reference::broadcast_strides(request.node.in(0).shape(), y), 0});
}

KernelPlan slice(const KernelRequest& request) {
  const auto& p = request.node.attrs<SliceAttrs>();
  return read_box(request, part_of(request.node.in(0).shape(), p.begin, p.stride));
}

KernelPlan slice_gradient(const KernelRequest& request) {
  const auto& p = request.node.attrs<SliceAttrs>();
  const Type& result = request.node.types()[0];
  const Shape& dy = request.node.in(0).shape();
  const StridedCopy copy(result.dtype, dy, part_of(result.shape, p.begin, p.stride), dense_box(dy));
  return plain_kernel(request,
                      [bytes = static_cast<std::int64_t>(result.bytes()), copy](const KernelArguments& arguments) {
                        fill(arguments.outputs[0], bytes, std::byte{0});
                        copy(arguments.outputs[0], arguments.inputs[0]);
                      });
}

KernelPlan reverse(const KernelRequest& request) {
  const Shape& y = request.node.types()[0].shape;
  Box from = dense_box(y);
  for (std::int64_t axis : request.node.attrs<AxesAttrs>().axes) {
    std::int64_t& stride = from.strides[static_cast<std::size_t>(axis)];
    from.base += (y[static_cast<int>(axis)] - 1) * stride;
    stride = -stride;
  }
  return read_box(request, from);
}

KernelPlan pad(const KernelRequest& request) {
  const auto& p = request.node.attrs<PadAttrs>();
  const Type& y = request.node.types()[0];
  const Shape& x = request.node.in(0).shape();
  const Box middle = part_of(y.shape, p.before, std::vector<std::int64_t>(p.before.size(), 1));
  return visit(y.dtype, [&]<class T>(T*) {
    return plain_kernel(request,
                        [value = convert<T>(p.value), count = y.shape.elements(),
                         copy = StridedCopy(y.dtype, x, middle, dense_box(x))](const KernelArguments& arguments) {
                          fill(arguments.outputs[0], count, value);
                          copy(arguments.outputs[0], arguments.inputs[0]);
                        });
  });
}

KernelPlan concat(const KernelRequest& request) {
  const Type& y = request.node.types()[0];
  const int axis = static_cast<int>(request.node.attrs<AxisAttrs>().axis);
  std::vector<StridedCopy> copies;
  Box to = dense_box(y.shape);
  for (Value value : request.node.inputs()) {
    copies.emplace_back(y.dtype, value.shape(), to, dense_box(value.shape()));
    to.base += value.shape()[axis] * to.strides[static_cast<std::size_t>(axis)];
  }
  return plain_kernel(request, [copies = std::move(copies)](const KernelArguments& arguments) {
    for (std::size_t i = 0; i < copies.size(); ++i) copies[i](arguments.outputs[0], arguments.inputs[i]);
  });
}

KernelPlan iota(const KernelRequest& request) {
  const Type& y = request.node.types()[0];
  const auto sizes = reference::around(y.shape, request.node.attrs<IotaAttrs>().axis);
  return visit(y.dtype, [&]<class T>(T*) {
    return plain_kernel(request, [sizes](const KernelArguments& arguments) {
      parallel_for(sizes.outer * sizes.axis, std::max<std::int64_t>(grain / sizes.inner, 1),
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t i = begin; i < end; ++i)
                       std::fill_n(static_cast<T*>(arguments.outputs[0]) + i * sizes.inner, sizes.inner,
                                   convert<T>(i % sizes.axis));
                   });
    });
  });
}

}  // namespace nacre::onednn
