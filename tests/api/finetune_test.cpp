// Networks that learn something else: frozen layers, new heads, layers that learn at their own pace.
#include "api/freeze.h"
#include "api/head.h"
#include "api/layer_names.h"
#include "api/experiment/experiment.h"
#include "api/experiment/picture_data.h"
#include "api/train/fit_run.h"
#include "api/train/freeze_scheduler.h"
#include "backend/core/parallel.h"
#include "formats/image.h"
#include "formats/npy.h"
#include "formats/yaml.h"
#include "tests/api/models.h"

namespace nacre::test {
namespace {

// A small network for pictures of 8×8 in three channels, as somebody might have left it.
Model picture_base() {
  const Symbol image = Input({8, 8, 3}, "image");
  Symbol x = Conv2D({.filters = 4, .kernel_size = 3, .use_bias = false}, {.name = "block_1_conv"})(image);
  x = BatchNormalization({}, {.name = "block_1_bn"})(x);
  x = ReLU({}, {.name = "block_1_relu"})(x);
  x = Conv2D({.filters = 6, .kernel_size = 3}, {.name = "block_2_conv"})(x);
  x = Conv2D({.filters = 6, .kernel_size = 3}, {.name = "block_10_conv"})(x);
  x = GlobalAveragePooling2D({}, {.name = "pool"})(x);
  x = Dropout({.rate = 0.2}, {.name = "drop"})(x);
  Model model({image}, {Dense({.units = 5, .activation = "softmax"}, {.name = "predictions"})(x)}, {.name = "base"});
  model.initialize(3);
  return model;
}

std::vector<std::string> frozen_names(const Model& model) {
  std::vector<std::string> names;
  for (const NamedLayer& layer : named_layers(model.graph()))
    if (!layer.layer->trainable()) names.push_back(layer.name);
  return names;
}

using Names = std::vector<std::string>;

TEST(Freezing, GoesAsFarAsALayer) {
  const Model model = picture_base();
  freeze(model.graph(), "until block_2");
  EXPECT_EQ(frozen_names(model), (Names{"image", "block_1_conv", "block_1_bn", "block_1_relu"}));
  freeze(model.graph(), "until block_1");  // not block_10
  EXPECT_EQ(frozen_names(model), (Names{"image"}));
  freeze(model.graph(), true);
  EXPECT_TRUE(model.graph().trainable_weights().empty());
  freeze(model.graph(), false);
  EXPECT_EQ(frozen_names(model), Names());
  EXPECT_NE(message_of([&] { freeze(model.graph(), "until blok_2_conv"); }).find("did you mean 'block_2_conv'"), std::string::npos);
}

TEST(Freezing, CountsLayersWithWeights) {
  const Model model = picture_base();
  freeze(model.graph(), 2);
  EXPECT_EQ(frozen_names(model), (Names{"image", "block_1_conv", "block_1_bn"}));
  freeze(model.graph(), -2);
  EXPECT_EQ(frozen_names(model), (Names{"image", "block_1_conv", "block_1_bn", "block_1_relu", "block_2_conv"}));
  EXPECT_NE(message_of([&] { freeze(model.graph(), 6); }).find("has 5 with weights"), std::string::npos);
}

TEST(Freezing, TakesNamesPatternsAndClasses) {
  const Model model = picture_base();
  freeze(model.graph(), Names{"block_1_*", "predictions"});
  EXPECT_EQ(frozen_names(model), (Names{"block_1_conv", "block_1_bn", "block_1_relu", "predictions"}));
  freeze(model.graph(), "*_conv");
  EXPECT_EQ(frozen_names(model), (Names{"block_1_conv", "block_2_conv", "block_10_conv"}));
  freeze(model.graph(), Names{"BatchNormalization", "until block_1_conv", "LSTM"});
  EXPECT_EQ(frozen_names(model), (Names{"image", "block_1_bn"}));
  EXPECT_NE(message_of([&] { freeze(model.graph(), "block_7*"); }).find("has no layer 'block_7*'"), std::string::npos);
  EXPECT_TRUE(means("a*c?e", "abbcde") && means("outer", "outer/inner") && !means("inner", "outer/inner") && !means("a*b", "abc"));
}

// A layer inside another is frozen by its own name or class; numbers of layers count the outer ones.
TEST(Freezing, ReachesLayersInsideOthers) {
  const Symbol x = Input({5, 8}, "x");
  Symbol y = TimeDistributed({.layer = BatchNormalization({}, {.name = "norm"})}, {.name = "each"})(x);
  y = Bidirectional({.layer = SimpleRNN({.units = 3}, {.name = "rnn"})}, {.name = "both"})(y);
  y = BatchNormalization({}, {.name = "top_norm"})(y);
  Model model({x}, {Dense({.units = 2, .activation = "softmax"}, {.name = "head"})(y)});
  model.initialize(1);
  const auto learning = [&] {
    Names paths;
    for (const Weight& weight : model.graph().trainable_weights()) paths.push_back(weight.variable->path());
    return paths;
  };
  freeze(model.graph(), "BatchNormalization");
  EXPECT_EQ(frozen_names(model), (Names{"each/norm", "top_norm"}));
  EXPECT_EQ(learning().size(), 8u);
  model.compile({.optimizer = "sgd", .loss = "sparse_categorical_crossentropy"});
  const std::vector<Tensor> before = values(model);
  model.fit(array_dataset({.inputs = {Tensor(DType::float32, {4, 5, 8})}, .targets = {Tensor::of<std::int32_t>({4}, {0, 1, 0, 1})}}),
            {.epochs = 1, .batch_size = 2, .cache_features = CacheFeatures::never});
  for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(values(model)[i].identical(before[i])) << i;  // gamma, beta, mean, variance

  freeze(model.graph(), "until both/backward");
  const Names frozen = frozen_names(model);
  EXPECT_EQ((Names(frozen.begin(), frozen.begin() + 4)), (Names{"x", "each", "each/norm", "both/forward_rnn"}));
  EXPECT_EQ(learning().size(), 7u);  // of the backward one, the normalisation and the head
  freeze(model.graph(), 1);
  EXPECT_EQ(frozen_names(model), (Names{"x", "each", "each/norm"}));
  EXPECT_NE(message_of([&] { freeze(model.graph(), 5); }).find("has 4 with weights"), std::string::npos);
  freeze(model.graph(), false);
  const auto factors = LearningRateMultipliers{{"*", 0.5}, {"each/norm", 0.25}, {"both/forward*", 0}}.of(model.graph());
  std::vector<double> list;
  for (const Weight& weight : model.graph().trainable_weights()) list.push_back(factors.at(weight.variable.get()));
  EXPECT_EQ(list, (std::vector<double>{0.25, 0.25, 0, 0, 0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5}));
}

TEST(Freezing, ReadsWhatItWrites) {
  for (const char* text : {"true", "false", "until block_2", "3", "-2", "[a, b*]"}) {
    Freeze frozen;
    FieldKind<Freeze>::read(parse_yaml(text), frozen);
    Freeze again;
    FieldKind<Freeze>::read(FieldKind<Freeze>::write(frozen, Style::yaml), again);
    EXPECT_EQ(frozen, again) << text;
  }
}

Tensor pictures(std::int64_t count, std::int64_t size, std::int64_t channels, std::uint64_t seed = 1) {
  RandomStream random(RandomKey::of(seed, "pictures"));
  Tensor x(DType::float32, {count, size, size, channels});
  for (float& value : x.writable<float>()) value = static_cast<float>(255 * random.uniform());
  return x;
}

// The label is the brightest third of the picture.
DatasetRef striped(std::int64_t count, std::int64_t size, std::int64_t channels, std::uint64_t seed = 1) {
  Tensor x = pictures(count, size, channels, seed), y(DType::int32, {count});
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t label = i % 3;
    y.writable<std::int32_t>()[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(label);
    for (std::int64_t row = label * size / 3; row < (label + 1) * size / 3; ++row)
      for (std::int64_t k = 0; k < size * channels; ++k)
        x.writable<float>()[static_cast<std::size_t>((i * size + row) * size * channels + k)] += 250;
  }
  return array_dataset({.inputs = {std::move(x)}, .targets = {std::move(y)}});
}

TEST(Freezing, BatchNormalizationInfersWhereItIsFrozen) {
  Model model = picture_base();
  freeze(model.graph(), "until block_2");
  model.compile({.optimizer = "sgd", .loss = "sparse_categorical_crossentropy"});
  const std::vector<Tensor> before = values(model);
  model.fit(striped(12, 8, 3), {.epochs = 1, .batch_size = 4, .cache_features = CacheFeatures::never});
  const std::vector<Tensor> after = values(model);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_TRUE(before[i].identical(after[i])) << i;  // kernel, gamma, beta, mean, variance
  EXPECT_FALSE(before[5].identical(after[5]));
}

// --- heads --------------------------------------------------------------------------------------------------------

TEST(Heads, StandOnWhatLiesBelowTheTop) {
  const Model base = without_top(picture_base());
  EXPECT_EQ(base.outputs().front(), base.layer("pool").output());
  Model model = with_head(base, {.classes = 3, .units = {7}});
  EXPECT_EQ(model.outputs().front().shape(), (Shape{unknown, 3}));
  Names names;
  for (const auto& layer : model.layers())
    if (layer->name().starts_with("head")) names.push_back(layer->name());
  EXPECT_EQ(names, (Names{"head_dropout", "head_dense", "head_dropout_1", "head"}));
  freeze(model.graph(), "until head");
  EXPECT_EQ(model.graph().trainable_weights().size(), 4u);
  // Another head on it, whose layers may not have the names of the first.
  const Model again = with_head(without_top(model), {.classes = 2, .units = {4}});
  EXPECT_EQ(again.outputs().front().shape(), (Shape{unknown, 2}));
}

TEST(Heads, PoolPicturesAndSequences) {
  const Symbol words = Input({unknown, 6}, "words");
  const Model base({words}, {Dense({.units = 5}, {.name = "encode"})(words)});
  const Model model = with_head(base, {.classes = 2, .pooling = HeadPooling::max});
  EXPECT_EQ(model.layer("head_pool")->class_name(), "GlobalMaxPooling1D");
  EXPECT_EQ(model.outputs().front().shape(), (Shape{unknown, 2}));
}

TEST(Heads, PreprocessingBecomesLayersInFront) {
  Model base = without_top(picture_base());
  const Preprocessing preprocessing{
      .scale = 1.0 / 255, .mean = {0.4, 0.5, 0.6}, .deviation = {0.2, 0.3, 0.4}, .channel_order = ChannelOrder::bgr, .floats = true};
  base.graph().set_card({.labels = {"a", "b"}, .preprocessing = preprocessing, .source = "somebody", .licence = "MIT"});
  Model model = with_head(base, {.classes = 3, .dropout = 0});
  EXPECT_TRUE(model.graph().card().preprocessing.is_identity());
  EXPECT_TRUE(model.graph().card().labels.empty());
  EXPECT_EQ(model.graph().card().source, "somebody");
  model.initialize(5);
  const Tensor x = pictures(4, 8, 3);
  Model features(model.inputs(), {model.layer("pool").output()});
  expect_near(features.predict(x), Model(base).predict(preprocessed(preprocessing, x)), 1e-5);
  const TemporaryFolder folder;
  model.save(folder / "tuned.keras");
  expect_near(load_model(folder / "tuned.keras").predict(x), model.predict(x), 1e-6);
}

class HeadsInYaml : public testing::Test {
 protected:
  void SetUp() override { picture_base().save(folder_ / "base.keras"); }
  Model build(const std::string& yaml) { return Model(build_model(parse_yaml(yaml), {}, folder_.path())); }
  Experiment experiment(const std::string& yaml) { return Experiment(parse_config(yaml, "tuned.yaml", folder_.path())); }
  TemporaryFolder folder_;
};

TEST_F(HeadsInYaml, AreAMappingOrAListOfLayers) {
  const Model model = build("{file: base.keras, freeze: true, head: {classes: 3, dropout: 0}}");
  EXPECT_EQ(model.graph().trainable_weights().size(), 2u);
  EXPECT_EQ(model.outputs().front().shape(), (Shape{unknown, 3}));
  EXPECT_EQ(build("{file: base.keras, freeze: until head, head: {classes: 3}}").graph().trainable_weights().size(), 2u);
  const Model list = build("{file: base.keras, outputs: block_10_conv, freeze: until block_2, head: [Flatten, Dense: {units: 9, name: hidden}, "
                           "Dense: {units: 2}]}");
  EXPECT_EQ(list.outputs().front().shape(), (Shape{unknown, 2}));
  EXPECT_EQ(list.layer("head_hidden")->weights().size(), 2u);
  EXPECT_EQ(list.layers().back()->name(), "head_dense");
  EXPECT_EQ(list.graph().trainable_weights().size(), 8u);
}

TEST_F(HeadsInYaml, MistakesHaveTheirPlace) {
  const auto expect = [&](const std::string& yaml, const std::string& part) {
    const std::string message = message_of([&] { build(yaml); });
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect("{file: base.keras,\n freeze: until blok_2}", "has no layer 'blok_2'");
  expect("{file: base.keras, head: {clases: 3}}", "did you mean 'classes'");
  expect("{file: base.keras, head: {}}", "'classes' is missing");
  expect("{sequential: [Input: {shape: [2]}, Dense: {units: 2}], freeze: true}", "'freeze' is for models of 'file' and 'zoo'");
  expect("{file: base.keras, freeze: true, trainable: false}", "both 'trainable' and 'freeze'");
}

TEST_F(HeadsInYaml, ClassesAndPicturesAreThoseOfTheData) {
  write_npz(folder_ / "data.npz", {{"x", Tensor(DType::uint8, {9, 5, 5})}, {"y", Tensor::of<std::int32_t>({9}, {0, 1, 2, 3, 0, 1, 2, 3, 3})}});
  const Experiment tuned = experiment("model: {file: base.keras, freeze: true, head: {classes: auto}}\ndata: {train: {npz: {file: data.npz}}}\n"
                                      "train: {loss: sparse_categorical_crossentropy, epochs: 1}\n");
  Model model = configured_model(tuned);
  EXPECT_EQ(model.outputs().front().shape(), (Shape{unknown, 4}));
  const OpenedData data = tuned.open_data();
  EXPECT_EQ(data.train->inputs()[0].type, (Type{DType::uint8, {8, 8, 3}}));
  model.fit(data.train, {.epochs = 1});
  EXPECT_EQ(tuned.render()["model"]["head"]["classes"], Tree(4));
  const std::string none = message_of([&] { experiment("model: {file: base.keras, head: {}}\n").build_model(); });
  EXPECT_NE(none.find("there is none"), std::string::npos) << none;
}

TEST_F(HeadsInYaml, PicturesInFoldersAreDecodedInTheSizeOfTheNetwork) {
  for (const char* name : {"cat", "dog"}) {
    std::filesystem::create_directories(folder_ / "pets" / name);
    for (const char* file : {"1.png", "2.png"}) write_png(folder_ / "pets" / name / file, Tensor(DType::uint8, {6, 10, 1}));
  }
  const Experiment tuned = experiment("model: {file: base.keras, freeze: true, head: {}}\ndata: {train: {images: {folder: pets}}}\n"
                                      "train: {loss: sparse_categorical_crossentropy}\n");
  Model model = configured_model(tuned);
  EXPECT_EQ(model.outputs().front().shape(), (Shape{unknown, 2}));
  EXPECT_EQ(tuned.open_data().train->inputs()[0].type.shape, (Shape{8, 8, 3}));
  model.fit(tuned.open_data().train, {.epochs = 1});
  EXPECT_EQ(model.graph().card().labels, (Names{"cat", "dog"}));
}

TEST(PictureData, OfAnotherSizeIsToldHowItComesToTheNetworks) {
  Model model = picture_base();
  const Shape wanted = model.inputs().front().shape();
  const std::string message = message_of([&] { (void)model.predict(striped(2, wanted[1] + 2, 3)); });
  EXPECT_NE(message.find(fmt::format("size: [{}, {}]", wanted[1], wanted[2])), std::string::npos) << message;
}

TEST(PictureData, RepeatsGreyAndResizes) {
  const Tensor grey = Tensor::of<std::uint8_t>({1, 2, 2}, {10, 20, 30, 40});
  const DatasetRef colour = pictures_for(array_dataset({.inputs = {grey}}), {2, 2, 3});
  Batch batch;
  const std::int64_t first = 0;
  colour->read({&first, 1}, batch);
  const auto pixels = batch.inputs[0].data<std::uint8_t>();
  EXPECT_EQ((std::vector<int>(pixels.begin(), pixels.end())), (std::vector<int>{10, 10, 10, 20, 20, 20, 30, 30, 30, 40, 40, 40}));
  const DatasetRef same = array_dataset({.inputs = {Tensor(DType::float32, {4, 8, 8, 3})}});
  EXPECT_EQ(pictures_for(same, {8, 8, 3}), same);
  EXPECT_EQ(pictures_for(same, {unknown, unknown, 3}), same);
}

// --- rates --------------------------------------------------------------------------------------------------------

// Updates of the two layers by optimizers of their own are the same bits.
TEST(LearningRateMultipliers, AreThoseOfAnOptimizerOfItsOwn) {
  for (const auto& info : registry<Optimizer>().classes()) {
    if (info.class_name == "MultiOptimizer" || info.class_name == "LossScaleOptimizer" || info.module.empty()) continue;
    SCOPED_TRACE(info.class_name);
    const auto optimizer = [&](double rate) {
      Tree config;
      config.set("learning_rate", rate);
      if (info.class_name == "AdamW") config.set("weight_decay", 0.01);
      return Ref<Optimizer>(info.make(config));
    };
    const auto train = [&](CompileOptions options) {
      Sequential model({Input({4}), Dense({.units = 8, .activation = "tanh"}, {.name = "low"}), Dense({.units = 3}, {.name = "high"})});
      options.loss = "mse";
      model.compile(std::move(options));
      const Blobs data = blobs(32);
      const Batch batch{.inputs = {data.features}, .targets = {data.one_hot}, .weights = {}, .size = 32};
      for (int step = 0; step < 5; ++step) model.train_on_batch(batch);
      return values(model);
    };
    const auto multiplied = train({.optimizer = optimizer(0.02), .learning_rate_multipliers = {{"*", 0.25}, {"high", 1}}});
    const auto separate = train({.optimizer = optimizers::MultiOptimizer(
                                     {.optimizer_map = {.default_optimizer = optimizer(0.02), .optimizer_map = {{"low/.*", optimizer(0.005)}}}})});
    ASSERT_EQ(multiplied.size(), separate.size());
    for (std::size_t i = 0; i < multiplied.size(); ++i) expect_near(multiplied[i], separate[i], 1e-6, 1e-5);
  }
}

TEST(LearningRateMultipliers, DecayFromTheTopAndRefuseUnknownNames) {
  const Model model = picture_base();
  freeze(model.graph(), "block_10_conv");
  const LearningRateMultipliers half = 0.5;
  const auto factors = half.of(model.graph());
  const auto factor = [&](const char* layer) { return factors.at(model.layer(layer)->weights().front().variable.get()); };
  EXPECT_EQ(factor("predictions"), 1);
  EXPECT_EQ(factor("block_2_conv"), 0.5);
  EXPECT_EQ(factor("block_1_bn"), 0.25);
  const LearningRateMultipliers wrong{{"blok*", 0.1}};
  EXPECT_NE(message_of([&] { wrong.of(model.graph()); }).find("has no layer 'blok*'"), std::string::npos);
}

TEST(StepCounts, AreSharesOfTheTraining) {
  Ref<LearningRateSchedule> schedule(read_object<LearningRateSchedule>(parse_yaml(
      "{CosineDecay: {initial_learning_rate: 0, warmup_target: 0.1, warmup_steps: 10%, decay_steps: auto}}")));
  EXPECT_EQ(write_object(*schedule, Style::yaml)["CosineDecay"]["warmup_steps"], Tree("10%"));
  Sequential model = classifier();
  Tree adam;
  adam.set("learning_rate", write_object(*schedule, Style::yaml));
  model.compile({.optimizer = registry<Optimizer>().get("Adam").make(adam), .loss = "sparse_categorical_crossentropy"});
  const History history = model.fit(labelled(blobs(100)), {.epochs = 5, .batch_size = 5});  // 100 steps
  EXPECT_NEAR(history.series("learning_rate").back(), 0, 1e-6);
  EXPECT_TRUE(schedule->plan(100, 0));
  EXPECT_FALSE(schedule->plan(100, 0));
  EXPECT_NEAR(schedule->at(10), 0.1, 1e-7);
  EXPECT_NEAR(schedule->at(55), 0.05, 1e-6);
  EXPECT_NEAR(schedule->at(100), 0, 1e-7);
  for (const char* wrong : {"-3", "120%", "some"}) {
    StepCount count;
    EXPECT_THROW(FieldKind<StepCount>::read(parse_yaml(wrong), count), Error) << wrong;
  }
}

// What is written stays, and each training has its own steps.
TEST(StepCounts, EachFitHasItsOwnSchedule) {
  for (const char* text : {"{CosineDecay: {initial_learning_rate: 0.01, decay_steps: auto}}",
                           "{PolynomialDecay: {initial_learning_rate: 0.01, end_learning_rate: 0, decay_steps: 100%}}"}) {
    SCOPED_TRACE(text);
    LearningRate rate;
    rate.schedule = Ref<LearningRateSchedule>(read_object<LearningRateSchedule>(parse_yaml(text)));
    const Tree written = write_object(*rate.schedule, Style::yaml);
    Sequential model = classifier();
    model.initialize(1);
    model.compile({.optimizer = optimizers::Adam({.learning_rate = rate}), .loss = "sparse_categorical_crossentropy"});
    const DatasetRef data = labelled(blobs(40));
    for (const std::int64_t epochs : {2, 2, 4}) {
      const std::vector<Tensor> before = values(model);
      const std::vector<double> rates = model.fit(data, {.epochs = epochs, .batch_size = 10}).series("learning_rate");  // of the next step
      EXPECT_NEAR(rates.at(static_cast<std::size_t>(epochs / 2 - 1)), 0.005, 1e-6);
      EXPECT_NEAR(rates.back(), 0, 1e-6);
      EXPECT_FALSE(values(model)[0].identical(before[0]));
      EXPECT_EQ(write_object(*rate.schedule, Style::keras)["config"]["decay_steps"], Tree(epochs * 4));
    }
    EXPECT_EQ(write_object(*rate.schedule, Style::yaml), written);
  }
}

// Also where the optimizer has made steps already that the checkpoint knows nothing of.
TEST(StepCounts, AResumedRunKeepsItsFirstStep) {
  const TemporaryFolder folder;
  const auto make = [] {
    Sequential model = classifier();
    LearningRate rate;
    rate.schedule = Ref<LearningRateSchedule>(read_object<LearningRateSchedule>(parse_yaml("{CosineDecay: {initial_learning_rate: 0.01}}")));
    model.compile({.optimizer = optimizers::Adam({.learning_rate = rate}), .loss = "sparse_categorical_crossentropy"});
    return model;
  };
  std::atomic<bool> stop = false;
  const callbacks::LambdaCallback interrupt({.on_train_batch_end = [&](TrainingControl& control, std::int64_t, const Logs&) { stop = control.iterations() == 6; }});
  FitOptions options{.epochs = 3, .batch_size = 10, .callbacks = {callbacks::LambdaCallback()}};
  Sequential whole = make(), broken = make();
  whole.fit(labelled(blobs(40)), options);
  options.checkpoint = folder / "broken.h5";
  options.resume = true;
  options.stop = &stop;
  options.callbacks = {interrupt};
  broken.fit(labelled(blobs(40)), options);
  EXPECT_TRUE(stop);
  stop = false;
  options.callbacks = {callbacks::LambdaCallback()};
  broken.fit(labelled(blobs(40)), options);
  expect_identical(values(broken), values(whole));
}

// --- unfreezing ---------------------------------------------------------------------------------------------------

CompileOptions adam() { return {.optimizer = "adam", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}}; }

TEST(FreezeScheduler, ThawsLayersAndKeepsTheStateOfTheOthers) {
  Model model = with_head(without_top(picture_base()), {.classes = 3, .dropout = 0});
  model.initialize(1);
  model.compile(adam());
  std::vector<std::vector<Tensor>> seen;
  const callbacks::LambdaCallback look({.on_epoch_end = [&](TrainingControl& control, std::int64_t, Logs&) { seen.push_back(control.weights()); }});
  const auto untouched = values(model);
  model.fit(striped(24, 8, 3), {.epochs = 4,
                                .batch_size = 8,
                                .callbacks = {callbacks::FreezeScheduler({.schedule = {{0, "until head"}, {1, "until block_10_conv"}, {3, false}}}), look},
                                .cache_features = CacheFeatures::never});
  ASSERT_EQ(seen.size(), 4u);
  const auto moved = [&](std::size_t epoch, std::size_t weight) {
    return !seen[epoch][weight].identical(epoch ? seen[epoch - 1][weight] : untouched[weight]);
  };
  const std::size_t conv_1 = 0, mean = 3, conv_10 = 7, head = untouched.size() - 2;
  EXPECT_TRUE(moved(0, head) && !moved(0, conv_10) && !moved(0, mean));
  EXPECT_TRUE(moved(1, head) && moved(1, conv_10) && !moved(1, conv_1));
  EXPECT_TRUE(!moved(2, conv_1) && !moved(2, mean));
  EXPECT_TRUE(moved(3, conv_1) && moved(3, mean));
  EXPECT_EQ(model.trainer().optimizer().iterations(), 12);
  EXPECT_EQ(model.trainer().optimizer().joined(), (std::vector<std::int64_t>{9, 9, 9, 9, 9, 3, 3, 0, 0}));
}

// Adam's first step has the size of the rate, whenever it is.
TEST(FreezeScheduler, WhatBeginsToLearnIsAtItsFirstStep) {
  Sequential model({Input({4}), Dense({.units = 8, .activation = "tanh"}, {.name = "low"}), Dense({.units = 3}, {.name = "high"})});
  model.initialize(2);
  model.compile({.optimizer = optimizers::Adam({.learning_rate = 0.01}), .loss = "mse"});
  const auto before = values(model);
  const Blobs data = blobs(16);
  model.fit(array_dataset({.inputs = {data.features}, .targets = {data.one_hot}}),
            {.epochs = 21,
             .batch_size = 16,
             .callbacks = {callbacks::FreezeScheduler({.schedule = {{0, "low"}, {20, false}}})},
             .cache_features = CacheFeatures::never});
  const auto after = values(model);
  for (std::int64_t i = 0; i < before[0].size(); ++i) EXPECT_NEAR(std::abs(after[0].at(i) - before[0].at(i)), 0.01, 1e-4);
}

// Nadam's momentum follows a schedule of its own, which begins with a weight's first step.
TEST(FreezeScheduler, WhatBeginsToLearnWithNadamIsAtItsFirstStep) {
  const DatasetRef data = [] {
    const Blobs points = blobs(16);
    return array_dataset({.inputs = {points.features}, .targets = {points.one_hot}});
  }();
  const auto make = [] {
    Sequential model({Input({4}), Dense({.units = 8, .activation = "tanh"}, {.name = "low"}), Dense({.units = 3}, {.name = "high"})});
    model.initialize(2);
    model.compile({.optimizer = optimizers::Nadam({.learning_rate = 0.01}), .loss = "mse"});
    return model;
  };
  Sequential model = make(), fresh = make();
  std::vector<Tensor> thawed;
  const callbacks::LambdaCallback look({.on_epoch_begin = [&](TrainingControl& control, std::int64_t epoch) {
    if (epoch == 20) thawed = control.weights();
  }});
  const auto steps = [&](std::int64_t count) {
    return FitOptions{.epochs = 20 + count,
                      .batch_size = 16,
                      .callbacks = {callbacks::FreezeScheduler({.schedule = {{0, "low"}, {20, false}}}), look},
                      .cache_features = CacheFeatures::never};
  };
  model.fit(data, steps(1));
  for (std::size_t i = 0; i < thawed.size(); ++i) fresh.weights()[i].variable->assign(thawed[i]);
  fresh.fit(data, {.epochs = 1, .batch_size = 16});
  expect_near(values(model)[0], values(fresh)[0], 1e-6);
  expect_near(values(model)[1], values(fresh)[1], 1e-6);
}

// The learning rate of a schedule cannot be multiplied: that is said before the first step.
TEST(FreezeScheduler, AFactorOfASchedulesRateIsRefusedAtOnce) {
  Sequential model = classifier();
  model.compile({.optimizer = optimizers::Adam({.learning_rate = schedules::CosineDecay({.initial_learning_rate = 0.1})}),
                 .loss = "sparse_categorical_crossentropy"});
  const callbacks::FreezeScheduler scheduler({.schedule = {{0, "dense"}, {2, false}}, .factor = 0.1});
  const std::string message = message_of([&] { model.fit(labelled(blobs(16)), {.epochs = 3, .callbacks = {scheduler}}); });
  EXPECT_TRUE(message.starts_with("'factor' of FreezeScheduler: the learning rate of optimizer 'adam' comes from a schedule")) << message;
  EXPECT_NE(message.find("hint: give the optimizer a number"), std::string::npos) << message;
  EXPECT_EQ(model.trainer().optimizer().iterations(), 0);
}

TEST(FreezeScheduler, ResumesModelsThatWereFrozenAsAWhole) {
  const TemporaryFolder folder;
  const auto train = [&](const std::string& checkpoint, std::int64_t epochs, bool resume) {
    Model base = without_top(picture_base());
    base.set_trainable(false);
    const Symbol image = Input({8, 8, 3}, "picture");
    Model model({image}, {Dense({.units = 3, .activation = "softmax"}, {.name = "head"})(base(image))});
    model.initialize(1);
    model.compile(adam());
    model.fit(striped(24, 8, 3), {.epochs = epochs,
                                  .batch_size = 8,
                                  .seed = 4,
                                  .callbacks = {callbacks::FreezeScheduler({.schedule = {{0, "until head"}, {1, "BatchNormalization"}}})},
                                  .checkpoint = folder / checkpoint,
                                  .resume = resume});
    return values(model);
  };
  const auto whole = train("whole.h5", 3, false);
  train("broken.h5", 2, false);
  expect_identical(train("broken.h5", 3, true), whole);
}

TEST(FreezeScheduler, ResumesBitForBit) {
  const TemporaryFolder folder;
  const auto train = [&](const std::string& checkpoint, std::int64_t stop_at, bool resume, CacheFeatures cache) {
    Model model = with_head(without_top(picture_base()), {.classes = 3});
    model.initialize(1);
    model.compile(adam());
    std::atomic<bool> stop = false;
    std::int64_t batches = 0;
    const callbacks::LambdaCallback interrupt({.on_train_batch_end = [&](TrainingControl&, std::int64_t, const Logs&) { stop = ++batches == stop_at; }});
    FitOptions options{.epochs = 5,
                       .batch_size = 8,
                       .seed = 4,
                       .callbacks = {callbacks::FreezeScheduler({.schedule = {{0, "until head"}, {2, "until block_2"}, {4, false}}}), interrupt},
                       .cache_features = cache,
                       .stop = &stop,
                       .checkpoint = folder / checkpoint,
                       .resume = resume};
    model.fit(striped(24, 8, 3), options);
    return values(model);
  };
  for (const CacheFeatures cache : {CacheFeatures::never, CacheFeatures::always}) {
    const auto whole = train("whole.h5", 0, false, cache);
    for (const std::int64_t stop_at : {2, 3, 8, 13}) {
      std::filesystem::remove(folder / "broken.h5");
      train("broken.h5", stop_at, false, cache);
      expect_identical(train("broken.h5", 0, true, cache), whole);
    }
  }
}

// --- the feature cache --------------------------------------------------------------------------------------------

struct Lines final : ProgressListener {
  void say(std::string_view line) override { said += std::string(line) + "\n"; }
  void warn(std::string_view line) override { said += std::string(line) + "\n"; }
  std::string said;
};

struct CacheRun {
  History history;
  std::vector<Tensor> weights;
  std::string said;
};

CacheRun run_with(CacheFeatures cache, const std::filesystem::path& folder = {}, const DatasetRef& train = striped(24, 8, 3),
                  const DatasetRef& unaugmented = nullptr, MatmulPrecision precision = MatmulPrecision::highest) {
  Model model = with_head(without_top(picture_base()), {.classes = 3});
  model.initialize(1);
  freeze(model.graph(), "until block_10_conv");
  CompileOptions options = adam();
  options.learning_rate_multipliers = {{"block_1_*", 0.1}, {"block_10*", 0.5}};
  options.matmul_precision = precision;
  model.compile(std::move(options));
  Lines lines;
  CacheRun run;
  run.history = model.fit(train, {.epochs = 3, .batch_size = 7, .validation = striped(9, 8, 3, 2), .seed = 4,
                                  .cache_features = cache, .unaugmented = unaugmented, .feature_folder = folder, .listener = &lines});
  run.weights = values(model);
  run.said = lines.said;
  return run;
}

TEST(FeatureCache, ChangesNothingButTheTime) {
  const CacheRun plain = run_with(CacheFeatures::never), cached = run_with(CacheFeatures::automatic);
  EXPECT_EQ(plain.said.find("features"), std::string::npos);
  EXPECT_NE(cached.said.find("computing the features of the training data once: 24 samples of 96 numbers"), std::string::npos) << cached.said;
  for (const char* name : {"loss", "accuracy", "val_loss", "val_accuracy"})
    for (std::size_t epoch = 0; epoch < 3; ++epoch)
      EXPECT_NEAR(plain.history.series(name).at(epoch), cached.history.series(name).at(epoch), 1e-5) << name;
  for (std::size_t i = 0; i < plain.weights.size(); ++i) expect_near(cached.weights[i], plain.weights[i], 1e-5);
}

TEST(FeatureCache, FilesAreFoundAgainByWhatTheyDependOn) {
  const TemporaryFolder folder;
  const CacheRun first = run_with(CacheFeatures::automatic, folder / "cache"), second = run_with(CacheFeatures::automatic, folder / "cache");
  EXPECT_NE(second.said.find("features of the training data: as an earlier run computed them"), std::string::npos) << second.said;
  EXPECT_EQ(second.said.find("computing"), std::string::npos);
  expect_identical(first.weights, second.weights);
  const CacheRun other = run_with(CacheFeatures::automatic, folder / "cache", striped(24, 8, 3, 7));
  EXPECT_NE(other.said.find("computing the features of the training data"), std::string::npos);
  // A file that somebody has damaged.
  for (const auto& file : std::filesystem::directory_iterator(folder / "cache")) std::filesystem::resize_file(file, 40);
  const CacheRun third = run_with(CacheFeatures::automatic, folder / "cache");
  EXPECT_NE(third.said.find("features are computed anew"), std::string::npos) << third.said;
  expect_identical(first.weights, third.weights);
}

// Runs would not have the same bits if they found what another backend has computed, or another number of threads.
TEST(FeatureCache, FilesAreOfOneWayToComputeThem) {
  const TemporaryFolder folder;
  const Model model = picture_base();
  freeze(model.graph(), "until block_10_conv");
  const auto parts = split_below_learning(model.graph(), model.trainer().random(), false);
  ASSERT_TRUE(parts);
  const auto found = [&](std::string_view device) {
    Lines lines;
    features_of(striped(6, 8, 3), parts->below, model.trainer().random(), backend_for(device), {.folder = folder / "cache", .what = "training"}, lines, nullptr);
    return lines.said.find("as an earlier run computed them") != std::string::npos;
  };
  EXPECT_FALSE(found("cpu"));
  EXPECT_TRUE(found("cpu"));
  EXPECT_FALSE(found("reference"));
  EXPECT_TRUE(found("reference"));
  const int usual = threads();
  set_threads(usual + 1);
  EXPECT_FALSE(found("cpu"));
  set_threads(usual);
  EXPECT_TRUE(found("cpu"));
  set_threads(0);

  const auto computes = [&](MatmulPrecision precision) {
    return run_with(CacheFeatures::automatic, folder / "fits", striped(24, 8, 3), nullptr, precision).said.find("computing the features of the training") !=
           std::string::npos;
  };
  EXPECT_TRUE(computes(MatmulPrecision::medium));
  EXPECT_TRUE(computes(MatmulPrecision::highest));
  EXPECT_FALSE(computes(MatmulPrecision::medium));
}

TEST(FeatureCache, KeepsBfloat16AndNoMoreThanFits) {
  const TemporaryFolder folder;
  const Symbol x = Input({4}, "x");
  Model model({x}, {Dense({.units = 3}, {.name = "high"})(Dense({.units = 6}, {.name = "low", .dtype = {"mixed_bfloat16"}})(x))});
  model.initialize(1);
  freeze(model.graph(), "low");
  const auto parts = split_below_learning(model.graph(), model.trainer().random(), false);
  ASSERT_TRUE(parts);
  ASSERT_EQ(parts->below->outputs().front().type().dtype, DType::bfloat16);
  const auto features = [&](FeatureOptions options) {
    Lines lines;
    options.what = "training";
    const DatasetRef data = features_of(labelled(blobs(8)), parts->below, model.trainer().random(), *backends().front(), options, lines, nullptr);
    Batch batch;
    const std::int64_t indices[] = {0, 3, 7};
    data->read(indices, batch);
    return std::pair(lines.said, batch.inputs.front());
  };
  const auto computed = features({.folder = folder / "cache"}), read = features({.folder = folder / "cache"});
  EXPECT_EQ(read.first, "features of the training data: as an earlier run computed them\n");
  EXPECT_TRUE(read.second.identical(computed.second));
  const auto large = features({.folder = folder / "small", .most_bytes = 8 * 6 * 4});
  EXPECT_NE(large.first.find("too many to be kept"), std::string::npos) << large.first;
  EXPECT_TRUE(large.second.identical(computed.second));
  EXPECT_FALSE(std::filesystem::exists(folder / "small"));
}

// The part above the features has not all the layers, but names are those of the whole model.
TEST(LearningRateMultipliers, UnknownNamesAreRefusedWhereFeaturesAreCached) {
  Model model = with_head(without_top(picture_base()), {.classes = 3});
  model.initialize(1);
  freeze(model.graph(), "until head");
  CompileOptions options = adam();
  options.learning_rate_multipliers = {{"*", 0.1}, {"haed*", 1}};
  model.compile(std::move(options));
  const std::string message = message_of([&] { model.fit(striped(12, 8, 3), {.epochs = 2, .cache_features = CacheFeatures::always}); });
  EXPECT_NE(message.find("'learning_rate_multipliers': the model 'base' has no layer 'haed*'"), std::string::npos)
      << message;
}

TEST(FeatureCache, AugmentationRestsOnlyWhenItIsAskedTo) {
  const DatasetRef plain = striped(24, 8, 3);
  const DatasetRef random = augmented(plain, {Ref<Layer>(read_object<Layer>(parse_yaml("{RandomFlip: {}}")))}, 1);
  const CacheRun moving = run_with(CacheFeatures::automatic, {}, random, plain);
  EXPECT_EQ(moving.said.find("features of the training data"), std::string::npos) << moving.said;
  // What measures is not augmented.
  EXPECT_NE(moving.said.find("computing the features of the validation data once: 9 samples"), std::string::npos) << moving.said;
  const CacheRun never = run_with(CacheFeatures::never, {}, random, plain);
  expect_identical(moving.weights, never.weights);
  for (const char* name : {"loss", "val_loss", "val_accuracy"})
    for (std::size_t epoch = 0; epoch < 3; ++epoch)
      EXPECT_NEAR(moving.history.series(name).at(epoch), never.history.series(name).at(epoch), 1e-5) << name;
  const CacheRun rested = run_with(CacheFeatures::always, {}, random, plain), without = run_with(CacheFeatures::always, {}, plain);
  expect_identical(rested.weights, without.weights);
}

TEST(FeatureCache, WhatWasAskedForAndCannotBeIsSaid) {
  const auto said = [](CacheFeatures cache, std::int64_t epochs) {
    Model model = with_head(without_top(picture_base()), {.classes = 3});
    model.initialize(1);
    model.compile(adam());
    Lines lines;
    model.fit(striped(12, 8, 3), {.epochs = epochs, .cache_features = cache, .listener = &lines});
    return lines.said;
  };
  EXPECT_EQ(said(CacheFeatures::always, 3),
            "cache_features: nothing is computed once: no frozen layers with weights lie below all that learn, "
            "or masks go with what they give\n");
  EXPECT_EQ(said(CacheFeatures::automatic, 3), "");
}

// The unbroken run says nothing when all layers begin to learn; one that goes on there does not either.
TEST(FeatureCache, AResumedRunSaysWhatTheUnbrokenOneSays) {
  const TemporaryFolder folder;
  const auto said = [&](std::int64_t epochs, bool resume) {
    Model model = with_head(without_top(picture_base()), {.classes = 3});
    model.initialize(1);
    model.compile(adam());
    Lines lines;
    model.fit(striped(12, 8, 3), {.epochs = epochs,
                                  .callbacks = {callbacks::FreezeScheduler({.schedule = {{0, "until head"}, {2, false}}})},
                                  .cache_features = CacheFeatures::always,
                                  .listener = &lines,
                                  .checkpoint = folder / "run.h5",
                                  .resume = resume});
    return lines.said;
  };
  EXPECT_NE(said(2, false).find("computing the features"), std::string::npos);
  EXPECT_EQ(said(4, true).find("nothing is computed once"), std::string::npos);
}

TEST(FeatureCache, AResumedRunThatIsNewlyAskedToSaysWhyItCannot) {
  const TemporaryFolder folder;
  const auto said = [&](CacheFeatures cache, std::int64_t epochs, bool resume) {
    Model model = with_head(without_top(picture_base()), {.classes = 3});
    model.initialize(1);
    model.compile(adam());
    Lines lines;
    model.fit(striped(12, 8, 3), {.epochs = epochs,
                                  .cache_features = cache,
                                  .listener = &lines,
                                  .checkpoint = folder / "run.h5",
                                  .resume = resume});
    return lines.said.find("nothing is computed once") != std::string::npos;
  };
  EXPECT_FALSE(said(CacheFeatures::automatic, 2, false));
  EXPECT_TRUE(said(CacheFeatures::always, 3, true));
  EXPECT_FALSE(said(CacheFeatures::always, 4, true));  // that one said it
}

// 24 samples that train and 9 that validate are four and two batches of 7; they are seen in three epochs.
TEST(FeatureCache, HoldsOnlyWhatIsSeenAgain) {
  struct Asked {
    std::int64_t steps_per_epoch = 0, validation_steps = 0, validation_freq = 1, initial_epoch = 0;
  };
  const auto computed = [](const Asked& asked) {
    Lines lines;
    const auto history = [&](CacheFeatures cache) {
      Model model = with_head(without_top(picture_base()), {.classes = 3});
      model.initialize(1);
      freeze(model.graph(), "until head");
      model.compile(adam());
      return model.fit(striped(24, 8, 3), {.epochs = 3,
                                           .batch_size = 7,
                                           .initial_epoch = asked.initial_epoch,
                                           .validation = striped(9, 8, 3, 2),
                                           .validation_freq = asked.validation_freq,
                                           .validation_steps = asked.validation_steps,
                                           .steps_per_epoch = asked.steps_per_epoch,
                                           .cache_features = cache,
                                           .listener = &lines});
    };
    const History plain = history(CacheFeatures::never), cached = history(CacheFeatures::automatic);
    for (const char* name : {"loss", "val_loss"}) {
      const std::vector<double> expected = plain.series(name), found = cached.series(name);
      EXPECT_EQ(found.size(), expected.size()) << name;
      for (std::size_t i = 0; i < std::min(found.size(), expected.size()); ++i)
        EXPECT_NEAR(found[i], expected[i], 1e-5) << name;
    }
    const auto of = [&](std::string_view what) {
      return lines.said.find(fmt::format("features of the {} data", what)) != std::string::npos;
    };
    return std::pair(of("training"), of("validation"));
  };
  EXPECT_EQ(computed({}), std::pair(true, true));
  EXPECT_EQ(computed({.validation_steps = 1}), std::pair(true, true));
  EXPECT_EQ(computed({.validation_freq = 2}), std::pair(true, false));
  EXPECT_EQ(computed({.validation_freq = 4}), std::pair(true, false));
  EXPECT_EQ(computed({.steps_per_epoch = 1}), std::pair(false, true));
  EXPECT_EQ(computed({.steps_per_epoch = 2}), std::pair(true, true));
  EXPECT_EQ(computed({.steps_per_epoch = 1, .validation_freq = 2}), std::pair(false, false));
  EXPECT_EQ(computed({.initial_epoch = 1}), std::pair(true, true));
  EXPECT_EQ(computed({.initial_epoch = 2}), std::pair(false, false));
}

TEST(FeatureCache, BeginsBelowWhatIsRandom) {
  const Symbol x = Input({4}, "x");
  Symbol y = Dense({.units = 6}, {.name = "low"})(x);
  y = Dropout({.rate = 0.5}, {.name = "noise"})(y);
  y = Dense({.units = 6}, {.name = "middle"})(y);
  y = Dropout({.rate = 0.5}, {.name = "last_noise"})(y);
  Model model({x}, {Dense({.units = 3}, {.name = "high"})(y)});
  freeze(model.graph(), "until high");
  const auto top = [&](bool resting) {
    const auto parts = split_below_learning(model.graph(), model.trainer().random(), resting);
    return parts ? parts->below->output_names().front() : "";
  };
  EXPECT_EQ(top(false), "low");
  EXPECT_EQ(top(true), "middle");
  freeze(model.graph(), "middle");
  EXPECT_EQ(top(true), "");
  const auto frozen_branch = [&] {
    const Symbol a = Input({4}, "a"), b = Input({4}, "b");
    Model two({a, b}, {Dense({.units = 2}, {.name = "out"})(Add()({Dense({.units = 3}, {.name = "left"})(a), Dense({.units = 3}, {.name = "right"})(b)}))});
    freeze(two.graph(), "left");
    return split_below_learning(two.graph(), two.trainer().random(), false).has_value();
  };
  EXPECT_FALSE(frozen_branch());
}

}  // namespace
}  // namespace nacre::test
