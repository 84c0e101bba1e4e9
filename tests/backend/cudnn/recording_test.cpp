// What the GPU backend records and replays, and that loops and branches stay on the device, on the emulated one.
#include <gtest/gtest.h>

#include "backend/cudnn/backend.h"
#include "backend/executable.h"
#include "backend/graph/grad.h"
#include "backend/graph/ops/ops.h"
#include "backend/onednn/onednn.h"
#include "tests/support/emulated_gpu.h"
#include "tests/support/op_cases.h"
#include "tests/support/paths.h"
#include "tests/support/tensors.h"

namespace nacre::test {
namespace {

class GpuRecording : public testing::Test {
 protected:
  void SetUp() override {
    device_ = emulated_gpu();
    if (!device_) GTEST_SKIP() << "no compiler to emulate a GPU with";
    backend_ = gpu::backend_on(device_);
  }
  const Backend& gpu() const { return *backend_; }
  const GpuWork& counts() const { return device_->counts(); }

  std::shared_ptr<EmulatedDevice> device_;
  std::unique_ptr<Backend> backend_;
};

VariableRef variable_of(std::string path, const Tensor& value) {
  auto variable = std::make_shared<Variable>(std::move(path), value.type(), true);
  variable->assign(value);
  return variable;
}

// Dropout and a dense layer, trained by gradient descent with momentum at a rate that is a variable; steps are counted.
struct Training {
  VariableRef step = variable_of("step", Tensor::scalar<std::int64_t>(0));
  VariableRef rate = variable_of("rate", Tensor::scalar<float>(0.1f));
  VariableRef kernel, velocity;

  Training() {
    RandomStream random(RandomKey::of(3, "kernel"));
    const Type type{DType::float32, {6, 4}};
    kernel = variable_of("kernel", draw_tensor(random, type));
    velocity = variable_of("velocity", Tensor(type));
  }
  std::unique_ptr<Graph> graph(std::int64_t batch) const {
    auto made = std::make_unique<Graph>();
    const Value x = made->input("x", {DType::float32, {batch, 6}}),
                truth = made->input("truth", {DType::float32, {batch, 4}});
    const Value count = made->variable(step), weights = made->variable(kernel);
    const Value seed = made->constant(Tensor::scalar<std::int64_t>(7));
    const Value kept = ops::dropped(x, ops::random_uniform(seed, count, x, "dropout", 0), 0.5);
    const Value loss = ops::mean(ops::square(ops::matmul(kept, weights) - truth));
    const Value slope = gradients(loss, {&weights, 1})[0];
    const Value next = made->variable(velocity) * 0.9 - slope * made->variable(rate);
    made->update(velocity, next);
    made->update(kernel, weights + next);
    made->update(step, count + made->constant(Tensor::scalar<std::int64_t>(1)));
    made->output("loss", loss);
    return made;
  }
};

// One executable on the GPU and one of the reference, which get the same data.
struct Pair {
  Pair(const Backend& gpu, std::int64_t size, const Training& here, const Training& there,
       std::shared_ptr<Workspace> workspace = nullptr)
      : step(*here.graph(size), gpu, std::move(workspace)),
        specification(*there.graph(size), reference_backend()),
        batch(size) {}
  void run() {
    const Tensor x = draw_tensor(random, {DType::float32, {batch, 6}}),
                 truth = draw_tensor(random, {DType::float32, {batch, 4}});
    EXPECT_TRUE(close(step.run({{x, truth}})[0], specification.run({{x, truth}})[0], 1e-4));
  }
  Executable step, specification;
  std::int64_t batch;
  RandomStream random{RandomKey::of(2, "data")};
};

TEST_F(GpuRecording, AStepIsOneReplay) {
  const Training here, there;
  Pair pair(gpu(), 8, here, there);
  std::int64_t before = counts().by_itself;
  pair.run();
  const std::int64_t plainly = counts().by_itself - before;
  EXPECT_EQ(counts().recordings, 0);
  for (int i = 0; i < 4; ++i) {
    before = counts().by_itself;
    pair.run();
    EXPECT_EQ(counts().by_itself - before, 3) << "the copies of two inputs and of the loss";
  }
  EXPECT_GT(plainly, 2 * 3);
  EXPECT_EQ(counts().recordings, 1) << pair.step.text();
  EXPECT_EQ(counts().replays, 4);
  EXPECT_EQ(pair.step.statistics().recorded_kernels, pair.step.statistics().kernels - 3) << pair.step.text();
  EXPECT_EQ(here.step->value().at(0), 5);
  EXPECT_TRUE(close(here.kernel->value(), there.kernel->value(), 1e-4));
}

// What a callback sets, and what variables are given from elsewhere.
TEST_F(GpuRecording, ReadsWhatVariablesHoldNow) {
  const Training here, there;
  Pair pair(gpu(), 8, here, there);
  for (int i = 0; i < 6; ++i) {
    if (i == 3)
      for (const Training* training : {&here, &there}) training->rate->assign(Tensor::scalar<float>(0.01f));
    if (i == 4)
      for (const Training* training : {&here, &there}) training->kernel->assign(Tensor(training->kernel->type()));
    pair.run();
  }
  EXPECT_TRUE(close(here.kernel->value(), there.kernel->value(), 1e-4));
  EXPECT_EQ(counts().recordings, 1) << "they lie where they lay";
}

// Inputs are copied to where the recording reads them, so that it doesn't matter where they come from; a larger batch
// moves the memory that executables share.
TEST_F(GpuRecording, HoldsAsLongAsNothingMoves) {
  const Training here, there;
  const auto workspace = std::make_shared<Workspace>(gpu());
  Pair small(gpu(), 4, here, there, workspace);
  for (int i = 0; i < 4; ++i) small.run();
  EXPECT_EQ(counts().recordings, 1);
  const void* const before = workspace->raw();
  Pair large(gpu(), 512, here, there, workspace);
  ASSERT_NE(workspace->raw(), before);
  const std::int64_t replays = counts().replays;
  small.run();
  EXPECT_EQ(counts().replays, replays) << "the first run at new addresses is plain";
  for (int i = 0; i < 3; ++i) large.run(), small.run();
  EXPECT_EQ(counts().recordings, 3);
  EXPECT_TRUE(close(here.kernel->value(), there.kernel->value(), 1e-4));
}

TEST_F(GpuRecording, WhatCannotBeRecordedIsDonePlainly) {
  device_->refuse_recordings(true);
  const Training here, there;
  Pair pair(gpu(), 8, here, there);
  for (int i = 0; i < 3; ++i) pair.run();
  device_->refuse_recordings(false);
  pair.run();
  EXPECT_EQ(counts().recordings, 0) << "it is not tried again";
  EXPECT_TRUE(close(here.kernel->value(), there.kernel->value(), 1e-4));
}

TEST_F(GpuRecording, ProfilesEveryKernelByItself) {
  const Training here, there;
  Pair pair(gpu(), 8, here, there);
  for (int i = 0; i < 3; ++i) pair.run();
  Profile profile;
  pair.step.profile(&profile);
  const std::int64_t replays = counts().replays;
  pair.run();
  pair.step.measure_alone(profile);
  pair.run();
  EXPECT_EQ(counts().replays, replays);
  pair.step.profile(nullptr);
  pair.run();
  EXPECT_EQ(counts().replays, replays + 1);
  EXPECT_TRUE(close(here.kernel->value(), there.kernel->value(), 1e-4));
}

TEST_F(GpuRecording, BackendsThatDoWorkAtOnceRecordNothing) {
  const Training training;
  const auto graph = training.graph(8);
  EXPECT_EQ(Executable(*graph, onednn_backend()).statistics().recorded_kernels, 0);
}

// --- memory -------------------------------------------------------------------------------------------------------

TEST_F(GpuRecording, LackOfMemoryNamesTheBatchThatWouldFit) {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {200, 1024}});
  graph.output("y", ops::sum(ops::softmax(x, -1), {0, 1}));
  const std::size_t wanted = Executable(graph, gpu()).statistics().arena_bytes;
  device_->limit_memory(wanted / 2);
  const std::string said = message_of([&] { Executable executable(graph, gpu()); });
  EXPECT_NE(said.find("wanted"), said.npos) << said;
  EXPECT_NE(said.find("hint: there is room for a batch of about 100 instead of 200"), said.npos) << said;
}

// --- kernels that hold graphs -------------------------------------------------------------------------------------

// A recurrent layer by hand and the gradient of what it begins with.
std::unique_ptr<Graph> recurrent(std::int64_t steps) {
  auto graph = std::make_unique<Graph>();
  const Value x = graph->input("x", {DType::float32, {steps, 3, 4}}),
              start = graph->input("start", {DType::float32, {3, 4}});
  RandomStream random(RandomKey::of(7, "weights"));
  const Tensor weights = draw_tensor(random, {DType::float32, {4, 4}});
  const ops::Scanned scanned =
      ops::scan({start}, {x}, {}, false, [&](Graph& body, const Values& carries, const Values& items, const Values&) {
        const Value next = ops::sin(ops::matmul(ops::tanh(carries[0]), body.constant(weights))) + items[0];
        return ops::ScanStep{{next}, {next * 2.0}};
      });
  const Value loss = ops::mean(ops::square(scanned.items[0]));
  graph->output("slope", gradients(loss, {&start, 1})[0]);
  graph->output("last", scanned.carries[0]);
  return graph;
}

TEST_F(GpuRecording, AScanIsPartOfARecording) {
  const auto graph = recurrent(5);
  Executable on_gpu(*graph, gpu()), specification(*graph, reference_backend());
  EXPECT_EQ(on_gpu.statistics().borrowed, 0) << on_gpu.text();
  EXPECT_EQ(on_gpu.statistics().activation_reorders, 4) << on_gpu.text();  // two inputs, two outputs
  RandomStream random(RandomKey::of(4, "scan"));
  for (int i = 0; i < 4; ++i) {
    std::vector<Tensor> inputs;
    for (const Type& type : on_gpu.input_types()) inputs.push_back(draw_tensor(random, type));
    const std::int64_t before = counts().by_itself, waits = counts().waits;
    const std::vector<Tensor> made = on_gpu.run(inputs), expected = specification.run(inputs);
    for (std::size_t o = 0; o < expected.size(); ++o) EXPECT_TRUE(close(made[o], expected[o], 1e-4)) << o;
    EXPECT_EQ(counts().waits - waits, 1) << "for both outputs";
    if (i > 0) EXPECT_EQ(counts().by_itself - before, 4);
    else EXPECT_GT(counts().by_itself - before, 4 + 2 * 5);
  }
  EXPECT_EQ(counts().recordings, 1) << on_gpu.text();
}

// A step that is made only when a number says so, and a loop as long as a number is small: the host reads a scalar and
// copies nothing else.
TEST_F(GpuRecording, BranchesAndLoopsCopyOnlyWhatTheHostDecidesBy) {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {5}}), choice = graph.input("choice", {DType::int32, {}});
  const Values branched = ops::branch(choice, {ops::sin(x) * 3.0},
                                      {[](Graph&, const Values& in) { return Values{in[0] + 1.0}; },
                                       [](Graph&, const Values& in) { return Values{in[0] * in[0]}; }});
  const ops::Looped looped = ops::loop(
      {ops::tanh(branched[0]) + 1.0}, {x},
      [](Graph& body, const Values& carry, const Values&) {
        return ops::less(ops::max(ops::abs(carry[0]), {0}, false), body.constant(Tensor::scalar<float>(20)));
      },
      [](Graph&, const Values& carry, const Values& fixed) { return Values{carry[0] * 1.5 + fixed[0]}; }, 9);
  graph.output("y", ops::cos(looped.carries[0]) * 0.5);
  graph.output("steps", looped.steps);
  Executable on_gpu(graph, gpu()), specification(graph, reference_backend());
  EXPECT_EQ(on_gpu.statistics().borrowed, 0) << on_gpu.text();
  EXPECT_EQ(on_gpu.statistics().activation_reorders, 4) << on_gpu.text();
  RandomStream random(RandomKey::of(5, "branch"));
  for (int i = 0; i < 5; ++i) {
    const Tensor numbers = draw_tensor(random, {DType::float32, {5}}), chosen = Tensor::scalar<std::int32_t>(i % 3);
    const std::int64_t waits = counts().waits;
    const std::vector<Tensor> made = on_gpu.run({{numbers, chosen}}), expected = specification.run({{numbers, chosen}});
    const std::int64_t steps = static_cast<std::int64_t>(expected[1].at(0));
    EXPECT_EQ(made[1].at(0), expected[1].at(0));
    EXPECT_TRUE(close(made[0], expected[0], 1e-4)) << i;
    EXPECT_EQ(counts().waits - waits, 1 + 1 + steps + (steps < 9)) << "outputs, the choice, the conditions";
  }
}

// Steps that a count leaves out have zeros.
TEST_F(GpuRecording, CountedScans) {
  Graph graph;
  const Value x = graph.input("x", {DType::float32, {6, 3}}), start = graph.input("start", {DType::float32, {3}}),
              count = graph.input("count", {DType::int32, {}});
  const ops::Scanned scanned = ops::scan(
      {start}, {x}, {}, true,
      [](Graph&, const Values& carries, const Values& items, const Values&) {
        const Value next = ops::sin(carries[0] + items[0]);
        return ops::ScanStep{{next}, {next}};
      },
      count);
  graph.output("slope", gradients(ops::sum(ops::square(scanned.items[0]), {0, 1}, false), {&x, 1})[0]);
  graph.output("items", scanned.items[0]);
  Executable on_gpu(graph, gpu()), specification(graph, reference_backend());
  EXPECT_EQ(on_gpu.statistics().borrowed, 0) << on_gpu.text();
  RandomStream random(RandomKey::of(6, "counted"));
  for (const std::int32_t made_steps : {4, 0, 6, 9, -1}) {
    const std::vector<Tensor> inputs{draw_tensor(random, {DType::float32, {6, 3}}),
                                     draw_tensor(random, {DType::float32, {3}}),
                                     Tensor::scalar<std::int32_t>(made_steps)};
    const std::vector<Tensor> made = on_gpu.run(inputs), expected = specification.run(inputs);
    for (std::size_t o = 0; o < expected.size(); ++o) EXPECT_TRUE(close(made[o], expected[o], 1e-4)) << made_steps;
  }
}

}  // namespace
}  // namespace nacre::test
