#include "backend/graph/ops/shape.h"

#include <cstring>

#include "backend/reference/kernel.h"
#include "backend/reference/kernels.h"

namespace nacre::reference {

namespace {

// Moves elements bit for bit, whatever their type: the walk gives the places written and read.
class Move {
 public:
  Move(DType dtype, Walk<2> walk) : size_(size_of(dtype)), walk_(std::move(walk)) {}

  void operator()(void* to, const void* from) const {
    walk_([&](std::int64_t target, std::int64_t source) {
      std::memcpy(static_cast<std::byte*>(to) + target * static_cast<std::int64_t>(size_),
                  static_cast<const std::byte*>(from) + source * static_cast<std::int64_t>(size_), size_);
    });
  }

 private:
  std::size_t size_;
  Walk<2> walk_;
};

KernelPlan move_kernel(const KernelRequest& request, Walk<2> walk) {
  return plain_kernel(request, [move = Move(request.node.types()[0].dtype, std::move(walk))](const KernelArguments& arguments) {
    move(arguments.outputs[0], arguments.inputs[0]);
  });
}

// Strides and base of a slice within a row-major tensor.
struct Window {
  std::vector<std::int64_t> strides;
  std::int64_t base = 0;
};
Window window(const Shape& whole, const std::vector<std::int64_t>& begin, const std::vector<std::int64_t>& step) {
  Window result{row_major_strides(whole)};
  for (std::size_t axis = 0; axis < begin.size(); ++axis) {
    result.base += begin[axis] * result.strides[axis];
    result.strides[axis] *= step[axis];
  }
  return result;
}

}  // namespace

KernelPlan transpose(const KernelRequest& request) {
  const Shape& y = request.node.types()[0].shape;
  const std::vector<std::int64_t> strides = row_major_strides(request.node.in(0).shape());
  std::vector<std::int64_t> permuted;
  for (std::int64_t axis : request.node.attrs<TransposeAttrs>().axes) permuted.push_back(strides[static_cast<std::size_t>(axis)]);
  return move_kernel(request, Walk<2>(y, {row_major_strides(y), permuted}));
}

KernelPlan broadcast_to(const KernelRequest& request) {
  const Shape& y = request.node.types()[0].shape;
  return move_kernel(request, Walk<2>(y, {row_major_strides(y), broadcast_strides(request.node.in(0).shape(), y)}));
}

KernelPlan sum_like(const KernelRequest& request) {
  const Shape& x = request.node.in(0).shape();
  return compute(request, [walk = Walk<1>(x, {broadcast_strides(request.node.types()[0].shape, x)})](Operands in, Results y) {
    std::int64_t i = 0;
    walk([&](std::int64_t target) { y[0][target] += in[0][i++]; });
  });
}

KernelPlan slice(const KernelRequest& request) {
  const auto& p = request.node.attrs<SliceAttrs>();
  const Shape& y = request.node.types()[0].shape;
  const Window taken = window(request.node.in(0).shape(), p.begin, p.stride);
  return move_kernel(request, Walk<2>(y, {row_major_strides(y), taken.strides}, {0, taken.base}));
}

KernelPlan slice_gradient(const KernelRequest& request) {
  const auto& p = request.node.attrs<SliceAttrs>();
  const Type& result = request.node.types()[0];
  const Shape& dy = request.node.in(0).shape();
  const Window taken = window(result.shape, p.begin, p.stride);
  return plain_kernel(request, [bytes = result.bytes(), move = Move(result.dtype, Walk<2>(dy, {taken.strides, row_major_strides(dy)}, {taken.base, 0}))](
                                   const KernelArguments& arguments) {
    std::memset(arguments.outputs[0], 0, bytes);
    move(arguments.outputs[0], arguments.inputs[0]);
  });
}

KernelPlan pad(const KernelRequest& request) {
  const auto& p = request.node.attrs<PadAttrs>();
  const Shape& x = request.node.in(0).shape();
  const Window middle = window(request.node.types()[0].shape, p.before, std::vector<std::int64_t>(p.before.size(), 1));
  return compute(request, [value = p.value, walk = Walk<1>(x, {middle.strides}, {middle.base})](Operands in, Results y) {
    for (double& element : y[0].values) element = value;
    std::int64_t i = 0;
    walk([&](std::int64_t target) { y[0][target] = in[0][i++]; });
  });
}

KernelPlan concat(const KernelRequest& request) {
  const Type& result = request.node.types()[0];
  const auto axis = request.node.attrs<AxisAttrs>().axis;
  const std::vector<std::int64_t> strides = row_major_strides(result.shape);
  std::vector<Move> moves;
  std::int64_t base = 0;
  for (Value value : request.node.inputs()) {
    moves.emplace_back(result.dtype, Walk<2>(value.shape(), {strides, row_major_strides(value.shape())}, {base, 0}));
    base += value.shape()[static_cast<int>(axis)] * strides[static_cast<std::size_t>(axis)];
  }
  return plain_kernel(request, [moves = std::move(moves)](const KernelArguments& arguments) {
    for (std::size_t i = 0; i < moves.size(); ++i) moves[i](arguments.outputs[0], arguments.inputs[i]);
  });
}

KernelPlan reverse(const KernelRequest& request) {
  const Shape& y = request.node.types()[0].shape;
  std::vector<std::int64_t> strides = row_major_strides(y);
  std::int64_t base = 0;
  for (std::int64_t axis : request.node.attrs<AxesAttrs>().axes) {
    std::int64_t& stride = strides[static_cast<std::size_t>(axis)];
    base += (y[static_cast<int>(axis)] - 1) * stride;
    stride = -stride;
  }
  return move_kernel(request, Walk<2>(y, {row_major_strides(y), strides}, {0, base}));
}

KernelPlan iota(const KernelRequest& request) {
  return compute(request, [sizes = around(request.node.types()[0].shape, request.node.attrs<IotaAttrs>().axis)](Operands, Results y) {
    for (std::int64_t i = 0; i < sizes.outer * sizes.axis * sizes.inner; ++i)
      y[0][i] = static_cast<double>(i / sizes.inner % sizes.axis);
  });
}

}  // namespace nacre::reference
