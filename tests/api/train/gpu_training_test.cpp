// What training steps of models are on a GPU: nothing of them goes through the host, and they make of the weights what
// the reference makes of them. Smaller than those of tests/bench/workloads, of which they are the kinds.
#include <fstream>
#include <numeric>

#include "api/experiment/experiment.h"
#include "api/train/in_turn.h"
#include "api/train/optimizer_wrappers.h"
#include "backend/cudnn/backend.h"
#include "formats/yaml.h"
#include "tests/api/models.h"
#include "tests/support/emulated_gpu.h"

namespace nacre::test {
namespace {

constexpr std::string_view mlp = R"(
model:
  sequential:
    - Input: {shape: [6]}
    - Dense: {units: 8, activation: relu}
    - Dense: {units: 8, activation: relu}
    - Dense: {units: 3}
)";

constexpr std::string_view ncf = R"(
model:
  inputs: {pair: {shape: [2], dtype: int32}}
  layers:
    - ops.GetItem: {key: [":", 0], from: pair, name: user}
    - ops.GetItem: {key: [":", 1], from: pair, name: film}
    - Embedding: {input_dim: 7, output_dim: 4, from: user, name: user_factors}
    - Embedding: {input_dim: 9, output_dim: 4, from: film, name: film_factors}
    - Multiply: {from: [user_factors, film_factors], name: factors}
    - Embedding: {input_dim: 7, output_dim: 3, from: user, name: user_traits}
    - Embedding: {input_dim: 9, output_dim: 3, from: film, name: film_traits}
    - Concatenate: {from: [user_traits, film_traits]}
    - Dense: {units: 6, activation: relu, name: perceptron}
    - Concatenate: {from: [factors, perceptron]}
    - Dense: {units: 3, name: logits}
  outputs: [logits]
)";

constexpr std::string_view transformer = R"(
model:
  inputs: {words: {shape: [6], dtype: int32}}
  layers:
    - Embedding: {input_dim: 7, output_dim: 8, name: embedded}
    - PositionEmbedding: {sequence_length: 6, name: position}
    - Add: {from: [embedded, position], name: input}
    - MultiHeadAttention: {num_heads: 2, key_dim: 4, dropout: 0.1, from: [input, input]}
    - Dropout: {rate: 0.1, name: attended}
    - Add: {from: [input, attended]}
    - LayerNormalization: {name: middle}
    - Dense: {units: 16, activation: gelu}
    - Dropout: {rate: 0.1}
    - Dense: {units: 8}
    - Dropout: {rate: 0.1, name: fed}
    - Add: {from: [middle, fed]}
    - LayerNormalization
    - GlobalAveragePooling1D
    - Dense: {units: 3, name: logits}
  outputs: [logits]
)";

// In short floating types the library computes its attention, with masks and dropout.
constexpr std::string_view fused_attention = R"(
model:
  inputs: {words: {shape: [12], dtype: int32}}
  layers:
    - Embedding: {input_dim: 7, output_dim: 16, mask_zero: true, name: embedded}
    - PositionEmbedding: {sequence_length: 12, name: position}
    - Add: {from: [embedded, position], name: input}
    - MultiHeadAttention: {num_heads: 2, key_dim: 8, dropout: 0.1, from: [input, input], name: attended}
    - Add: {from: [input, attended], name: sum}
    - LayerNormalization: {name: middle}
    - GroupedQueryAttention:
        {head_dim: 8, num_query_heads: 4, num_key_value_heads: 2, dropout: 0.1, from: [middle, middle], use_causal_mask: true, name: grouped}
    - Add: {from: [middle, grouped]}
    - LayerNormalization
    - GlobalAveragePooling1D
    - Dense: {units: 3, name: logits}
  outputs: [logits]
)";

constexpr std::string_view lenet = R"(
model:
  sequential:
    - Input: {shape: [8, 8, 1]}
    - Conv2D: {filters: 4, kernel_size: 3, padding: same, activation: relu}
    - MaxPooling2D: {pool_size: 2}
    - Conv2D: {filters: 6, kernel_size: 3, use_bias: false}
    - BatchNormalization
    - ReLU
    - AveragePooling2D: {pool_size: 2}
    - Flatten
    - Dense: {units: 5, activation: tanh}
    - Dense: {units: 3}
)";

constexpr std::string_view lstm = R"(
model:
  inputs: {words: {shape: [6], dtype: int32}}
  layers:
    - Embedding: {input_dim: 7, output_dim: 5}
    - LSTM: {units: 4, return_sequences: true}
    - GRU: {units: 3}
    - Dense: {units: 3, name: logits}
  outputs: [logits]
)";

struct Sample {
  std::string name;
  std::string_view model;
  Type input;
};
const Sample samples[] = {{"mlp", mlp, {DType::float32, {4, 6}}},
                          {"ncf", ncf, {DType::int32, {4, 2}}},
                          {"transformer", transformer, {DType::int32, {4, 6}}},
                          {"lenet", lenet, {DType::float32, {4, 8, 8, 1}}},
                          {"lstm", lstm, {DType::int32, {4, 6}}}};

Feed feed_of(const Type& type) {
  RandomStream random(RandomKey::of(2, "feed"));
  Feed feed{.inputs = {Tensor(type)}, .targets = {Tensor(DType::int32, {4})}, .weights = {}, .size = 4, .hosted = {}};
  if (type.dtype == DType::float32)
    for (float& value : feed.inputs[0].writable<float>()) value = static_cast<float>(random.normal());
  else
    for (std::int32_t& value : feed.inputs[0].writable<std::int32_t>()) value = static_cast<std::int32_t>(random.below(7));
  for (std::int32_t& value : feed.targets[0].writable<std::int32_t>()) value = static_cast<std::int32_t>(random.below(3));
  return feed;
}

Model model_of(const Sample& sample, std::string_view optimizer, std::string_view dtype) {
  const std::string text = fmt::format(
      "{}train: {{optimizer: {}, dtype: {}, loss: {{SparseCategoricalCrossentropy: {{from_logits: true}}}}}}\n",
      sample.model, optimizer, dtype);
  return configured_model(Experiment(parse_config(text, "small.yaml", ".")), "reference");
}

// A model and its training step on a backend.
struct Training {
  Training(const Sample& sample, std::string_view optimizer, std::string_view dtype, const Backend& backend)
      : model(model_of(sample, optimizer, dtype)), feed(feed_of(sample.input)) {
    model.initialize(1);
    Trainer& trainer = model.trainer();
    trainer.training_step({.inputs = feed.inputs, .targets = feed.targets, .weights = {}, .size = feed.size});  // with slots
    step = std::make_unique<Executable>(
        *training_graph(model.graph(), trainer.objective(), trainer.optimizer(), trainer.random(), feed, backend), backend);
  }
  double run(double factor = 1) {
    Tensor input = feed.inputs[0];
    if (factor != 1)
      for (float& value : input.writable<float>()) value *= static_cast<float>(factor);
    return step->run(std::vector{input, feed.targets[0]}).back().item();
  }

  Model model;
  Feed feed;
  std::unique_ptr<Executable> step;
};

class GpuTraining : public testing::Test {
 protected:
  void SetUp() override {
    if (!emulated_gpu_backend()) GTEST_SKIP() << "no compiler to emulate a GPU with";
  }

  static void expect_parity(const Sample& sample) {
    for (const char* dtype : {"float32", "mixed_bfloat16", "mixed_float16"})
      for (const char* optimizer : {"{SGD: {learning_rate: 0.1, momentum: 0.9}}", "{Adam: {learning_rate: 0.01}}",
                                    "{AdamW: {learning_rate: 0.01, weight_decay: 0.1}}"}) {
        SCOPED_TRACE(fmt::format("{} by {} in {}", sample.name, optimizer, dtype));
        Training gpu(sample, optimizer, dtype, *emulated_gpu_backend());
        Training reference(sample, optimizer, dtype, reference_backend());
        EXPECT_EQ(gpu.step->statistics().borrowed, 0) << gpu.step->text();
        EXPECT_LE(gpu.step->statistics().activation_reorders, 3) << gpu.step->text();  // input, target; loss
        const double tolerance = dtype == std::string_view("float32") ? 1e-4 : 2e-2;
        for (int i = 0; i < 3; ++i) EXPECT_NEAR(gpu.run(), reference.run(), tolerance) << "step " << i;
        const std::vector<Tensor> got = values(gpu.model), want = values(reference.model);
        // Adam's first steps are as large for gradients that are noise as for others.
        for (std::size_t i = 0; i < got.size(); ++i) expect_near(got[i], want[i], dtype == std::string_view("float32") ? 1e-3 : 5e-2);
        if (HasFailure()) return;
      }
  }
};

TEST_F(GpuTraining, Mlp) { expect_parity(samples[0]); }
TEST_F(GpuTraining, Ncf) { expect_parity(samples[1]); }
// Tables are updated from the rows that were looked up, whatever the rule: also by those that move or decay all rows. What
// reads gradients twice, for their norm or for two results, has them dense.
TEST_F(GpuTraining, TablesByEveryOptimizer) {
  const struct {
    const char* optimizer;
    bool dense = false;
  } cases[] = {{"SGD"}, {"{SGD: {learning_rate: 0.1, nesterov: true, momentum: 0.9, weight_decay: 0.1}}"}, {"RMSprop"},
               {"{Adam: {amsgrad: true}}"}, {"AdamW"}, {"Adagrad"}, {"Adadelta"}, {"Adamax"}, {"Nadam"}, {"Ftrl"}, {"Lion", true},
               {"{Adam: {clipvalue: 0.01}}"}, {"{Adam: {clipnorm: 0.01}}", true},
               {"{Adam: {use_ema: true, ema_overwrite_frequency: 2}}"}};
  for (const auto& [optimizer, dense] : cases) {
    SCOPED_TRACE(optimizer);
    Training gpu(samples[1], optimizer, "float32", *emulated_gpu_backend());
    Training reference(samples[1], optimizer, "float32", reference_backend());
    const std::string text = gpu.step->text();
    EXPECT_EQ(text.find("scatter_add") != std::string::npos, dense) << text;
    EXPECT_EQ(gpu.step->statistics().borrowed, 0) << text;
    for (int i = 0; i < 3; ++i) EXPECT_NEAR(gpu.run(), reference.run(), 1e-4) << "step " << i;
    const std::vector<Tensor> got = values(gpu.model), want = values(reference.model);
    for (std::size_t i = 0; i < got.size(); ++i) expect_near(got[i], want[i], 1e-3);
  }
}
TEST_F(GpuTraining, Transformer) { expect_parity(samples[2]); }
TEST_F(GpuTraining, FusedAttention) {
  const Sample sample{"fused attention", fused_attention, {DType::int32, {4, 12}}};
  expect_parity(sample);
  for (const auto& [dtype, fused] : {std::pair{"float32", 0}, {"mixed_bfloat16", 2}, {"mixed_float16", 2}}) {
    const std::string text = Training(sample, "sgd", dtype, *emulated_gpu_backend()).step->text();
    int found = 0;
    for (std::size_t at = 0; (at = text.find("attention_backward(", at)) != std::string::npos; ++at) ++found;
    EXPECT_EQ(found, fused) << dtype << "\n" << text;
  }
}
TEST_F(GpuTraining, Lenet) { expect_parity(samples[3]); }
TEST_F(GpuTraining, Lstm) { expect_parity(samples[4]); }

// Of texts of 128 words, by the library that the device has; without it there are such matrices.
TEST_F(GpuTraining, TheTransformerKeepsNoMatrixOfScores) {
  std::ifstream file(std::filesystem::path(NACRE_SOURCE_DIR) / "tests/bench/workloads/transformer.yaml");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  ASSERT_NE(text.find("dropout: 0.1"), std::string::npos);
  text.erase(text.find("train:"));
  text.replace(text.find("units: 2"), 8, "units: 3");  // as many classes as the feed has
  const Sample workload{"workload", text, {DType::int32, {4, 128}}};
  const auto has_scores = [&](std::string_view dtype) {
    const Training training(workload, "adam", dtype, *emulated_gpu_backend());
    EXPECT_EQ(training.step->statistics().borrowed, 0);
    return training.step->text().find("(4, 4, 128, 128)") != std::string::npos;
  };
  EXPECT_TRUE(has_scores("float32"));
  EXPECT_FALSE(has_scores("mixed_bfloat16"));
}

// The check, the update that is left out and the growth of the scale are part of the step.
TEST_F(GpuTraining, GradientsThatOverflow) {
  const char* optimizer =
      "{LossScaleOptimizer: {inner_optimizer: {Adam: {learning_rate: 0.01}}, initial_scale: 1024, dynamic_growth_steps: 2}}";
  Training gpu(samples[0], optimizer, "mixed_float16", *emulated_gpu_backend());
  Training reference(samples[0], optimizer, "mixed_float16", reference_backend());
  EXPECT_EQ(gpu.step->statistics().borrowed, 0) << gpu.step->text();
  const auto scale = [](const Training& training) {
    return dynamic_cast<const optimizers::LossScaleOptimizer&>(training.model.trainer().optimizer()).scale();
  };
  const struct {
    double factor, scale;  // of the input, and of the loss afterwards
  } steps[] = {{1, 1024}, {1, 2048}, {2000, 1024}, {1, 1024}, {1, 2048}};
  for (const auto& [factor, expected] : steps) {
    const std::vector<Tensor> before = values(gpu.model);
    const double loss = reference.run(factor);
    EXPECT_NEAR(gpu.run(factor), loss, 2e-2 * std::max(1.0, loss));
    EXPECT_EQ(scale(reference), expected);
    EXPECT_EQ(scale(gpu), expected);
    EXPECT_EQ(gpu.model.trainer().optimizer().iterations(), reference.model.trainer().optimizer().iterations());
    const std::vector<Tensor> after = values(gpu.model), want = values(reference.model);
    EXPECT_EQ(after[0].identical(before[0]), factor != 1);
    for (std::size_t i = 0; i < after.size(); ++i) expect_near(after[i], want[i], 1e-2);
  }
}

// --- steps one after the other ---------------------------------------------------------------------------------------

std::shared_ptr<std::byte[]> copy_of(const Tensor& tensor) {
  std::shared_ptr<std::byte[]> bytes = allocate_bytes(tensor.bytes());
  std::memcpy(bytes.get(), tensor.raw(), tensor.bytes());
  return bytes;
}

// Steps of a model on a device of its own, whose results come late or at once.
struct Stepping {
  explicit Stepping(bool late) : device(emulated_gpu()), model(model_of(samples[3], "{Adam: {learning_rate: 0.01}}", "float32")) {
    if (late) device->bring_beside(0);
    else device->do_all_at_once();
    backend = gpu::backend_on(device);
    model.initialize(1);
    Trainer& trainer = model.trainer();
    const Feed feed = feed_of(samples[3].input);
    trainer.training_step({.inputs = feed.inputs, .targets = feed.targets, .weights = {}, .size = feed.size});  // with slots
    steps = std::make_unique<Steps>(std::shared_ptr<FunctionalLayer>(std::shared_ptr<void>(), &model.graph()), trainer.random(), *backend);
  }
  // Another one each time. It is the caller's again as soon as a step has begun.
  static Feed batch(int number, std::int64_t size = 4) {
    Feed feed = feed_of(samples[3].input);
    for (float& value : feed.inputs[0].writable<float>()) value += 0.1f * static_cast<float>(number);
    return {.inputs = {feed.inputs[0].rows(0, size)}, .targets = {feed.targets[0].rows(0, size)}, .weights = {}, .size = size, .hosted = {}};
  }
  const Results& train(int number, std::int64_t size = 4) {
    Feed feed = batch(number, size);
    const Results& results = steps->train(model.trainer().objective(), model.trainer().optimizer(), feed);
    std::ranges::fill(feed.inputs[0].writable<float>(), 1e6f);
    return results;
  }

  std::shared_ptr<EmulatedDevice> device;
  std::unique_ptr<Backend> backend;
  Model model;
  std::unique_ptr<Steps> steps;
};

// The copy of a batch, the step and the way of its loss begin before the step before is waited for.
TEST_F(GpuTraining, NobodyWaitsForAStepBeforeTheNextIsUnderWay) {
  Stepping late(true), at_once(false);
  for (int i = 0; i < 3; ++i) late.train(i), at_once.train(i);  // a plain step, a recording, a replay
  for (const auto& [stepping, expected] : {std::pair{&late, "arcsw"}, std::pair{&at_once, "bbrb"}})
    for (int i = 3; i < 6; ++i) {
      const std::size_t before = stepping->device->counts().order.size();
      stepping->train(i);
      EXPECT_EQ(stepping->device->counts().order.substr(before), expected);
    }
}

// The same bits: losses, also of a smaller batch at the end of an epoch, what tests and predictions give, weights.
TEST_F(GpuTraining, StepsThatOverlapComputeTheSame) {
  std::vector<Tensor> all[2];
  for (const bool late : {false, true}) {
    Stepping stepping(late);
    const std::vector<std::int64_t> sizes{4, 4, 4, 4, 3, 4, 4, 3};
    std::vector<Tensor>& got = all[late];
    std::vector<std::int64_t> order;
    InTurn<std::int64_t> turns([&](const std::vector<Tensor>& results, std::int64_t number) {
      for (const Tensor& result : results) got.push_back(Tensor::wrap(result.type(), copy_of(result)));
      order.push_back(number);
    });
    Objective& objective = stepping.model.trainer().objective();
    for (std::int64_t i = 0; i < 8; ++i) turns.add(stepping.train(static_cast<int>(i), sizes[static_cast<std::size_t>(i)]), i);
    EXPECT_EQ(order.size(), late ? 7u : 8u);
    turns.finish();
    for (std::int64_t i = 0; i < 8; ++i)
      turns.add(stepping.steps->test_predicting(objective, Stepping::batch(static_cast<int>(i), sizes[static_cast<std::size_t>(i)])), 8 + i);
    turns.finish();
    for (std::int64_t i = 0; i < 8; ++i)
      turns.add(stepping.steps->predict(Stepping::batch(static_cast<int>(i), sizes[static_cast<std::size_t>(i)])), 16 + i);
    turns.finish();
    turns.finish();
    std::vector<std::int64_t> expected(24);
    std::iota(expected.begin(), expected.end(), 0);
    EXPECT_EQ(order, expected);
    for (const Tensor& value : values(stepping.model)) got.push_back(value);
  }
  ASSERT_EQ(all[0].size(), all[1].size());
  for (std::size_t i = 0; i < all[0].size(); ++i) EXPECT_TRUE(all[0][i].identical(all[1][i])) << i;
}

}  // namespace
}  // namespace nacre::test
