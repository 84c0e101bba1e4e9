#include "backend/graph/ops/custom_gradient.h"

#include "backend/graph/ops/elementwise.h"

namespace nacre {
namespace {

bool fits(const Type& a, const Type& b) { return a.dtype == b.dtype && same(a.shape, b.shape); }

Types infer_custom_gradient(const CustomGradientAttrs& p, const Types& in) {
  const auto results = static_cast<std::size_t>(p.results), arguments = static_cast<std::size_t>(p.arguments);
  const std::vector<Graph::NamedValue>&inputs = p.backward->inputs(), &outputs = p.backward->outputs();
  ensure(in.size() >= results + arguments && inputs.size() == in.size() - arguments && outputs.size() == arguments,
         "custom_gradient with {} operands", in.size());
  ensure(p.backward->variables().empty() && p.backward->updates().empty(), "a backward graph with variables");
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Type &given = in[i < results ? i : i + arguments], &wanted = inputs[i].value.type();
    need(fits(given, wanted), "got {} for a backward graph that takes {}", given, wanted);
  }
  for (std::size_t i = 0; i < arguments; ++i)
    need(fits(outputs[i].value.type(), in[results + i]), "the gradient of {} is {}", in[results + i],
         outputs[i].value.type());
  return {in.begin(), in.begin() + static_cast<std::ptrdiff_t>(results)};
}

Gradients grad_custom_gradient(const CustomGradientAttrs& p, const Node& node, const Cotangents& d) {
  const auto results = static_cast<std::size_t>(p.results), arguments = static_cast<std::size_t>(p.arguments);
  const Values& in = node.inputs();
  Values given;
  for (std::size_t i = 0; i < results; ++i) given.push_back(d[i] ? d[i] : ops::fill_like(in[i], 0.0));
  given.insert(given.end(), in.begin() + static_cast<std::ptrdiff_t>(results + arguments), in.end());
  const Values found = inline_graph(*p.backward, node.graph(), given);
  Gradients gradients(in.size());
  std::ranges::copy(found, gradients.begin() + static_cast<std::ptrdiff_t>(results));
  return gradients;
}

}  // namespace

namespace op {
constinit const OpDef<CustomGradientAttrs> custom_gradient{
    {.name = "custom_gradient", .doc = "y, with a gradient that is given by hand"},
    infer_custom_gradient,
    grad_custom_gradient};
}  // namespace op

Values ops::custom_gradient(const Values& results, const Values& arguments, const Values& residuals,
                            Subgraph backward) {
  ensure(!results.empty(), "custom_gradient without results");
  Values operands = results;
  operands.insert(operands.end(), arguments.begin(), arguments.end());
  operands.insert(operands.end(), residuals.begin(), residuals.end());
  const Node& node = results[0].graph().add(
      op::custom_gradient,
      {std::move(backward), static_cast<std::int64_t>(results.size()), static_cast<std::int64_t>(arguments.size())},
      std::move(operands));
  Values passed;
  for (int i = 0; i < static_cast<int>(results.size()); ++i) passed.push_back(node.out(i));
  return passed;
}

}  // namespace nacre
