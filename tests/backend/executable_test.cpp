#include "backend/executable.h"

#include <gtest/gtest.h>

#include "backend/compile/residence.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "tests/backend/layout_backend.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::LayoutBackend;

Tensor vector_of(std::initializer_list<float> values) {
  return Tensor::of<float>({static_cast<std::int64_t>(values.size())}, values);
}

VariableRef variable_of(std::string path, Tensor value) {
  auto variable = std::make_shared<Variable>(std::move(path), value.type(), true);
  variable->assign(std::move(value));
  return variable;
}

std::vector<double> numbers(const Tensor& tensor) { return tensor.to_doubles(); }
using Numbers = std::vector<double>;

int times(std::string_view word, std::string_view text) {
  int count = 0;
  for (std::size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

TEST(Executable, ComputesAndFillsGivenTensors) {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {3}});
  graph.output("y", x * 2.0 + 1.0);
  Executable executable(graph, reference_backend());
  std::vector<Tensor> outputs{Tensor(DType::float32, {3})};
  const void* memory = outputs[0].raw();
  const std::vector<Tensor> inputs{vector_of({1, 2, 3})};
  executable.run(inputs, outputs);
  EXPECT_EQ(numbers(outputs[0]), (Numbers{3, 5, 7}));
  EXPECT_EQ(outputs[0].raw(), memory);
}

TEST(Executable, ProfilesRunsWhileItIsAskedTo) {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {3, 4}}), table = graph.input("table", {DType::float32, {1000, 4}});
  const Value rows = graph.input("rows", {DType::int32, {3}});
  {
    const Graph::Label label(graph, "layer 'rows'");
    graph.output("y", ops::sum(x + ops::gather(table, rows), {0, 1}));
  }
  Executable executable(graph, reference_backend());
  const std::vector<Tensor> inputs{Tensor(DType::float32, {3, 4}), Tensor(DType::float32, {1000, 4}), Tensor(DType::int32, {3})};
  Profile profile{.max_events = 4};
  executable.profile(&profile);
  for (int i = 0; i < 2; ++i) executable.run(inputs);
  executable.profile(nullptr);
  executable.run(inputs);
  EXPECT_EQ(profile.runs, 2);
  ASSERT_EQ(profile.kernels.size(), static_cast<std::size_t>(executable.statistics().kernels));
  ASSERT_EQ(profile.kernels.size(), 3u);
  EXPECT_EQ(profile.kernels[0].op, "gather");
  EXPECT_EQ(profile.kernels[0].label, "layer 'rows'");
  EXPECT_EQ(profile.kernels[0].result, "float32(3, 4) plain");
  EXPECT_EQ(profile.kernels[0].bytes, 3u * 4 * 4 + 3 * 4 + 3 * 4 * 4) << "of the table only the rows that are read";
  EXPECT_EQ(profile.kernels[1].flops, 12);
  EXPECT_EQ(profile.kernels[1].bytes, 3u * 12 * 4);
  EXPECT_EQ(profile.events.size(), 4u) << "as many as asked for";
  for (const Profile::Event& event : profile.events) EXPECT_GE(event.end, event.begin);
  for (const Profile::Kernel& kernel : profile.kernels) EXPECT_GE(kernel.seconds, 0);
}

// Every kernel runs several times, and over what it reads: momentum and weights must not be updated but once.
TEST(Executable, MeasuringKernelsAloneChangesNoResult) {
  const auto run = [](bool alone) {
    const auto w = variable_of("w", vector_of({1, 2, 3})), momentum = variable_of("m", vector_of({0.5, 0, -1}));
    Graph graph;
    const Value x = graph.input("x", {DType::float32, {3}}), old = graph.variable(w);
    const Value fresh = graph.variable(momentum) * 0.9 + ops::square(old * x);
    graph.update(momentum, fresh);
    graph.update(w, old - fresh);
    graph.output("y", ops::exp(ops::tanh(old * x)));
    Executable executable(graph, reference_backend());
    EXPECT_EQ(times("copy", executable.text()), 0) << "written in place: " << executable.text();
    Profile profile;
    executable.profile(&profile);
    executable.profile(nullptr);
    std::vector<double> all;
    for (int step = 0; step < 3; ++step) {
      if (alone && step == 1) executable.measure_alone(profile);
      for (const Tensor& result : {executable.run({{vector_of({1, -0.25, 2})}})[0], w->value(), momentum->value()})
        for (double value : numbers(result)) all.push_back(value);
    }
    for (const Profile::Kernel& kernel : profile.kernels) {
      EXPECT_EQ(kernel.cold > 0, alone) << kernel.op;
      EXPECT_EQ(kernel.warm > 0, alone) << kernel.op;
    }
    return all;
  };
  EXPECT_EQ(run(true), run(false));
}

TEST(Executable, OutputsThatSomeoneElseHoldsAreNotOverwritten) {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {2}});
  graph.output("y", -x);
  Executable executable(graph, reference_backend());
  std::vector<Tensor> outputs;
  executable.run({{vector_of({1, 2})}}, outputs);
  const Tensor kept = outputs[0];
  executable.run({{vector_of({3, 4})}}, outputs);
  EXPECT_EQ(numbers(kept), (Numbers{-1, -2}));
  EXPECT_EQ(numbers(outputs[0]), (Numbers{-3, -4}));
}

TEST(Executable, OutputsMayBeInputsVariablesConstantsAndTheSameValue) {
  const auto w = variable_of("w", vector_of({5, 6}));
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {2}}), y = -x;
  graph.output("input", x);
  graph.output("variable", graph.variable(w));
  graph.output("constant", graph.constant(vector_of({7, 8})));
  graph.output("first", y);
  graph.output("second", y);
  graph.output("view", ops::reshape(x, {1, 2}));
  const auto results = Executable(graph, reference_backend()).run({{vector_of({1, 2})}});
  EXPECT_EQ(numbers(results[0]), (Numbers{1, 2}));
  EXPECT_EQ(numbers(results[1]), (Numbers{5, 6}));
  EXPECT_EQ(numbers(results[2]), (Numbers{7, 8}));
  EXPECT_EQ(numbers(results[3]), (Numbers{-1, -2}));
  EXPECT_EQ(numbers(results[4]), (Numbers{-1, -2}));
  EXPECT_EQ(numbers(results[5]), (Numbers{1, 2}));
}

TEST(Executable, EmptyTensors) {
  const auto w = variable_of("w", Tensor(DType::float32, {0, 3}));
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {0, 3}});
  graph.output("y", x + 1.0);
  graph.output("same", x);
  graph.update(w, graph.variable(w) + x);
  const auto results = Executable(graph, reference_backend()).run({{Tensor(DType::float32, {0, 3})}});
  EXPECT_EQ(results[0].shape(), (Shape{0, 3}));
  EXPECT_EQ(w->value().shape(), (Shape{0, 3}));
}

TEST(Executable, UpdatesAreWrittenInPlace) {
  const auto w = variable_of("w", vector_of({1, 2}));
  Graph graph;
  const Value gradient = graph.input("g", {DType::float32, {2}});
  graph.update(w, graph.variable(w) - gradient * 0.5);
  Executable executable(graph, reference_backend());
  EXPECT_EQ(times("copy", executable.text()), 0) << executable.text();
  const std::uint64_t before = w->version();
  for (int i = 0; i < 3; ++i) executable.run({{vector_of({2, 4})}});
  EXPECT_EQ(numbers(w->value()), (Numbers{-2, -4}));
  EXPECT_EQ(w->version(), before + 3);
}

TEST(Executable, OldValueIsReadBeforeItIsOverwritten) {
  const auto w = variable_of("w", vector_of({1, 2}));
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {2}}), old = graph.variable(w), fresh = old + x;
  graph.update(w, fresh);
  graph.output("old times new", old * fresh);
  graph.output("new", fresh);
  graph.output("old", old);
  Executable executable(graph, reference_backend());
  for (int run = 0; run < 2; ++run) {
    const auto results = executable.run({{vector_of({10, 20})}});
    const double a = 1 + 10 * run, b = 2 + 20 * run;
    EXPECT_EQ(numbers(results[0]), (Numbers{a * (a + 10), b * (b + 20)}));
    EXPECT_EQ(numbers(results[1]), (Numbers{a + 10, b + 20}));
    EXPECT_EQ(numbers(results[2]), (Numbers{a, b}));
    EXPECT_EQ(numbers(w->value()), (Numbers{a + 10, b + 20}));
  }
}

TEST(Executable, VariablesMayTakeEachOthersValues) {
  const auto a = variable_of("a", vector_of({1})), b = variable_of("b", vector_of({2})),
             c = variable_of("c", vector_of({3})), d = variable_of("d", vector_of({4})),
             e = variable_of("e", vector_of({5}));
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {1}}), y = -x;
  graph.update(a, graph.variable(b));  // a swap
  graph.update(b, graph.variable(a));
  graph.update(c, x);
  graph.update(d, y);
  graph.update(e, y);
  Executable executable(graph, reference_backend());
  executable.run({{vector_of({9})}});
  EXPECT_EQ(a->value().item(), 2);
  EXPECT_EQ(b->value().item(), 1);
  EXPECT_EQ(c->value().item(), 9);
  EXPECT_EQ(d->value().item(), -9);
  EXPECT_EQ(e->value().item(), -9);
  executable.run({{vector_of({8})}});
  EXPECT_EQ(a->value().item(), 1);
  EXPECT_EQ(b->value().item(), 2);
  EXPECT_EQ(c->value().item(), 8);
}

TEST(Executable, UpdatesByConstants) {
  const auto w = variable_of("w", vector_of({1}));
  Graph graph;
  graph.update(w, graph.constant(vector_of({0})));
  Executable executable(graph, reference_backend());
  for (int i = 0; i < 2; ++i) {
    executable.run();
    EXPECT_EQ(w->value().item(), 0);
    w->assign(vector_of({3}));
  }
}

TEST(Executable, AssignedValuesAreSeen) {
  const auto w = variable_of("w", vector_of({1}));
  Graph graph;
  graph.update(w, graph.variable(w) + 1.0);
  graph.output("w", ops::square(graph.variable(w)));
  Executable executable(graph, reference_backend());
  executable.run();
  const Tensor mine = vector_of({10});
  w->assign(mine);
  EXPECT_EQ(executable.run()[0].item(), 100);
  EXPECT_EQ(executable.run()[0].item(), 121);
  EXPECT_EQ(mine.item(), 10);  // the caller's tensor is a value of its own
}

// The steps for full batches and for the last one share weights, whichever runs.
TEST(Executable, TwoShapesShareTheirVariables) {
  const auto w = variable_of("w", vector_of({0, 0}));
  auto step = [&](std::int64_t batch) {
    auto graph = std::make_unique<Graph>();
    const Value x = graph->input("x", {DType::float32, {batch, 2}});
    graph->update(w, graph->variable(w) + ops::sum(x, {0}));
    return std::make_unique<Executable>(*graph, reference_backend());
  };
  const auto full = step(3), last = step(1);
  const Tensor ones = Tensor::of<float>({3, 2}, {1, 1, 1, 1, 1, 1});
  full->run({{ones}});
  const Residence* residence = w->residence().get();
  last->run({{ones.rows(0, 1)}});
  full->run({{ones}});
  EXPECT_EQ(numbers(w->value()), (Numbers{7, 7}));
  EXPECT_EQ(w->residence().get(), residence);
  EXPECT_EQ(last->statistics().variable_bytes, 0u);
}

TEST(Executable, IntermediatesShareMemory) {
  Graph graph;
  Value x = graph.input("x", {DType::float32, {64, 64}});
  for (int i = 0; i < 10; ++i) x = ops::matmul(x, x);
  graph.output("y", x);
  const Executable products(graph, reference_backend());
  const std::size_t scratch = 3 * 64 * 64 * sizeof(double);
  EXPECT_LE(products.statistics().arena_bytes, 2 * 64 * 64 * sizeof(float) + scratch);

  Graph chain;
  Value y = chain.input("x", {DType::float32, {4096}});
  for (int i = 0; i < 10; ++i) y = ops::tanh(y);
  chain.output("y", ops::sum(y));
  const Executable in_place(chain, reference_backend());
  std::string places;
  for (std::size_t at = in_place.text().find("arena+"); at != std::string::npos;
       at = in_place.text().find("arena+", at + 1)) {
    const std::string place = in_place.text().substr(at, in_place.text().find_first_of(",)\n ", at) - at);
    EXPECT_TRUE(places.empty() || places == place);
    places = place;
  }
}

TEST(Executable, ExecutablesOfAModelShareTheirWorkspace) {
  const auto workspace = std::make_shared<Workspace>(reference_backend());
  const auto doubled = [&](std::int64_t rows) {
    Graph graph;
    const Value x = graph.input("x", {DType::float32, {rows, 3}});
    graph.output("y", ops::matmul(ops::tanh(x * 2.0), ops::tanh(x), true, false));
    return std::make_unique<Executable>(graph, reference_backend(), workspace);
  };
  const auto small = doubled(2);
  const Tensor two = Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  const auto expected = small->run({{two}});
  const std::size_t before = workspace->bytes();
  const auto large = doubled(50);  // the workspace grows, and moves
  EXPECT_GT(workspace->bytes(), before);
  EXPECT_EQ(workspace->bytes(), large->statistics().arena_bytes);
  large->run({{Tensor(DType::float32, {50, 3})}});
  EXPECT_TRUE(small->run({{two}})[0].identical(expected[0]));
}

TEST(Executable, MissingKernelIsRefusedByName) {
  struct Empty final : Backend {
    std::string_view name() const override { return "empty"; }
    std::string_view description() const override { return ""; }
    std::span<const KernelRow> table() const override { return {}; }
    std::span<const Pass> passes() const override { return {}; }
    std::unique_ptr<Kernel> reorder(const Type&, const Layout&, const Layout&) const override { return nullptr; }
    std::shared_ptr<std::byte[]> allocate(std::size_t bytes) const override { return allocate_bytes(bytes); }
  };
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {2}});
  const Graph::Label label(graph, "layer 'activation' (Activation)");
  graph.output("y", ops::tanh(x));
  EXPECT_EQ(test::message_of([&] { Executable(graph, Empty()); }),
            "layer 'activation' (Activation): 'tanh' of (float32(2,)) has no kernel on the empty backend");
}

TEST(Executable, CacheDropsTheLeastRecentlyUsed) {
  ExecutableCache<> cache(2);
  auto get = [&](const std::string& key) -> Executable& {
    return cache.get(key, [&] {
      Graph graph;
      graph.output("x", graph.input("x", {DType::float32, {1}}));
      return std::make_unique<Executable>(graph, reference_backend());
    });
  };
  Executable& a = get("a");
  get("b");
  EXPECT_EQ(&get("a"), &a);
  get("c");  // drops b
  EXPECT_EQ(&get("a"), &a);
  EXPECT_EQ(cache.misses(), 3u);
  get("b");
  EXPECT_EQ(cache.misses(), 4u);
}

// --- layouts ------------------------------------------------------------------------------------------------------

TEST(ExecutableLayouts, VariablesLiveInTheLayoutThatTheStepWants) {
  const LayoutBackend backend;
  const auto w = variable_of("w", vector_of({1, 2, 3})), slot = variable_of("slot", vector_of({0, 0, 0}));
  Graph graph;
  const Value old = graph.variable(w), momentum = graph.variable(slot) + ops::square(old);
  graph.update(slot, momentum);
  graph.update(w, old + momentum);
  Executable executable(graph, backend);
  EXPECT_EQ(executable.statistics().weight_reorders + executable.statistics().activation_reorders, 0)
      << executable.text();
  EXPECT_EQ(times("copy", executable.text()), 0) << executable.text();
  executable.run();
  EXPECT_EQ(numbers(w->value()), (Numbers{2, 6, 12}));
  EXPECT_EQ(numbers(slot->value()), (Numbers{1, 4, 9}));
  EXPECT_EQ(dynamic_cast<const compile::BackendResidence&>(*slot->residence()).layout().text(), "reversed");
}

TEST(ExecutableLayouts, ReordersAreMadeOncePerValue) {
  const LayoutBackend backend;
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {2, 2}});
  graph.output("a", ops::sum(ops::square(x), {1}));
  graph.output("b", ops::sum(ops::square(x) + ops::square(x), {0}));
  Executable executable(graph, backend);
  EXPECT_EQ(executable.statistics().activation_reorders, 3) << executable.text();  // x once, two results
  const auto results = executable.run({{Tensor::of<float>({2, 2}, {1, 2, 3, 4})}});
  EXPECT_EQ(numbers(results[0]), (Numbers{5, 25}));
  EXPECT_EQ(numbers(results[1]), (Numbers{20, 40}));
}

TEST(ExecutableLayouts, WorkOnVariablesRunsOncePerVersion) {
  const LayoutBackend backend;
  const auto w = variable_of("w", vector_of({1, 2})), rate = variable_of("rate", vector_of({1, 1}));
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {2}});
  graph.output("y", x * ops::square(graph.variable(w)) * ops::exp(graph.variable(rate) * 0.0));
  Executable executable(graph, backend);
  EXPECT_GE(executable.statistics().prologue_kernels, 2) << executable.text();
  const int before = LayoutBackend::square_runs();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(numbers(executable.run({{vector_of({1, 1})}})[0]), (Numbers{1, 4}));
  EXPECT_EQ(LayoutBackend::square_runs(), before + 1);
  rate->assign(vector_of({2, 2}));
  executable.run({{vector_of({1, 1})}});
  EXPECT_EQ(LayoutBackend::square_runs(), before + 1);  // does not depend on it
  w->assign(vector_of({3, 4}));
  EXPECT_EQ(numbers(executable.run({{vector_of({1, 1})}})[0]), (Numbers{9, 16}));
  EXPECT_EQ(LayoutBackend::square_runs(), before + 2);
}

TEST(ExecutableLayouts, ReadersFollowTheStepThatUpdates) {
  const LayoutBackend backend;
  const auto w = variable_of("w", vector_of({1, 2, 3}));
  Graph reading;
  reading.output("w", ops::reshape(reading.variable(w), {3, 1}));
  Executable reader(reading, backend);  // compiled first, wants plain order
  EXPECT_EQ(numbers(reader.run()[0]), (Numbers{1, 2, 3}));

  Graph training;
  training.update(w, ops::square(training.variable(w)));
  Executable trainer(training, backend);
  trainer.run();
  const Residence* owner = w->residence().get();
  EXPECT_EQ(numbers(reader.run()[0]), (Numbers{1, 4, 9}));
  EXPECT_EQ(numbers(reader.run()[0]), (Numbers{1, 4, 9}));
  trainer.run();
  EXPECT_EQ(numbers(reader.run()[0]), (Numbers{1, 16, 81}));
  EXPECT_EQ(w->residence().get(), owner);  // never moved back and forth
  w->assign(vector_of({2, 2, 2}));
  trainer.run();
  EXPECT_EQ(numbers(reader.run()[0]), (Numbers{4, 4, 4}));
}

TEST(Executable, VariablesStayWhereTheirTensorsLie) {
  Tensor given = vector_of({1, 2});
  const void* const place = given.raw();
  const auto w = variable_of("w", std::move(given));
  Graph graph;
  graph.update(w, graph.variable(w) * 3.0);
  Executable executable(graph, reference_backend());
  executable.run();
  const auto residence = compile::residence_on(reference_backend(), *w);
  ASSERT_TRUE(residence);
  EXPECT_EQ(residence->raw(), place);
  EXPECT_EQ(numbers(w->value()), (Numbers{3, 6}));
}

TEST(Executable, TensorsThatOthersHoldKeepTheirValues) {
  const Tensor held = vector_of({1, 2});
  const auto w = variable_of("w", held), v = variable_of("v", held);
  Graph graph;
  graph.update(w, graph.variable(w) * 3.0);
  graph.update(v, graph.variable(v) + graph.variable(w));
  Executable executable(graph, reference_backend());
  executable.run();
  EXPECT_EQ(numbers(held), (Numbers{1, 2}));
  EXPECT_EQ(numbers(w->value()), (Numbers{3, 6}));
  EXPECT_EQ(numbers(v->value()), (Numbers{2, 4}));
}

TEST(Executable, SaysWhatItsFirstRunTakes) {
  const auto w = variable_of("w", vector_of({1, 2, 3}));
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {3}}), y = ops::matmul(ops::reshape(x, {3, 1}), ops::reshape(x, {1, 3}));
  graph.output("y", ops::sum(y, {0}) + graph.variable(w));
  Executable executable(graph, reference_backend());
  const ExecutableStatistics& statistics = executable.statistics();
  executable.prepare();
  EXPECT_TRUE(compile::residence_on(reference_backend(), *w));
  EXPECT_EQ(executable.bytes_to_come(), statistics.arena_bytes + statistics.persistent_bytes + 12);
  EXPECT_EQ(numbers(executable.run(std::vector<Tensor>{vector_of({1, 0, 2})})[0]), (Numbers{4, 2, 9}));
  EXPECT_EQ(executable.bytes_to_come(), 0u);
}

TEST(ExecutableLayouts, ValuesMoveBetweenBackends) {
  const LayoutBackend backend;
  const auto w = variable_of("w", vector_of({1, 2}));
  auto step = [&](const Backend& on) {
    Graph graph;
    graph.update(w, ops::square(graph.variable(w)) + graph.variable(w));
    return std::make_unique<Executable>(graph, on);
  };
  const auto here = step(backend), there = step(reference_backend());
  here->run();
  EXPECT_EQ(numbers(w->value()), (Numbers{2, 6}));
  there->run();
  EXPECT_EQ(numbers(w->value()), (Numbers{6, 42}));
  here->run();
  EXPECT_EQ(numbers(w->value()), (Numbers{42, 1806}));
}

}  // namespace
}  // namespace nacre
