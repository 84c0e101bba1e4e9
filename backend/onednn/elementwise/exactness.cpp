#include "backend/onednn/elementwise/exactness.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/random.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"

namespace nacre::onednn {

namespace {

constexpr double float_integers = 1 << 24;

bool small_type(DType dtype) { return dtype == DType::boolean || dtype == DType::uint8; }
bool short_floating(DType dtype) { return is_floating(dtype) && dtype != DType::float64; }

// An integer that lies within ±2²⁴, as far as the graph tells.
bool small_integer(Value value) {
  const Node& node = value.node();
  if (small_type(value.dtype())) return true;
  if (node.is(op::constant)) {
    const Tensor& tensor = node.attrs<ConstantAttrs>().value;
    for (std::int64_t i = 0; i < tensor.size(); ++i)
      if (std::abs(tensor.at(i)) > float_integers) return false;
    return true;
  }
  if (node.is(op::iota))
    return static_cast<double>(value.shape()[static_cast<int>(node.attrs<IotaAttrs>().axis)]) <= float_integers;
  if (node.is(op::argmax)) {
    const std::int64_t axis = node.attrs<ReduceAttrs>().axes.front();
    return static_cast<double>(node.in(0).shape()[static_cast<int>(axis)]) <= float_integers;
  }
  const Op* const moves[] = {&op::cast,         &op::reshape,        &op::reshape_like, &op::transpose,
                             &op::broadcast_to, &op::broadcast_like, &op::slice};
  const bool moved = std::any_of(std::begin(moves), std::end(moves), [&](const Op* op) { return node.is(*op); });
  return moved && !is_floating(node.in(0).dtype()) && small_integer(node.in(0));
}

bool is_comparison(const Node& node) {
  const Op* const comparisons[] = {&op::equal,      &op::not_equal, &op::less,
                                   &op::less_equal, &op::greater,   &op::greater_equal};
  return std::any_of(std::begin(comparisons), std::end(comparisons), [&](const Op* op) { return node.is(*op); });
}

}  // namespace

bool computes_exactly(const Node& node) {
  const DType to = node.types()[0].dtype;
  if (node.is(op::random_uniform)) return true;
  if (node.op().kind != OpKind::elementwise || to == DType::float64) return false;
  const Value a = node.in(0);
  if (a.dtype() == DType::float64) return false;
  if (node.is(op::cast))
    return short_floating(to) || to == DType::boolean || short_floating(a.dtype()) || small_integer(a);
  if (is_comparison(node)) return short_floating(a.dtype()) || small_integer(a) || small_integer(node.in(1));
  if (node.is(op::select) || node.is(op::stop_gradient)) return short_floating(to) || small_type(to);
  return short_floating(to) || (to == DType::boolean && (a.dtype() == DType::boolean || short_floating(a.dtype())));
}

bool keeps_zeros(const Graph& body) {
  using Known = std::optional<double>;  // the value in the padding, when it can be told
  std::vector<Known> known(body.nodes().size());
  const auto of = [&](Value value) { return known[static_cast<std::size_t>(value.node().id())]; };
  const Shape& shape = body.outputs().front().value.shape();
  for (const Node* node : body.nodes()) {
    Known& value = known[static_cast<std::size_t>(node->id())];
    if (node->is(op::input)) {
      if (node->types()[0].shape.elements() == shape.elements()) value = 0;
    } else if (node->is(op::constant)) {
      value = node->attrs<ConstantAttrs>().value.item();
    } else if (node->is(op::multiply)) {
      if (of(node->in(0)) == 0.0 || of(node->in(1)) == 0.0) value = 0;
    } else if (node->is(op::divide)) {
      if (of(node->in(0)) == 0.0 && of(node->in(1)).value_or(0) != 0) value = 0;
    } else if (node->is(op::select)) {
      if (of(node->in(1)) == of(node->in(2))) value = of(node->in(1));
    } else if (node->is(op::add) || node->is(op::subtract) || node->is(op::maximum) || node->is(op::minimum)) {
      const Known a = of(node->in(0)), b = of(node->in(1));
      if (a && b)
        value = node->is(op::add)        ? *a + *b
                : node->is(op::subtract) ? *a - *b
                : node->is(op::maximum)  ? std::max(*a, *b)
                                         : std::min(*a, *b);
    } else if (node->op().keeps_zero) {
      const auto zero = [&](Value operand) { return of(operand) == 0.0; };
      if (std::all_of(node->inputs().begin(), node->inputs().end(), zero)) value = 0;
    }
  }
  return std::all_of(body.outputs().begin(), body.outputs().end(),
                     [&](const Graph::NamedValue& output) { return of(output.value) == 0.0; });
}

}  // namespace nacre::onednn
