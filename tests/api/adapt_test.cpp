// Models of texts, tables and statistics from end to end: learning from data, host parts, files.
#include "api/adapt.h"

#include <gtest/gtest.h>

#include "formats/yaml.h"
#include "tests/api/models.h"
#include "tests/support/tensors.h"

namespace nacre {
namespace {

using test::close;
using test::message_of;

Tensor texts(std::vector<std::string> values) {
  return Tensor::of<std::string>({static_cast<std::int64_t>(values.size())}, values);
}

const Tensor& reviews() {
  static const Tensor all = texts({"A wonderful film, great acting!", "Terrible. I hated every minute", "great story", "awful", "",
                                   "I loved it, wonderful!", "boring, terrible, awful", "what a great great film with a story"});
  return all;
}
DatasetRef labelled_reviews() {
  return array_dataset({.inputs = {reviews()}, .targets = {Tensor::of<std::int32_t>({8}, {1, 0, 1, 0, 0, 1, 0, 1})}});
}

// The longest text of a batch decides how long its numbers are.
Sequential review_model() {
  Sequential model({Input({}, "review", DType::string), TextVectorization({.max_tokens = 30}, {.name = "words"}),
                    Embedding({.input_dim = 30, .output_dim = 6}), GlobalAveragePooling1D(),
                    Dense({.units = 2, .activation = "softmax"})});
  model.compile({.optimizer = read_object<Optimizer>(parse_yaml("Adam: {learning_rate: 0.05}")),
                 .loss = "sparse_categorical_crossentropy", .metrics = {"accuracy"}});
  return model;
}

TEST(Texts, AClassifierLearnsFromThemAndIsReadBack) {
  Sequential model = review_model();
  const History history = model.fit(labelled_reviews(), {.epochs = 30, .batch_size = 3, .seed = 1});
  EXPECT_LT(history.series("loss").back(), 0.1);
  const Logs logs = model.evaluate(labelled_reviews(), {.batch_size = 3});
  EXPECT_EQ(*logs.find("accuracy"), 1);
  const Tensor predicted = model.predict(reviews(), {.batch_size = 3});
  model.set_device("reference");
  EXPECT_TRUE(close(model.predict(reviews(), {.batch_size = 3}), predicted, 1e-5));

  const test::TemporaryFolder folder;
  for (const char* name : {"m.h5", "m.keras"}) {
    model.save(folder / name);
    Model again = load_model(folder / name);
    EXPECT_TRUE(close(again.predict(reviews(), {.batch_size = 3}), predicted, 1e-5)) << name;
    again.fit(labelled_reviews(), {.epochs = 1, .batch_size = 3});  // it goes on with the vocabulary it has
  }
}

TEST(Texts, BatchesReadAheadGiveTheSameAsBatchesOnTheSpot) {
  Sequential ahead = review_model(), spot = review_model();
  for (Sequential* model : {&ahead, &spot}) adapt(model->layer("words"), reviews());
  const History history = ahead.fit(labelled_reviews(), {.epochs = 1, .batch_size = 8, .shuffle = false, .seed = 0});
  const Logs logs = spot.train_on_batch({.inputs = {reviews()}, .targets = {Tensor::of<std::int32_t>({8}, {1, 0, 1, 0, 0, 1, 0, 1})}, .size = 8});
  EXPECT_EQ(history.series("loss").back(), *logs.find("loss"));
}

TEST(Texts, SplitsAndWeightsWorkAsForNumbers) {
  Sequential model = review_model();
  const History history = model.fit(labelled_reviews(), {.epochs = 2, .batch_size = 3, .validation_split = 0.25, .class_weight = {{0, 2.0}}});
  EXPECT_EQ(history.series("val_loss").size(), 2u);
}

TEST(Texts, AModelWithoutAVocabularySaysSo) {
  Sequential model = review_model();
  EXPECT_EQ(message_of([&] { model.predict(reviews()); }),
            "layer 'words' (TextVectorization) has not learned from data yet\n  while predicting with model 'sequential'\n"
            "  hint: fit lets it learn from the training data, adapt from any; or give its vocabulary or bins in the configuration");
}

TEST(Texts, AStackWithoutInputTakesThemToo) {
  Sequential model({TextVectorization({}, {.name = "words"}), Embedding({.input_dim = 30, .output_dim = 6}), GlobalAveragePooling1D(),
                    Dense({.units = 2, .activation = "softmax"})});
  model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy"});
  model.fit(labelled_reviews(), {.batch_size = 3});
  EXPECT_EQ(model.predict(reviews()).shape(), (Shape{8, 2}));
}

TEST(Texts, NumbersForTextsAndTextsForNumbersAreRefused) {
  Sequential model = review_model();
  adapt(model.layer("words"), reviews());
  EXPECT_NE(message_of([&] { model.predict(Tensor(DType::float32, {2})); }).find("got numbers for the input 'review', wanted string(None,)"), std::string::npos);
  Sequential numbers({Input({1}), Dense({.units = 1})});
  EXPECT_NE(message_of([&] { numbers.predict(reviews()); }).find("got texts for the input"), std::string::npos);
  Sequential tokens({Input({4}, "", DType::int32), Embedding({.input_dim = 5, .output_dim = 2})});
  EXPECT_NE(message_of([&] { tokens.predict(reviews()); }).find("got texts for the input"), std::string::npos);
  EXPECT_NE(message_of([] { Dense({.units = 1})(Input({1}, "", DType::string)); }).find("got texts"), std::string::npos);
}

TEST(Texts, AVocabularyLargerThanTheTableOfEmbeddingsIsRefused) {
  Sequential model({Input({}, "review", DType::string), TextVectorization({}, {.name = "words"}),
                    Embedding({.input_dim = 5, .output_dim = 2}, {.name = "table"}), GlobalAveragePooling1D()});
  adapt(model.layer("words"), reviews());
  const std::string message = message_of([&] { model.predict(reviews()); });
  EXPECT_NE(message.find("layer 'words' (TextVectorization) has 19 tokens, layer 'table' (Embedding) has 5 rows"), std::string::npos) << message;
}

TEST(Texts, RowsOfDifferentLengthsDoNotMakeOneTensor) {
  Sequential model({Input({}, "review", DType::string), TextVectorization({}, {.name = "words"})});
  adapt(model.layer("words"), reviews());
  EXPECT_EQ(model.predict(reviews()).shape(), (Shape{8, 8}));
  const std::string message = message_of([&] { model.predict(reviews(), {.batch_size = 1}); });
  EXPECT_TRUE(message.starts_with("the output 'words' has rows of shape (5,) in one batch, of (2,) in another")) << message;
}

TEST(Texts, AnUnknownWordIsAnErrorWhereThereIsNoNumberForIt) {
  Sequential model({Input({}, "x", DType::string),
                    StringLookup({.num_oov_indices = 0, .vocabulary = std::vector<std::string>{"a", "b"}}, {.name = "letters"})});
  EXPECT_EQ(message_of([&] { model.predict(texts({"a", "c"})); }),
            "layer 'letters' (StringLookup): 'c' is not in the vocabulary\n  while predicting with model 'sequential'\n"
            "  hint: num_oov_indices: 1 gives unknown tokens a number");
}

TEST(Texts, TablesThatChangeMakeOldGraphsStale) {
  const LayerRef lookup = StringLookup({.vocabulary = std::vector<std::string>{"a", "b"}});
  const Symbol input = Input({}, "x", DType::string);
  Model model({input}, {lookup(input)});
  EXPECT_TRUE(model.predict(texts({"b", "c"})).identical(Tensor::of<std::int64_t>({2}, {2, 0})));
  adapt(lookup, texts({"c", "b", "c"}));
  EXPECT_TRUE(model.predict(texts({"b", "c"})).identical(Tensor::of<std::int64_t>({2}, {2, 1})));
}

// Host functions before the device, on it nothing, and after it.
TEST(Texts, ComeOutOfModelsToo) {
  const Symbol score = Input({1}, "score");
  const Symbol shifted = Dense({.units = 1, .kernel_initializer = "Ones"})(score);
  const Symbol bin = Discretization({.bin_boundaries = std::vector<double>{0, 1}})(shifted);
  const LayerRef names = StringLookup({.num_oov_indices = 0, .vocabulary = std::vector<std::string>{"low", "middle", "high"}, .invert = true});
  Model model({score}, {names(bin), shifted});
  for (const char* device : {"cpu", "reference"}) {
    model.set_device(device);
    const std::vector<Tensor> outputs = model.predict(array_dataset({.inputs = {Tensor::of<float>({3}, {2, -1, 0.5f})}}), {.batch_size = 2});
    EXPECT_TRUE(outputs[0].identical(Tensor::of<std::string>({3, 1}, {"high", "low", "middle"})));
    EXPECT_EQ(outputs[1].to_doubles(), (std::vector<double>{2, -1, 0.5}));
  }
  const Symbol word = Input({}, "word", DType::string);
  const LayerRef number = StringLookup({.vocabulary = std::vector<std::string>{"low", "high"}});
  const LayerRef back = StringLookup({.vocabulary = std::vector<std::string>{"low", "high"}, .invert = true});
  Model echo({word}, {back(number(word)), word});
  const std::vector<Tensor> outputs = echo.predict(array_dataset({.inputs = {texts({"high", "none", "low"})}}));
  EXPECT_TRUE(outputs[0].identical(texts({"high", "[UNK]", "low"})));
  EXPECT_TRUE(outputs[1].identical(texts({"high", "none", "low"})));
}

// Each layer learns from what comes to it, through layers before it and into models inside.
TEST(Adaptation, GoesThroughAModelInTheOrderOfItsCalls) {
  const Symbol inner_word = Input({1}, "inner_word", DType::string);
  const Model encoder({inner_word}, {StringLookup({.max_tokens = 4, .output_mode = CategoryMode::one_hot, .pad_to_max_tokens = true},
                                                  {.name = "lookup"})(inner_word)}, {.name = "encoder"});
  const Symbol word = Input({1}, "word", DType::string), number = Input({2}, "number");
  const Symbol scaled = Rescaling({.scale = 2})(number);
  const Symbol normal = Normalization({}, {.name = "normal"})(scaled);
  const Symbol again = Normalization({.axis = std::nullopt}, {.name = "again"})(normal);
  const Symbol both = Concatenate()({encoder(word), again});
  Model model({word, number}, {Dense({.units = 1})(both)});
  const Tensor numbers = Tensor::of<float>({4, 2}, {1, 10, 3, 10, 5, 30, 7, 30});
  const DatasetRef data = array_dataset({.inputs = {numbers, texts({"a", "b", "a", "c"})}, .targets = {Tensor(DType::float32, {4, 1})},
                                         .input_names = {"number", "word"}});
  model.compile({.optimizer = "sgd", .loss = "mse"});
  model.fit(data, {.epochs = 1, .batch_size = 3});
  const std::vector<Weight> normal_weights = model.layer("normal")->weights(), again_weights = model.layer("again")->weights();
  EXPECT_EQ(normal_weights[0].variable->value().to_doubles(), (std::vector<double>{8, 40}));
  EXPECT_EQ(normal_weights[1].variable->value().to_doubles(), (std::vector<double>{20, 400}));
  EXPECT_NEAR(again_weights[0].variable->value().item(), 0, 1e-6);
  EXPECT_NEAR(again_weights[1].variable->value().item(), 1, 1e-6);
  EXPECT_TRUE(model.layer("encoder/lookup")->adapted());
  EXPECT_EQ(model.weights()[0].variable->path(), "normal/mean");  // learning left the names alone
}

TEST(Adaptation, DoesNotTouchWhatIsKnown) {
  Sequential model({Input({2}), Normalization({}, {.name = "normal"}), Dense({.units = 1})});
  model.initialize(0);  // as if it came from a file
  model.compile({.optimizer = "sgd", .loss = "mse"});
  model.fit(array_dataset({.inputs = {Tensor::of<float>({2, 2}, {1, 2, 3, 4})}, .targets = {Tensor(DType::float32, {2, 1})}}));
  EXPECT_EQ(model.layer("normal")->weights()[0].variable->value().to_doubles(), (std::vector<double>{0, 0}));
  EXPECT_EQ(message_of([] { adapt(Dense({.units = 1}), Tensor(DType::float32, {2, 2})); }), "layer 'dense' (Dense) learns nothing from data");
}

}  // namespace
}  // namespace nacre
