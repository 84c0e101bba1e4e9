// Batch and layer normalisation: over the columns, or the rows, of a matrix (rows, channels).
#include "backend/graph/ops/normalization.h"

#include <fmt/format.h>

#include "backend/cudnn/columns.h"
#include "backend/cudnn/kernels.h"

namespace nacre::gpu {

namespace {

struct Matrix {
  std::int64_t rows, channels;
  explicit Matrix(const Shape& x) : rows(x.first(x.rank() - 1).elements()), channels(x[-1]) {}
};

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
DType number(const KernelRequest& request) {
  return request.node.in(0).dtype() == DType::float64 ? DType::float64 : DType::float32;
}

// What a sum of so many numbers is multiplied with for their mean.
std::string share_of(const KernelRequest& request, std::int64_t count) {
  return literal(number(request), 1 / static_cast<double>(count));
}

// The gradient of the result before its activation, as a statement that declares `slope` for the element at `place`.
std::string slope_of(const KernelRequest& request, const BatchNormAttrs& p, std::string_view place,
                     std::string_view channel) {
  const std::string dy = operand(request, 4, place);
  if (p.epilogue.activation == EpilogueKind::none) return fmt::format("const number slope = {};", dy);
  if (p.epilogue.residual) return fmt::format("const number slope = {} > 0 ? {} : 0;", operand(request, 5, place), dy);
  const std::string passes =
      p.epilogue.activation == EpilogueKind::relu
          ? "y > 0"
          : fmt::format("y >= (number){:.9e} && y <= (number){:.9e}", p.epilogue.alpha, p.epilogue.beta);
  return fmt::format("const number y = {} * normal + {}; const number slope = {} ? {} : 0;",
                     operand(request, 1, channel), operand(request, 5, channel), passes, dy);
}

}  // namespace

KernelPlan batch_norm(const KernelRequest& request) {
  const auto& p = request.node.attrs<BatchNormAttrs>();
  const Matrix x(request.node.in(0).shape());
  const Columns columns{
      .rows = x.rows,
      .columns = x.channels,
      .number = number(request),
      .state = "moments",
      .join = "merged",
      .take = fmt::format("state.take({});", operand(request, 0, fmt::format("r * {} + line", x.channels))),
      .first = "state.mean",
      .second = fmt::format("state.squares / {}", x.rows)};
  return over_columns(
      request, columns,
      fmt::format("number y = {} * ({} - first) * inverse_root(second + (number){:.9e}) + {};{}{} {}",
                  operand(request, 1, "column"), operand(request, 0, "i"), p.epsilon, operand(request, 2, "column"),
                  p.epilogue.residual ? fmt::format(" y += {};", operand(request, 3, "i")) : "", activated(p.epilogue),
                  result(request, 0, "i", "y")));
}

// dx = γ (dy - mean(dy) - x̂ mean(dy x̂)) / √(variance + ε); γ is the same for all of a channel.
KernelPlan batch_norm_backward(const KernelRequest& request) {
  const auto& p = request.node.attrs<BatchNormAttrs>();
  const Matrix x(request.node.in(0).shape());
  const auto statistics = [&](std::string_view channel) {
    return fmt::format("const number mean = {}, scale = inverse_root({} + (number){:.9e});",
                       operand(request, 2, channel), operand(request, 3, channel), p.epsilon);
  };
  const auto element = [&](std::string_view place, std::string_view channel) {
    return fmt::format("const number normal = ({} - mean) * scale; {}", operand(request, 0, place),
                       slope_of(request, p, place, channel));
  };
  const Columns columns{.rows = x.rows,
                        .columns = x.channels,
                        .number = number(request),
                        .state = "sums",
                        .join = "both",
                        .before = statistics("line"),
                        .take = element(fmt::format("r * {} + line", x.channels), "line") +
                                " state.a += slope * normal, state.b += slope;",
                        .first = "state.a",
                        .second = "state.b"};
  const std::string dx = fmt::format("{} * scale * (slope - (second + normal * first) * {})",
                                     operand(request, 1, "column"), share_of(request, x.rows));
  return over_columns(
      request, columns,
      fmt::format("{} {} {}{}", statistics("column"), element("i", "column"), result(request, 0, "i", dx),
                  p.epilogue.residual ? " " + result(request, 3, "i", "slope") : ""));
}

KernelPlan layer_norm(const KernelRequest& request) {
  const Matrix matrix(request.node.in(0).shape());
  const Lines lines(matrix.rows, matrix.channels);
  const std::string place = fmt::format("line * {} + r", matrix.channels), x = operand(request, 0, place);
  const std::string_view type = compute_type(number(request));
  const std::string body = fmt::format(
      "    typedef {} number;\n    number mean = 0;\n    {}\n    mean = {} / {};\n    number variance = 0;\n    {}\n"
      "    variance = {} / {};\n    {}\n    {}\n    const number scale = inverse_root(variance + (number){:.9e});\n    "
      "{}\n",
      type, lines.each(fmt::format("mean += {};", x)), lines.joined("sum", type, "mean"), matrix.channels,
      lines.each(fmt::format("const number centred = {} - mean; variance += centred * centred;", x)),
      lines.joined("sum", type, "variance"), matrix.channels, lines.once(result(request, 1, "line", "mean")),
      lines.once(result(request, 2, "line", "variance")), request.node.attrs<EpsilonAttrs>().epsilon,
      lines.each(
          result(request, 0, place,
                 fmt::format("{} * ({} - mean) * scale + {}", operand(request, 1, "r"), x, operand(request, 2, "r")))));
  return lines.plan(request, type, body);
}

// dx by rows, then dgamma and dbeta by channels.
KernelPlan layer_norm_backward(const KernelRequest& request) {
  const Matrix x(request.node.in(0).shape());
  const Lines lines(x.rows, x.channels);
  const std::string_view type = compute_type(number(request));
  const std::string epsilon = fmt::format("(number){:.9e}", request.node.attrs<EpsilonAttrs>().epsilon);
  const std::string place = fmt::format("line * {} + r", x.channels);
  const std::string element =
      fmt::format("const number normal = ({} - mean) * scale, slope = {} * {};", operand(request, 0, place),
                  operand(request, 1, "r"), operand(request, 4, place));
  const std::string rows = fmt::format(
      "    typedef {} number;\n    const number mean = {}, scale = inverse_root({} + {});\n"
      "    number total = 0, weighted = 0;\n    {}\n    total = {};\n    weighted = {};\n    {}\n",
      type, operand(request, 2, "line"), operand(request, 3, "line"), epsilon,
      lines.each(element + " total += slope; weighted += slope * normal;"), lines.joined("sum", type, "total"),
      lines.joined("sum", type, "weighted"),
      lines.each(
          element + " " +
          result(request, 0, place,
                 fmt::format("scale * (slope - (total + normal * weighted) * {})", share_of(request, x.channels)))));
  const std::string there = fmt::format("r * {} + line", x.channels);
  const Columns columns{
      .rows = x.rows,
      .columns = x.channels,
      .number = number(request),
      .state = "sums",
      .join = "both",
      .take = fmt::format(
          "const number slope = {}; state.a += slope * ({} - {}) * inverse_root({} + {}), state.b += slope;",
          operand(request, 4, there), operand(request, 0, there), operand(request, 2, "r"), operand(request, 3, "r"),
          epsilon),
      .first = "state.a",
      .second = "state.b"};
  return in_turn(lines.plan(request, type, rows), over_columns(request, columns));
}

}  // namespace nacre::gpu
