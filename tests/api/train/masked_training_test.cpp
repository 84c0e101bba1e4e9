// Losses and metrics leave out masked steps, and their gradients too: numbers of Keras 3 for the same small models.
#include <gtest/gtest.h>

#include "api/experiment/model_builder.h"
#include "api/nacre.h"
#include "formats/yaml.h"

namespace nacre {
namespace {

struct Case {
  const char* name;
  const char* lines;  // after Masking
  double loss, mean_error, loss_after;
};

constexpr const char* weights =
    "kernel_initializer: {Constant: {value: 0.3}}, recurrent_initializer: {Constant: {value: 0.2}}, bias_initializer: zeros";

constexpr Case cases[] = {
    {"Recurrent", "- LSTM: {units: 2, return_sequences: true, %}", 0.7774382829666138, 0.8169894218444824, 0.6685124039649963},
    {"Bidirectional", "- Bidirectional: {layer: {GRU: {units: 2, return_sequences: true, %}}}", 0.5293846130371094,
     0.6374515295028687, 0.4194335341453552},
    {"MergedMasks",
     "- LSTM: {units: 2, return_sequences: true, name: a, %}\n- Dense: {units: 2, kernel_initializer: {Constant: {value: 0.1}}, "
     "from: mask, name: b}\n- Concatenate: {from: [a, b]}",
     0.8503746390342712, 0.8969894647598267, 0.6958614587783813},
    // An operation between the layers ends the mask.
    {"Operation", "- LSTM: {units: 2, return_sequences: true, %}\n- ops.Multiply: {x2: 2.0}", 0.8525615334510803,
     0.8945227265357971, 0.682987630367279},
};

std::ostream& operator<<(std::ostream& out, const Case& each) { return out << each.name; }

class MaskedTraining : public testing::TestWithParam<Case> {};

TEST_P(MaskedTraining, GivesTheNumbersOfKeras) {
  std::string lines = GetParam().lines;
  if (const std::size_t place = lines.find('%'); place != std::string::npos) lines.replace(place, 1, weights);
  const std::string yaml = "inputs: {x: {shape: [4, 2]}}\nlayers:\n- Masking: {name: mask}\n" + lines +
                           "\n- TimeDistributed: {layer: {Dense: {units: 1, kernel_initializer: {Constant: {value: 0.5}}}}}\n";
  Model model(build_model(parse_yaml(yaml), {}, "."));
  model.initialize(1);
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.1}), .loss = "mse", .metrics = {"mae"}});
  Tensor target(DType::float32, {2, 4, 1});
  for (std::size_t i = 0; i < 8; ++i) target.writable<float>()[i] = static_cast<float>(i) / 4;
  const Batch batch{.inputs = {Tensor::of<float>({2, 4, 2}, {1, 2, 3, 4, 0, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 1})}, .targets = {target}, .weights = {}, .size = 2};
  const auto measured = [&](const Logs& logs, std::string_view name) { return *logs.find(name); };
  const DatasetRef data = array_dataset({.inputs = batch.inputs, .targets = batch.targets});
  const Logs before = model.evaluate(data);
  EXPECT_NEAR(measured(before, "loss"), GetParam().loss, 1e-5);
  EXPECT_NEAR(measured(before, "mae"), GetParam().mean_error, 1e-5);
  model.train_on_batch(batch);
  EXPECT_NEAR(measured(model.evaluate(data), "loss"), GetParam().loss_after, 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Layers, MaskedTraining, testing::ValuesIn(cases), [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace nacre
