#include "tests/api/models.h"

namespace nacre::test {
namespace {

class Fit : public OnBackend {};
INSTANTIATE_TEST_SUITE_P(Backends, Fit, every_backend, parameter_name);

TEST_P(Fit, Learns) {
  Sequential model = classifier();
  model.set_device(GetParam());
  model.compile({.optimizer = optimizers::Adam({.learning_rate = 0.02}), .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
  const History history = model.fit(labelled(blobs(200)), {.epochs = 6, .batch_size = 16, .seed = 3});
  ASSERT_EQ(history.epochs.size(), 6u);
  EXPECT_LT(history.series("loss").back(), 0.5 * history.series("loss").front());
  EXPECT_GT(history.series("accuracy").back(), 0.9);
  EXPECT_EQ(history.epochs[0].logs.names(), "loss, accuracy, learning_rate");
  const Logs tested = model.evaluate(labelled(blobs(100, 3, 4, 2)), {.batch_size = 32});
  EXPECT_EQ(tested.names(), "loss, accuracy");
  EXPECT_GT(number(tested, "accuracy"), 0.75);
}

TEST_P(Fit, GivesTheSameBitsTwice) {
  const auto train = [&] {
    Sequential model = classifier(3, 0.3);
    model.set_device(GetParam());
    model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy"});
    model.fit(labelled(blobs(70)), {.epochs = 2, .batch_size = 16, .seed = 5});
    return values(model);
  };
  expect_identical(train(), train());
}

// One step of SGD on a linear model, computed by hand: w -= rate · 2/n Σ (w·x - y) x.
TEST_P(Fit, AStepIsTheFormula) {
  Sequential model({Input({2}), Dense({.units = 1, .use_bias = false, .kernel_initializer = "ones"})});
  model.set_device(GetParam());
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.1}), .loss = "mse", .metrics = {"mae"}});
  Batch batch{.inputs = {Tensor::of<float>({2, 2}, {1, 2, 3, 4})}, .targets = {Tensor::of<float>({2, 1}, {1, 1})}, .weights = {}, .size = 2};
  Logs logs = model.train_on_batch(batch);  // errors 2 and 6
  EXPECT_NEAR(number(logs, "loss"), 20, 1e-5);
  EXPECT_NEAR(number(logs, "mae"), 4, 1e-5);
  expect_near(values(model)[0], Tensor::of<float>({2, 1}, {1 - 0.1f * (2 * 1 + 6 * 3), 1 - 0.1f * (2 * 2 + 6 * 4)}), 1e-5);
}

// The kernel diag(3, 1) becomes its quotient by 3, from which the step departs: w = diag(1, 1/3) - rate · xᵀ (x · w).
TEST_P(Fit, AStepDepartsFromTheNormalisedKernel) {
  const LayerRef layer = SpectralNormalization({.layer = Dense({.units = 2, .use_bias = false})});
  Sequential model({Input({2}), layer});
  model.set_device(GetParam());
  const std::vector<Weight> weights = layer->weights();
  weights[0].variable->assign(Tensor::of<float>({2, 2}, {3, 0, 0, 1}));
  weights[1].variable->assign(Tensor::of<float>({1, 2}, {1, 0}));
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.1}), .loss = "mse"});
  model.train_on_batch({.inputs = {Tensor::of<float>({1, 2}, {1, 2})}, .targets = {Tensor::of<float>({1, 2}, {0, 0})}, .weights = {}, .size = 1});
  const float y = 2.0f / 3;  // the second output; the first is 1
  expect_near(values(model)[0], Tensor::of<float>({2, 2}, {1 - 0.1f, -0.1f * y, -0.2f, 1.0f / 3 - 0.2f * y}), 1e-5);
}

TEST_P(Fit, SampleAndClassWeightsCount) {
  const auto loss = [&](std::vector<Tensor> weights, std::map<std::int64_t, double> class_weight) {
    Sequential model({Input({1}), Dense({.units = 1, .use_bias = false, .kernel_initializer = "zeros"})});
    model.set_device(GetParam());
    model.compile({.optimizer = "sgd", .loss = "mse", .metrics = {"mse"}, .weighted_metrics = {"mse"}});
    const Batch batch{.inputs = {Tensor::of<float>({3, 1}, {1, 1, 1})}, .targets = {Tensor::of<float>({3, 1}, {0, 1, 2})}, .weights = std::move(weights), .size = 3};
    return model.train_on_batch(batch, std::move(class_weight));
  };
  const Logs plain = loss({}, {});
  EXPECT_NEAR(number(plain, "loss"), 5.0 / 3, 1e-5);
  const Logs sampled = loss({Tensor::of<float>({3}, {1, 2, 0.5})}, {});
  EXPECT_NEAR(number(sampled, "loss"), (0 * 1 + 1 * 2 + 4 * 0.5) / 3, 1e-5);
  EXPECT_NEAR(number(sampled, "mse"), 5.0 / 3, 1e-5);
  EXPECT_NEAR(number(sampled, "weighted_mse"), (1 * 2 + 4 * 0.5) / 3.5, 1e-5);
  EXPECT_NEAR(number(loss({}, {{1, 3.0}, {2, 0.25}}), "loss"), (1 * 3 + 4 * 0.25) / 3, 1e-5);
  EXPECT_NEAR(number(loss({Tensor::of<float>({3}, {1, 2, 1})}, {{1, 3.0}}), "loss"), (1 * 2 * 3 + 4) / 3.0, 1e-5);
}

TEST_P(Fit, OutputsHaveTheirOwnLossesWeightsAndMetrics) {
  const Symbol x = Input({2}, "x");
  const Symbol a = Dense({.units = 1, .use_bias = false, .kernel_initializer = "ones"}, {.name = "a"})(x);
  const Symbol b = Dense({.units = 1, .use_bias = false, .kernel_initializer = "zeros"}, {.name = "b"})(x);
  Model model({x}, {a, b});
  model.set_device(GetParam());
  model.compile({.optimizer = "sgd", .loss = Losses::by_name({{"a", "mse"}, {"b", "mae"}}), .loss_weights = {1.0, 10.0},
                 .metrics = Metrics::by_name({{"b", {"mse"}}})});
  const DatasetRef data = array_dataset({.inputs = {Tensor::of<float>({2, 2}, {1, 1, 2, 2})},
                                         .targets = {Tensor::of<float>({2, 1}, {3, 3}), Tensor::of<float>({2, 1}, {1, 3})},
                                         .target_names = {"b", "a"}});
  const Logs logs = model.evaluate(data);
  EXPECT_EQ(logs.names(), "loss, b_mse, a_loss, b_loss");
  EXPECT_NEAR(number(logs, "a_loss"), (1 + 1) / 2.0, 1e-5);
  EXPECT_NEAR(number(logs, "b_loss"), 3, 1e-5);
  EXPECT_NEAR(number(logs, "loss"), 1 + 10 * 3, 1e-5);
  EXPECT_NEAR(number(logs, "b_mse"), 9, 1e-5);
}

TEST_P(Fit, OneTensorMayBeSeveralOutputs) {
  const Symbol x = Input({2}, "x"), a = Dense({.units = 2, .kernel_initializer = "zeros"}, {.name = "a"})(x);
  Model model({x}, {a, x, a});
  model.set_device(GetParam());
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.1}), .loss = "mse"});
  const Tensor ones = Tensor::of<float>({1, 2}, {1, 1}), twos = Tensor::of<float>({1, 2}, {2, 2});
  const DatasetRef data = array_dataset({.inputs = {ones}, .targets = {ones, twos, twos}});
  EXPECT_NEAR(number(model.evaluate(data), "loss"), 1 + 1 + 4, 1e-5);
  model.fit(data, {.epochs = 50});
  EXPECT_NEAR(number(model.evaluate(data), "loss"), 1 + 0.25 + 0.25, 0.05);  // between its two targets
}

TEST_P(Fit, MasksReachLossesAndMetrics) {
  Sequential model({Input({3}), Embedding({.input_dim = 5, .output_dim = 1, .embeddings_initializer = "ones", .mask_zero = true})});
  model.set_device(GetParam());
  model.compile({.optimizer = "sgd", .loss = "mse", .metrics = {"mse"}});
  const DatasetRef data = array_dataset({.inputs = {Tensor::of<float>({1, 3}, {1, 2, 0})}, .targets = {Tensor::of<float>({1, 3, 1}, {2, 4, 100})}});
  const Logs logs = model.evaluate(data);
  EXPECT_NEAR(number(logs, "loss"), (1 + 9) / 2.0, 1e-5);
  EXPECT_NEAR(number(logs, "mse"), (1 + 9) / 2.0, 1e-5);
}

TEST_P(Fit, PenaltiesAndConstraintsBelongToTheStep) {
  Sequential model({Input({1}), Dense({.units = 1, .use_bias = false, .kernel_initializer = "ones", .kernel_regularizer = "l2", .kernel_constraint = "NonNeg"})});
  model.set_device(GetParam());
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 1.0}), .loss = "mse"});
  const Batch batch{.inputs = {Tensor::of<float>({1, 1}, {1})}, .targets = {Tensor::of<float>({1, 1}, {-1})}, .weights = {}, .size = 1};
  EXPECT_NEAR(number(model.train_on_batch(batch), "loss"), 4 + 0.01, 1e-5);
  expect_near(values(model)[0], Tensor::of<float>({1, 1}, {0}), 0);  // 1 - (4 + 0.02) would be negative
}

TEST_P(Fit, BatchNormalizationLearnsItsStatistics) {
  Sequential model({Input({4}), BatchNormalization({.momentum = 0.5}), Dense({.units = 3, .activation = "softmax"})});
  model.set_device(GetParam());
  model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy"});
  model.initialize(1);
  const Tensor before = model.graph().non_trainable_weights()[0].variable->value();
  model.fit(labelled(blobs(64)), {.epochs = 1});
  EXPECT_FALSE(model.graph().non_trainable_weights()[0].variable->value().identical(before));
}

TEST(FitData, TheLastPartValidates) {
  Sequential model = classifier();
  model.compile({.optimizer = "sgd", .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
  const Blobs data = blobs(50);
  const History history = model.fit(labelled(data), {.epochs = 2, .validation_split = 0.2, .validation_freq = 2});
  EXPECT_EQ(history.epochs[0].logs.names(), "loss, accuracy, learning_rate");
  EXPECT_EQ(history.epochs[1].logs.names(), "loss, accuracy, val_loss, val_accuracy, learning_rate");
  const Logs tested = model.evaluate(array_dataset({.inputs = {data.features.rows(40, 50)}, .targets = {data.labels.rows(40, 50)}}));
  EXPECT_EQ(number(history.epochs[1].logs, "val_loss"), number(tested, "loss"));
}

TEST(FitData, EpochsBeginAndValidationsEndWhereItIsSaid) {
  Sequential model = classifier();
  model.compile({.optimizer = "sgd", .loss = "sparse_categorical_crossentropy"});
  const Blobs data = blobs(50);
  const History history = model.fit(
      labelled(data),
      {.epochs = 4, .initial_epoch = 2, .validation_split = 0.2, .validation_batch_size = 3, .validation_steps = 2});
  ASSERT_EQ(history.epochs.size(), 2u);
  EXPECT_EQ(history.epochs.front().epoch, 2);
  const Logs tested =
      model.evaluate(array_dataset({.inputs = {data.features.rows(40, 46)}, .targets = {data.labels.rows(40, 46)}}),
                     {.batch_size = 3});
  EXPECT_EQ(number(history.epochs[1].logs, "val_loss"), number(tested, "loss"));
}

TEST(FitData, WrongLabelsAreNamed) {
  Sequential model = classifier();
  model.compile({.optimizer = "sgd", .loss = "sparse_categorical_crossentropy"});
  Blobs data = blobs(40);
  data.labels.writable<std::int32_t>()[37] = 7;
  EXPECT_EQ(message_of([&] { model.fit(labelled(data)); }),
            "sample 37 has the label 7, the output 'dense_1' has 3 classes: 0 … 2\n  while training model 'classifier'\n"
            "  hint: labels count from 0; the last layer needs as many units as there are classes");
}

TEST(FitData, WrongRowsOfEmbeddingsAreNamed) {
  Sequential model({Input({2}), Embedding({.input_dim = 5, .output_dim = 1})}, {.name = "words"});
  EXPECT_EQ(message_of([&] { model.predict(Tensor::of<std::int32_t>({2, 2}, {0, 4, 5, 1})); }),
            "sample 1 has the index 5, layer 'embedding' (Embedding) has 5 rows: 0 … 4\n  while predicting with model 'words'\n"
            "  hint: input_dim is the largest index plus one");
}

TEST(FitData, MismatchesAreExplained) {
  Sequential model = classifier();
  EXPECT_EQ(message_of([&] { model.fit(labelled(blobs(4))); }),
            "the model 'classifier' is not compiled\n  hint: call compile with an optimizer and a loss");
  model.compile({.optimizer = "sgd", .loss = "sparse_categorical_crossentropy"});
  const Blobs data = blobs(8);
  EXPECT_EQ(message_of([&] { model.fit(array_dataset({.inputs = {Tensor(DType::float32, {0, 4})}, .targets = {Tensor(DType::int32, {0})}})); }),
            "the data has no samples\n  while training model 'classifier'");
  EXPECT_EQ(message_of([&] { model.fit(array_dataset({.inputs = {data.features}})); }),
            "the data has 0 targets, losses and metrics want 1: 'dense_1'\n  while training model 'classifier'\n"
            "  hint: targets stand beside the inputs: y after x in scripts, npy:x=x.npy,y=y.npy, idx:IMAGES,LABELS");
  EXPECT_EQ(message_of([&] { model.fit(array_dataset({.inputs = {data.features, data.features}, .targets = {data.labels}})); }),
            "the data has 2 inputs (float32(4,), float32(4,)), the model takes 1: 'input_layer'\n"
            "  while training model 'classifier'\n"
            "  hint: columns of a table that are no input: drop: [NAME, …], or csv:FILE,drop=NAME on a command line");
  EXPECT_NE(message_of([&] { model.fit(labelled(blobs(8, 3, 5))); }).find("got data (8, 5) for the input 'input_layer', wanted (None, 4)"), std::string::npos);
}

TEST(FitData, UnknownOutputsAreNamed) {
  Sequential model = classifier();
  EXPECT_EQ(message_of([&] { model.compile({.optimizer = "sgd", .loss = "mse", .metrics = Metrics::by_name({{"dens_1", {"mae"}}})}); }),
            "metrics for the output 'dens_1', which the model does not have\n  hint: did you mean 'dense_1'?");
  EXPECT_EQ(message_of([&] { model.compile({.optimizer = "sgd", .loss = {"mse", "mae"}}); }), "2 losses for a model with 1 output");
}

TEST(FitCallback, HooksRunInKerasOrder) {
  std::string log;
  callbacks::LambdaCallbackConfig hooks;
  hooks.on_train_begin = [&](TrainingControl&) { log += "begin "; };
  hooks.on_epoch_begin = [&](TrainingControl&, std::int64_t epoch) { log += fmt::format("epoch{}( ", epoch); };
  hooks.on_train_batch_begin = [&](TrainingControl&, std::int64_t batch) { log += fmt::format("{}", batch); };
  hooks.on_train_batch_end = [&](TrainingControl&, std::int64_t, const Logs& logs) { log += logs.find("loss") ? ". " : "? "; };
  hooks.on_epoch_end = [&](TrainingControl& control, std::int64_t epoch, Logs& logs) {
    log += fmt::format(") {}", logs.find("val_loss") ? "validated " : "");
    if (epoch == 1) control.stop("enough");
  };
  hooks.on_train_end = [&](TrainingControl&, const Logs&) { log += "end"; };
  Sequential model = classifier();
  model.compile({.optimizer = "sgd", .loss = "sparse_categorical_crossentropy"});
  const History history = model.fit(labelled(blobs(20)), {.epochs = 5, .batch_size = 8, .validation = labelled(blobs(8)),
                                                          .callbacks = {callbacks::LambdaCallback(hooks)}});
  EXPECT_EQ(log, "begin epoch0( 0. 1. 2. ) validated epoch1( 0. 1. 2. ) validated end");
  EXPECT_EQ(history.stopped, "enough");
  EXPECT_EQ(history.epochs.size(), 2u);
}

TEST(FitCallback, NotANumberWarnsOnceOrTerminates) {
  const auto train = [](std::vector<Ref<Callback>> hooks) {
    Sequential model({Input({1}), Dense({.units = 1})});
    model.compile({.optimizer = optimizers::SGD({.learning_rate = 1e30}), .loss = "mse"});
    const Tensor x = Tensor::of<float>({6, 1}, {1, 2, 3, 4, 5, 6});
    return model.fit(array_dataset({.inputs = {x}, .targets = {x}}), {.epochs = 3, .batch_size = 1, .callbacks = std::move(hooks)});
  };
  const History on = train({});
  EXPECT_EQ(on.epochs.size(), 3u);
  ASSERT_EQ(on.warnings.size(), 1u);
  EXPECT_EQ(on.warnings[0], "the loss is not a finite number any more; lower the learning rate, or stop with TerminateOnNaN");
  const History stopped = train({"TerminateOnNaN"});
  EXPECT_EQ(stopped.epochs.size(), 1u);
  EXPECT_FALSE(stopped.stopped.empty());
}

TEST(FitCallback, EarlyStoppingRestoresTheBestWeights) {
  Sequential model = classifier();
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.5}), .loss = "sparse_categorical_crossentropy"});
  std::vector<std::vector<Tensor>> after;
  callbacks::LambdaCallbackConfig hooks;
  hooks.on_epoch_end = [&](TrainingControl& control, std::int64_t, Logs& logs) {
    after.push_back(control.weights());
    logs.set("score", after.size() == 2 ? 0 : 1);
  };
  const History history = model.fit(labelled(blobs(32)), {.epochs = 9, .callbacks = {callbacks::LambdaCallback(hooks),
      callbacks::EarlyStopping({.monitor = "score", .patience = 2, .mode = callbacks::MonitorMode::min, .restore_best_weights = true})}});
  EXPECT_EQ(history.epochs.size(), 4u);
  expect_identical(values(model), after[1]);
}

TEST(FitProgress, ListenersAskForMetrics) {
  struct Listener : ProgressListener {
    std::string log;
    void on_begin(const Sweep& sweep) override { log += fmt::format("[{} ", sweep.batches); }
    bool wants_batch(std::int64_t done) override { return done % 2 == 0; }
    void on_batch(std::int64_t done, std::int64_t samples, const Logs& logs) override { log += fmt::format("{}:{}:{} ", done, samples, logs.names()); }
    void on_end(const Sweep&, const Logs&) override { log += "]"; }
  } listener;
  Sequential model = classifier();
  model.compile({.optimizer = "sgd", .loss = "sparse_categorical_crossentropy"});
  model.fit(labelled(blobs(20)), {.batch_size = 5, .validation = labelled(blobs(3)), .listener = &listener});
  EXPECT_EQ(listener.log, "[4 2:10:loss 4:20:loss [1 ]]");
}

TEST(FitExecutables, TheLastBatchHasItsOwnAndNothingIsCompiledTwice) {
  Sequential model = classifier();
  model.compile({.optimizer = "sgd", .loss = "sparse_categorical_crossentropy"});
  model.fit(labelled(blobs(20)), {.epochs = 3, .batch_size = 8});
  EXPECT_EQ(model.trainer().steps().compilations(), 2u);
  model.fit(labelled(blobs(16)), {.epochs = 2, .batch_size = 8});
  EXPECT_EQ(model.trainer().steps().compilations(), 2u);
}

TEST(FitTrainable, FrozenLayersStay) {
  Sequential model = classifier();
  model.initialize(2);
  model.layer("dense")->set_trainable(false);
  const std::vector<Tensor> before = values(model);
  model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy"});
  model.fit(labelled(blobs(32)));
  const std::vector<Tensor> after = values(model);
  EXPECT_TRUE(after[0].identical(before[0]));
  EXPECT_FALSE(after[2].identical(before[2]));
}

TEST(FitTrainable, LayersWithoutTrainableWeightsAreFrozenToo) {
  Sequential model({Input({4}), BatchNormalization({.center = false, .scale = false}), Dense({.units = 3, .activation = "softmax"})});
  model.compile({.optimizer = "sgd", .loss = "sparse_categorical_crossentropy"});
  model.fit(labelled(blobs(32)));
  const VariableRef moving = model.layer("batch_normalization")->non_trainable_weights()[0].variable;
  const Tensor before = moving->value();
  model.layer("batch_normalization")->set_trainable(false);
  model.fit(labelled(blobs(32)));
  EXPECT_TRUE(moving->value().identical(before));
}

}  // namespace
}  // namespace nacre::test
