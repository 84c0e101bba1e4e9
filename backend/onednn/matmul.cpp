// Matrix products. Operands are plain: blocked weights were not faster than plain ones on Zen 4 (0.98–1.02 of the time
// for batches of 128 and more, two threads), and training would reorder their gradients. Nor was inner_product.
// Columns of flattened blocks of channels are taken as they lie, for a sum does not ask in which order it is made: the
// rows of the weights that they meet lie likewise, and so do their gradients.
#include "backend/graph/ops/matmul.h"

#include <numeric>

#include "backend/onednn/kernels.h"

namespace nacre::onednn {
namespace {

// Sizes of the operands and the result with equally many axes; a size of 1 is repeated.
struct Sizes {
  Dims a, b, y;
};

Sizes sizes_of(const MatMulAttrs& p, const Shape& a, const Shape& b, const Shape& y) {
  // The rows of all matrices are rows of one matrix when they meet the same second operand.
  if (!p.transpose_a && b.first(b.rank() - 2).elements() == 1) {
    const std::int64_t rows = a.first(a.rank() - 1).elements();
    return {{rows, a[-1]}, {b[-2], b[-1]}, {rows, y[-1]}};
  }
  // One axis, if any, holds all matrices when they are multiplied pair by pair.
  if (const Shape batch = a.first(a.rank() - 2); batch == b.first(b.rank() - 2)) {
    auto stacked = [count = batch.elements()](const Shape& shape) {
      return count == 1 ? Dims{shape[-2], shape[-1]} : Dims{count, shape[-2], shape[-1]};
    };
    return {stacked(a), stacked(b), stacked(y)};
  }
  auto of_rank = [&](const Shape& shape) {
    Dims dims(static_cast<std::size_t>(y.rank() - shape.rank()), 1);
    dims.insert(dims.end(), shape.begin(), shape.end());
    return dims;
  };
  return {of_rank(a), of_rank(b), of_rank(y)};
}

Desc matrices(const Dims& dims, DType dtype, bool transposed) {
  const Desc stored = plain_desc(Type{dtype, Shape(dims)});
  if (!transposed) return stored;
  std::vector<int> swapped(dims.size());
  std::iota(swapped.begin(), swapped.end(), 0);
  std::swap(swapped[swapped.size() - 2], swapped.back());
  return stored.permute_axes(swapped);
}

// How the channels of flattened blocks lie among the columns: (blocks, places, block) for (places, blocks, block).
struct FlattenedBlocks {
  std::int64_t places, blocks, block;

  static std::optional<FlattenedBlocks> in_columns(const Layout& layout, const Type& type) {
    if (!layout.detail() || type.shape.rank() != 2) return {};
    const Desc desc = channels_first(desc_of(layout, type));
    const auto block = channel_block(desc);
    if (!block || desc.get_ndims() != 3) return {};
    return FlattenedBlocks{desc.get_dims()[2], desc.get_dims()[1] / *block, *block};
  }
  static std::optional<FlattenedBlocks> in_rows(const Layout& layout, const Type& type) {
    if (!layout.detail() || type.shape.rank() != 2) return {};
    const Dims dims = desc_of(layout, type).get_dims();
    if (dims.size() != 4) return {};
    return FlattenedBlocks{dims[0], dims[1], dims[2]};
  }

  // `stored` may have other elements than `type`.
  Layout columns(const Type& type, const Type& stored) const {
    const Dims dims = {type.shape[0], blocks * block, places};
    return layout_of(channels_last(in_channel_blocks(dims, *data_type(stored.dtype), block)), type);
  }
  Layout rows(const Type& type, const Type& stored) const {
    const std::int64_t width = type.shape[1];
    return layout_of(Desc({places, blocks, block, width}, *data_type(stored.dtype),
                          {block * width, places * block * width, width, 1}),
                     type);
  }
};

// The layouts of both operands and the result, all of which are as many elements in some order.
struct Orders {
  std::vector<Layout> operands;
  Layout result = Layout::plain();
};

// Of operands as they are stored.
Orders orders_of(const KernelRequest& request, const Type& a, const Type& b) {
  const auto& p = request.node.attrs<MatMulAttrs>();
  const Type &given_a = request.node.in(0).type(), &given_b = request.node.in(1).type(), &y = request.node.types()[0];
  Orders orders{{layout_of(plain_desc(a), given_a), layout_of(plain_desc(b), given_b)}};
  if (a.shape.rank() != 2 || b.shape.rank() != 2) return orders;
  const auto flat = FlattenedBlocks::in_columns(request.inputs[0], given_a);
  // Predictions alone leave weights where they lie: a copy of them in another order is more than one of what was
  // flattened.
  const bool follows = p.transpose_a || is_trained(request.node.in(1)) ||
                       FlattenedBlocks::in_rows(request.inputs[1], given_b).has_value();
  if (flat && !p.transpose_b && follows) {
    orders.operands[0] = flat->columns(given_a, a);
    if (p.transpose_a) orders.result = flat->rows(y, y);
    else orders.operands[1] = flat->rows(given_b, b);
  } else if (const auto rows = FlattenedBlocks::in_rows(request.inputs[1], given_b);
             rows && !p.transpose_a && p.transpose_b && !p.epilogue.bias) {
    orders.operands[1] = rows->rows(given_b, b);
    orders.result = rows->columns(y, y);
  }
  return orders;
}

}  // namespace

KernelPlan matmul(const KernelRequest& request) {
  const auto& p = request.node.attrs<MatMulAttrs>();
  const bool rounds = rounds_factors(request);
  const auto factor = [&](int operand) {
    Type type = request.node.in(operand).type();
    if (rounds) type.dtype = DType::bfloat16;
    return type;
  };
  const Type a = factor(0), b = factor(1), &y = request.node.types()[0];
  const Sizes sizes = sizes_of(p, a.shape, b.shape, y.shape);
  const Desc result = matrices(sizes.y, y.dtype, false);
  Desc bias;
  if (p.epilogue.bias) {
    Dims dims(sizes.y.size(), 1);
    dims.back() = sizes.y.back();
    bias = matrices(dims, request.node.in(2).dtype(), false);
  }

  const dnnl::matmul::primitive_desc made(engine(), matrices(sizes.a, a.dtype, p.transpose_a),
                                          matrices(sizes.b, b.dtype, p.transpose_b), bias, result,
                                          epilogue_attributes(p.epilogue));
  auto primitive = std::make_unique<PrimitiveKernel>(dnnl::matmul(made), made.scratchpad_desc());
  primitive->input(DNNL_ARG_SRC, 0, made.src_desc());
  primitive->input(DNNL_ARG_WEIGHTS, 1, made.weights_desc());
  primitive->output(DNNL_ARG_DST, 0, result);

  KernelPlan plan;
  Orders orders = orders_of(request, a, b);
  plan.inputs = std::move(orders.operands);
  plan.outputs = {std::move(orders.result)};
  bind_epilogue(p.epilogue, 2, bias, y, *primitive, plan);
  if (rounds) {
    plan.at_rest = orders_of(request, request.node.in(0).type(), request.node.in(1).type()).operands;
    plan.at_rest.resize(plan.inputs.size(), Layout::plain());
  }
  plan.scratch_bytes = primitive->scratch_bytes();
  plan.kernel = std::move(primitive);
  return plan;
}

}  // namespace nacre::onednn
