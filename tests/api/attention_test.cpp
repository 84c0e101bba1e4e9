// Attention in models: names of arguments, masks, files of Keras, training.
#include <functional>
#include <regex>
#include <sstream>

#include "api/dtype_policy.h"
#include "api/functional.h"
#include "api/inspect/example_batch.h"
#include "formats/hdf5.h"
#include "formats/json.h"
#include "formats/yaml.h"
#include "tests/api/models.h"

namespace nacre::test {
namespace {

std::vector<Tensor> read_all(const hdf5::Group& group) {
  std::vector<Tensor> tensors;
  for (const std::string& name : group.names()) tensors.push_back(group.tensor(name));
  return tensors;
}

void expect_close(const std::vector<Tensor>& got, const std::vector<Tensor>& want, double tolerance = 2e-5) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(got[i].shape(), want[i].shape());
    const Tensor values = got[i].cast(DType::float32);
    for (std::size_t k = 0; k < want[i].data<float>().size(); ++k)
      EXPECT_NEAR(values.data<float>()[k], want[i].data<float>()[k], tolerance * (1 + std::abs(want[i].data<float>()[k])))
          << "output " << i << ", element " << k;
  }
}

// Models that Keras 3.15 saved and what it predicts: tests/golden/make_attention_models.py.
class AttentionModels : public testing::TestWithParam<const char*> {
 protected:
  std::filesystem::path file(std::string_view extension) const {
    return std::filesystem::path(NACRE_SOURCE_DIR) / "tests" / "golden" / "attention" / fmt::format("{}{}", GetParam(), extension);
  }
};
INSTANTIATE_TEST_SUITE_P(Keras, AttentionModels, testing::Values("blocks", "nested", "scores_first", "attention_first", "arguments", "half", "hub"),
                         [](const auto& row) { return std::string(row.param); });

TEST_P(AttentionModels, PredictWhatKerasPredictsAlsoWhenSavedAgain) {
  const hdf5::File io = hdf5::File::open(file(".io.h5"));
  const std::vector<Tensor> inputs = read_all(io.root().group("inputs")), outputs = read_all(io.root().group("outputs"));
  const double tolerance = GetParam() == std::string_view("half") ? 5e-3 : 2e-5;
  Model model = load_model(file(".h5"));
  expect_close(model.predict(array_dataset({.inputs = inputs})), outputs, tolerance);
  const TemporaryFolder folder;
  for (const char* name : {"again.keras", "again.h5"}) {
    model.save(folder / name);
    Model again = load_model(folder / name);
    expect_close(again.predict(array_dataset({.inputs = inputs})), outputs, tolerance);
  }
}

// The blocks of the file "blocks", made here.
Symbol block(Symbol x, int number) {
  const auto name = [&](const char* base) { return LayerOptions{.name = fmt::format("{}_{}", base, number)}; };
  const std::int64_t width = x.shape()[-1];
  const Symbol attended = MultiHeadAttention({.num_heads = 2, .key_dim = 3}, name("attention"))({x, x});
  x = LayerNormalization({}, name("norm"))(Add(name("sum"))({x, attended}));
  const Symbol hidden = Dense({.units = 5, .activation = "relu"}, name("hidden"))(x);
  return Add(name("sum2"))({x, Dense({.units = width}, name("output"))(hidden)});
}
Model text_model() {
  const Symbol tokens = Input({6}, "tokens", DType::int32);
  Symbol x = Embedding({.input_dim = 9, .output_dim = 4, .mask_zero = true}, {.name = "embedding"})(tokens);
  for (int number : {1, 2}) x = block(x, number);
  x = GlobalAveragePooling1D({}, {.name = "pool"})(x);
  return Model({tokens}, {Dense({.units = 3, .activation = "softmax"}, {.name = "classes"})(x)});
}

// Keras's attention takes masks off its inputs in a run, so the second block sees none, but the pooling does.
TEST(Attention, MasksOfAModelMadeHereAreThoseOfKeras) {
  const std::filesystem::path folder = std::filesystem::path(NACRE_SOURCE_DIR) / "tests" / "golden" / "attention";
  const hdf5::File io = hdf5::File::open(folder / "blocks.io.h5");
  Model saved = load_model(folder / "blocks.h5"), model = text_model();
  const std::vector<Weight> from = saved.weights(), to = model.weights();
  ASSERT_EQ(from.size(), to.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    ASSERT_EQ(from[i].variable->path(), to[i].variable->path());
    to[i].variable->assign(from[i].variable->value());
  }
  expect_close(model.predict(array_dataset({.inputs = read_all(io.root().group("inputs"))})),
               read_all(io.root().group("outputs")));
}

// Lengths may differ from call to call, and what comes later changes nothing before it.
TEST(Attention, CausalAttentionOfALongerSequenceBeginsAsThatOfAShorterOne) {
  const Symbol x = Input({unknown, 4}, "x");
  const LayerRef self = MultiHeadAttention({.num_heads = 2, .key_dim = 3, .sliding_window = 3});
  Model model({x}, {TransformerDecoder({.intermediate_dim = 5, .num_heads = 2})(
                       self.all({x, x}, {}, parse_json(R"({"use_causal_mask": true})"))[0])});
  const Tensor longer = blobs(6).features.reshaped({1, 6, 4});
  Tensor shorter(DType::float32, {1, 3, 4});
  std::ranges::copy(longer.data<float>().first(12), shorter.writable<float>().begin());
  const Tensor all = model.predict(longer), first = model.predict(shorter);
  ASSERT_EQ(all.shape(), (Shape{1, 6, 4}));
  for (std::size_t i = 0; i < 12; ++i) EXPECT_NEAR(all.data<float>()[i], first.data<float>()[i], 1e-5);
}

// Types of values that kernels of the step read or write, whose elements are a multiple of this.
std::vector<std::string> values_of(const Executable& step, std::int64_t factor) {
  const std::string text = step.text();
  static const std::regex type(R"(\w+\((\d+(?:, \d+)*),?\) )");
  std::vector<std::string> types;
  for (std::sregex_iterator found(text.begin(), text.end(), type), end; found != end; ++found) {
    std::istringstream sizes((*found)[1].str());
    std::int64_t elements = 1, size = 0;
    for (char comma = 0; sizes >> size; sizes >> comma) elements *= size;
    if (elements % factor == 0) types.push_back(found->str());
  }
  return types;
}

// Neither scores nor causal masks of queries × keys lie in memory: attention makes them piece by piece. Layers that join
// the padding of queries with that of keys, as Keras does, have one byte for each pair, for all heads.
TEST(Attention, StepsHoldNothingAsLargeAsQueriesTimesKeys) {
  constexpr std::int64_t length = 37;  // in no other size
  const auto model_of = [](bool padded, const std::function<Symbol(Symbol)>& attended) {
    const Symbol tokens = Input({length}, "tokens", DType::int32);
    const Symbol x = Embedding({.input_dim = 50, .output_dim = 8, .mask_zero = padded})(tokens);
    Model model({tokens}, {Dense({.units = 5})(attended(x))});
    model.compile({.optimizer = "adam", .loss = "mse"});
    return model;
  };
  const std::pair<const char*, std::function<Symbol(Symbol)>> kinds[] = {
      {"decoder",
       [](Symbol x) { return TransformerDecoder({.intermediate_dim = 6, .num_heads = 2, .dropout = 0.1})(x); }},
      {"encoder",
       [](Symbol x) { return TransformerEncoder({.intermediate_dim = 6, .num_heads = 2, .dropout = 0.1})(x); }},
      {"causal heads",
       [](Symbol x) {
         const LayerRef heads = MultiHeadAttention({.num_heads = 2, .key_dim = 4, .dropout = 0.1});
         return heads.all({x, x}, {}, parse_json(R"({"use_causal_mask": true})"))[0];
       }},
      {"heads", [](Symbol x) { return MultiHeadAttention({.num_heads = 2, .key_dim = 4})({x, x}); }},
      {"grouped heads",
       [](Symbol x) {
         return GroupQueryAttention({.head_dim = 4, .num_query_heads = 4, .num_key_value_heads = 2})({x, x});
       }},
      {"attention", [](Symbol x) { return Attention({.dropout = 0.1})({x, x}); }},
  };
  for (const auto& [name, attended] : kinds)
    for (const bool padded : {false, true})
      for (const char* dtype : {"float32", "mixed_bfloat16"}) {
        Model model = with_dtype(model_of(padded, attended), {dtype});
        const Batch batch = example_batch(model, 3);
        Trainer& trainer = model.trainer();
        for (HostedExecutable* step : {&trainer.training_step(batch), &trainer.prediction_step(batch)}) {
          ASSERT_FALSE(values_of(*step->device(), length).empty());
          const bool joins = padded && name != std::string_view("decoder") && name != std::string_view("attention");
          for (const std::string& type : values_of(*step->device(), length * length))
            EXPECT_TRUE(joins && type.starts_with("bool(3, "))
                << name << (padded ? ", padded, " : ", ") << dtype << ": " << type << "\n" << step->device()->text();
        }
      }
}

TEST(Attention, ArgumentsByNameTakeTheirPlaces) {
  const Symbol query = Input({3, 4}, "q"), value = Input({5, 6}, "v"), key = Input({5, 2}, "k");
  const LayerRef layer = MultiHeadAttention({.num_heads = 2, .key_dim = 3});
  const Symbols outputs = layer.all({query}, {{"key", {key}}, {"value", {value}}}, parse_json(R"({"return_attention_scores": true})"));
  EXPECT_EQ(outputs[0].call().inputs, (Symbols{query, value, key}));
  EXPECT_EQ(outputs[1].shape(), (Shape{unknown, 2, 3, 5}));
  EXPECT_EQ(message_of([&] { layer.all({}, {{"query", {query, key}}, {"value", {value}}}); }).substr(0, 73),
            "layer 'multi_head_attention' (MultiHeadAttention): the argument 'query' i");
}

TEST(Attention, MistakesAreSaid) {
  const Symbol query = Input({3, 4}), value = Input({5, 6});
  const auto message = [](auto&& work) { return message_of(work); };
  EXPECT_NE(message([&] { Attention()({query, value}); }).find("wanted the same size in the last axis"), std::string::npos);
  EXPECT_NE(message([&] { MultiHeadAttention({.num_heads = 2, .key_dim = 3})(query); }).find("got 1 inputs, wanted query and value"),
            std::string::npos);
  EXPECT_NE(message([&] { GroupQueryAttention({.head_dim = 2, .num_query_heads = 3, .num_key_value_heads = 2}); }).find("wanted a multiple"),
            std::string::npos);
  const Symbol image = Input({3, 4, 5});
  const LayerRef over_two = MultiHeadAttention({.num_heads = 1, .key_dim = 2});
  EXPECT_NE(message([&] { over_two.all({image, image}, {}, parse_json(R"({"use_causal_mask": true})")); }).find("has no order"),
            std::string::npos);
  const LayerRef decoder = TransformerDecoder({.intermediate_dim = 4, .num_heads = 2});
  decoder(query);
  EXPECT_NE(message([&] { decoder({query, value}); }).find("was built without encoder_sequence and is called with one"),
            std::string::npos);
  EXPECT_NE(message([&] { EinsumDense({.equation = "abc->ab", .output_shape = {3}}); }).find("wanted the form 'X,Y->Z'"),
            std::string::npos);
  EXPECT_NE(message([&] { EinsumDense({.equation = "abc,cd->abd", .output_shape = {3}})(query); }).find("wanted 2 axes"),
            std::string::npos);
}

// Sequences of tokens whose class is which of three tokens occurs; the rest is noise and padding.
TEST(Attention, ATransformerLearnsToClassifyTexts) {
  const std::int64_t count = 96, length = 8;
  Tensor texts(DType::int32, {count, length}), labels(DType::int32, {count});
  RandomStream random(RandomKey::of(5, "texts"));
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t words = 3 + static_cast<std::int64_t>(random.below(6)), label = static_cast<std::int64_t>(random.below(3));
    for (std::int64_t k = 0; k < words; ++k)
      texts.writable<std::int32_t>()[static_cast<std::size_t>(i * length + k)] = 4 + static_cast<std::int32_t>(random.below(8));
    texts.writable<std::int32_t>()[static_cast<std::size_t>(i * length + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(words))))] =
        1 + static_cast<std::int32_t>(label);
    labels.writable<std::int32_t>()[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(label);
  }
  const Symbol tokens = Input({length}, "tokens", DType::int32);
  const Symbol words = Embedding({.input_dim = 12, .output_dim = 8, .mask_zero = true})(tokens);
  Symbol x = Add()({words, PositionEmbedding({.sequence_length = length})(words)});
  x = TransformerEncoder({.intermediate_dim = 16, .num_heads = 2, .dropout = 0.1, .normalize_first = true})(x);
  Model model({tokens}, {Dense({.units = 3, .activation = "softmax"})(GlobalMaxPooling1D()(x))}, {.name = "texts"});
  model.compile({.optimizer = read_object<Optimizer>(parse_yaml("Adam: {learning_rate: 0.01}")),
                 .loss = "sparse_categorical_crossentropy"});
  const History history =
      model.fit(array_dataset({.inputs = {texts}, .targets = {labels}}), {.epochs = 12, .batch_size = 16, .seed = 1});
  EXPECT_LT(history.series("loss").back(), 0.3 * history.series("loss").front());
}

}  // namespace
}  // namespace nacre::test
