// Matrix products by the library; what it has nothing for, whole numbers among it, is a loop for each element.
#include "backend/graph/ops/matmul.h"

#include <fmt/format.h>

#include "backend/cudnn/backend.h"
#include "backend/cudnn/epilogue.h"
#include "backend/cudnn/library_kernel.h"
#include "backend/reference/kernel.h"

namespace nacre::gpu {

namespace {

// An operand as another type that it broadcasts to.
std::unique_ptr<Kernel> broadcast_operand(Device& device, const Type& from, const Type& to) {
  const std::string place = offset("i", to.shape, reference::broadcast_strides(from.shape, to.shape));
  return rewritten(device, from, to, store(to.dtype, "out0", "i", load(from.dtype, "in0", place)));
}

Shape batch_of(const Shape& shape) { return shape.first(shape.rank() - 2); }
Shape matrix_of(const Shape& shape) { return shape.from(shape.rank() - 2); }

// One of the two factors: how the matrices of the batch follow each other in it. Where its leading axes broadcast in
// another way than as one, it must be repeated.
struct Factor {
  Type type;
  std::int64_t stride = 0;
  bool repeated = false;
  Factor(const Type& given, const Shape& batch) : type(given) {
    const std::int64_t matrices = batch_of(type.shape).elements();
    repeated = matrices != 1 && matrices != batch.elements();
    if (repeated) type.shape = batch + matrix_of(type.shape);
    if (matrices != 1) stride = matrix_of(type.shape).elements();
  }
};

// What the library is asked for, at most.
MatMulDescription describe(const KernelRequest& request, const Factor& a, const Factor& b) {
  const auto& p = request.node.attrs<MatMulAttrs>();
  const Type& y = request.node.types()[0];
  MatMulDescription description{.m = y.shape[-2],
                                .n = y.shape[-1],
                                .k = a.type.shape[p.transpose_a ? -2 : -1],
                                .transpose_a = p.transpose_a,
                                .transpose_b = p.transpose_b,
                                .batch = batch_of(y.shape).elements(),
                                .stride_a = a.stride,
                                .stride_b = b.stride,
                                .dtype = y.dtype,
                                .bias = p.epilogue.bias,
                                .residual = p.epilogue.residual,
                                .relu = p.epilogue.activation == EpilogueKind::relu,
                                .tensor_float32 = request.numerics.matmul_precision != MatmulPrecision::highest};
  // One matrix b for all of a's: they are the rows of one matrix.
  if (description.batch > 1 && description.stride_b == 0 && !description.transpose_a) {
    description.m *= description.batch;
    description.batch = 1, description.stride_a = 0;
  }
  return description;
}

// A plan without a kernel where the library has nothing for it.
KernelPlan by_library(const KernelRequest& request) {
  const auto& p = request.node.attrs<MatMulAttrs>();
  const Type& y = request.node.types()[0];
  const Factor a(request.node.in(0).type(), batch_of(y.shape)), b(request.node.in(1).type(), batch_of(y.shape));
  MatMulDescription description = describe(request, a, b);
  Device& device = device_of(request);
  std::unique_ptr<Work> work = device.matmul(description);
  Epilogue rest = p.epilogue;  // that is left for a kernel of ours
  if (work) {
    rest.bias = rest.residual = false;
    if (description.relu) rest = {};
  } else if (!rest.empty()) {
    description.bias = description.residual = description.relu = false;
    work = device.matmul(description);
  }
  KernelPlan plan = plan_on_device(request);
  if (!work) return plan;
  auto kernel = std::make_unique<LibraryKernel>(std::move(work));
  if (a.repeated) kernel->rewrite(0, broadcast_operand(device, request.node.in(0).type(), a.type), a.type.bytes());
  if (b.repeated) kernel->rewrite(1, broadcast_operand(device, request.node.in(1).type(), b.type), b.type.bytes());
  if (description.bias && request.node.in(2).dtype() != y.dtype) {
    const Type bias{y.dtype, request.node.in(2).shape()};
    kernel->rewrite(2, broadcast_operand(device, request.node.in(2).type(), bias), bias.bytes());
  }
  if (description.residual) plan.in_place.push_back({0, static_cast<int>(request.node.inputs().size()) - 1});
  kernel->then(epilogue_kernel(request, rest, 2));
  plan.scratch_bytes = kernel->scratch_bytes();
  plan.kernel = std::move(kernel);
  return plan;
}

KernelPlan by_loops(const KernelRequest& request) {
  const auto& p = request.node.attrs<MatMulAttrs>();
  const Type &a = request.node.in(0).type(), &b = request.node.in(1).type(), &y = request.node.types()[0];
  const std::int64_t m = y.shape[-2], n = y.shape[-1], k = a.shape[p.transpose_a ? -2 : -1];
  const Shape batch = batch_of(y.shape);
  const auto first_of = [&](const Shape& shape) {  // the first element of the matrix
    std::vector<std::int64_t> strides = reference::broadcast_strides(batch_of(shape), batch);
    for (std::int64_t& stride : strides) stride *= matrix_of(shape).elements();
    return offset("matrix", batch, strides);
  };
  return over_elements(
      request,
      fmt::format(
          "const integer matrix = i / {}, row = i / {} % {}, column = i % {}, a = {}, b = {};\n"
          "    {} y = 0;\n    for (integer l = 0; l < {}; ++l) y += {} * {};\n{}    {}\n",
          std::max<std::int64_t>(m * n, 1), std::max<std::int64_t>(n, 1), std::max<std::int64_t>(m, 1),
          std::max<std::int64_t>(n, 1), first_of(a.shape), first_of(b.shape), sum_type(y.dtype), k,
          load(a.dtype, "in0", p.transpose_a ? fmt::format("a + l * {} + row", m) : fmt::format("a + row * {} + l", k)),
          load(b.dtype, "in1",
               p.transpose_b ? fmt::format("b + column * {} + l", k) : fmt::format("b + l * {} + column", n)),
          epilogue_text(p.epilogue, operand_types(request), 2, y),
          store(y.dtype, "out0", "i", y.dtype == DType::boolean ? "y != 0" : "y")));
}

}  // namespace

KernelPlan matmul(const KernelRequest& request) {
  const Type& y = request.node.types()[0];
  if (is_floating(y.dtype) && y.shape.elements() > 0 && request.node.in(0).shape().elements() > 0)
    if (KernelPlan plan = by_library(request); plan.kernel) return plan;
  return by_loops(request);
}

}  // namespace nacre::gpu
