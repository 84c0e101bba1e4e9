// What single layers promise beyond their formulas: randomness, statistics, states, masks, penalties.
#include <gtest/gtest.h>

#include "backend/executable.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/passes/pipeline.h"
#include "formats/yaml.h"
#include "layers/layers.h"
#include "tests/support/tensors.h"

namespace nacre {
namespace {

using test::close;

Tensor numbers(Shape shape, std::uint32_t which = 0) {
  Tensor tensor = Tensor::uninitialised({DType::float32, std::move(shape)});
  RandomStream random(RandomKey::of(5, "numbers", which));
  for (float& value : tensor.writable<float>()) value = static_cast<float>(random.normal());
  return tensor;
}

struct Call {
  Graph graph;
  Context context;
  explicit Call(bool training, std::int64_t seed = 1, std::int64_t step = 0)
      : context(graph, training, graph.constant(Tensor::scalar(seed)), graph.constant(Tensor::scalar(step))) {}

  CallResult operator()(const LayerRef& layer, Values inputs, Values masks = {}) {
    CallResult result = (*layer)(context, {.inputs = std::move(inputs), .masks = std::move(masks)});
    layer->initialize(3);
    return result;
  }
  Value constant(const Tensor& value) { return graph.constant(value); }
  std::vector<Tensor> run(const Values& outputs) {
    for (std::size_t i = 0; i < outputs.size(); ++i) graph.output(fmt::format("output{}", i), outputs[i]);
    return Executable(*decompose_missing(graph, reference_backend()), reference_backend()).run();
  }
};

// --- randomness ---------------------------------------------------------------------------------------------------

Tensor dropped_ones(const LayerRef& layer, Shape shape, std::int64_t seed, std::int64_t step) {
  Call call(true, seed, step);
  return call.run(call(layer, {ops::broadcast_to(call.graph.scalar(1), std::move(shape))}).outputs)[0];
}

TEST(Dropout, DropsTheShareAndKeepsTheMean) {
  const Tensor y = dropped_ones(Dropout({.rate = 0.25}), {100, 200}, 1, 0);
  double sum = 0, zeros = 0;
  for (float value : y.data<float>()) {
    EXPECT_TRUE(value == 0.0f || value == 1 / 0.75f);
    sum += value, zeros += value == 0;
  }
  EXPECT_NEAR(zeros / 20000, 0.25, 0.015);
  EXPECT_NEAR(sum / 20000, 1, 0.02);
}

TEST(Dropout, IsAFunctionOfSeedStepAndName) {
  const auto layer = [](std::string name) { return Dropout({.rate = 0.5}, {.name = std::move(name)}); };
  const Shape shape{8, 16};
  const Tensor first = dropped_ones(layer("a"), shape, 1, 0);
  EXPECT_TRUE(first.identical(dropped_ones(layer("a"), shape, 1, 0)));
  EXPECT_FALSE(first.identical(dropped_ones(layer("a"), shape, 2, 0)));
  EXPECT_FALSE(first.identical(dropped_ones(layer("a"), shape, 1, 1)));
  EXPECT_FALSE(first.identical(dropped_ones(layer("b"), shape, 1, 0)));
}

TEST(Dropout, OwnSeedReplacesThatOfTheExperiment) {
  const auto layer = [](std::int64_t seed) { return Dropout({.rate = 0.5, .seed = seed}); };
  EXPECT_TRUE(dropped_ones(layer(9), {8, 16}, 1, 0).identical(dropped_ones(layer(9), {8, 16}, 2, 0)));
  EXPECT_FALSE(dropped_ones(layer(9), {8, 16}, 1, 0).identical(dropped_ones(layer(8), {8, 16}, 1, 0)));
}

TEST(Dropout, TwoCallsDrawTwice) {
  const LayerRef layer = Dropout({.rate = 0.5});
  Call call(true);
  const Value ones = ops::broadcast_to(call.graph.scalar(1), {8, 16});
  const Value a = call(layer, {ones}).outputs[0], b = call(layer, {ones}).outputs[0];
  const std::vector<Tensor> results = call.run({a, b});
  EXPECT_FALSE(results[0].identical(results[1]));
}

TEST(Dropout, DoesNothingInInference) {
  Call call(false);
  const Value x = call.constant(numbers({2, 3}));
  EXPECT_EQ(call(Dropout({.rate = 0.5}), {x}).outputs[0], x);
}

TEST(SpatialDropout, DropsWholeChannels) {
  const Tensor y = dropped_ones(SpatialDropout1D({.rate = 0.5}), {4, 6, 8}, 1, 0);
  for (std::int64_t sample = 0; sample < 4; ++sample)
    for (std::int64_t step = 1; step < 6; ++step)
      for (std::int64_t channel = 0; channel < 8; ++channel)
        EXPECT_EQ(y.at((sample * 6 + step) * 8 + channel), y.at(sample * 48 + channel));
}

TEST(Noise, KeepsMeanAndVariance) {
  for (const LayerRef& layer : {GaussianDropout({.rate = 0.2}), GaussianNoise({.stddev = 0.5})}) {
    double sum = 0, squares = 0;
    const Tensor y = dropped_ones(layer, {100, 200}, 1, 0);
    for (float value : y.data<float>()) sum += value, squares += (value - 1.0) * (value - 1.0);
    EXPECT_NEAR(sum / 20000, 1, 0.02);
    EXPECT_NEAR(squares / 20000, 0.25, 0.01);
  }
}

// --- batch normalisation ------------------------------------------------------------------------------------------

TEST(BatchNormalization, StatisticsOfTwoCallsChain) {
  const LayerRef layer = BatchNormalization({.momentum = 0.5});
  Call call(true);
  call(layer, {call.constant(Tensor::of<float>({2, 1}, {1, 3}))});
  call(layer, {call.constant(Tensor::of<float>({2, 1}, {4, 8}))});
  call.run({});
  const std::vector<Weight> weights = layer->weights();
  EXPECT_FLOAT_EQ(static_cast<float>(weights[2].variable->value().item()), 0.5f * (0.5f * 0 + 0.5f * 2) + 0.5f * 6);
  EXPECT_FLOAT_EQ(static_cast<float>(weights[3].variable->value().item()), 0.5f * (0.5f * 1 + 0.5f * 1) + 0.5f * 4);
}

TEST(BatchNormalization, FrozenOneInfersInTraining) {
  const LayerRef layer = BatchNormalization({.epsilon = 0}, {.trainable = false});
  Call call(true);
  const Tensor x = numbers({4, 3});
  const Value y = call(layer, {call.constant(x)}).outputs[0];
  EXPECT_TRUE(call.graph.updates().empty());
  EXPECT_TRUE(close(call.run({y})[0], x, 1e-6));  // moving mean 0, moving variance 1
  EXPECT_TRUE(layer->trainable_weights().empty());
}

TEST(BatchNormalization, MaskedPlacesDoNotCount) {
  const LayerRef layer = BatchNormalization({.momentum = 0});
  Call call(true);
  const Value x = call.constant(Tensor::of<float>({1, 3, 1}, {1, 3, 1000}));
  const Value mask = ops::cast(call.constant(Tensor::of<float>({1, 3}, {1, 1, 0})), DType::boolean);
  call(layer, {x}, {mask});
  call.run({});
  EXPECT_NEAR(layer->weights()[2].variable->value().item(), 2, 1e-5);
  EXPECT_NEAR(layer->weights()[3].variable->value().item(), 1, 1e-5);
}

// --- recurrent layers ---------------------------------------------------------------------------------------------

// What a recurrent layer with an op of its own must also give step by step.
TEST(Recurrent, LoopAndOpAgree) {
  const Tensor x = numbers({2, 4, 3}), all = Tensor(DType::boolean, {2, 4});
  for (const bool backwards : {false, true})
    for (const std::string kind : {"SimpleRNN", "LSTM", "GRU"}) {
      Tree config, tree;
      config.set("units", 5);
      config.set("return_sequences", true);
      config.set("return_state", true);
      config.set("go_backwards", backwards);
      tree.set(kind, config);
      const LayerRef layer = read_object<Layer>(tree);
      Call call(false);
      const Value input = call.constant(x);
      const Values fused = call(layer, {input}).outputs;
      const Values stepped = call(layer, {input}, {ops::logical_not(call.constant(all))}).outputs;
      ASSERT_EQ(fused.size(), stepped.size());
      Values both = fused;
      both.insert(both.end(), stepped.begin(), stepped.end());
      const std::vector<Tensor> results = call.run(both);
      for (std::size_t i = 0; i < fused.size(); ++i)
        EXPECT_TRUE(close(results[i], results[i + fused.size()], 1e-5)) << kind;
    }
}

TEST(Recurrent, MaskedStepsKeepStateAndResult) {
  const LayerRef layer = GRU({.units = 2, .return_sequences = true}),
                 zeroing = GRU({.units = 2, .return_sequences = true, .zero_output_for_mask = true});
  Call call(false);
  const Value x = call.constant(numbers({1, 3, 2}));
  const Value mask = ops::cast(call.constant(Tensor::of<float>({1, 3}, {1, 0, 1})), DType::boolean);
  const CallResult repeated = call(layer, {x}, {mask});
  EXPECT_EQ(repeated.masks[0], mask);
  const std::vector<Tensor> results = call.run({repeated.outputs[0], call(zeroing, {x}, {mask}).outputs[0]});
  for (std::int64_t unit = 0; unit < 2; ++unit) {
    EXPECT_EQ(results[0].at(2 + unit), results[0].at(unit));
    EXPECT_EQ(results[1].at(2 + unit), 0);
    EXPECT_NE(results[1].at(4 + unit), 0);
  }
}

TEST(Recurrent, StatefulOneGoesOnWhereItEnded) {
  const Tensor x = numbers({2, 6, 3});
  const LayerRef whole = LSTM({.units = 4}), halves = LSTM({.units = 4, .stateful = true});
  Call call(false);
  const Tensor wanted = call.run(call(whole, {call.constant(x)}).outputs)[0];
  const auto half = [&](std::int64_t begin) {
    Call part(false);
    const Value input = ops::slice_axis(part.constant(x), 1, begin, begin + 3);
    const Value y = part(halves, {input}).outputs[0];
    for (std::size_t i = 0; i < 3; ++i) halves->weights()[i].variable->assign(whole->weights()[i].variable->value());
    return part.run({y})[0];
  };
  const Tensor first = half(0);
  EXPECT_TRUE(close(half(3), wanted, 1e-5));
  halves->reset_states();
  EXPECT_TRUE(close(half(0), first, 1e-6));
  EXPECT_EQ(halves->weights().size(), 3u);  // states are no weights
  EXPECT_EQ(halves->states().size(), 2u);
}

TEST(Recurrent, DropoutIsTheSameAtEachStep) {
  const LayerRef layer = SimpleRNN({.units = 40,
                                    .activation = "linear",
                                    .use_bias = false,
                                    .kernel_initializer = "Identity",
                                    .recurrent_initializer = "Zeros",
                                    .dropout = 0.5,
                                    .return_sequences = true});
  Call call(true);
  const Value ones = ops::broadcast_to(call.graph.scalar(1), {1, 3, 40});
  const Tensor y = call.run(call(layer, {ones}).outputs)[0];
  double dropped_units = 0;
  for (std::int64_t unit = 0; unit < 40; ++unit) {
    EXPECT_TRUE(y.at(unit) == 0 || y.at(unit) == 2);
    EXPECT_EQ(y.at(40 + unit), y.at(unit));
    dropped_units += y.at(unit) == 0;
  }
  EXPECT_GT(dropped_units, 5);
  EXPECT_LT(dropped_units, 35);
}

TEST(Recurrent, UnitForgetBias) {
  const LayerRef layer = LSTM({.units = 2, .bias_initializer = "Zeros"});
  layer->ensure_built({{1, 3, 2}});
  layer->initialize(1);
  EXPECT_EQ(layer->weights()[2].variable->value().to_doubles(), (std::vector<double>{0, 0, 1, 1, 0, 0, 0, 0}));
}

TEST(Bidirectional, StatesGoToTheirDirections) {
  const LayerRef layer = Bidirectional({.layer = LSTM({.units = 2, .return_state = true}).share()});
  Call call(false);
  const Value x = call.constant(numbers({1, 3, 2}));
  Values states;
  for (int i = 0; i < 4; ++i) states.push_back(call.constant(numbers({1, 2}, static_cast<std::uint32_t>(i) + 1)));
  const CallResult result = (*layer)(call.context, {.inputs = {x}, .masks = {}, .named = {{"initial_state", states}}});
  EXPECT_EQ(result.outputs.size(), 5u);
  EXPECT_EQ(result.outputs[0].shape(), (Shape{1, 4}));
}

// --- masks and penalties ------------------------------------------------------------------------------------------

TEST(Masks, TravelThroughLayersThatPassThem) {
  Call call(false);
  const Value indices = call.constant(Tensor::of<std::int32_t>({1, 3}, {2, 1, 0}));
  const CallResult embedded = call(Embedding({.input_dim = 4, .output_dim = 2, .mask_zero = true}), {indices});
  ASSERT_TRUE(embedded.masks[0]);
  const CallResult dense = call(Dense({.units = 2}), embedded.outputs, embedded.masks);
  EXPECT_EQ(dense.masks[0], embedded.masks[0]);
  const CallResult flat = call(Flatten(), dense.outputs, dense.masks);
  EXPECT_FALSE(flat.masks[0]);
  const CallResult pooled = call(GlobalAveragePooling1D(), dense.outputs, dense.masks);
  EXPECT_FALSE(pooled.masks[0]);
  const std::vector<Tensor> results = call.run({embedded.masks[0], dense.outputs[0], pooled.outputs[0]});
  EXPECT_EQ(results[0].to_doubles(), (std::vector<double>{1, 1, 0}));
  EXPECT_NEAR(results[2].at(0), (results[1].at(0) + results[1].at(2)) / 2, 1e-6);
}

// What Keras does with masks in layers of several inputs.
TEST(Masks, MergedPlacesCountWhereAnyInputDoes) {
  Call call(false);
  const Value a = call.constant(Tensor::of<float>({1, 3, 1}, {2, 3, 5}));
  const Value b = call.constant(Tensor::of<float>({1, 3, 1}, {7, 11, 13}));
  const Value of_a = ops::cast(call.constant(Tensor::of<float>({1, 3}, {1, 0, 0})), DType::boolean);
  const Value of_b = ops::cast(call.constant(Tensor::of<float>({1, 3}, {1, 1, 0})), DType::boolean);
  const Values inputs{a, b}, masks{of_a, of_b};
  const CallResult sum = call(Add(), inputs, masks), product = call(Multiply(), inputs, masks);
  const CallResult largest = call(Maximum(), inputs, masks), smallest = call(Minimum(), inputs, masks);
  const CallResult joined = call(Concatenate(), inputs, masks), half = call(Concatenate(), inputs, {of_a, {}});
  EXPECT_FALSE(call(Add(), inputs, {of_a, {}}).masks[0]);
  EXPECT_FALSE(call(Dot({.axes = 1}), inputs, masks).masks[0]);
  const std::vector<Tensor> results =
      call.run({sum.outputs[0], product.outputs[0], largest.outputs[0], smallest.outputs[0], sum.masks[0],
                product.masks[0], joined.masks[0], half.masks[0]});
  const std::vector<std::vector<double>> wanted = {{9, 14, 18}, {14, 11, 0}, {7, 11, 5}, {2, 11, 5},
                                                   {1, 1, 0},   {1, 1, 0},   {1, 1, 0},  {1, 1, 1}};
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_EQ(results[i].to_doubles(), wanted[i]) << i;
}

TEST(Masks, MayBeArguments) {
  Call call(false);
  const Value x = call.constant(Tensor::of<float>({1, 3}, {1, 5, 1}));
  const Value mask = call.constant(Tensor::of<float>({1, 3}, {1, 0, 1}));
  const CallResult result = (*Softmax())(call.context, {.inputs = {x}, .masks = {}, .named = {{"mask", {mask}}}});
  EXPECT_TRUE(close(call.run({result.outputs[0]})[0], Tensor::of<float>({1, 3}, {0.5f, 0, 0.5f}), 1e-6));
}

TEST(Penalties, OfWeightsCountOncePerContext) {
  const LayerRef layer = Dense({.units = 2,
                                .use_bias = false,
                                .kernel_initializer = "Ones",
                                .kernel_regularizer = "L2",
                                .activity_regularizer = "L1"});
  Call call(true);
  const Value x = ops::broadcast_to(call.graph.scalar(1), {4, 3});
  call(layer, {x});
  call(layer, {x});
  ASSERT_EQ(call.context.losses().size(), 3u);  // two of the results, one of the kernel
  const std::vector<Tensor> losses = call.run(call.context.losses());
  EXPECT_NEAR(losses[0].item(), 0.01 * 24 / 4, 1e-6);  // per sample
  EXPECT_NEAR(losses[1].item(), 0.01 * 6, 1e-6);
  layer->set_trainable(false);
  Call frozen(true);
  frozen(layer, {ops::broadcast_to(frozen.graph.scalar(1), {4, 3})});
  EXPECT_EQ(frozen.context.losses().size(), 1u);
}

TEST(DTypePolicy, MixedComputesNarrowAndKeepsWeightsWide) {
  const LayerRef layer = Dense({.units = 2}, {.dtype = {"mixed_bfloat16"}});
  Call call(false);
  const CallResult result = call(layer, {call.constant(numbers({2, 3}))});
  EXPECT_EQ(result.outputs[0].dtype(), DType::bfloat16);
  EXPECT_EQ(layer->weights()[0].variable->type().dtype, DType::float32);
}

// Frames of 5 samples, each 9 after the one before: those between have no weight, as in Keras.
TEST(ISTFT, SamplesThatNoFrameReachesAreZero) {
  const auto layer = read_object<Layer>(parse_yaml("ops.ISTFT: {sequence_length: 5, sequence_stride: 9, fft_length: 8, center: false}"));
  Call call(false);
  const Tensor signal = call.run(call(layer, {call.constant(numbers({2, 3, 5})), call.constant(numbers({2, 3, 5}, 1))}).outputs)[0];
  ASSERT_EQ(signal.shape(), (Shape{2, 26}));
  for (std::int64_t i = 0; i < signal.size(); ++i) {
    const std::int64_t place = i % 26 % 9;  // the window stands in the middle; its ends are 0
    EXPECT_EQ(signal.at(i) != 0, place >= 2 && place <= 4) << i;
  }
}

TEST(Activation, MayBeALayer) {
  Tree slope, tree;
  slope.set("negative_slope", 0.5);
  tree.set("LeakyReLU", slope);
  const Ref<Activation> leaky = read_object<Activation>(tree);
  Call call(false);
  const Value y = (*leaky)(call.constant(Tensor::of<float>({2}, {-2, 2})));
  EXPECT_EQ(call.run({y})[0].to_doubles(), (std::vector<double>{-1, 2}));
  EXPECT_EQ(write_object<Activation>(*leaky, Style::yaml), tree);
  EXPECT_EQ(write_object<Activation>(*leaky, Style::keras)["class_name"], Tree("LeakyReLU"));
}

}  // namespace
}  // namespace nacre
