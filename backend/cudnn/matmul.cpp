// Matrix products by the library.
#include "backend/graph/ops/matmul.h"

#include <optional>

#include "backend/cudnn/backend.h"
#include "backend/cudnn/kernels.h"

namespace nacre::gpu {

namespace {

class LibraryKernel final : public Kernel {
 public:
  explicit LibraryKernel(std::unique_ptr<Work> work) : work_(std::move(work)) {}
  void run(const KernelArguments& arguments) override {
    work_->run(arguments.inputs, arguments.outputs, arguments.scratch);
  }
  std::int64_t launches() const override { return 1; }

 private:
  std::unique_ptr<Work> work_;
};

// How the matrices of a batch follow each other: nothing where several leading axes broadcast in different ways.
struct Batch {
  std::int64_t count = 1, stride_a = 0, stride_b = 0;
};
std::optional<Batch> batch_of(const Shape& a, const Shape& b, const Shape& y) {
  const std::int64_t count = y.first(y.rank() - 2).elements();
  const auto stride = [&](const Shape& operand) -> std::optional<std::int64_t> {
    const std::int64_t matrices = operand.first(operand.rank() - 2).elements();
    if (matrices == count && count > 1) return operand[-1] * operand[-2];
    if (matrices == 1) return 0;
    return {};
  };
  const auto stride_a = stride(a), stride_b = stride(b);
  if (!stride_a || !stride_b) return {};
  return Batch{count, *stride_a, *stride_b};
}

}  // namespace

KernelPlan matmul(const KernelRequest& request) {
  const auto& p = request.node.attrs<MatMulAttrs>();
  const Shape &a = request.node.in(0).shape(), &b = request.node.in(1).shape();
  const Type& y = request.node.types()[0];
  const bool fits = is_floating(y.dtype) && y.shape.elements() > 0 && a.elements() > 0 && !p.epilogue.residual &&
                    (p.epilogue.activation == EpilogueKind::none || p.epilogue.activation == EpilogueKind::relu) &&
                    (!p.epilogue.bias || request.node.in(2).dtype() == y.dtype);
  const std::optional<Batch> batch = fits ? batch_of(a, b, y.shape) : std::nullopt;
  if (!batch) return borrowed(request);
  MatMulDescription description{.m = y.shape[-2],
                                .n = y.shape[-1],
                                .k = p.transpose_a ? a[-2] : a[-1],
                                .transpose_a = p.transpose_a,
                                .transpose_b = p.transpose_b,
                                .batch = batch->count,
                                .stride_a = batch->stride_a,
                                .stride_b = batch->stride_b,
                                .dtype = y.dtype,
                                .bias = p.epilogue.bias,
                                .relu = p.epilogue.activation == EpilogueKind::relu,
                                .tensor_float32 = request.precision != MatmulPrecision::highest};
  // One matrix b for all of a's: they are the rows of one matrix.
  if (description.batch > 1 && description.stride_b == 0 && !description.transpose_a) {
    description.m *= description.batch;
    description.batch = 1, description.stride_a = 0;
  }
  std::unique_ptr<Work> work = device_of(request).matmul(description);
  if (!work) return borrowed(request);
  KernelPlan plan = plan_on_device(request);
  plan.scratch_bytes = work->scratch_bytes();
  plan.kernel = std::make_unique<LibraryKernel>(std::move(work));
  return plan;
}

}  // namespace nacre::gpu
