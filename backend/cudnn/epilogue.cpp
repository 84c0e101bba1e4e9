#include "backend/cudnn/epilogue.h"

#include <fmt/format.h>

#include <numbers>

#include "backend/cudnn/backend.h"

namespace nacre::gpu {

namespace {

// The activation of `y`.
std::string activated(const Epilogue& epilogue, DType dtype) {
  const std::string a = literal(dtype, epilogue.alpha), b = literal(dtype, epilogue.beta);
  switch (epilogue.activation) {
    case EpilogueKind::none: break;
    case EpilogueKind::relu: return "y <= 0 ? 0 : y";
    case EpilogueKind::tanh: return "tanh(y)";
    case EpilogueKind::sigmoid: return "1 / (1 + exp(-y))";
    case EpilogueKind::clip: return fmt::format("y < {0} ? {0} : y > {1} ? {1} : y", a, b);
    case EpilogueKind::leaky_relu: return fmt::format("y > 0 ? y : y * {}", a);
    case EpilogueKind::elu: return fmt::format("y < 0 ? {} * expm1(y) : y", a);
    case EpilogueKind::silu: return "y / (1 + exp(-y))";
    case EpilogueKind::hard_silu:
      return fmt::format("y * smaller(larger({} * y + {}, {}), {})", a, b, literal(dtype, 0), literal(dtype, 1));
    case EpilogueKind::gelu: return fmt::format("y * (1 + erf(y * {})) / 2", literal(dtype, 1 / std::numbers::sqrt2));
  }
  return "y";
}

}  // namespace

std::string epilogue_text(const Epilogue& epilogue, const Types& operands, std::size_t first, const Type& result) {
  std::string text;
  if (epilogue.bias)
    text += fmt::format("    y += {};\n", load(operands[first].dtype, fmt::format("in{}", first),
                                               fmt::format("i % {}", result.shape[-1])));
  if (epilogue.residual)
    text += fmt::format("    y += {};\n", load(operands.back().dtype, fmt::format("in{}", operands.size() - 1), "i"));
  if (epilogue.activation != EpilogueKind::none)
    text += fmt::format("    y = {};\n", activated(epilogue, result.dtype));
  return text;
}

std::unique_ptr<Kernel> epilogue_kernel(const KernelRequest& request, const Epilogue& epilogue, std::size_t first) {
  if (epilogue.empty()) return nullptr;
  const Types operands = operand_types(request);
  const Type& result = request.node.types()[0];
  const std::int64_t count = result.shape.elements();
  const std::string source =
      fmt::format("{} {{\n  {}    {} y = {};\n{}    {}\n  }}\n}}\n", signature("run", operands, request.node.types()),
                  loop_head(count), compute_type(result.dtype), load(result.dtype, "out0", "i"),
                  epilogue_text(epilogue, operands, first, result), store(result.dtype, "out0", "i", "y"));
  return generated_kernel(device_of(request), source, grid_over(count, device_of(request)));
}

}  // namespace nacre::gpu
