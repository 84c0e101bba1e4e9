// Random graphs with variables: executables must compute what a walk over the nodes computes, whatever shares memory,
// however often they run, and with another executable in between.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "backend/executable.h"
#include "backend/graph/ops/ops.h"
#include "backend/interpret.h"
#include "backend/onednn/onednn.h"
#include "tests/backend/layout_backend.h"
#include "tests/support/op_cases.h"
#include "tests/support/tensors.h"

namespace nacre {
namespace {

using test::draw;

const Type square{DType::float32, {4, 4}};

std::vector<VariableRef> fresh_variables(std::uint32_t seed) {
  RandomStream random(RandomKey::of(seed, "variables"));
  std::vector<VariableRef> variables;
  for (int i = 0; i < 4; ++i) {
    variables.push_back(std::make_shared<Variable>("v" + std::to_string(i), square, true));
    variables.back()->assign(test::draw_tensor(random, square));
  }
  return variables;
}

// The same graph for the same seed, over other variables.
std::unique_ptr<Graph> random_graph(std::uint32_t seed, const std::vector<VariableRef>& variables) {
  RandomStream random(RandomKey::of(seed, "graph"));
  auto graph = std::make_unique<Graph>();
  Values values{graph->input("x", square), graph->input("y", square), graph->constant(Tensor(DType::float32, {4, 4}))};
  for (const VariableRef& variable : variables) values.push_back(graph->variable(variable));
  const auto some = [&] {
    return values[static_cast<std::size_t>(draw(random, 0, static_cast<std::int64_t>(values.size()) - 1))];
  };
  for (std::int64_t i = draw(random, 0, 20); i > 0; --i) {
    switch (draw(random, 0, 8)) {
      case 0: values.push_back(ops::tanh(some() + some())); break;
      case 1: values.push_back(some() * 0.5 - some() * 0.25); break;
      case 2: values.push_back(ops::tanh(ops::matmul(some(), some()))); break;
      case 3: values.push_back(ops::transpose(some(), {1, 0})); break;
      case 4: values.push_back(ops::reshape(ops::sin(ops::reshape(some(), {2, 8})), {4, 4})); break;
      case 5: values.push_back(ops::square(ops::tanh(some()))); break;
      case 6: values.push_back(ops::reshape(ops::reshape(some(), {16}), {4, 4})); break;
      case 7: values.push_back(ops::softmax(some())); break;
      default: values.push_back(ops::maximum(some(), some())); break;
    }
  }
  for (std::int64_t i = draw(random, 0, 4); i > 0; --i) graph->output("o" + std::to_string(i), some());
  for (const VariableRef& variable : variables)
    if (draw(random, 0, 2)) graph->update(variable, some());
  return graph;
}

void expect_same(const std::vector<Tensor>& actual, const std::vector<Tensor>& expected, const Graph& graph,
                 const Executable& executable) {
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (const auto result = test::close(actual[i], expected[i], 1e-4); !result)
      RC_FAIL(fmt::format("output {}: {}\n{}\n{}", i, result.message(), graph.text(), executable.text()));
}

std::vector<Tensor> values_of(const std::vector<VariableRef>& variables) {
  std::vector<Tensor> values;
  for (const VariableRef& variable : variables) values.push_back(variable->value());
  return values;
}

void check_on(const Backend& backend) {
  const auto seed = *rc::gen::arbitrary<std::uint32_t>();
  const auto walked = fresh_variables(seed), compiled = fresh_variables(seed);
  std::vector<std::unique_ptr<Graph>> expected;
  std::vector<std::unique_ptr<Executable>> executables;
  for (std::uint32_t i = 0; i < 2; ++i) {
    expected.push_back(random_graph(seed + i, walked));
    executables.push_back(std::make_unique<Executable>(*random_graph(seed + i, compiled), backend));
  }
  RandomStream random(RandomKey::of(seed, "runs"));
  for (int run = 0; run < 6; ++run) {
    const auto which = static_cast<std::size_t>(draw(random, 0, 1));
    if (draw(random, 0, 3) == 0) {
      const auto changed = static_cast<std::size_t>(draw(random, 0, 3));
      const Tensor value = test::draw_tensor(random, square);
      walked[changed]->assign(value);
      compiled[changed]->assign(value);
    }
    const std::vector<Tensor> inputs{test::draw_tensor(random, square), test::draw_tensor(random, square)};
    const auto results = executables[which]->run(inputs);
    expect_same(results, interpret(*expected[which], inputs, reference_backend()), *expected[which],
                *executables[which]);
    expect_same(values_of(compiled), values_of(walked), *expected[which], *executables[which]);
  }
}

RC_GTEST_PROP(ExecutableProperty, ReferenceBackend, ()) { check_on(reference_backend()); }
RC_GTEST_PROP(ExecutableProperty, CpuBackend, ()) { check_on(onednn_backend()); }
RC_GTEST_PROP(ExecutableProperty, BackendWithLayouts, ()) {
  static const test::LayoutBackend backend;
  check_on(backend);
}

}  // namespace
}  // namespace nacre
