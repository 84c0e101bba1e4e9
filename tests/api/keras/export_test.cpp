// What models become when they are written for Keras 3.
#include "api/keras/export.h"

#include "api/keras/places.h"
#include "formats/json.h"
#include "layers/activation.h"
#include "tests/api/models.h"

namespace nacre::test {
namespace {

// Keeps what it is told.
class Warnings final : public ProgressListener {
 public:
  void warn(std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;
};

Tensor noise(const Shape& shape, std::uint64_t seed = 5) {
  Tensor tensor(DType::float32, shape);
  RandomStream random(RandomKey::of(seed, "noise"));
  for (float& element : tensor.writable<float>()) element = static_cast<float>(2 * random.normal());
  return tensor;
}

// The same numbers come out of the file, where "hard_sigmoid" has Keras 3's meaning.
void expect_exported(Model model, const Tensor& input, const std::string& ending = ".keras", std::size_t warnings = 0) {
  const TemporaryFolder folder;
  model.initialize(7);
  for (const Weight& weight : model.weights())  // biases that are not zero
    if (weight.variable->path().ends_with("bias")) weight.variable->assign(noise(weight.variable->shape(), 3));
  Warnings said;
  save_model(model, folder / ("m" + ending), {.listener = &said});
  EXPECT_EQ(said.lines.size(), warnings) << (said.lines.empty() ? "" : said.lines[0]);
  Model loaded = load_model(folder / ("m" + ending));
  EXPECT_EQ(write_json(write_object<Layer>(loaded.graph(), Style::keras)).find("hard_sigmoid_keras2"), std::string::npos);
  expect_near(loaded.predict(input), model.predict(input), 2e-6, 2e-5);
}

constexpr const char* old_gate = "hard_sigmoid_keras2";

TEST(KerasExport, GatesOfKeras2GetScaledWeights) {
  for (const std::string ending : {".keras", ".h5"}) {
    expect_exported(Sequential({Input({5, 3}), LSTM({.units = 4, .recurrent_activation = old_gate})}), noise({2, 5, 3}), ending);
    for (const bool reset_after : {false, true})
      expect_exported(Sequential({Input({5, 3}), GRU({.units = 4, .activation = old_gate, .recurrent_activation = old_gate, .reset_after = reset_after})}),
                      noise({2, 5, 3}), ending);
    expect_exported(Sequential({Input({5, 3}), SimpleRNN({.units = 4, .activation = old_gate})}), noise({2, 5, 3}), ending);
    expect_exported(Sequential({Input({5, 3}), Bidirectional({.layer = GRU({.units = 4, .recurrent_activation = old_gate})})}), noise({2, 5, 3}), ending);
    expect_exported(Sequential({Input({5}), Dense({.units = 4, .activation = old_gate})}), noise({3, 5}), ending);
    expect_exported(Sequential({Input({6, 6, 2}), Conv2D({.filters = 3, .kernel_size = 3, .activation = old_gate})}), noise({2, 6, 6, 2}), ending);
    expect_exported(Sequential({Input({6, 6, 2}), SeparableConv2D({.filters = 3, .kernel_size = 3, .activation = old_gate})}), noise({2, 6, 6, 2}), ending);
    expect_exported(Sequential({Input({5}), ActivationLayer({.activation = old_gate}), Dense({.units = 2})}), noise({3, 5}), ending);
    expect_exported(Sequential({Input({4, 5}), TimeDistributed({.layer = Dense({.units = 2, .activation = old_gate})})}), noise({3, 4, 5}), ending);
  }
}

TEST(KerasExport, AnActivationInAGraphKeepsItsPlaceAndName) {
  const Symbol input = Input({4});
  const Symbol gate = ActivationLayer({.activation = old_gate}, {.name = "gate"})(Dense({.units = 3})(input));
  const Model model({input}, {Multiply()({gate, Dense({.units = 3})(input)}), gate});
  const TemporaryFolder folder;
  model.save(folder / "m.keras");
  const Model loaded = load_model(folder / "m.keras");
  EXPECT_EQ(loaded.layer("gate")->class_name(), "Sequential");
  EXPECT_EQ(loaded.graph().outputs().size(), 2u);
  const DatasetRef data = array_dataset({.inputs = {noise({3, 4})}});
  Model a = model, b = loaded;
  for (std::size_t i = 0; i < 2; ++i) expect_near(b.predict(data)[i], a.predict(data)[i], 1e-6, 1e-5);
}

TEST(KerasExport, AStateUnderTheOldFunctionIsSaid) {
  const Sequential model({Input({5, 3}), LSTM({.units = 4, .activation = old_gate})});
  const TemporaryFolder folder;
  Warnings said;
  save_model(model, folder / "m.keras", {.listener = &said});
  ASSERT_EQ(said.lines.size(), 1u);
  EXPECT_NE(said.lines[0].find("in Keras 3 the numbers differ"), std::string::npos);
}

TEST(KerasExport, ScaledWeightsHaveNoOptimizerState) {
  Sequential model({Input({4}), Dense({.units = 3, .activation = old_gate})});
  model.compile({.optimizer = "adam", .loss = "mse"});
  const Blobs data = blobs(8);
  model.fit(array_dataset({.inputs = {data.features}, .targets = {data.one_hot}}), {.epochs = 1});
  const TemporaryFolder folder;
  Warnings said;
  save_model(model, folder / "m.keras", {.listener = &said});
  ASSERT_EQ(said.lines.size(), 1u);
  EXPECT_NE(said.lines[0].find("the optimizer's state is left out"), std::string::npos);
  EXPECT_EQ(load_model(folder / "m.keras").trainer().optimizer().iterations(), 0);
}

TEST(KerasExport, SlashesInNamesBecomeLines) {
  const Symbol input = Input({4}, "in/x");
  const Symbol a = Dense({.units = 3}, {.name = "block/a"})(input), b = Dense({.units = 3}, {.name = "block_a"})(input);
  Model model({input}, {Dense({.units = 1}, {.name = "out/p"})(Add({.name = "sum"})({a, b})), Dense({.units = 2}, {.name = "q"})(a)});
  model.compile({.optimizer = "sgd", .loss = Losses::by_name({{"out/p", "mse"}, {"q", "mae"}})});
  for (const std::string ending : {".keras", ".h5"}) {
    const TemporaryFolder folder;
    model.save(folder / ("m" + ending));
    const Model loaded = load_model(folder / ("m" + ending));
    std::vector<std::string> names;
    for (const auto& layer : loaded.layers()) names.push_back(layer->name());
    std::ranges::sort(names);
    EXPECT_EQ(names, (std::vector<std::string>{"block_a", "block_a_1", "in_x", "out_p", "q", "sum"}));
    EXPECT_EQ(loaded.graph().output_names(), (std::vector<std::string>{"out_p", "q"}));
    const DatasetRef data = array_dataset({.inputs = {noise({3, 4})}});
    Model x = model, y = loaded;
    for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(x.predict(data)[i].identical(y.predict(data)[i]));
  }
  EXPECT_EQ(model.layers()[0]->name(), "in/x");  // the model itself keeps its names
}

TEST(KerasExport, NamesMayBeThoseOfOtherThings) {
  const Symbol input = Input({4});
  const Symbol point = Dense({.units = 3, .activation = old_gate}, {.name = "."})(input);
  const Model model({input}, {Dense({.units = 1}, {.name = old_gate})(point)});
  const TemporaryFolder folder;
  for (const char* name : {"m.keras", "m.h5"}) {
    model.save(folder / name);
    const Model loaded = load_model(folder / name);
    EXPECT_EQ(loaded.layers()[1]->name(), "_") << name;
    EXPECT_EQ(loaded.layers()[2]->name(), old_gate) << name;
    Model x = model, y = loaded;
    expect_near(y.predict(noise({3, 4})), x.predict(noise({3, 4})), 1e-6, 1e-5);
  }
}

// A layer within another model has the name of an output.
TEST(KerasExport, LossesGoToTheRenamedOutputs) {
  const Symbol inner_input = Input({4}), input = Input({4});
  const Model inner({inner_input}, {Dense({.units = 3}, {.name = "out/p"})(inner_input)}, {.name = "inner"});
  const Symbol x = inner(input);
  Model model({input}, {Dense({.units = 1}, {.name = "out/p"})(x), Dense({.units = 2}, {.name = "q"})(x)});
  model.compile({.optimizer = "sgd", .loss = Losses::by_name({{"out/p", "mse"}, {"q", "mae"}})});
  const TemporaryFolder folder;
  for (const char* name : {"m.keras", "m.h5"}) {
    model.save(folder / name);
    std::vector<std::string> notes;
    const Model loaded = load_model(folder / name, {.notes = &notes});
    EXPECT_TRUE(notes.empty()) << name << ": " << notes.front();
    EXPECT_TRUE(loaded.trainer().options()) << name;
  }
}

TEST(KerasExport, LayersThatKerasLacksAreNamed) {
  const Sequential model({Input({6, 2}), LocallyConnected1D({.filters = 3, .kernel_size = 2}), Flatten(), Dense({.units = 1})});
  const TemporaryFolder folder;
  Warnings said;
  save_model(model, folder / "m.keras", {.listener = &said});
  ASSERT_EQ(said.lines.size(), 1u);
  EXPECT_EQ(said.lines[0], "layer 'locally_connected1d' (LocallyConnected1D): Keras 3 has no such layer and will not open the file");
  expect_identical(values(load_model(folder / "m.keras")), values(model));
}

}  // namespace
}  // namespace nacre::test
