#include "tests/support/op_cases.h"

#include <cmath>

#include "backend/graph/grad.h"

namespace nacre::test {

const std::vector<OpRecord>& op_records() {
  static const std::vector<OpRecord> all = [] {
    std::vector<OpRecord> list;
    for (const auto& family : {elementwise_records(), shape_records(), algebra_records(), linear_algebra_records(),
                               structured_records()})
      list.insert(list.end(), family.begin(), family.end());
    return list;
  }();
  return all;
}

std::int64_t draw(RandomStream& random, std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(high - low + 1)));
}

std::int64_t draw_size(RandomStream& random) {
  switch (draw(random, 0, 15)) {
    case 0: return draw(random, 200, 700);
    case 1:
    case 2:
    case 3: return draw(random, 5, 70);
    default: return draw(random, 1, 4);
  }
}

Shape draw_shape(RandomStream& random, int rank_low, int rank_high) {
  Shape shape;
  for (std::int64_t rank = draw(random, rank_low, rank_high); rank > 0; --rank) shape.append(draw(random, 1, 4));
  if (shape.rank() > 0) shape.set(static_cast<int>(draw(random, 0, shape.rank() - 1)), draw_size(random));
  return shape;
}

Shape draw_narrower(RandomStream& random, const Shape& shape) {
  Shape narrower = shape.from(static_cast<int>(draw(random, 0, shape.rank())));
  for (int axis = 0; axis < narrower.rank(); ++axis)
    if (draw(random, 0, 2) == 0) narrower.set(axis, 1);
  return narrower;
}

Tensor draw_tensor(RandomStream& random, const Type& type, Domain domain) {
  Tensor tensor = Tensor::uninitialised(type);
  visit(type.dtype, [&]<class T>(T*) {
    for (T& element : tensor.writable<T>()) {
      const double value = random.uniform(domain.low, domain.high);
      element = convert<T>(is_floating(type.dtype) ? value : std::floor(value));
    }
  });
  return tensor;
}

Type operand_type(const OpCase::Operand& operand, DType real) {
  return {is_floating(operand.type.dtype) ? real : operand.type.dtype, operand.type.shape};
}

std::vector<Tensor> draw_operands(RandomStream& random, const OpCase& sample, DType real) {
  std::vector<Tensor> tensors;
  for (const OpCase::Operand& operand : sample.operands)
    tensors.push_back(draw_tensor(random, operand_type(operand, real), operand.domain));
  return tensors;
}

std::unique_ptr<Graph> graph_of(const OpCase& sample, DType real) {
  auto graph = std::make_unique<Graph>();
  Values operands;
  for (const OpCase::Operand& operand : sample.operands)
    operands.push_back(graph->input(fmt::format("x{}", operands.size()), operand_type(operand, real)));
  if (operands.empty()) operands.push_back(graph->scalar(0));  // tells `apply` the graph
  for (Value result : sample.apply(operands)) graph->output(fmt::format("y{}", graph->outputs().size()), result);
  return graph;
}

void add_gradients(Graph& graph) {
  Values operands, results, cotangents;
  for (const auto& [name, operand] : graph.inputs()) operands.push_back(operand);
  for (const auto& [name, result] : graph.outputs())
    if (is_floating(result.dtype())) results.push_back(result);
  for (Value result : results) cotangents.push_back(graph.input(fmt::format("dy{}", cotangents.size()), result.type()));
  const Values found = gradients(graph, results, cotangents, operands);
  for (std::size_t i = 0; i < found.size(); ++i)
    if (found[i] && is_floating(operands[i].dtype())) graph.output(fmt::format("dx{}", i), found[i]);
}

}  // namespace nacre::test
