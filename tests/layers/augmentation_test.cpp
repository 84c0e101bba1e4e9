// What layers on pictures promise beyond the formulas that the goldens compare: when they act, how their choices are
// distributed, and what they say to inputs that do not fit.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "backend/executable.h"
#include "backend/graph/grad.h"
#include "backend/graph/passes/pipeline.h"
#include "formats/yaml.h"
#include "layers/augmentation_draws.h"
#include "layers/layers.h"
#include "tests/support/paths.h"
#include "tests/support/tensors.h"

namespace nacre {
namespace {

using test::close;
using test::message_of;

Tensor pictures(Shape shape, double low = 0, double high = 255, DType dtype = DType::float32) {
  Tensor tensor = Tensor::uninitialised({DType::float32, std::move(shape)});
  RandomStream random(RandomKey::of(5, "pictures"));
  for (float& value : tensor.writable<float>()) value = static_cast<float>(std::round(random.uniform(low, high)));
  return tensor.cast(dtype);
}

std::shared_ptr<Layer> layer_of(const std::string& yaml) { return read_object<Layer>(parse_yaml(yaml)); }

struct Mode {
  bool training = true;
  std::int64_t step = 0, seed = 1;
  const Backend* backend = &reference_backend();
};

std::vector<Tensor> run(Layer& layer, const std::vector<Tensor>& inputs, Mode mode = {}) {
  Graph graph;
  Context context(graph, mode.training, graph.constant(Tensor::scalar(mode.seed)),
                  graph.constant(Tensor::scalar(mode.step)));
  CallArguments arguments;
  for (const Tensor& input : inputs) arguments.inputs.push_back(graph.constant(input));
  const Values outputs = layer(context, std::move(arguments)).outputs;
  for (std::size_t i = 0; i < outputs.size(); ++i) graph.output(fmt::format("output{}", i), outputs[i]);
  return Executable(*decompose_missing(graph, *mode.backend), *mode.backend).run();
}
Tensor run(const std::string& yaml, const Tensor& input, Mode mode = {}) {
  return run(*layer_of(yaml), {input}, mode)[0];
}

// The elements of picture i.
std::vector<float> one(const Tensor& batch, std::int64_t i) {
  const auto size = static_cast<std::size_t>(batch.shape().from(1).elements());
  const std::span<const float> all = batch.data<float>().subspan(static_cast<std::size_t>(i) * size, size);
  return {all.begin(), all.end()};
}

// --- every random layer -------------------------------------------------------------------------------------------

class RandomLayer : public testing::TestWithParam<const char*> {};

TEST_P(RandomLayer, PassesPicturesOnInInference) {
  const Tensor x = pictures({3, 8, 8, 3});
  EXPECT_TRUE(run(GetParam(), x, {.training = false}).identical(x));
}

TEST_P(RandomLayer, IsAFunctionOfSeedAndStep) {
  const Tensor x = pictures({3, 8, 8, 3});
  const Tensor first = run(GetParam(), x);
  EXPECT_EQ(first.type(), x.type());
  EXPECT_TRUE(first.identical(run(GetParam(), x)));
  const auto changes = [&](auto mode_of) {
    for (std::int64_t i = 2; i < 12; ++i)
      if (!first.identical(run(GetParam(), x, mode_of(i)))) return true;
    return false;
  };
  EXPECT_TRUE(changes([](std::int64_t step) { return Mode{.step = step}; }));
  EXPECT_TRUE(changes([](std::int64_t seed) { return Mode{.seed = seed}; }));
}

TEST_P(RandomLayer, StaysWithinTheValueRangeOnEveryBackend) {
  const Tensor x = pictures({4, 9, 8, 3});
  for (const Backend* backend : backends())
    for (std::int64_t step = 0; step < 4; ++step) {
      const Tensor y = run(GetParam(), x, {.step = step, .backend = backend});
      for (float value : y.data<float>()) ASSERT_TRUE(value >= -1e-3F && value <= 255.001F) << value;
    }
}

TEST_P(RandomLayer, TakesOnePictureIntegersAndChannelsFirst) {
  const auto layer = layer_of(GetParam());
  EXPECT_EQ(run(*layer, {pictures({8, 8, 3})})[0].shape(), (Shape{8, 8, 3}));
  const Tensor whole = run(*layer, {pictures({2, 8, 8, 3}, 0, 255, DType::uint8)})[0];
  EXPECT_EQ(whole.dtype(), layer->class_name() == "RandomGrayscale" ? DType::uint8 : DType::float32);

  Tree tree = parse_yaml(GetParam());
  const ObjectSpelling spelling = object_spelling(tree, "layer");
  Tree config = spelling.config.is_null() ? Tree::mapping() : spelling.config;
  config.set("data_format", "channels_first");
  Tree turned;
  turned.set(spelling.name, std::move(config));
  const auto first = read_object<Layer>(turned);
  const Tensor x = pictures({2, 8, 8, 3});
  Graph graph;
  Context context(graph, true, graph.constant(Tensor::scalar(std::int64_t{1})),
                  graph.constant(Tensor::scalar(std::int64_t{0})));
  const Value last = ops::transpose(
      (*first)(context, {{ops::transpose(graph.constant(x), {0, 3, 1, 2})}, {}, {}, {}}).outputs[0], {0, 2, 3, 1});
  graph.output("y", last);
  const Tensor y = Executable(*decompose_missing(graph, reference_backend()), reference_backend()).run()[0];
  EXPECT_TRUE(close(y, run(*layer, {x})[0], 1e-5));
}

TEST_P(RandomLayer, ComputesInBfloat16) {
  const auto layer = layer_of(GetParam());
  Tree tree = write_object<Layer>(*layer, Style::full);
  tree.entries()[0].value.set("dtype", "mixed_bfloat16");
  EXPECT_EQ(run(*read_object<Layer>(tree), {pictures({2, 8, 8, 3}).cast(DType::bfloat16)})[0].dtype(), DType::bfloat16);
}

INSTANTIATE_TEST_SUITE_P(
    Layers, RandomLayer,
    testing::Values("RandomFlip", "RandomRotation: {factor: 0.2}", "RandomZoom: {height_factor: 0.3}",
                    "RandomTranslation: {height_factor: 0.3, width_factor: 0.2}",
                    "RandomShear: {x_factor: 0.3, y_factor: 0.1}", "RandomPerspective", "RandomElasticTransform",
                    "RandomBrightness: {factor: 0.3}", "RandomContrast: {factor: 0.9}", "RandomHue: {factor: 0.5}",
                    "RandomSaturation: {factor: [0.1, 0.5]}", "RandomColorDegeneration: {factor: [0.2, 0.9]}",
                    "RandomGrayscale", "RandomInvert",
                    "RandomColorJitter: {brightness_factor: 0.2, saturation_factor: [0.2, 0.5]}",
                    "RandomSharpness: {factor: 0.8}", "RandomGaussianBlur", "RandomErasing",
                    "Solarization: {addition_factor: 0.5, threshold_factor: 0.8}", "RandomPosterization: {factor: 7}",
                    "CutMix", "MixUp", "RandAugment", "AugMix: {chain_depth: 2}"),
    [](const auto& tested) { return object_spelling(parse_yaml(tested.param), "layer").name; });

// --- single layers ------------------------------------------------------------------------------------------------

TEST(RandomFlip, MirrorsAboutHalf) {
  const Tensor x = Tensor::of<float>({400, 1, 2, 1}, [] {
    std::vector<float> values;
    for (int i = 0; i < 400; ++i) values.insert(values.end(), {1, 2});
    return values;
  }());
  const Tensor y = run("RandomFlip: {mode: horizontal}", x);
  int mirrored = 0;
  for (std::int64_t i = 0; i < 400; ++i) mirrored += y.at(2 * i) == 2;
  EXPECT_NEAR(mirrored, 200, 40);
}

TEST(RandomRotation, TurnsEachPictureByItsOwnAngle) {
  const Tensor x = pictures({1, 9, 9, 1});
  std::vector<float> four;
  for (int i = 0; i < 4; ++i) four.insert(four.end(), x.data<float>().begin(), x.data<float>().end());
  const Tensor y = run("RandomRotation: {factor: 0.3}", Tensor::of<float>({4, 9, 9, 1}, four));
  EXPECT_EQ((std::set{one(y, 0), one(y, 1), one(y, 2), one(y, 3)}).size(), 4U);
}

TEST(RandomCrop, TakesAPieceOfTheBatchInTrainingAndTheMiddleElse) {
  const Tensor x = pictures({2, 6, 5, 3}, 0, 1e6);
  std::set<std::int64_t> places;
  for (std::int64_t step = 0; step < 40; ++step) {
    const Tensor y = run("RandomCrop: {height: 4, width: 2}", x, {.step = step});
    int found = 0;
    for (std::int64_t top = 0; top <= 2; ++top)
      for (std::int64_t left = 0; left <= 3; ++left) {
        bool same = true;
        for (std::int64_t i = 0; i < y.size(); ++i) {
          const std::int64_t c = i % 3, column = i / 3 % 2, row = i / 6 % 4, n = i / 24;
          same = same && y.at(i) == x.at(((n * 6 + top + row) * 5 + left + column) * 3 + c);
        }
        if (same) ++found, places.insert(top * 10 + left);
      }
    EXPECT_EQ(found, 1) << "step " << step;
  }
  EXPECT_GT(places.size(), 8U);
  const Tensor middle = run("RandomCrop: {height: 3, width: 3}", x, {.training = false});
  EXPECT_TRUE(close(middle, run("Resizing: {height: 3, width: 3, crop_to_aspect_ratio: true}", x), 1e-6));
}

TEST(RandomErasing, ErasesBoxesOfTheGivenSize) {
  const Tensor x(Type{DType::float32, {200, 20, 20, 1}});
  const Tensor y = run("RandomErasing: {factor: [0.7, 0.7], scale: [0.25, 0.25], fill_value: 9.0}", x);
  int erased = 0;
  for (std::int64_t i = 0; i < 200; ++i) {
    int size = 0;
    for (float value : one(y, i)) size += value == 9;
    EXPECT_TRUE(size == 0 || size == 100) << size;
    erased += size > 0;
  }
  EXPECT_NEAR(erased, 140, 25);
}

TEST(RandomElasticTransform, MovesChannelsTogether) {
  std::vector<float> values;
  const Tensor grey = pictures({2, 16, 16, 1});
  for (float value : grey.data<float>()) values.insert(values.end(), {value, value});
  const Tensor y = run("RandomElasticTransform: {factor: [1.0, 1.0]}", Tensor::of<float>({2, 16, 16, 2}, values));
  int moved = 0;
  for (std::int64_t i = 0; i < y.size() / 2; ++i) {
    EXPECT_EQ(y.at(2 * i), y.at(2 * i + 1));
    moved += y.at(2 * i) != values[static_cast<std::size_t>(2 * i)];
  }
  EXPECT_GT(moved, 100);
}

// --- mixtures -----------------------------------------------------------------------------------------------------

// Labels one-hot by sample, so that the other sample and its weight can be read from the mixed ones.
Tensor own_labels(std::int64_t batch) {
  Tensor labels(Type{DType::float32, {batch, batch}});
  for (std::int64_t i = 0; i < batch; ++i) labels.writable<float>()[static_cast<std::size_t>(i * batch + i)] = 1;
  return labels;
}
struct Partner {
  std::int64_t other;
  double weight;  // of the sample itself
};
Partner partner_of(const Tensor& labels, std::int64_t i) {
  const std::int64_t batch = labels.shape()[0];
  Partner partner{i, labels.at(i * batch + i)};
  for (std::int64_t j = 0; j < batch; ++j)
    if (j != i && labels.at(i * batch + j) > 0) partner.other = j;
  return partner;
}

TEST(MixUp, BlendsPicturesAndLabelsAlike) {
  const Tensor x = pictures({16, 3, 4, 3});
  const std::vector<Tensor> y = run(*layer_of("MixUp: {alpha: 0.8}"), {x, own_labels(16)});
  std::set<std::int64_t> others;
  for (std::int64_t i = 0; i < 16; ++i) {
    const auto [other, weight] = partner_of(y[1], i);
    others.insert(other);
    const std::vector<float> a = one(x, i), b = one(x, other), mixed = one(y[0], i);
    for (std::size_t k = 0; k < a.size(); ++k) EXPECT_NEAR(mixed[k], weight * a[k] + (1 - weight) * b[k], 1e-3);
  }
  EXPECT_EQ(others.size(), 16U);  // a permutation
}

TEST(CutMix, MixesLabelsByTheBoxesArea) {
  const Tensor x = pictures({16, 40, 40, 1});
  const std::vector<Tensor> y = run(*layer_of("CutMix"), {x, own_labels(16)});
  int cut = 0;
  for (std::int64_t i = 0; i < 16; ++i) {
    const auto [other, weight] = partner_of(y[1], i);
    const std::vector<float> a = one(x, i), b = one(x, other), mixed = one(y[0], i);
    double from_other = 0;
    for (std::size_t k = 0; k < a.size(); ++k) {
      EXPECT_TRUE(mixed[k] == a[k] || mixed[k] == b[k]);
      from_other += mixed[k] != a[k];
    }
    if (other != i) {
      EXPECT_NEAR(from_other / 1600, 1 - weight, 0.06);
    }
    cut += from_other > 0;
  }
  EXPECT_GT(cut, 4);
}

TEST(CutMix, SaysWhatLabelsItWants) {
  Graph graph;
  Context context(graph, false);
  const Value x = graph.input("x", {DType::float32, {2, 4, 4, 3}}), labels = graph.input("y", {DType::int32, {2}});
  EXPECT_EQ(message_of([&] {
              (*layer_of("CutMix"))(context, {{x, labels}, {}, {}, {}});
            }),
            "layer 'cut_mix' (CutMix): got labels (2,) for pictures (2, 4, 4, 3), wanted (batch, classes)\n"
            "  hint: mixed labels are shares of classes: turn class numbers into one-hot vectors first");
}

TEST(Pipeline, GivesLabelsToThoseThatMixThem) {
  const Tensor x = pictures({8, 4, 4, 3});
  const auto pipeline =
      layer_of("Pipeline: {layers: [{RandomInvert: {factor: [1.0, 1.0]}}, {MixUp: {}}, {RandomFlip: {}}]}");
  const std::vector<Tensor> y = run(*pipeline, {x, own_labels(8)});
  ASSERT_EQ(y.size(), 2U);
  EXPECT_FALSE(y[1].identical(own_labels(8)));
  EXPECT_TRUE(mixes_labels(*pipeline));
  EXPECT_FALSE(mixes_labels(*layer_of("Pipeline: {layers: [{RandomFlip: {}}]}")));
}

// --- distributions ------------------------------------------------------------------------------------------------

TEST(Draws, BetaHasItsMeanAndVariance) {
  for (const double parameter : {0.1, 0.2, 1.0, 3.0}) {
    Graph graph;
    Context context(graph, true, graph.constant(Tensor::scalar(std::int64_t{1})),
                    graph.constant(Tensor::scalar(std::int64_t{0})));
    const Value picture = graph.constant(Tensor(Type{DType::float32, {1, 1, 1, 1}}));
    const Draws draws(context, picture, "layer", {});
    graph.output("beta", draws.beta(draws.scalar(parameter), {20000}));
    const Tensor y = Executable(graph, reference_backend()).run()[0];
    double sum = 0, squares = 0;
    for (float value : y.data<float>()) sum += value, squares += double{value} * value;
    const double mean = sum / 20000, variance = squares / 20000 - mean * mean;
    EXPECT_NEAR(mean, 0.5, 0.012) << parameter;
    EXPECT_NEAR(variance, 1 / (4 * (2 * parameter + 1)), 0.006) << parameter;
  }
}

TEST(Draws, GammaHasItsMean) {
  for (const double parameter : {0.5, 2.0}) {
    Graph graph;
    Context context(graph, true, graph.constant(Tensor::scalar(std::int64_t{1})),
                    graph.constant(Tensor::scalar(std::int64_t{0})));
    const Value picture = graph.constant(Tensor(Type{DType::float32, {1, 1, 1, 1}}));
    const Draws draws(context, picture, "layer", {});
    graph.output("gamma", ops::exp(draws.log_gamma(draws.scalar(parameter), {20000})));
    const Tensor y = Executable(graph, reference_backend()).run()[0];
    double sum = 0, squares = 0;
    for (float value : y.data<float>()) sum += value, squares += double{value} * value;
    const double mean = sum / 20000;
    EXPECT_NEAR(mean, parameter, 0.04) << parameter;
    EXPECT_NEAR(squares / 20000 - mean * mean, parameter, 0.12) << parameter;
  }
}

// --- the rest -----------------------------------------------------------------------------------------------------

TEST(RandAugment, AppliesOneChangeOfItsListAtATime) {
  const Tensor x = pictures({2, 8, 8, 3});
  std::set<std::vector<float>> results;
  for (std::int64_t step = 0; step < 12; ++step)
    results.insert(one(run("RandAugment: {num_ops: 1}", x, {.step = step}), 0));
  EXPECT_GT(results.size(), 8U);
}

TEST(MaxNumBoundingBoxes, CutsAndFills) {
  const Tensor boxes = Tensor::of<float>({1, 2, 4}, {1, 2, 3, 4, 5, 6, 7, 8}),
               labels = Tensor::of<std::int32_t>({1, 2}, {3, 4});
  const std::vector<Tensor> more =
      run(*layer_of("MaxNumBoundingBoxes: {max_number: 3, fill_value: -2}"), {boxes, labels});
  EXPECT_TRUE(more[0].identical(Tensor::of<float>({1, 3, 4}, {1, 2, 3, 4, 5, 6, 7, 8, -2, -2, -2, -2})));
  EXPECT_TRUE(more[1].identical(Tensor::of<std::int32_t>({1, 3}, {3, 4, -2})));
  const Tensor images = pictures({1, 4, 4, 3});
  const std::vector<Tensor> fewer = run(*layer_of("MaxNumBoundingBoxes: {max_number: 1}"), {images, boxes, labels});
  EXPECT_TRUE(fewer[0].identical(images));
  EXPECT_TRUE(fewer[1].identical(Tensor::of<float>({1, 1, 4}, {1, 2, 3, 4})));
  EXPECT_TRUE(fewer[2].identical(Tensor::of<std::int32_t>({1, 1}, {3})));
}

TEST(ImageLayers, SayWhatTheyWant) {
  const auto reading = [](const std::string& yaml) { return message_of([&] { layer_of(yaml); }); };
  EXPECT_EQ(reading("RandomRotation: {factor: 2}"),
            "<text>:1:26: 'factor': wanted a number, or two, from -1 to 1, got 2");
  EXPECT_EQ(reading("RandomBrightness: {factor: 0.1, value_range: [3, 3]}"),
            "<text>:1:46: 'value_range': wanted two different numbers, got [3, 3]");
  EXPECT_EQ(reading("RandomGaussianBlur: {kernel_size: 4}"), "<text>:1:1: 'kernel_size': got 4, wanted odd numbers");
  Graph graph;
  Context context(graph, true, graph.constant(Tensor::scalar(std::int64_t{1})),
                  graph.constant(Tensor::scalar(std::int64_t{0})));
  const auto calling = [&](const std::string& yaml, Shape shape) {
    const Value x = graph.constant(Tensor(Type{DType::float32, std::move(shape)}));
    return message_of([&] { (*layer_of(yaml))(context, {{x}, {}, {}, {}}); });
  };
  EXPECT_EQ(calling("RandomFlip", {4, 4}),
            "layer 'random_flip' (RandomFlip): got input (4, 4), wanted one picture (height, width, channels) or a "
            "batch of them");
  EXPECT_EQ(calling("RandomHue: {factor: 0.1}", {2, 4, 4, 2}),
            "layer 'random_hue' (RandomHue): got 2 channels, wanted red, green and blue");
}

TEST(RandomHeight, IsRefusedInTrainingAlone) {
  const Tensor x = pictures({2, 4, 4, 3});
  EXPECT_TRUE(run("RandomHeight: {factor: 0.2}", x, {.training = false}).identical(x));
  EXPECT_TRUE(message_of([&] {
                run("RandomHeight: {factor: 0.2}", x);
              }).ends_with("hint: use RandomZoom, which keeps the size"));
}

// What Keras 2 had and Keras 3 has not, against tf.image.resize.
TEST(Resizing, HasTheFiltersOfKeras2) {
  const Tensor x = Tensor::of<float>({1, 1, 5, 1}, {1, 5, 2, 8, 3});
  const auto resized = [&](std::string interpolation, std::int64_t width) {
    return run(fmt::format("Resizing: {{height: 1, width: {}, interpolation: {}}}", width, interpolation), x);
  };
  EXPECT_TRUE(close(resized("gaussian", 3), Tensor::of<float>({1, 1, 3, 1}, {2.356974F, 2.958563F, 4.696219F}), 1e-5));
  EXPECT_TRUE(close(
      resized("gaussian", 7),
      Tensor::of<float>({1, 1, 7, 1}, {1.284F, 3.266167F, 4.014838F, 2.958563F, 6.117906F, 5.801828F, 3.355F}), 1e-5));
  EXPECT_TRUE(
      close(resized("mitchellcubic", 3), Tensor::of<float>({1, 1, 3, 1}, {2.316733F, 2.500001F, 4.69522F}), 1e-5));
  EXPECT_TRUE(close(
      resized("mitchellcubic", 7),
      Tensor::of<float>({1, 1, 7, 1}, {1.000001F, 3.345434F, 4.178004F, 2.500001F, 6.43424F, 6.011001F, 3.000001F}),
      1e-5));
}

// Gradients reach what comes before: the rotation's is the transposed rotation.
TEST(RandomRotation, HandsGradientsBack) {
  const auto layer = layer_of("RandomRotation: {factor: [0.1, 0.1], fill_mode: constant}");
  const Tensor x = pictures({1, 5, 5, 1}, 0, 9), direction = pictures({1, 5, 5, 1}, -4, 4);
  for (const Backend* backend : backends()) {
    Graph graph;
    Context context(graph, true, graph.constant(Tensor::scalar(std::int64_t{1})),
                    graph.constant(Tensor::scalar(std::int64_t{0})));
    const Value in = graph.input("x", x.type()), dy = graph.constant(direction);
    const Value out = (*layer)(context, {{in}, {}, {}, {}}).outputs[0];
    graph.output("y", out);
    graph.output("dx", gradients(graph, {&out, 1}, {&dy, 1}, {&in, 1})[0]);
    const std::vector<Tensor> results = Executable(graph, *backend).run(std::vector{x});
    double forward = 0, backward = 0;  // ⟨R x, d⟩ = ⟨x, Rᵀ d⟩
    for (std::int64_t i = 0; i < x.size(); ++i)
      forward += results[0].at(i) * direction.at(i), backward += results[1].at(i) * x.at(i);
    EXPECT_NEAR(forward, backward, 1e-3);
    EXPECT_NE(forward, 0);
  }
}

}  // namespace
}  // namespace nacre
