#include "backend/graph/ops/scan.h"

#include "backend/graph/grad.h"
#include "backend/graph/ops/elementwise.h"

namespace nacre {
namespace {

Type item_of(const Type& sequence) { return {sequence.dtype, sequence.shape.from(1)}; }

bool fits(const Type& a, const Type& b) { return a.dtype == b.dtype && same(a.shape, b.shape); }

Types infer_scan(const ScanAttrs& p, const Types& in) {
  const Graph& body = *p.body;
  const auto carries = static_cast<std::size_t>(p.carries), walked = carries + static_cast<std::size_t>(p.sequences);
  const std::size_t operands = body.inputs().size();
  ensure(walked > carries && operands >= walked && in.size() == operands + p.counted, "scan with {} operands",
         in.size());
  ensure(body.outputs().size() >= carries, "a scan body with {} outputs for {} carries", body.outputs().size(),
         carries);
  ensure(body.variables().empty() && body.updates().empty(), "a scan body with variables");

  if (p.counted)
    need(in.back() == Type{DType::int32, {}}, "got a number of elements {}, wanted an int32 scalar", in.back());

  std::int64_t length = unknown;
  for (std::size_t i = 0; i < operands; ++i) {
    const bool sequence = i >= carries && i < walked;
    if (sequence) {
      need(in[i].shape.rank() >= 1, "got a sequence {}, wanted rank 1 or more", in[i].shape);
      need(same(length, in[i].shape[0]), "got sequences of {} and {} steps", length, in[i].shape[0]);
      if (length == unknown) length = in[i].shape[0];
    }
    const Type operand = sequence ? item_of(in[i]) : in[i], &wanted = body.inputs()[i].value.type();
    need(fits(operand, wanted), "got {} for a step that takes {}", operand, wanted);
  }

  Types result(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(carries));
  for (std::size_t i = 0; i < body.outputs().size(); ++i) {
    const Type& type = body.outputs()[i].value.type();
    if (i >= carries) result.push_back({type.dtype, Shape{length} + type.shape});
    else need(fits(type, in[i]), "a step turns {} into {}", in[i], type);
  }
  for (std::size_t i = 0; i < carries; ++i) result.push_back({in[i].dtype, Shape{length} + in[i].shape});
  return result;
}

Gradients grad_scan(const ScanAttrs& p, const Node& node, const Cotangents& d) {
  const auto carries = static_cast<std::size_t>(p.carries);
  Values operands = node.inputs(), arrived;
  if (p.counted) operands.pop_back();
  for (std::size_t i = d.size() - carries; i < d.size(); ++i) arrived.push_back(node.out(static_cast<int>(i)));
  Gradients result = gradients_of_steps({.body = *p.body,
                                         .carries = carries,
                                         .sequences = static_cast<std::size_t>(p.sequences),
                                         .reverse = p.reverse,
                                         .count = p.counted ? node.inputs().back() : Value(),
                                         .operands = std::move(operands),
                                         .arrived = std::move(arrived),
                                         .label = node.label()},
                                        d);
  result.resize(node.inputs().size());
  return result;
}

// The body with an input in the place of each variable; the variables' values are appended to `operands`.
std::shared_ptr<const Graph> close_over_variables(const Graph& body, Values& operands, std::size_t fixed) {
  auto closed = std::make_shared<Graph>(body.label());
  Rewriter rewriter(body, *closed);
  for (const auto& [name, value] : body.inputs()) rewriter.set(value, closed->input(name, value.type()));
  for (const auto& [variable, value] : body.variables()) {
    rewriter.set(value, closed->input(fmt::format("fixed{}", fixed++), value.type()));
    operands.push_back(operands[0].graph().latest(variable));
  }
  for (const Node* node : body.nodes()) rewriter.copy(*node);
  rewriter.finish();
  return closed;
}

}  // namespace

namespace op {
constinit const OpDef<ScanAttrs> scan{
    {.name = "scan", .doc = "carries, itemsₜ = body(carries, sequencesₜ, fixed) for each step t"},
    infer_scan,
    grad_scan};
}  // namespace op

Gradients gradients_of_steps(const StepsMade& steps, const Cotangents& d) {
  const Graph& body = steps.body;
  const std::size_t carries = steps.carries, first_fixed = carries + steps.sequences;
  const std::size_t stacked = body.outputs().size();  // where cotangents of the carries that came in begin
  const Values& in = steps.operands;

  Types types;
  for (const auto& [name, value] : body.inputs()) types.push_back(value.type());
  std::vector<bool> present(stacked);  // cotangents of a step's outputs
  for (std::size_t i = 0; i < stacked; ++i)
    present[i] = i < carries ? is_floating(in[i].dtype()) : static_cast<bool>(d[i]);
  const Pullback pullback(types, steps.label, present,
                          [&](Graph& graph, const Values& inputs) { return inline_graph(body, graph, inputs); });

  // State: the cotangents of the carries, and the sums over steps of the gradients of the fixed operands.
  Values state;
  for (std::size_t i = 0; i < carries; ++i)
    if (present[i]) state.push_back(d[i] ? d[i] : ops::fill_like(in[i], 0.0));
  const std::size_t sums = state.size();
  for (std::size_t i = first_fixed; i < in.size(); ++i)
    if (pullback.reaches(i)) state.push_back(ops::fill_like(in[i], 0.0));

  // Walked: what the step read, then the cotangents of its items and of the carries as they came in.
  Values walked = steps.arrived;
  for (std::size_t i = carries; i < first_fixed; ++i) walked.push_back(in[i]);
  for (std::size_t i = carries; i < d.size(); ++i)
    if (d[i]) walked.push_back(d[i]);

  const Values fixed(in.begin() + static_cast<std::ptrdiff_t>(first_fixed), in.end());
  const ops::Scanned found = ops::scan(
      state, walked, fixed, !steps.reverse,
      [&](Graph& graph, const Values& now, const Values& item, const Values& constant) -> ops::ScanStep {
        Values inputs(item.begin(), item.begin() + static_cast<std::ptrdiff_t>(first_fixed));
        inputs.insert(inputs.end(), constant.begin(), constant.end());
        Values cotangents(now.begin(), now.begin() + static_cast<std::ptrdiff_t>(sums));
        std::size_t next = first_fixed;
        for (std::size_t i = carries; i < stacked; ++i)
          if (present[i]) cotangents.push_back(item[next++]);
        const Gradients gradient = pullback(graph, std::move(inputs), cotangents);

        ops::ScanStep step;
        for (std::size_t i = 0; i < carries; ++i) {
          if (!present[i]) continue;
          const Value reached = gradient[i] ? gradient[i] : ops::fill_like(now[step.carries.size()], 0.0);
          step.carries.push_back(d[stacked + i] ? reached + item[next++] : reached);
        }
        for (std::size_t i = first_fixed; i < gradient.size(); ++i)
          if (gradient[i]) step.carries.push_back(now[step.carries.size()] + gradient[i]);
        for (std::size_t i = carries; i < first_fixed; ++i)
          if (gradient[i]) step.items.push_back(gradient[i]);
        return step;
      },
      steps.count);

  Gradients result(in.size());
  std::size_t next_state = 0, next_item = 0;
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (i < carries ? present[i] : i >= first_fixed && pullback.reaches(i)) result[i] = found.carries[next_state++];
    else if (i >= carries && i < first_fixed && pullback.reaches(i)) result[i] = found.items[next_item++];
  }
  return result;
}

namespace ops {

ScanBody open_scan_body(const Values& carries, const Values& sequences, const Values& fixed) {
  ensure(!sequences.empty(), "a scan without sequences");
  ScanBody body{std::make_shared<Graph>(sequences[0].graph().label()), {}, {}, {}};
  for (Value value : carries)
    body.carries.push_back(body.graph->input(fmt::format("carry{}", body.carries.size()), value.type()));
  for (Value value : sequences) {
    need(value.shape().rank() >= 1, "got a sequence {}, wanted rank 1 or more", value.shape());
    body.items.push_back(body.graph->input(fmt::format("item{}", body.items.size()), item_of(value.type())));
  }
  for (Value value : fixed)
    body.fixed.push_back(body.graph->input(fmt::format("fixed{}", body.fixed.size()), value.type()));
  return body;
}

Scanned close_scan(ScanBody body, const ScanStep& result, const Values& carries, const Values& sequences,
                   const Values& fixed, bool reverse, Value count) {
  ensure(result.carries.size() == carries.size(), "a step returned {} of {} carries", result.carries.size(),
         carries.size());
  for (std::size_t i = 0; i < result.carries.size(); ++i)
    body.graph->output(fmt::format("carry{}", i), result.carries[i]);
  for (std::size_t i = 0; i < result.items.size(); ++i) body.graph->output(fmt::format("item{}", i), result.items[i]);

  Values operands = carries;
  operands.insert(operands.end(), sequences.begin(), sequences.end());
  operands.insert(operands.end(), fixed.begin(), fixed.end());
  Subgraph step = body.graph;
  if (!step->variables().empty()) step = close_over_variables(*body.graph, operands, fixed.size());

  if (count) operands.push_back(count);
  ScanAttrs attrs{std::move(step), static_cast<std::int64_t>(carries.size()),
                  static_cast<std::int64_t>(sequences.size()), reverse, static_cast<bool>(count)};
  const Node& node = sequences[0].graph().add(op::scan, std::move(attrs), std::move(operands));
  Scanned scanned;
  for (std::size_t i = 0; i < carries.size(); ++i) scanned.carries.push_back(node.out(static_cast<int>(i)));
  for (std::size_t i = 0; i < result.items.size(); ++i)
    scanned.items.push_back(node.out(static_cast<int>(carries.size() + i)));
  return scanned;
}

}  // namespace ops

}  // namespace nacre
