#include "api/inspect/benchmark.h"

#include "api/dtype_policy.h"
#include "api/inspect/example_batch.h"
#include "formats/json.h"
#include "tests/api/models.h"

namespace nacre::test {
namespace {

double largest(const Tensor& tensor) { return std::ranges::max(tensor.to_doubles()); }
double smallest(const Tensor& tensor) { return std::ranges::min(tensor.to_doubles()); }

TEST(ExampleBatch, FloatsAreUniformAndLabelsAreClasses) {
  Sequential model = classifier(7);
  model.compile({.loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
  const Batch batch = example_batch(model, 500);
  ASSERT_EQ(batch.inputs.size(), 1u);
  EXPECT_EQ(batch.inputs[0].type(), (Type{DType::float32, {500, 4}}));
  EXPECT_GE(smallest(batch.inputs[0]), 0);
  EXPECT_LT(largest(batch.inputs[0]), 1);
  EXPECT_GT(largest(batch.inputs[0]), 0.9);
  ASSERT_EQ(batch.targets.size(), 1u);
  EXPECT_EQ(batch.targets[0].type(), (Type{DType::int32, {500}}));
  EXPECT_EQ(smallest(batch.targets[0]), 0);
  EXPECT_EQ(largest(batch.targets[0]), 6);
  EXPECT_TRUE(example_batch(model, 500).inputs[0].identical(batch.inputs[0]));
}

TEST(ExampleBatch, IndicesStayBelowTheSmallestTableThatTheyReach) {
  const Symbol pair = Input({2}, "pair", DType::int32), flag = Input({3}, "flag", DType::int32);
  const Symbol both = Concatenate()(Symbols{Embedding({.input_dim = 50, .output_dim = 4})(at(pair, {":", 0})),
                                            Embedding({.input_dim = 9, .output_dim = 4})(at(pair, {":", 1}))});
  const Model model({pair, flag}, {Dense({.units = 2})(both), flag * 2});
  const Batch batch = example_batch(model, 300);
  EXPECT_EQ(batch.inputs[0].dtype(), DType::int32);
  EXPECT_EQ(largest(batch.inputs[0]), 8);
  EXPECT_EQ(largest(batch.inputs[1]), 1) << "an integer that indexes nothing is 0 or 1";
  EXPECT_TRUE(batch.targets.empty()) << "the model is not compiled";
}

TEST(ExampleBatch, TablesAreFoundInNestedModelsAndForFloats) {
  const Symbol words = Input({5});
  const Model embed({words}, {Embedding({.input_dim = 20, .output_dim = 3})(words)});
  const Symbol text = Input({5});
  const Batch batch = example_batch(Model({text}, {embed(text)}), 100);
  EXPECT_EQ(batch.inputs[0].dtype(), DType::float32);
  EXPECT_EQ(largest(batch.inputs[0]), 19);
}

TEST(ExampleBatch, OtherTargetsAreOneHotOrZerosAndOnes) {
  const Symbol x = Input({4});
  Model model({x}, {Dense({.units = 3, .activation = "softmax"}, {.name = "kind"})(x),
                    Dense({.units = 1}, {.name = "size"})(x)});
  model.compile({.loss = {"categorical_crossentropy", "mse"}});
  const Batch batch = example_batch(model, 40);
  ASSERT_EQ(batch.targets.size(), 2u);
  const std::vector<double> kinds = batch.targets[0].to_doubles();
  for (std::size_t row = 0; row < kinds.size(); row += 3) EXPECT_EQ(kinds[row] + kinds[row + 1] + kinds[row + 2], 1);
  EXPECT_EQ(batch.targets[1].type(), (Type{DType::float32, {40, 1}}));
  EXPECT_EQ(largest(batch.targets[1]), 1);
}

TEST(ExampleBatch, SaysWhatCannotBeMadeUp) {
  EXPECT_NE(message_of([] {
              example_batch(Sequential({Input({unknown, 3}, "series"), Dense({.units = 2})}), 4);
            }).find("the input 'series' is (4, None, 3), and only the batch may be unknown in a measurement"),
            std::string::npos);
}

TEST(Benchmark, MeasuresAndPlansMemory) {
  Sequential model = classifier();
  model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
  Benchmark training(model, {.training = true, .batch_size = 16});
  EXPECT_EQ(training.memory().variables, (4u * 8 + 8 + 8 * 3 + 3) * 4);
  EXPECT_GT(training.memory().optimizer, 2 * training.memory().variables);
  EXPECT_EQ(training.memory().batch, 16u * 4 * 4 + 16 * 4 + 4) << "inputs, labels and the loss";
  EXPECT_GT(training.statistics().kernels, 5);
  EXPECT_EQ(model.trainer().random().step->value().item(), 0) << "nothing has run yet";
  const Benchmark::Times times = training.measure(0);
  EXPECT_EQ(times.steps.size(), 5u);
  EXPECT_EQ(model.trainer().random().step->value().item(), 8) << "three steps warm up";
  EXPECT_GT(times.first, 0);
  EXPECT_LE(times.quantile(0), times.quantile(0.5));
  EXPECT_LE(times.quantile(0.5), times.quantile(1));
  Benchmark prediction(model, {.training = false, .batch_size = 16});
  EXPECT_EQ(prediction.memory().optimizer, 0u);
  EXPECT_EQ(prediction.memory().batch, 16u * 4 * 4 + 16 * 3 * 4) << "inputs and predictions";
}

TEST(Benchmark, ProfilesEveryKernelAndThenStops) {
  Sequential model = classifier();
  model.compile({.optimizer = "sgd", .loss = "sparse_categorical_crossentropy"});
  Benchmark benchmark(model, {.training = true, .batch_size = 16});
  const Benchmark::Profiled profiled = benchmark.profile(0, 1000);
  EXPECT_EQ(profiled.profile.runs, 5);
  EXPECT_EQ(profiled.profile.kernels.size(), static_cast<std::size_t>(benchmark.statistics().kernels));
  double sum = 0;
  std::int64_t flops = 0;
  for (const Profile::Kernel& kernel : profiled.profile.kernels) {
    sum += kernel.seconds;
    if (kernel.op == "matmul") flops += kernel.flops;
  }
  EXPECT_GT(sum, 0);
  EXPECT_LE(sum, profiled.seconds);
  // Forward, and backward for the weights of both layers and the inputs of the second.
  const std::int64_t products = 2 * 16 * (4 * 8 + 8 * 3) + 2 * 16 * (4 * 8 + 2 * 8 * 3);
  EXPECT_GE(flops, products);
  EXPECT_LE(flops, products + 2 * 16 * (8 + 3)) << "an epilogue adds and activates";
  EXPECT_EQ(profiled.profile.events.size(), 5 * profiled.profile.kernels.size());
  const Tree trace = parse_json(chrome_trace(profiled.profile), "trace");
  EXPECT_EQ(trace["traceEvents"].items().size(), profiled.profile.events.size());
  EXPECT_EQ(trace["traceEvents"].items()[0]["name"].as_string(), profiled.profile.kernels[0].op);
  benchmark.measure(0);
  EXPECT_EQ(profiled.profile.runs, 5) << "the profile is over";
}

TEST(Benchmark, KernelsByThemselvesAreOneMoreStep) {
  Sequential model = classifier(), same = classifier();
  for (Sequential* each : {&model, &same})
    each->compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy"});
  const Benchmark::Profiled profiled = Benchmark(model, {.training = true, .batch_size = 16}).profile(0, 0, true);
  Benchmark(same, {.training = true, .batch_size = 16}).profile(0);
  same.train_on_batch(example_batch(same, 16));
  for (const Profile::Kernel& kernel : profiled.profile.kernels) {
    EXPECT_GT(kernel.cold, 0) << kernel.op;
    EXPECT_GT(kernel.warm, 0) << kernel.op;
  }
  EXPECT_EQ(model.trainer().random().step->value().item(), 7);
  for (std::size_t i = 0; i < model.weights().size(); ++i)
    EXPECT_TRUE(model.weights()[i].variable->value().identical(same.weights()[i].variable->value()))
        << model.weights()[i].variable->path();
}

TEST(Benchmark, KeepsNoMoreEventsThanAskedFor) {
  const Benchmark::Profiled profiled = Benchmark(classifier(), {.batch_size = 4}).profile(0, 3);
  EXPECT_EQ(profiled.profile.events.size(), 3u);
}

TEST(TrainOnBatch, PredictOnBatchAgreesWithPredict) {
  Sequential model = classifier();
  const Batch batch = example_batch(model, 6);
  const std::vector<Tensor> once = model.predict_on_batch(batch);
  EXPECT_TRUE(once.at(0).identical(model.predict(batch.inputs[0])));
  model.predict_on_batch(
      {.inputs = {Tensor(DType::float32, {6, 4})}, .targets = {}, .weights = {}, .size = 6, .step = 0, .hosted = {}});
  EXPECT_TRUE(once.at(0).identical(model.predict(batch.inputs[0]))) << "results belong to the caller";
}

TEST(WithDType, RebuildsTheModelWithItsWeights) {
  const Symbol words = Input({6}, "words", DType::int32);
  const Symbol read =
      Bidirectional({.layer = LSTM({.units = 4})})(Embedding({.input_dim = 30, .output_dim = 8})(words));
  Model model({words}, {Dense({.units = 2}, {.name = "answer"})(read)}, {.name = "reader"});
  model.compile({.optimizer = "adam", .loss = "mse"});
  model.initialize(5);
  const Model mixed = with_dtype(model, {"mixed_bfloat16"});
  EXPECT_EQ(dtype_policies(model), "float32");
  EXPECT_EQ(dtype_policies(mixed), "mixed_bfloat16");
  EXPECT_EQ(mixed.name(), "reader");
  EXPECT_EQ(mixed.inputs()[0].type().dtype, DType::int32) << "data keeps its dtype";
  EXPECT_EQ(mixed.outputs()[0].type().dtype, DType::bfloat16);
  ASSERT_EQ(mixed.weights().size(), model.weights().size());
  for (std::size_t i = 0; i < model.weights().size(); ++i)
    EXPECT_TRUE(mixed.weights()[i].variable->value().identical(model.weights()[i].variable->value()));
  ASSERT_TRUE(mixed.trainer().options());
  EXPECT_NE(&mixed.trainer().optimizer(), &model.trainer().optimizer());
  EXPECT_EQ(with_dtype(model, {"bfloat16"}).weights()[0].variable->type().dtype, DType::bfloat16);
}

TEST(WithDType, OperationsHaveNoPolicy) {
  const Symbol x = Input({4});
  EXPECT_EQ(dtype_policies(with_dtype(Model({x}, {Dense({.units = 2})(x * 2)}), {"mixed_bfloat16"})), "mixed_bfloat16");
}

TEST(WithDType, KeepsTablesThatLayersHave) {
  const Symbol word = Input({1}, "word", DType::string);
  const Model model({word}, {Embedding({.input_dim = 8, .output_dim = 2})(
                                StringLookup({.vocabulary = std::vector<std::string>{"a", "b"}})(word))});
  const Model mixed = with_dtype(model, {"mixed_bfloat16"});
  EXPECT_EQ(mixed.outputs()[0].call().inputs[0].type().dtype, DType::int64) << "a lookup gives integers";
  EXPECT_EQ(mixed.layers().at(1)->config_tree(Style::keras)["vocabulary"],
            model.layers().at(1)->config_tree(Style::keras)["vocabulary"]);
}

}  // namespace
}  // namespace nacre::test
