// The architectures that are not of Keras Applications: their sizes as published, and that they learn.
#include <gtest/gtest.h>

#include <algorithm>

#include "api/experiment/experiment.h"
#include "api/inspect/example_batch.h"
#include "api/inspect/parity.h"
#include "api/train/losses.h"
#include "api/train/optimizers.h"

namespace nacre {
namespace {

Experiment architecture(const std::string& name, const std::vector<std::string>& arguments = {}) {
  std::vector<std::string> overrides;
  for (const std::string& argument : arguments) overrides.push_back("variables." + argument);
  return Experiment::load(std::filesystem::path(NACRE_SOURCE_DIR) / "models_zoo/architectures" / (name + ".yaml"), overrides);
}

std::int64_t parameters(const std::string& name, const std::vector<std::string>& arguments = {}) {
  std::int64_t count = 0;
  for (const Weight& weight : architecture(name, arguments).build_model()->trainable_weights()) count += weight.variable->shape().elements();
  return count;
}

TEST(Architectures, HaveThePublishedSizes) {
  EXPECT_EQ(parameters("alexnet"), 61'100'840);                                    // as torchvision's
  EXPECT_EQ(parameters("squeezenet"), 1'235'496);                                  // as torchvision's squeezenet1_1
  EXPECT_EQ(parameters("lenet", {"filters=[6, 16]", "units=[120, 84]"}), 61'706);  // LeNet-5
  EXPECT_EQ(parameters("resnet_cifar"), 272'474);                                  // the paper: 0.27 M
  EXPECT_EQ(parameters("resnet_cifar", {"n=9"}), 855'770);                         // 0.85 M
}

Tensor tokens(std::initializer_list<std::int32_t> values) {
  return Tensor::of<std::int32_t>({1, static_cast<std::int64_t>(values.size())}, values);
}

TEST(Architectures, EncodersDoNotSeePadding) {
  const Experiment bert = architecture("bert_small", {"task=classification", "vocabulary_size=20", "length=6", "layers=2", "width=16", "heads=2"});
  Model model(bert.build_model());
  const Tensor text = tokens({3, 4, 5, 0, 0, 0}), before = model.predict(text), other = model.predict(tokens({3, 4, 5, 6, 6, 6}));
  EXPECT_FALSE(std::ranges::equal(other.data<float>(), before.data<float>()));
  const VariableRef table = model.graph().layer("token_embedding")->weights().front().variable;
  Tensor changed = table->value();
  std::ranges::fill(changed.writable<float>().first(16), 1.0f);  // the padding's row
  table->assign(changed);
  EXPECT_TRUE(std::ranges::equal(model.predict(text).data<float>(), before.data<float>()));
}

TEST(Architectures, DecodersDoNotSeeWhatFollows) {
  Model model(architecture("gpt_small", {"vocabulary_size=20", "layers=2", "width=16", "heads=2"}).build_model());
  const Tensor a = model.predict(tokens({3, 4, 5, 6})), b = model.predict(tokens({3, 4, 7, 8}));
  EXPECT_TRUE(std::ranges::equal(a.data<float>().first(2 * 20), b.data<float>().first(2 * 20)));
  EXPECT_FALSE(std::ranges::equal(a.data<float>().subspan(2 * 20, 20), b.data<float>().subspan(2 * 20, 20)));
}

struct Case {
  std::string name;
  std::vector<std::string> arguments;
  std::string loss;
  friend std::ostream& operator<<(std::ostream& stream, const Case& test) { return stream << test.name; }
};

const std::string classes = "sparse_categorical_crossentropy", logits = "sparse_categorical_crossentropy of logits";

std::vector<Case> cases() {
  const std::string tokens = "vocabulary_size=50", length = "length=12", width = "width=16", heads = "heads=2", layers = "layers=2";
  return {
      {"lenet", {}, classes},
      {"mlp", {}, classes},
      {"alexnet", {"input_shape=[67, 67, 3]", "classes=3"}, classes},
      {"squeezenet", {"input_shape=[31, 31, 3]", "classes=3"}, classes},
      {"resnet_cifar", {"n=1"}, classes},
      {"mobilenetv2_cifar", {"alpha=0.25"}, classes},
      {"unet", {"input_shape=[16, 24, 3]", "filters=4", "depth=2"}, classes},
      {"autoencoder", {"input_shape=[16, 24, 3]"}, "mse"},
      {"text_lstm", {"units=16", length}, logits},
      {"text_gru", {"units=16", length}, logits},
      {"lstm_text", {tokens, length, "units=8"}, classes},
      {"gru_text", {tokens, length, "units=8", layers, "bidirectional=false"}, classes},
      {"gpt_small", {tokens, length, layers, width, heads}, logits},
      {"gpt_small", {tokens, length, layers, width, heads, "tie_weights=false"}, logits},
      {"bert_small", {tokens, length, layers, width, heads}, logits},
      {"bert_small", {tokens, length, layers, width, heads, "task=classification"}, classes},
      {"neumf", {"users=30", "items=20"}, "binary_crossentropy"},
      {"tcn", {"input_shape=[40, 2]", "levels=3"}, "mse"},
      {"tcn", {"input_shape=[40, 32]", "levels=3", "return_sequences=true"}, "mse"},
  };
}

class LearningArchitectures : public testing::TestWithParam<Case> {
 protected:
  static Model compiled_model() {
    const auto& [name, arguments, loss] = GetParam();
    Model model(architecture(name, arguments).build_model());
    CompileOptions options{.optimizer = optimizers::Adam({.learning_rate = 0.01}), .loss = "mse"};
    if (loss == logits) options.loss = losses::SparseCategoricalCrossentropy({.from_logits = true});
    else options.loss = loss;
    model.compile(options);
    return model;
  }
};

// One class, or zero, is wanted everywhere: a few steps are enough for that, and the gradient reaches every weight.
TEST_P(LearningArchitectures, LearnWithAllTheirWeights) {
  Model model = compiled_model();
  Batch batch = example_batch(model, 2);
  if (model.graph().input_names().front() == "image" && GetParam().name != "autoencoder")
    for (float& value : batch.inputs.front().writable<float>()) value *= 255;
  batch.targets.front() = Tensor(batch.targets.front().type());
  const double first = *model.train_on_batch(batch).find("loss");
  std::vector<Tensor> before;
  for (const Weight& weight : model.graph().trainable_weights()) before.push_back(weight.variable->value());
  for (int step = 0; step < 4; ++step) model.train_on_batch(batch);
  EXPECT_LT(*model.train_on_batch(batch).find("loss"), first);
  const std::vector<Weight> weights = model.graph().trainable_weights();
  for (std::size_t i = 0; i < weights.size(); ++i)
    EXPECT_FALSE(std::ranges::equal(weights[i].variable->value().data<float>(), before[i].data<float>())) << weights[i].variable->path() << " has not moved";
}

TEST_P(LearningArchitectures, ComputeWhatTheReferenceComputes) {
  const ParityReport report = parity(compiled_model(), nullptr, {.batch_size = 2});
  EXPECT_TRUE(report.agrees()) << report.text();
}

INSTANTIATE_TEST_SUITE_P(Zoo, LearningArchitectures, testing::ValuesIn(cases()), [](const auto& test) {
  return fmt::format("{}_{}", test.param.name, test.index);
});

}  // namespace
}  // namespace nacre
