// Numbers of eight bits: rounding to them, and products of them by the library, for which kernels of ours write both
// factors with the axis that is summed last.
#include "backend/graph/ops/float8.h"

#include <fmt/format.h>

#include "backend/cudnn/backend.h"
#include "backend/cudnn/library_kernel.h"

namespace nacre::gpu {

namespace {

// Element `place` of x, divided by what `scale` points at, as the nearest number of the format.
std::string rounded(DType dtype, std::string_view x, std::string_view place, std::string_view scale,
                    Float8Format format) {
  std::string ratio = fmt::format("{} / {}[0]", load(dtype, x, place), scale);
  if (dtype == DType::float16) ratio = fmt::format("from_half(to_half({}))", ratio);
  if (dtype == DType::bfloat16) ratio = fmt::format("from_brain(to_brain({}))", ratio);
  return fmt::format("in_eight_bits({}, {}, {}, {})", ratio, mantissa(format), bias(format),
                     literal(DType::float32, largest(format)));
}

struct Sizes {
  std::int64_t m, n, k;
};
Sizes sizes_of(const Node& node) {
  const auto& p = node.attrs<Float8MatMulAttrs>();
  const Shape &a = node.in(0).shape(), &y = node.types()[0].shape;
  return {y[0], y[1], a[p.transpose_a ? 0 : 1]};
}

MatMulDescription describe(const Node& node) {
  const auto& p = node.attrs<Float8MatMulAttrs>();
  const auto [m, n, k] = sizes_of(node);
  return {.m = m,
          .n = n,
          .k = k,
          .transpose_b = true,
          .dtype = node.types()[0].dtype,
          .eight_bits = MatMulDescription::EightBits{p.a, p.b}};
}

// The factor, operand 0, of `rows` rows, or with rows and columns exchanged, by the scale two operands after it.
std::unique_ptr<Kernel> factor(Device& device, const Types& operands, std::int64_t rows, std::int64_t depth,
                               bool transposed, Float8Format format) {
  const std::string place = transposed ? fmt::format("i % {0} * {1} + i / {0}", depth, rows) : "i";
  const std::string number = rounded(operands[0].dtype, "in0", place, "in2", format);
  return kernel_over(device, rows * depth, operands, {{DType::uint8, {rows, depth}}},
                     fmt::format("out0[i] = eight_bits_of({}, {}, {});", number, mantissa(format), bias(format)));
}

}  // namespace

KernelPlan float8(const KernelRequest& request) {
  const Type& y = request.node.types()[0];
  const std::string x = rounded(y.dtype, "in0", "i", "in1", request.node.attrs<Float8Attrs>().format);
  return over_elements(request, store(y.dtype, "out0", "i", fmt::format("{} * in1[0]", x)));
}

// Gradients are never multiplied with each other. The library wants its matrices aligned to 16 bytes.
bool float8_matmul_fits(const Node& node, const Backend& backend) {
  const auto& p = node.attrs<Float8MatMulAttrs>();
  const Type& y = node.types()[0];
  if (p.a == Float8Format::e5m2 && p.b == Float8Format::e5m2) return false;
  if (y.dtype == DType::float64 || !y.shape.known() || !node.in(0).shape().known()) return false;
  const auto [m, n, k] = sizes_of(node);
  if (m == 0 || n == 0 || k == 0 || m % 16 != 0 || n % 16 != 0 || k % 16 != 0) return false;
  return backend.multiplies_float8() && device_of(backend).matmul(describe(node));
}

KernelPlan float8_matmul(const KernelRequest& request) {
  const auto& p = request.node.attrs<Float8MatMulAttrs>();
  const auto [m, n, k] = sizes_of(request.node);
  Device& device = device_of(request);
  const Types operands = operand_types(request);
  std::unique_ptr<Work> work = device.matmul(describe(request.node));
  ensure(work != nullptr, "a product of eight bits that the library computes no more");
  auto kernel = std::make_unique<LibraryKernel>(std::move(work));
  kernel->rewrite(0, factor(device, {operands[0], operands[1], operands[2]}, m, k, p.transpose_a, p.a),
                  static_cast<std::size_t>(m * k), 3);
  kernel->rewrite(1, factor(device, {operands[1], operands[2], operands[3]}, n, k, !p.transpose_b, p.b),
                  static_cast<std::size_t>(n * k), 3);
  KernelPlan plan = plan_on_device(request);
  plan.scratch_bytes = kernel->scratch_bytes();
  plan.kernel = std::move(kernel);
  return plan;
}

}  // namespace nacre::gpu
