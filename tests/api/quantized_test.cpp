// Files of Keras 3 whose weights are quantised, have LoRAs, or whose layers have maps of dtype policies.
#include "api/keras/tree.h"
#include "api/model_file.h"
#include "api/shared_layers.h"
#include "formats/hdf5.h"
#include "formats/json.h"
#include "tests/api/models.h"

namespace nacre::test {
namespace {

namespace fs = std::filesystem;
using Arrays = std::vector<NamedTensor>;

// What tests/golden/make_quantized_models.py made with Keras 3.15.
fs::path golden(std::string_view name) { return fs::path(NACRE_SOURCE_DIR) / "tests" / "golden" / "quantized" / name; }

std::vector<Tensor> read_all(const hdf5::Group& group) {
  std::vector<Tensor> tensors;
  for (const std::string& name : group.names()) tensors.push_back(group.tensor(name));
  return tensors;
}

void expect_close(const std::vector<Tensor>& got, const std::vector<Tensor>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) expect_near(got[i].cast(DType::float32), want[i], tolerance, tolerance);
}

constexpr std::string_view quantized_note =
    "are read as the floating numbers that they stand for; where Keras rounds the inputs of such layers too, its "
    "predictions "
    "are less exact than these";

bool has_note(const std::vector<std::string>& notes, std::string_view part) {
  return std::ranges::any_of(notes, [&](const std::string& line) { return line.find(part) != std::string::npos; });
}

struct Row {
  const char *name, *extension;
  double rounding = 0;  // how far Keras is from the exact results, for it rounds the inputs of layers too
  double tolerance = 2e-5;
  const char* note = "";
};

class QuantizedModels : public testing::TestWithParam<Row> {};
INSTANTIATE_TEST_SUITE_P(
    Keras, QuantizedModels,
    testing::Values(Row{"int8", ".keras", 0.06, 2e-5, "the quantised weights of 13 layers ('"},
                    Row{"int4", ".keras", 0, 2e-5, "of 13 layers"},
                    Row{"int4_channels", ".keras", 0, 2e-5, "of 13 layers"},
                    Row{"small_int4", ".h5", 0, 2e-5, "of 3 layers ('inner/first', …)"},
                    Row{"gptq2", ".h5", 0, 2e-5, "of 2 layers"}, Row{"gptq4", ".h5", 0, 2e-5, "of 2 layers"},
                    Row{"gptq8", ".h5", 0, 2e-5, "of 2 layers"}, Row{"awq", ".h5", 0, 2e-5, "of 2 layers"},
                    Row{"lora", ".h5", 0, 2e-5,
                        "layer 'dense' (Dense): its LoRA of rank 2 is merged into its weights, which train as a whole "
                        "from here on"},
                    Row{"lora_int8", ".h5", 0.1, 2e-5, "of 2 layers"},
                    Row{"lora_table", ".h5", 0, 2e-5, "layer 'table' (Embedding): its LoRA of rank 2"},
                    Row{"lora_merged", ".keras", 0, 2e-5, "layer 'conv' (Conv2D): its LoRA of rank 2"},
                    Row{"policies", ".h5", 0, 2e-2, "of 1 layer ('heads/query')"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST_P(QuantizedModels, PredictWhatKerasPredictsAlsoWhenSavedAgain) {
  const auto& [name, extension, rounding, tolerance, note] = GetParam();
  const hdf5::File io = hdf5::File::open(golden(fmt::format("{}.io.h5", name)));
  const std::vector<Tensor> inputs = read_all(io.root().group("inputs")), exact = read_all(io.root().group("exact"));
  std::vector<std::string> notes;
  Model model = load_model(golden(fmt::format("{}{}", name, extension)), {.notes = &notes});
  EXPECT_TRUE(has_note(notes, note)) << testing::PrintToString(notes);
  EXPECT_EQ(has_note(notes, quantized_note),
            std::string_view(note).starts_with("the") || std::string_view(note).starts_with("of"));
  const std::vector<Tensor> first = model.predict(array_dataset({.inputs = inputs}));
  expect_close(first, exact, tolerance);
  expect_close(first, read_all(io.root().group("outputs")), std::max(rounding, tolerance));

  const TemporaryFolder folder;
  for (const char* file : {"again.keras", "again.h5"}) {
    model.save(folder / file);
    std::vector<std::string> none;
    expect_close(load_model(folder / file, {.notes = &none}).predict(array_dataset({.inputs = inputs})), first, 1e-6);
    EXPECT_TRUE(none.empty()) << testing::PrintToString(none);
  }
  const std::string config = write_json(read_keras_archive(folder / "again.keras").config);
  for (std::string_view word : {"Quantized", "int8", "int4", "gptq", "lora", "DTypePolicyMap"})
    EXPECT_EQ(config.find(word), std::string::npos) << word;
}

TEST(Quantized, WeightsAloneAreReadIntoAFloatingModel) {
  const Symbol x = Input({4}, "x");
  const Symbol inner = Sequential({Input({4}), Dense({.units = 3, .activation = "relu"}, {.name = "first"}),
                                   Dense({.units = 1}, {.name = "second"})},
                                  {.name = "inner"})(x);
  Model model({x}, {Dense({.units = 2}, {.name = "last"})(inner)});
  std::vector<std::string> notes;
  model.load_weights(golden("small_int8.weights.h5"), {.notes = &notes});
  EXPECT_TRUE(has_note(notes, "of 3 layers")) << testing::PrintToString(notes);
  const hdf5::File io = hdf5::File::open(golden("small_int8.io.h5"));
  expect_close(model.predict(array_dataset({.inputs = read_all(io.root().group("inputs"))})),
               read_all(io.root().group("exact")), 2e-5);
}

// Those of the dense layers within an attention, of which its config does not speak.
TEST(Quantized, ALoraWithoutAlphaIsNoted) {
  std::vector<std::string> notes;
  load_model(golden("lora.h5"), {.notes = &notes});
  EXPECT_TRUE(has_note(notes,
                       "layer 'heads/query': the file does not say the lora_alpha of its LoRA, which is merged as one "
                       "whose lora_alpha is its rank"))
      << testing::PrintToString(notes);
}

TEST(Quantized, LayersTrainOn) {
  Model model = load_model(golden("small_int4.h5"));
  EXPECT_EQ(model.graph().trainable_weights().size(), 6u);
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const Blobs data = blobs(16, 2);
  const History history =
      model.fit(array_dataset({.inputs = {data.features}, .targets = {data.one_hot}}), {.epochs = 3, .seed = 1});
  EXPECT_LT(history.series("loss").back(), history.series("loss").front());
}

// As Keras writes them where it writes zero points: in the order of variable_serialization_spec.
TEST(Quantized, TreesOfWeightsOfGptqAndAwqAreRead) {
  register_models();
  for (const char* name : {"gptq4", "awq"}) {
    const KerasFile file = read_keras_h5(golden(fmt::format("{}.h5", name)));
    KerasArchive archive;
    archive.config = file.model_config;
    archive.metadata.set("keras_version", file.keras_version);
    for (const auto& [layer, place] :
         {std::pair("einsum", "layers/einsum_dense"), std::pair("dense", "layers/dense")}) {
      WeightGroup& group = archive.weights.groups.emplace_back(WeightGroup{place});
      for (std::string_view variable :
           {"bias", "kernel", "kernel_scale", "kernel_zero", "zero_point", "awq_scales", "g_idx"})
        for (const NamedTensor& weight : file.find(layer)->weights)
          if (weight.name.ends_with(fmt::format("/{}", variable))) group.variables.push_back(weight.tensor);
    }
    std::vector<std::string> notes;
    Model model(read_model(archive, {.notes = &notes}));
    const hdf5::File io = hdf5::File::open(golden(fmt::format("{}.io.h5", name)));
    expect_close(model.predict(array_dataset({.inputs = read_all(io.root().group("inputs"))})),
                 read_all(io.root().group("exact")), 2e-5);
  }
}

// --- files that lie
// ------------------------------------------------------------------------------------------------------

// What is said of an archive after a change to the arrays of a layer.
std::string refusal(std::string_view file, std::string_view place,
                    const std::function<void(std::vector<Tensor>&)>& change) {
  register_models();
  KerasArchive archive = read_keras_archive(golden(file));
  const auto group = std::ranges::find(archive.weights.groups, place, &WeightGroup::path);
  EXPECT_NE(group, archive.weights.groups.end());
  change(group->variables);
  std::vector<std::string> notes;
  return message_of([&] { read_model(archive, {.notes = &notes}); });
}

void expect_in(const std::string& message, std::string_view part) {
  EXPECT_NE(message.find(part), std::string::npos) << message;
}

TEST(Quantized, ArraysThatDoNotFitAreRefusedByLayer) {
  const auto at = [](std::size_t i, Tensor tensor) {
    return [=](std::vector<Tensor>& arrays) { arrays.at(i) = tensor; };
  };
  const Tensor wrong(DType::float32, {2, 2});
  expect_in(refusal("int8.keras", "layers/dense", at(2, wrong)),
            "layer 'hidden' (Dense): the file's 'kernel_scale' is (2, 2), wanted");
  expect_in(refusal("int8.keras", "layers/dense", at(0, Tensor(DType::int32, {3, 4}))),
            "the file's 'kernel' is (3, 4), wanted (3, 5) as bytes, or (3, 3) with two numbers in a byte");
  expect_in(refusal("int8.keras", "layers/embedding", at(1, Tensor(DType::float32, {6}))),
            "layer 'table' (Embedding): the file's 'embeddings_scale' is (6,), wanted (7,)");
  expect_in(
      refusal("int8.keras", "layers/einsum_dense", at(2, Tensor(DType::float32, {1, 1, 2, 3}))),
      "layer 'swapped' (EinsumDense): the file's 'kernel_scale' is (1, 1, 2, 3), wanted (3, 2) and axes of size 1");
  expect_in(refusal("int8.keras", "layers/multi_head_attention/key_dense", at(2, wrong)), "layer 'key' (EinsumDense)");
  expect_in(refusal("int4.keras", "layers/dense", at(0, Tensor(DType::int32, {3, 2}))),
            "the file's 'kernel' is (3, 2)");
  expect_in(
      refusal("int4.keras", "layers/dense", [](std::vector<Tensor>& arrays) { arrays.erase(arrays.begin() + 3); }),
      "layer 'hidden' (Dense): the file has 4 arrays for its quantised weights, wanted 3 (kernel, bias, kernel_scale) "
      "or 5 (kernel, bias, kernel_scale, kernel_zero, g_idx)");
  expect_in(refusal("int4.keras", "layers/dense", [](std::vector<Tensor>& arrays) { arrays.resize(3); }),
            "layer 'hidden' (Dense): the file has no 'kernel_zero' for it");
  expect_in(refusal("int4.keras", "layers/dense", at(3, wrong)), "the file's 'kernel_zero' is (2, 2), wanted (2, 5)");
  for (const float index : {-1.0F, 2.0F, std::nanf(""), 1e30F})
    expect_in(refusal("int4.keras", "layers/dense", at(4, Tensor::of<float>({3}, {0, index, 1}))), "there are 2");
  expect_in(refusal("int4.keras", "layers/reversible_embedding_1", at(4, Tensor(DType::int32, {2, 7}))),
            "layer 'untied' (ReversibleEmbedding): the file's 'reverse_embeddings' is (2, 7)");
  expect_in(refusal("awq_without_zeros.keras", "layers/dense", [](std::vector<Tensor>&) {}),
            "(EinsumDense): the file has no zero points for its weights of GPTQ or AWQ");
  expect_in(refusal("float8.keras", "layers/dense", [](std::vector<Tensor>& arrays) { arrays.pop_back(); }),
            "the file has 6 weights for it at 'layers/dense', it has 7");
}

TEST(Quantized, ArraysOfTheOlderLayoutThatDoNotFitAreRefusedByLayer) {
  register_models();
  const auto refusal_of = [](std::string_view name, std::string_view weight,
                             const std::function<void(Arrays&, std::size_t)>& change) {
    KerasFile file = read_keras_h5(golden(name));
    for (LayerWeights& layer : file.layers)
      for (std::size_t i = 0; i < layer.weights.size(); ++i)
        if (layer.weights[i].name == weight) {
          change(layer.weights, i);
          break;
        }
    std::vector<std::string> notes;
    return message_of([&] { read_model(file, {.notes = &notes}); });
  };
  const auto erase = [](Arrays& weights, std::size_t i) {
    weights.erase(weights.begin() + static_cast<std::ptrdiff_t>(i));
  };
  const auto shape = [](Shape wrong) {
    return [=](Arrays& weights, std::size_t i) { weights[i].tensor = Tensor(DType::float32, wrong); };
  };
  const auto unsign = [](Shape wrong) {
    return [=](Arrays& weights, std::size_t i) { weights[i].tensor = Tensor(DType::uint8, wrong); };
  };
  const auto call = [](std::string name) { return [=](Arrays& weights, std::size_t i) { weights[i].name = name; }; };
  expect_in(refusal_of("lora.h5", "conv/lora_kernel_b", erase),
            "layer 'conv' (Conv2D): the file has no 'lora_kernel_b' for it");
  expect_in(refusal_of("lora.h5", "conv/lora_kernel_a", shape({2, 2, 3, 2})),
            "the file's 'lora_kernel_a' is (2, 2, 3, 2), wanted (2, 2, 2, 2)");
  expect_in(refusal_of("lora.h5", "conv/lora_kernel_a", shape({})), "the file's 'lora_kernel_a' is ()");
  expect_in(refusal_of("lora.h5", "conv/lora_kernel_b", shape({2, 4})),
            "the file's 'lora_kernel_b' is (2, 4), wanted (2, 3)");
  expect_in(refusal_of("lora.h5", "conv/kernel", shape({2, 4})), "layer 'conv' (Conv2D)");
  expect_in(refusal_of("lora.h5", "conv/bias", call("conv/kernel")), "the file has two weights 'kernel' for it");
  expect_in(refusal_of("lora.h5", "heads/key/bias", call("heads/lock/bias")),
            "layer 'key' (EinsumDense): the file has no 'bias' for it");
  expect_in(refusal_of("gptq4.h5", "dense/g_idx", shape({7})),
            "layer 'dense' (Dense): the file's 'g_idx' is (7,), which does not fit a kernel of (6, 5)");
  expect_in(refusal_of("gptq4.h5", "dense/g_idx", shape({0})), "the file's 'g_idx' is (0,)");
  expect_in(refusal_of("gptq4.h5", "dense/kernel_zero", erase),
            "layer 'dense' (Dense): the file has no 'kernel_zero' for it");
  expect_in(refusal_of("gptq4.h5", "dense/kernel", unsign({4, 6})),
            "the file's 'kernel' is (4, 6), wanted (5, 6) as bytes, or (3, 6) with two numbers in a byte");
  expect_in(refusal_of("awq.h5", "dense/awq_scales", shape({5})), "the file's 'awq_scales' is (5,), wanted (6,)");
  expect_in(refusal_of("lora_int8.h5", "einsum/kernel_scale", erase),
            "layer 'einsum' (EinsumDense): the file has no 'kernel_scale' for it");
  expect_in(refusal_of("lora_int8.h5", "inner/dense/kernel_scale", shape({3})),
            "layer 'dense' (Dense): the file's 'kernel_scale' is (3,), wanted (4,)");
}

// --- policies
// ------------------------------------------------------------------------------------------------------------

// The policies of the layers of a model in whose config {} stands for the policy of the first.
Model with_policy(std::string_view class_name, std::string_view dtype) {
  register_models();
  std::string config =
      R"({"module": "keras", "class_name": "Sequential", "config": {"name": "m", "layers": [{"module": "keras.layers", "class_name": "CLASS",
    "config": {"name": "d", "units": 2, "dtype": DTYPE}}]}})";
  config.replace(config.find("CLASS"), 5, class_name);
  config.replace(config.find("DTYPE"), 5, dtype);
  return Model(read_architecture(KerasFile{.model_config = parse_json(config), .keras_version = "3.15.1"}));
}
std::string policy_of(std::string_view dtype) { return with_policy("Dense", dtype).layers()[0]->dtype().name; }
std::string from_map(std::string_view entries, std::string_view fallback = R"("float64")") {
  return fmt::format(R"({{"class_name": "DTypePolicyMap", "config": {{"default_policy": {}, "policy_map": {}}}}})",
                     fallback, entries);
}

TEST(Policies, QuantisedOnesAreTheirSources) {
  EXPECT_EQ(policy_of(R"("int8_from_mixed_bfloat16")"), "mixed_bfloat16");
  EXPECT_EQ(policy_of(R"("int4/128_from_float32")"), "float32");
  EXPECT_EQ(
      policy_of(R"({"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": "bfloat16"}})"),
      "bfloat16");
  EXPECT_EQ(
      policy_of(
          R"({"class_name": "GPTQDTypePolicy", "config": {"mode": "gptq/4/128", "source_name": "mixed_float16"}})"),
      "mixed_float16");
  EXPECT_EQ(policy_of(R"({"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": null}})"),
            "float32");
  EXPECT_EQ(policy_of(R"({"class_name": "DTypePolicy", "config": {"name": "float16"}})"), "float16");
  expect_in(message_of([] { policy_of(R"("int8_from_the_sky")"); }), "the_sky");
}

TEST(Policies, MapsGiveALayerThatOfItsPath) {
  EXPECT_EQ(policy_of(from_map("{}")), "float64");
  EXPECT_EQ(policy_of(from_map("{}", "null")), "float32");
  EXPECT_EQ(
      policy_of(from_map(
          R"({"d": "float16", "m/d": {"class_name": "DTypePolicy", "config": {"name": "bfloat16"}}, "m/.*": "float16"})")),
      "bfloat16");
  for (std::string_view key :
       {"m/.*", "./d?", "[a-m]+/[^x]", "\\w/d", "m\\/d", "m*/d+", ".*", "m/d+?", "(m|n)/d", "m/d{1}"})
    EXPECT_EQ(
        policy_of(from_map(fmt::format(
            R"({{"{}": "int8_from_float16"}})",
            key.find('\\') == std::string::npos ? std::string(key) : std::string(key).insert(key.find('\\'), "\\")))),
        "float16")
        << key;
  for (std::string_view key : {"m", "m/", "m/dd", "m/d.", "[^m]/d", "m/[a-c]", "d"})
    EXPECT_EQ(policy_of(from_map(fmt::format(R"({{"{}": "float16"}})", key))), "float64") << key;
  expect_in(message_of([] { policy_of(from_map(R"({"m/.*": "float16", ".*/d": "float16"})")); }),
            "several keys of its DTypePolicyMap match its path 'm/d'");
  for (std::string_view key : {"m/[d", "(m/d", "*"})
    expect_in(message_of([&] { policy_of(from_map(fmt::format(R"({{"{}": "float16"}})", key))); }),
              "is no regular expression");
}

TEST(Policies, OutsideOfFilesOfKerasQuantisedOnesAndMapsAreRefused) {
  register_models();
  const auto refusal_of = [](std::string_view dtype) {
    return message_of([&] {
      read_layer(parse_json(fmt::format(R"({{"class_name": "Dense", "config": {{"units": 2, "dtype": {}}}}})", dtype)));
    });
  };
  expect_in(
      refusal_of(R"({"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": "float32"}})"),
      "got a policy of quantised weights (int8), which layers do not have");
  expect_in(refusal_of(from_map("{}")), "a DTypePolicyMap is read in files of Keras alone");
}

TEST(Policies, LayersWithinALayerMayNotHaveOthers) {
  const auto lstm = [](std::string_view entries) {
    return with_policy("LSTM", from_map(entries)).layers()[0]->dtype().name;
  };
  EXPECT_EQ(lstm(R"({"m/d": "float16", "m/d/lstm_cell": "int8_from_float16", "m/e/lstm_cell": "float32"})"), "float16");
  expect_in(message_of([&] { lstm(R"({"m/d/lstm_cell": "float16"})"); }),
            "layer 'd' (LSTM): its DTypePolicyMap gives 'm/d/lstm_cell' the policy 'float16' and the layer itself "
            "'float64', which is not supported within one layer");
  expect_in(message_of([&] { lstm(R"({"m/d/.*": "float16"})"); }), "gives 'm/d/");
}

}  // namespace
}  // namespace nacre::test
