#include "backend/graph/passes/simplify.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "backend/graph/ops/custom_gradient.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/passes/number.h"

namespace nacre {

namespace {

// Every value of `from` is one of `to`.
bool widens(DType from, DType to) {
  switch (from) {
    case DType::boolean: return true;
    case DType::uint8: return to != DType::boolean;
    case DType::int32: return to == DType::int32 || to == DType::int64 || to == DType::float64;
    case DType::int64: return to == DType::int64;
    case DType::float16:
    case DType::bfloat16: return to == from || to == DType::float32 || to == DType::float64;
    case DType::float32: return to == DType::float32 || to == DType::float64;
    case DType::float64:
    case DType::string: break;
  }
  return to == DType::float64;
}

bool ascending(const std::vector<std::int64_t>& axes) {
  for (std::size_t i = 0; i < axes.size(); ++i)
    if (axes[i] != static_cast<std::int64_t>(i)) return false;
  return true;
}

// The rules look at the operands in the new graph, which are simple already. Each returns the simpler value or none.

Value simplify_arithmetic(const Node& node, const Values& in) {
  if (node.is(op::negate)) return in[0].is(op::negate) ? in[0].node().in(0) : Value();
  if (in.size() != 2) return {};
  const auto a = number(in[0]), b = number(in[1]);
  const auto is = [](const std::optional<double>& known, double what) { return known && *known == what; };
  if (node.is(op::multiply)) return is(b, 1) ? in[0] : is(a, 1) ? in[1] : Value();
  if (node.is(op::add)) return is(b, 0) ? in[0] : is(a, 0) ? in[1] : Value();
  if (node.is(op::subtract)) return is(b, 0) ? in[0] : Value();
  if (node.is(op::divide)) return is(b, 1) ? in[0] : Value();
  if (node.is(op::power)) {
    if (is(b, 1)) return in[0];
    if (is(b, 2)) return ops::square(in[0]);
    if (is(b, 0.5)) return ops::sqrt(in[0]);
    if (is(b, -0.5)) return ops::rsqrt(in[0]);
    if (is(b, -1)) return ops::reciprocal(in[0]);
  }
  return {};
}

Value simplify_choice(const Node& node, const Values& in) {
  if (node.is(op::stop_gradient)) return in[0];
  if (node.is(op::select) && in[1] == in[2]) return in[1];
  return {};
}

Value simplify_cast(const Node& node, const Values& in) {
  if (!node.is(op::cast)) return {};
  const DType to = node.attrs<CastAttrs>().dtype;
  if (in[0].dtype() == to) return in[0];
  if (!in[0].is(op::cast)) return {};
  const Value original = in[0].node().in(0);
  return widens(original.dtype(), in[0].dtype()) ? ops::cast(original, to) : Value();
}

// Of a large table only the rows that are read are cast. Floating types only: what lies out of range is NaN in both.
Value simplify_gather(const Node& node, const Values& in) {
  if (!node.is(op::gather) || !in[0].is(op::cast)) return {};
  const Value table = in[0].node().in(0);
  if (!is_floating(table.dtype()) || !is_floating(in[0].dtype()) ||
      node.types()[0].shape.elements() >= table.shape().elements())
    return {};
  return ops::cast(ops::gather(table, in[1]), in[0].dtype());
}

Value simplify_move(const Node& node, const Values& in) {
  if (node.is(op::reshape) || node.is(op::reshape_like)) {
    if (in[0].is(op::reshape)) return ops::reshape(in[0].node().in(0), node.types()[0].shape);
    if (node.is(op::reshape_like)) return ops::reshape(in[0], node.types()[0].shape);
  }
  if (node.is(op::broadcast_like)) return ops::broadcast_to(in[0], node.types()[0].shape);
  if (node.is(op::transpose)) {
    const auto& axes = node.attrs<TransposeAttrs>().axes;
    if (ascending(axes)) return in[0];
    if (in[0].is(op::transpose)) {
      std::vector<std::int64_t> composed;
      for (std::int64_t axis : axes)
        composed.push_back(in[0].node().attrs<TransposeAttrs>().axes[static_cast<std::size_t>(axis)]);
      return ascending(composed) ? in[0].node().in(0) : ops::transpose(in[0].node().in(0), composed);
    }
  }
  return {};
}

// What these do to a value that has the result's type already is nothing.
bool keeps_elements_in_order(const Node& node) {
  const Op* const list[] = {&op::reshape,  &op::reshape_like, &op::broadcast_to, &op::broadcast_like,
                            &op::sum_like, &op::slice,        &op::pad};
  return std::any_of(std::begin(list), std::end(list), [&](const Op* op) { return node.is(*op); }) ||
         (node.is(op::concat) && node.inputs().size() == 1);
}

// Operands without broadcasts that the op makes itself.
Values without_broadcasts(const Node& node, Values in) {
  if (node.op().kind != OpKind::elementwise) return in;
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (!in[i].is(op::broadcast_to)) continue;
    const Value before = std::exchange(in[i], in[i].node().in(0));
    Shape shape;
    for (Value value : in) shape = broadcast(shape, value.shape());
    if (shape != node.types()[0].shape) in[i] = before;
  }
  return in;
}

bool all_known(const Node& node) {
  const auto known = [](Value value) { return value.shape().known(); };
  return std::all_of(node.inputs().begin(), node.inputs().end(), known) && node.types()[0].shape.known();
}

}  // namespace

std::unique_ptr<Graph> simplify(const Graph& graph, const Backend&) {
  return rewrite(graph, [&](const Node& node, Rewriter& rewriter) {
    if (node.is(op::custom_gradient)) {
      for (int i = 0; i < static_cast<int>(node.types().size()); ++i) rewriter.set(node.out(i), rewriter(node.in(i)));
      return true;
    }
    if (node.op().kind == OpKind::leaf || node.types().size() != 1 || !all_known(node)) return false;
    const Graph::Label label(rewriter.to(), node.label());
    Values in = rewriter(node.inputs());
    const auto replace = [&](Value by) {
      if (!by || by.type() != node.types()[0]) return false;
      rewriter.set(node.out(), by);
      return true;
    };
    if (keeps_elements_in_order(node) && replace(in[0])) return true;
    for (const auto rule : {simplify_arithmetic, simplify_choice, simplify_cast, simplify_gather, simplify_move})
      if (replace(rule(node, in))) return true;
    Values fewer = without_broadcasts(node, in);
    if (fewer == in) return false;
    return replace(rewriter.to().copy(node, std::move(fewer)).out());
  });
}

}  // namespace nacre
