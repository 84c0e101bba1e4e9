#include "backend/graph/ops/recurrent.h"

#include "backend/graph/grad.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/scan.h"
#include "backend/graph/ops/shape.h"

namespace nacre {
namespace {

bool has_memory(const RecurrentAttrs& p) { return p.cell == CellKind::lstm; }
std::size_t operand_count(const RecurrentAttrs& p) { return has_memory(p) ? 6 : 5; }

Types infer_recurrent(const RecurrentAttrs& p, const Types& in) {
  ensure(in.size() == operand_count(p), "recurrent with {} operands", in.size());
  const DType dtype = in[0].dtype;
  const Shape& x = in[0].shape;
  need(is_floating(dtype) && x.rank() == 3, "got input {}, wanted (batch, time, features)", in[0]);
  need(in[2].shape.rank() == 2, "got recurrent kernel {}, wanted rank 2", in[2].shape);
  const std::int64_t units = in[2].shape[0], width = units == unknown ? unknown : gates(p.cell) * units;
  auto check = [&](std::size_t operand, std::string_view what, const Shape& wanted) {
    need(in[operand].dtype == dtype && same(in[operand].shape, wanted), "got {} {}, wanted {}", what, in[operand],
         Type{dtype, wanted});
  };
  check(1, "kernel", {x[2], width});
  check(2, "recurrent kernel", {units, width});
  check(3, "bias", p.cell == CellKind::gru_reset_after ? Shape{2, width} : Shape{width});
  for (std::size_t i = 4; i < in.size(); ++i) check(i, "initial state", {x[0], units});
  const Type state = {dtype, {x[0], units}};
  Types result = {{dtype, {x[0], x[1], units}}, state};
  if (has_memory(p)) result.push_back(state);
  result.push_back({DType::uint8, {0}});
  return result;
}

Types infer_backward(const RecurrentAttrs& p, const Types& in) {
  const std::size_t operands = operand_count(p), cotangents = has_memory(p) ? 3 : 2;
  ensure(in.size() == operands + 2 * cotangents + 1, "recurrent_backward with {} operands", in.size());
  Types result(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(operands));
  const Types outputs = infer_recurrent(p, result);
  for (std::size_t i = 0; i < outputs.size(); ++i)
    for (const std::size_t at : {operands + i, operands + outputs.size() + i})
      need(at >= in.size() || (in[at].dtype == outputs[i].dtype && same(in[at].shape, outputs[i].shape)),
           "got {}, wanted {}", in[std::min(at, in.size() - 1)], outputs[i]);
  return result;
}

Gradients grad_recurrent(const RecurrentAttrs& p, const Node& node, const Cotangents& d) {
  Values operands = node.inputs();
  const int outputs = static_cast<int>(node.types().size());
  for (int i = 0; i < outputs; ++i) operands.push_back(node.out(i));
  for (int i = 0; i + 1 < outputs; ++i) {
    const Value cotangent = d[static_cast<std::size_t>(i)];
    operands.push_back(cotangent ? cotangent : ops::fill_like(node.out(i), 0.0));
  }
  const Node& found = node.graph().add(op::recurrent_backward, p, std::move(operands));
  Gradients result;
  for (int i = 0; i < static_cast<int>(node.inputs().size()); ++i) result.push_back(found.out(i));
  return result;
}

// One step of each cell, as Keras defines it. `x` is the projected input with its bias, `state` is h [, c], `fixed` the
// recurrent kernel [, the state's bias].
class Cell {
 public:
  Cell(const RecurrentAttrs& p, std::int64_t units) : kind_(p.cell), units_(units) {}

  Values step(Value x, const Values& state, const Values& fixed) const {
    const Value h = state[0], kernel = fixed[0];
    switch (kind_) {
      case CellKind::simple: return {ops::tanh(x + ops::matmul(h, kernel))};
      case CellKind::lstm: return lstm(x + ops::matmul(h, kernel), state[1]);
      case CellKind::gru: {
        const Value gates = ops::sigmoid(part(x, 0, 2) + ops::matmul(h, part(kernel, 0, 2)));
        const Value z = part(gates, 0, 1), r = part(gates, 1, 2);
        return {blend(z, h, ops::tanh(part(x, 2, 3) + ops::matmul(r * h, part(kernel, 2, 3))))};
      }
      case CellKind::gru_reset_after: break;
    }
    const Value inner = ops::matmul(h, kernel) + fixed[1];
    const Value gates = ops::sigmoid(part(x, 0, 2) + part(inner, 0, 2));
    const Value z = part(gates, 0, 1), r = part(gates, 1, 2);
    return {blend(z, h, ops::tanh(part(x, 2, 3) + r * part(inner, 2, 3)))};
  }

 private:
  // Gates [begin, end) of the last axis.
  Value part(Value value, std::int64_t begin, std::int64_t end) const {
    return ops::slice_axis(value, -1, begin * units_, end * units_);
  }
  static Value blend(Value z, Value h, Value candidate) { return z * h + (1.0 - z) * candidate; }

  Values lstm(Value gates, Value c) const {
    const Value i = ops::sigmoid(part(gates, 0, 1)), f = ops::sigmoid(part(gates, 1, 2));
    const Value o = ops::sigmoid(part(gates, 3, 4));
    const Value next = f * c + i * ops::tanh(part(gates, 2, 3));
    return {o * ops::tanh(next), next};
  }

  CellKind kind_;
  std::int64_t units_;
};

Value time_first(Value x) { return ops::transpose(x, {1, 0, 2}); }

Values decompose_recurrent(const RecurrentAttrs& p, const Node&, const Values& in) {
  const Value x = in[0], kernel = in[1], recurrent_kernel = in[2];
  const Values state(in.begin() + 4, in.end());
  ensure(recurrent_kernel.shape().known(), "recurrent with a recurrent kernel {}", recurrent_kernel.shape());
  const Cell cell(p, recurrent_kernel.shape()[0]);
  Value bias = in[3], state_bias;
  if (p.cell == CellKind::gru_reset_after) {
    state_bias = ops::slice_axis(bias, 0, 1, 2);
    bias = ops::slice_axis(bias, 0, 0, 1);
  }
  Values fixed = {recurrent_kernel};
  if (state_bias) fixed.push_back(state_bias);
  const ops::Scanned scanned =
      ops::scan(state, {time_first(ops::dense(x, kernel) + bias)}, fixed, p.reverse,
                [&](Graph&, const Values& now, const Values& item, const Values& constant) -> ops::ScanStep {
                  const Values next = cell.step(item[0], now, constant);
                  return {next, {next[0]}};
                });
  Values result = {time_first(scanned.items[0])};
  result.insert(result.end(), scanned.carries.begin(), scanned.carries.end());
  result.push_back(x.graph().constant(Tensor(DType::uint8, {0})));
  return result;
}

// The gradients of the decomposition, which computes the forward walk again.
Values decompose_backward(const RecurrentAttrs& p, const Node& node, const Values& in) {
  const auto operands = static_cast<std::ptrdiff_t>(operand_count(p)),
             cotangents = std::ptrdiff_t{has_memory(p) ? 3 : 2};
  const Values forward(in.begin(), in.begin() + operands);
  Types types;
  for (Value value : forward) types.push_back(value.type());
  const std::vector<bool> present(static_cast<std::size_t>(cotangents), true);
  const Pullback pullback(types, node.label(), present,
                          [&](Graph&, const Values& inputs) { return decompose_recurrent(p, node, inputs); });
  return pullback(in[0].graph(), forward, Values(in.end() - cotangents, in.end()));
}

Gradients grad_backward(const RecurrentAttrs&, const Node& node, const Cotangents& d) {
  return gradients_of_decomposition(node, d);
}

}  // namespace

namespace op {
constinit const OpDef<RecurrentAttrs> recurrent{
    {.name = "recurrent", .doc = "hₜ [, cₜ] = cell(xₜ, hₜ₋₁ [, cₜ₋₁]) for each step t"},
    infer_recurrent,
    grad_recurrent,
    decompose_recurrent};
constinit const OpDef<RecurrentAttrs> recurrent_backward{
    {.name = "recurrent_backward", .doc = "the gradients of recurrent"},
    infer_backward,
    grad_backward,
    decompose_backward};
}  // namespace op

namespace ops {

RecurrentResult recurrent(Value x, Value kernel, Value recurrent_kernel, Value bias, Value h, Value c,
                          RecurrentAttrs attrs) {
  Values operands = {x, kernel, recurrent_kernel, bias, h};
  if (attrs.cell == CellKind::lstm) operands.push_back(c);
  const Node& node = x.graph().add(op::recurrent, attrs, std::move(operands));
  return {node.out(0), node.out(1), attrs.cell == CellKind::lstm ? node.out(2) : Value()};
}

}  // namespace ops

}  // namespace nacre
