// Batch and layer normalisation: a channel's, or a row's, elements are a line each.
#include "backend/graph/ops/normalization.h"

#include <fmt/format.h>

#include "backend/cudnn/kernels.h"

namespace nacre::gpu {

namespace {

// Where element r of a line lies, and which channel it is of.
struct Places {
  Lines lines;
  std::string place, channel;
  std::int64_t length;
};

Places over_batch(const Shape& x) {
  const std::int64_t rows = x.first(x.rank() - 1).elements(), channels = x[-1];
  return {Lines(channels, rows), fmt::format("r * {} + line", channels), "line", rows};
}
Places over_row(const Shape& x) {
  const std::int64_t rows = x.first(x.rank() - 1).elements(), channels = x[-1];
  return {Lines(rows, channels), fmt::format("line * {} + r", channels), "r", channels};
}

// The statement that takes part in the epilogue, on a value `y`.
std::string activated(const Epilogue& epilogue) {
  if (epilogue.activation == EpilogueKind::relu) return " y = y <= 0 ? 0 : y;";
  if (epilogue.activation == EpilogueKind::clip)
    return fmt::format(" y = smaller(larger(y, (number){:.9e}), (number){:.9e});", epilogue.alpha, epilogue.beta);
  return "";
}

std::string operand(const KernelRequest& request, int index, std::string_view place) {
  return load(request.node.in(index).dtype(), fmt::format("in{}", index), place);
}
std::string result(const KernelRequest& request, int index, std::string_view place, std::string_view value) {
  return store(request.node.types()[static_cast<std::size_t>(index)].dtype, fmt::format("out{}", index), place, value);
}

// What values are computed with: double where the operands are.
std::string number(const KernelRequest& request) {
  return request.node.in(0).dtype() == DType::float64 ? "    typedef double number;\n" : "    typedef float number;\n";
}
std::string_view number_name(const KernelRequest& request) {
  return request.node.in(0).dtype() == DType::float64 ? "double" : "float";
}

KernelPlan normalise(const KernelRequest& request, const Places& at, double epsilon, const Epilogue& epilogue) {
  const std::string x = operand(request, 0, at.place);
  std::string add;
  if (epilogue.residual) add = fmt::format(" y += {};", operand(request, 3, at.place));
  const std::string_view type = number_name(request);
  const std::string body = fmt::format(
      "{}    number mean = 0;\n    {}\n    mean = {} / {};\n"
      "    number variance = 0;\n    {}\n    variance = {} / {};\n"
      "    {}\n    {}\n    const number scale = 1 / sqrt(variance + (number){:.9e});\n    {}\n",
      number(request), at.lines.each(fmt::format("mean += {};", x)), at.lines.joined("sum", type, "mean"), at.length,
      at.lines.each(fmt::format("const number centred = {} - mean; variance += centred * centred;", x)),
      at.lines.joined("sum", type, "variance"), at.length, at.lines.once(result(request, 1, "line", "mean")),
      at.lines.once(result(request, 2, "line", "variance")), epsilon,
      at.lines.each(fmt::format("number y = {} * ({} - mean) * scale + {};{}{} {}", operand(request, 1, at.channel), x,
                                operand(request, 2, at.channel), add, activated(epilogue),
                                result(request, 0, at.place, "y"))));
  return at.lines.plan(request, type, body);
}

// The gradient of the result before its activation, as a statement that declares `slope` for element r.
std::string slope_of(const KernelRequest& request, const BatchNormAttrs& p, std::string_view place) {
  const std::string dy = operand(request, 4, place);
  if (p.epilogue.activation == EpilogueKind::none) return fmt::format("const number slope = {};", dy);
  std::string passes = fmt::format("{} > 0", operand(request, 5, p.epilogue.residual ? place : "line"));
  std::string y;
  if (!p.epilogue.residual) {
    y = fmt::format("const number y = {} * normal + {};", operand(request, 1, "line"), operand(request, 5, "line"));
    passes = p.epilogue.activation == EpilogueKind::relu
                 ? "y > 0"
                 : fmt::format("y >= (number){:.9e} && y <= (number){:.9e}", p.epilogue.alpha, p.epilogue.beta);
  }
  return fmt::format("{} const number slope = {} ? {} : 0;", y, passes, dy);
}

}  // namespace

KernelPlan batch_norm(const KernelRequest& request) {
  const auto& p = request.node.attrs<BatchNormAttrs>();
  return normalise(request, over_batch(request.node.in(0).shape()), p.epsilon, p.epilogue);
}

KernelPlan layer_norm(const KernelRequest& request) {
  return normalise(request, over_row(request.node.in(0).shape()), request.node.attrs<EpsilonAttrs>().epsilon, {});
}

// dx = (γ dy - mean(γ dy) - x̂ mean(γ dy x̂)) / √(variance + ε); γ is the same for all of a channel.
KernelPlan batch_norm_backward(const KernelRequest& request) {
  const auto& p = request.node.attrs<BatchNormAttrs>();
  const Places at = over_batch(request.node.in(0).shape());
  const std::string_view type = number_name(request);
  const std::string element = fmt::format("const number normal = ({} - mean) * scale; {}",
                                          operand(request, 0, at.place), slope_of(request, p, at.place));
  std::string residual;
  if (p.epilogue.residual) residual = " " + result(request, 3, at.place, "slope");
  const std::string body = fmt::format(
      "{}    const number mean = {}, scale = 1 / sqrt({} + (number){:.9e}), gamma = {};\n"
      "    number dgamma = 0, dbeta = 0;\n    {}\n    dgamma = {};\n    dbeta = {};\n    {}\n    {}\n    {}\n",
      number(request), operand(request, 2, "line"), operand(request, 3, "line"), p.epsilon, operand(request, 1, "line"),
      at.lines.each(element + " dgamma += slope * normal; dbeta += slope;"), at.lines.joined("sum", type, "dgamma"),
      at.lines.joined("sum", type, "dbeta"), at.lines.once(result(request, 1, "line", "dgamma")),
      at.lines.once(result(request, 2, "line", "dbeta")),
      at.lines.each(
          fmt::format("{} {}{}", element,
                      result(request, 0, at.place,
                             fmt::format("gamma * scale * (slope - dbeta / {0} - normal * dgamma / {0})", at.length)),
                      residual)));
  return at.lines.plan(request, type, body);
}

// dx by rows, then dgamma and dbeta by channels.
KernelPlan layer_norm_backward(const KernelRequest& request) {
  const Shape& x = request.node.in(0).shape();
  const std::string_view type = number_name(request);
  const std::string epsilon = fmt::format("(number){:.9e}", request.node.attrs<EpsilonAttrs>().epsilon);
  const Places row = over_row(x), column = over_batch(x);
  const std::string element =
      fmt::format("const number normal = ({} - mean) * scale, slope = {} * {};", operand(request, 0, row.place),
                  operand(request, 1, row.channel), operand(request, 4, row.place));
  const std::string rows = fmt::format(
      "{}    const number mean = {}, scale = 1 / sqrt({} + {});\n    number total = 0, weighted = 0;\n    {}\n"
      "    total = {};\n    weighted = {};\n    {}\n",
      number(request), operand(request, 2, "line"), operand(request, 3, "line"), epsilon,
      row.lines.each(element + " total += slope; weighted += slope * normal;"), row.lines.joined("sum", type, "total"),
      row.lines.joined("sum", type, "weighted"),
      row.lines.each(element + " " +
                     result(request, 0, row.place,
                            fmt::format("scale * (slope - total / {0} - normal * weighted / {0})", row.length))));
  const std::string columns = fmt::format(
      "{}    number dgamma = 0, dbeta = 0;\n    {}\n    dgamma = {};\n    dbeta = {};\n    {}\n    {}\n",
      number(request),
      column.lines.each(
          fmt::format("const number slope = {}; dgamma += slope * ({} - {}) / sqrt({} + {}); dbeta += slope;",
                      operand(request, 4, column.place), operand(request, 0, column.place), operand(request, 2, "r"),
                      operand(request, 3, "r"), epsilon)),
      column.lines.joined("sum", type, "dgamma"), column.lines.joined("sum", type, "dbeta"),
      column.lines.once(result(request, 1, "line", "dgamma")), column.lines.once(result(request, 2, "line", "dbeta")));
  return in_turn(row.lines.plan(request, type, rows), column.lines.plan(request, type, columns));
}

}  // namespace nacre::gpu
