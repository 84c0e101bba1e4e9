// Scripts: models, tensors and data in Lua, what is said of mistakes, and what scripts cannot break.
#include "scripting/engine.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "api/nacre.h"
#include "formats/image.h"
#include "formats/npy.h"
#include "layers/symbolic_ops.h"
#include "tests/api/base_model.h"
#include "tests/scripting/scripts.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::Scripts;

// --- tensors ------------------------------------------------------------------------------------------------------

TEST_F(Scripts, TensorsHoldWhatTablesHold) {
  EXPECT_EQ(text("local t = nacre.tensor{{1, 2}, {3, 4}} return {t.shape, t.dtype, #t, t:totable()}"),
            "[[2, 2], 'int32', 2, [[1, 2], [3, 4]]]");
  EXPECT_EQ(text("return {nacre.tensor{0.5, 1}.dtype, nacre.tensor{true}.dtype, nacre.tensor{'a'}.dtype, "
                 "nacre.tensor({1}, 'float16').dtype}"),
            "['float32', 'bool', 'string', 'float16']");
  EXPECT_EQ(text("return {nacre.tensor(3):item(), nacre.tensor{true}:item(), nacre.tensor{{'x'}}:item(), "
                 "nacre.tensor({2^53 + 1 | 0}, 'int64'):item()}"),
            "[3, true, 'x', 9007199254740992]");
  EXPECT_EQ(text("return nacre.tensor({9007199254740993}, 'int64'):item()"), "9007199254740993");
  EXPECT_EQ(text("return {nacre.zeros{2}:totable(), nacre.ones({1, 2}, 'int32'):totable(), nacre.tensor{}.shape}"),
            "[[0, 0], [[1, 1]], [0]]");
  EXPECT_EQ(text("return nacre.tensor(nacre.tensor{1.5, -2}, 'int32'):totable()"), "[1, -2]");
}

TEST_F(Scripts, TensorsGoToFilesAndBack) {
  EXPECT_EQ(
      engine_
          .run(
              "nacre.save_npy(..., nacre.tensor{{1.5, 2}}) local t = nacre.load_npy(...) return {t.dtype, t:totable()}",
              "s.lua", {path("t.npy")})
          .text(),
      "['float32', [[1.5, 2]]]");
  EXPECT_EQ(read_npy(path("t.npy")).at(0), 1.5);
}

TEST_F(Scripts, MistakesWithTensorsHaveTheirLine) {
  EXPECT_EQ(refusal("\nnacre.tensor{{1, 2}, {3}}"),
            "s.lua:2: got tables of 2 and 1 values side by side, wanted the same lengths");
  EXPECT_EQ(refusal("nacre.tensor{1, 'a'}"), "s.lua:1: got texts and numbers for one tensor");
  EXPECT_EQ(refusal("nacre.tensor{1, print}"), "s.lua:1: got a function, wanted numbers, booleans or texts");
  EXPECT_EQ(refusal("nacre.tensor({300}, 'uint8')"),
            "s.lua:1: the number 300 does not fit in uint8\n  hint: another dtype holds it: nacre.tensor(table, "
            "\"int64\"), tensor:cast(\"float32\")");
  EXPECT_EQ(refusal("nacre.tensor({1}, 'flaot32')").find("s.lua:1: "), 0u);
  EXPECT_EQ(refusal("nacre.tensor{1, 2}:item()"),
            "s.lua:1: got a tensor of 2 elements, wanted one\n  hint: tensor:totable() gives all");
  EXPECT_EQ(refusal("nacre.tensor{1}.shpe()"),
            "s.lua:1: tensor int32(1,) {1} has no 'shpe'\n  hint: did you mean 'shape'?");
  EXPECT_EQ(refusal("nacre.tensor{1}.shape = 3"), "s.lua:1: tensor int32(1,) {1}: 'shape' cannot be set");
  EXPECT_EQ(refusal("nacre.zeros{1 << 40, 1 << 20}").find("s.lua:1: "), 0u);
  EXPECT_EQ(refusal("nacre.zeros{-1}"), "s.lua:1: zeros: got the size -1, wanted sizes of at least 0");
}

TEST_F(Scripts, TheCollectorKnowsTheSizeOfTensors) {
  run("for i = 1, 2000 do local t = nacre.zeros{256, 1024} end");  // 2 GB, one after the other
  EXPECT_LT(engine_.held_bytes(), std::size_t{256} << 20);
  run("kept = nacre.zeros{1024, 1024} collectgarbage()");
  EXPECT_EQ(engine_.held_bytes(), std::size_t{4} << 20);
}

TEST_F(Scripts, TheCollectorKnowsTheSizeOfModels) {
  run("for i = 1, 300 do nacre.Sequential{nacre.Input{1024}, nacre.layers.Dense{units = 1024}} end");
  EXPECT_LT(engine_.held_bytes(), std::size_t{256} << 20);
  run("kept = nacre.Sequential{nacre.Input{1024}, nacre.layers.Dense{units = 1023, use_bias = false}} "
      "collectgarbage()");
  EXPECT_EQ(engine_.held_bytes(), std::size_t{4} * 1024 * 1023);
  run("dense = kept.layers[1]");
  EXPECT_EQ(engine_.held_bytes(), std::size_t{4} * 1024 * 1023) << "it counts with its model";
}

TEST(ScriptsThatEnd, FinalizersMayMakeModelsAtTheEnd) {
  const test::TemporaryFolder folder;
  {
    Engine engine;
    engine.run(R"(
      local path = ...
      setmetatable({}, {__gc = function()
        local m = nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 3}}
        nacre.save_npy(path, m:predict(nacre.zeros{2, 4}))
      end})
    )",
               "s.lua", {(folder / "end.npy").string()});
  }
  EXPECT_EQ(read_npy(folder / "end.npy").shape(), (Shape{2, 3}));
}

// --- models -------------------------------------------------------------------------------------------------------

constexpr const char* base_model = R"(
local x = nacre.Input{6, name = "in"}
local hidden = nacre.layers.Dense{units = 4, activation = "relu", name = "hidden"}
base = nacre.Model{inputs = x, outputs = nacre.layers.Dense{units = 2, name = "head"}(hidden(x)), name = "base"}
base:initialize(3)
)";

Tensor ramp() {
  Tensor x(DType::float32, {5, 6});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x.writable<float>()[static_cast<std::size_t>(i)] = static_cast<float>(i) * 0.1f - 1;
  return x;
}

TEST_F(Scripts, SubModelsPredictWhatThoseOfCppPredict) {
  Model model = test::base_model();
  model.save(path("base.keras"));
  write_npy(path("x.npy"), ramp());
  engine_.run(R"(
    local folder = ...
    local base = nacre.load(folder .. "/base.keras")
    local features = nacre.Model{inputs = base.inputs, outputs = base:layer("hidden").output}
    local head = nacre.Model{inputs = base:layer("head").input, outputs = base.outputs}
    local x = nacre.load_npy(folder .. "/x.npy")
    nacre.save_npy(folder .. "/features.npy", features:predict(x))
    nacre.save_npy(folder .. "/head.npy", head:predict(features:predict(x, {batch_size = 2})))
    local outer_in = nacre.Input{6}
    local outer = nacre.Model{inputs = outer_in, outputs = nacre.layers.Dense{units = 1}(base(outer_in))}
    local inner, last = nacre.Model{inputs = outer.inputs, outputs = {outer:layer("base/hidden").output, outer:layer("base/head").output}}:predict(x)
    nacre.save_npy(folder .. "/inner.npy", inner)
    assert(base:layer("hidden") == base.layers[2] and base:layer("hidden") ~= base:layer("head"))
  )",
              "s.lua", {folder_.path().string()});
  Model features(model.inputs(), {model.layer("hidden").output()});
  EXPECT_TRUE(read_npy(path("features.npy")).identical(features.predict(ramp())));
  EXPECT_TRUE(read_npy(path("head.npy")).identical(model.predict(ramp())));
  EXPECT_TRUE(read_npy(path("inner.npy")).identical(features.predict(ramp())));
}

TEST_F(Scripts, FunctionalModelsAreThoseOfCpp) {
  engine_.run(std::string(base_model) + "nacre.save_npy(arg[1], base:predict(nacre.load_npy(arg[2])))", "s.lua", [&] {
    return write_npy(path("x.npy"), ramp()), std::vector<std::string>{path("y.npy"), path("x.npy")};
  }());
  EXPECT_TRUE(read_npy(path("y.npy")).identical(test::base_model().predict(ramp())));
}

TEST_F(Scripts, SymbolsKnowArithmeticAndOperations) {
  EXPECT_EQ(text(R"(
    local x = nacre.Input{3}
    local model = nacre.Model{inputs = x, outputs = {x * 2 + 1, 3 - x // 2, (-x) ^ 2 % 3, nacre.ops.sum(x, 1), x:sum({axis = 1}), x:get_item{':', '1:'}}}
    local results = {model:predict(nacre.tensor{{0.0, 1.0, 2.0}})}
    for i, result in ipairs(results) do results[i] = result:totable() end
    return results)"),
            "[[[1, 3, 5]], [[3, 3, 2]], [[0, 1, 1]], [3], [3], [[1, 2]]]");
  EXPECT_EQ(text("local x = nacre.Input{nacre.null, 3, dtype = 'int32'} return {x.shape, x.dtype, tostring(x), x == x, "
                 "x == nacre.Input{2}}"),
            "[[-1, -1, 3], 'int32', 'symbol int32(None, None, 3)', true, false]");
}

TEST_F(Scripts, LayersAreCalledWithKerasArguments) {
  EXPECT_EQ(text(R"(
    local x, mask = nacre.Input{5, 4}, nacre.Input{5, dtype = "bool"}
    local out, h, c = nacre.layers.LSTM{units = 3, return_state = true}(x, {mask = mask})
    local again = nacre.layers.LSTM{units = 3}(x, {initial_state = {h, c}})
    local attended, scores = nacre.layers.MultiHeadAttention{num_heads = 2, key_dim = 2}(x, x, {use_causal_mask = true, return_attention_scores = true})
    local shared = nacre.layers.Dense{units = 4}
    return {out.shape, c.shape, again.shape, attended.shape, scores.shape, nacre.layers.Add()({shared(x), shared(shared(x))}).shape, nacre.layers.Add()(x, x).shape}
  )"),
            "[[-1, 3], [-1, 3], [-1, 3], [-1, 5, 4], [-1, 2, 5, 5], [-1, 5, 4], [-1, 5, 4]]");
  EXPECT_EQ(text("return nacre.layers.TimeDistributed{layer = nacre.layers.Dense{units = 2}}(nacre.Input{3, 4}).shape"),
            "[-1, 3, 2]");
}

TEST_F(Scripts, OperationsTakeKerasArguments) {
  EXPECT_EQ(
      text(R"(
    local ops, x = nacre.ops, nacre.tensor{{1.0, 2.0}, {3.0, 4.0}}
    local mean, variance = nacre.tensor{1.0, 2.0}, nacre.tensor{1.0, 1.0}
    return {ops.full({2}, 7):totable(), ops.pad(nacre.tensor{1, 2}, {{1, 0}}, "constant", 5):totable(),
            ops.average(x, 0, nacre.tensor{3.0, 1.0}):totable(), ops.einsum("ij,jk->ik", x, x):totable(),
            ops.einsum{subscripts = "ij->i", operands = {x}}:totable(),
            ops.batch_normalization(x, mean, variance, -1, mean, {epsilon = 1e-12}):totable(),
            ops.allclose(x, x + 1e-9):item(), x:isin(nacre.tensor{2.0, 3.0}):totable(), ops.swish(nacre.tensor(0.0)):item(),
            ops.segment_min(nacre.tensor{3, 1, 2}, nacre.tensor{0, 0, 1}, 2):totable()})"),
      "[[7, 7], [5, 1, 2], [1.5, 2.5], [[7, 10], [15, 22]], [3, 7], [[1, 2], [3, 4]], true, [[false, true], [true, "
      "false]], 0, [1, 2]]");
  EXPECT_EQ(refusal("local x = nacre.ones{2, 2} nacre.ops.einsum(x, x, 'ij,jk->ik')"),
            "s.lua:1: einsum: got a tensor as 'subscripts'\n  hint: einsum takes subscripts, operands");
  EXPECT_EQ(refusal("nacre.ops.sum(nacre.ones{2}, 0, true, 3)"),
            "s.lua:1: sum: wanted 3 arguments, got 4\n  hint: sum takes x, axis, keepdims");
  EXPECT_EQ(refusal("nacre.ops.sum(nacre.ones{2}, 0, {axis = 0})"),
            "s.lua:1: sum: got 'axis' twice\n  hint: sum takes x, axis, keepdims");
}

// Lua writes no keys like an empty list.
TEST_F(Scripts, TablesMayHaveNoKeys) {
  EXPECT_EQ(text(R"(
    local model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense(nacre.layers.Dense{units = 1}:get_config())}
    model:compile{optimizer = {Adam = {}}, loss = {MeanSquaredError = {}}, metrics = {}}
    return {model.optimizer.learning_rate > 0, #nacre.data.digits{} > 0, #nacre.data.digits() > 0})"),
            "[true, true, true]");
}

TEST_F(Scripts, LayersWithinLayersAreTheSameObjects) {
  EXPECT_EQ(text(R"(
    local dense = nacre.layers.Dense{units = 2}
    nacre.layers.TimeDistributed{layer = dense}(nacre.Input{3, 4})
    return dense.built)"),
            "true");
}

TEST_F(Scripts, LayersCalledSeveralTimesNeedTheNumberOfTheCall) {
  const std::string model =
      "local x = nacre.Input{6} local d = nacre.layers.Dense{units = 6, name = 'd'} local m = nacre.Model{inputs = x, "
      "outputs = d(d(x))}\n";
  EXPECT_EQ(text(model + "return {m:layer('d'):outputs(1)[1] == m.outputs[1], m:layer('d'):inputs(1)[1] == "
                         "m:layer('d'):outputs(0)[1]}"),
            "[true, true]");
  EXPECT_NE(refusal(model + "return m:layer('d').output").find("is called 2 times"), std::string::npos);
  EXPECT_EQ(refusal("nacre.layers.Dense{units = 2}.output()"),
            "s.lua:1: layer 'dense' (Dense) was not taken from a model, so it has no input or output of its own\n"
            "  hint: model:layer(name).output is the result of its call in the model");
}

TEST_F(Scripts, FrozenLayersDoNotLearn) {
  EXPECT_EQ(text(std::string(base_model) + R"(
    base:layer("hidden").trainable = false
    base:compile{optimizer = {SGD = {learning_rate = 0.1}}, loss = "mse"}
    local before = base:get_weights()
    local history = base:fit(nacre.ones{8, 6}, nacre.zeros{8, 2}, {epochs = 2, verbose = false})
    local same = {}
    for i, weight in ipairs(base:get_weights()) do same[i] = tostring(weight) == tostring(before[i]) end
    base:set_weights(before)
    same[#same + 1] = tostring(base:get_weights()[3]) == tostring(before[3])
    base:set_trainable(false)
    same[#same + 1] = base.layers[3].trainable
    return {same, #history.loss})"),
            "[[true, true, false, false, true, false], 2]");
}

TEST_F(Scripts, SequentialModelsLearnFromTheWordsOfYaml) {
  EXPECT_EQ(text(R"(
    local model = nacre.Sequential{nacre.Input{28, 28, 1}, nacre.layers.Flatten(), name = "small"}
    model:add(nacre.layers.Dense{units = 10, activation = "softmax"})
    model:compile{optimizer = nacre.optimizers.Adam{learning_rate = nacre.schedules.ExponentialDecay{
      initial_learning_rate = 0.01, decay_steps = 10, decay_rate = 0.9}}, loss = "sparse_categorical_crossentropy", metrics = {"accuracy"}}
    local function fit(arguments) arguments.verbose = false return model:fit(arguments) end
    local history = fit{data = {digits = {count = 100}}, epochs = 2, batch_size = 50, validation_split = 0.2, class_weight = {[0] = 2.0, 1.0}}
    local other, stopped = fit{data = {train = {digits = {count = 64}}, validation = {digits = {count = 32, seed = 2}}, normalize = {divide = 255}},
                               epochs = 9, callbacks = {nacre.callbacks.EarlyStopping{monitor = "loss", mode = "max", min_delta = 1e9, patience = 1}}}
    local set = nacre.data.digits{count = 40}
    local x, y = set:read(1, 10)
    local third = fit{x = x[1], y = y[1], sample_weight = nacre.ones{10}, validation_data = {x[1], y[1]}}
    local numbers = model:evaluate(set)
    return {#history.val_loss, other.val_accuracy ~= nil, stopped ~= nil, third.val_loss ~= nil, numbers.loss > 0, numbers.accuracy >= 0, #set,
            model:predict(set).shape, tostring(model), x[1].shape, model:evaluate(x[1], y[1], {batch_size = 3}).loss > 0}
  )"),
            "[2, true, true, true, true, true, 40, [40, 10], 'model 'small' (Sequential)', [10, 28, 28, 1], true]");
}

// As in Keras.
TEST_F(Scripts, ValidationDataWinsOverASplit) {
  EXPECT_EQ(text(R"(
    local function loss(split, data)
      local m = nacre.Sequential{nacre.Input{28, 28, 1}, nacre.layers.Flatten(), nacre.layers.Dense{units = 10, activation = "softmax"}}
      m:initialize(1)
      m:compile{loss = "sparse_categorical_crossentropy"}
      return m:fit{data = data, validation_split = split, validation_data = {digits = {count = 20}}, batch_size = 40, verbose = false}.loss[1]
    end
    local set = nacre.data.digits{count = 40}
    return {loss(nil, {digits = {count = 40}}) == loss(0.5, {digits = {count = 40}}), loss(nil, set) == loss(0.5, set)}
  )"),
            "[true, true]");
}

// What the model's file says of data holds for data sets of sources too, once; what a function made of them is its own.
TEST_F(Scripts, DataSetsComeToTheModelInItsForm) {
  for (const auto& [folder, size] : {std::pair("small", 4), std::pair("large", 9)})
    for (const auto& [name, level] : {std::pair("bright", 200), std::pair("dark", 20)}) {
      std::filesystem::create_directories(folder_ / folder / name);
      for (int i = 0; i < 4; ++i) {
        Tensor picture(DType::uint8, {size, size, 3});
        std::ranges::fill(picture.writable<std::uint8_t>(), static_cast<std::uint8_t>(level + i));
        write_png(folder_ / folder / name / fmt::format("{}.png", i), picture);
      }
    }
  Sequential base({Input({4, 4, 3}), Flatten(), Dense({.units = 2, .activation = "softmax"})});
  base.initialize(1);
  base.compile({.optimizer = optimizers::SGD({.learning_rate = 0.0}), .loss = "sparse_categorical_crossentropy"});
  for (const bool floats : {false, true}) {
    base.graph().set_card({.labels = {"bright", "dark"},
                           .preprocessing = {.scale = 1.0 / 255, .floats = floats},
                           .source = "",
                           .licence = ""});
    base.save(folder_ / "base.keras");
    EXPECT_EQ(text("local model, folder = nacre.load('" + path("base.keras") + "'), '" + path("") + R"('
local want = model:evaluate{data = {images = {folder = folder .. "small"}}}.loss
local function same(loss) assert(math.abs(loss - want) < 1e-5, loss .. " " .. want) end
local small, large = nacre.data.images{folder = folder .. "small"}, nacre.data.images{folder = folder .. "large"}
same(model:evaluate(small).loss)
same(model:evaluate{data = large}.loss)
same(model:evaluate(small:skip(0)).loss)
same(model:evaluate(small:map(function(x, y) return x / 255, y end)).loss)
same(model:evaluate(small:map(function(x, y) return x, y end)).loss)
assert(#model:predict(large) == 8)
for _, set in ipairs{small, large} do
  same(model:fit{data = set, epochs = 1, batch_size = 8, verbose = false}.loss[1])
  model:save(folder .. "again.keras")
  same(nacre.load(folder .. "again.keras"):evaluate{data = {images = {folder = folder .. "small"}}}.loss)
end
return "done")"),
              "'done'");
    EXPECT_EQ(load_model(folder_ / "again.keras").graph().card().preprocessing.floats, floats);
  }
}

TEST_F(Scripts, LoadWeightsTakesNoKeyThatItIgnores) {
  run(base_model);
  EXPECT_NE(refusal("base:load_weights('w.weights.h5', {compile = false})").find("unknown key 'compile'"),
            std::string::npos);
  EXPECT_NE(refusal("base:load_weights('w.weights.h5', {allow_lua = true})").find("unknown key 'allow_lua'"),
            std::string::npos);
  EXPECT_EQ(engine_
                .run("local path = ... base:save_weights(path) "
                     "base:load_weights(path, {by_name = true, skip_mismatch = true, untrusted = true}) return true",
                     "s.lua", {path("w.weights.h5")})
                .text(),
            "true");
}

TEST_F(Scripts, ObjectsAreNoArgumentsOfLambda) {
  for (const char* object : {"nacre.zeros{2}", "nacre.layers.Dense{units = 1}"})
    EXPECT_NE(
        refusal(
            fmt::format("nacre.layers.Lambda{{['function'] = 'function(x) return x end', arguments = {{a = {{{}}}}}}}",
                        object))
            .find("got an object, wanted numbers, texts or tables"),
        std::string::npos)
        << object;
  run("nacre.layers.Lambda{['function'] = 'function(x) return x end', arguments = {a = {1, 'b'}}}");
  run("nacre.layers.TimeDistributed{layer = nacre.layers.Dense{units = 1}}");
}

// As in Keras 1.2.2, whose layer supports masks.
TEST_F(Scripts, BatchNormalizationKeras1KeepsMasks) {
  EXPECT_EQ(text(R"(
    local L = nacre.layers
    local x = nacre.Input{shape = {nacre.null}, dtype = "int32"}
    local embedded = L.Embedding{input_dim = 5, output_dim = 4, mask_zero = true}(x)
    local m = nacre.Model{inputs = x, outputs = L.LSTM{units = 2}(L.BatchNormalizationKeras1{mode = 1}(embedded))}
    m:initialize(1)
    local short, long = m:predict(nacre.tensor{{1, 2}}):totable()[1], m:predict(nacre.tensor{{1, 2, 0, 0, 0}}):totable()[1]
    return {math.abs(short[1] - long[1]) < 1e-6, math.abs(short[2] - long[2]) < 1e-6, short[1] ~= 0}
  )"),
            "[true, true, true]");
}

TEST_F(Scripts, FitPrintsALineForEachEpoch) {
  testing::internal::CaptureStdout();
  run(std::string(base_model) +
      "base:compile{loss = 'mse'} base:fit(nacre.ones{8, 6}, nacre.zeros{8, 2}, {epochs = 2}) base:summary()");
  const std::string printed = testing::internal::GetCapturedStdout();
  EXPECT_NE(printed.find("epoch 2/2"), std::string::npos) << printed;
  EXPECT_NE(printed.find("Total params: "), std::string::npos) << printed;
}

TEST_F(Scripts, ModelsGoToFilesAndStayCompiled) {
  EXPECT_EQ(engine_
                .run(std::string(base_model) + R"(
    local folder = ...
    base:compile{loss = "mse", metrics = {"mae"}}
    base:save(folder .. "/m.keras")
    base:save_weights(folder .. "/w.weights.h5")
    local x, again = nacre.ones{2, 6}, nacre.load(folder .. "/m.keras")
    local other = nacre.load(folder .. "/m.keras", {compile = false})
    other:set_weights{nacre.zeros{6, 4}, nacre.zeros{4}, nacre.zeros{4, 2}, nacre.zeros{2}}
    local zero = other:predict(x):totable()[1][1]
    other:load_weights(folder .. "/w.weights.h5")
    return {tostring(again:predict(x)) == tostring(base:predict(x)), again:evaluate(x, nacre.zeros{2, 2}).mae ~= nil, zero,
            tostring(other:predict(x)) == tostring(base:predict(x)), (pcall(other.evaluate, other, x, x))}
  )",
                     "s.lua", {folder_.path().string()})
                .text(),
            "[true, true, 0, true, false]");
}

TEST_F(Scripts, ModelsWithinModelsStayCompiled) {
  EXPECT_EQ(text(std::string(base_model) + R"(
    base:compile{loss = "mse"}
    local x = nacre.Input{6}
    local outer = nacre.Model{inputs = x, outputs = base(x)}
    return outer:layer("base"):evaluate(nacre.ones{2, 6}, nacre.ones{2, 2}).loss > 0)"),
            "true");
}

TEST_F(Scripts, YamlGivesModels) {
  test::write_plainly(folder_ / "m.yaml",
                      "name: net\nmodel: {sequential: [Input: {shape: [3]}, Dense: {units: 2}]}\ntrain: {loss: mse}\n");
  EXPECT_EQ(engine_
                .run("local m = nacre.from_yaml(...) return {tostring(m), m:evaluate(nacre.ones{1, 3}, nacre.ones{1, "
                     "2}).loss ~= nil}",
                     "s.lua", {path("m.yaml")})
                .text(),
            "['model 'net' (Sequential)', true]");
}

// --- mistakes -----------------------------------------------------------------------------------------------------

// A script's own errors pass through functions of nacre as what they are.
TEST_F(Scripts, ErrorsThatAreNoTextsPassThrough) {
  EXPECT_EQ(
      text("local ok, e = pcall(nacre.grad(function(x) error({code = 42}) end), nacre.tensor(1.0)) "
           "local inner, f = pcall(nacre.grad(function(x) nacre.grad(function(y) error({code = 43}) end)(x) end), "
           "nacre.tensor(1.0)) return {ok, e.code, inner, f.code}"),
      "[false, 42, false, 43]");
  EXPECT_EQ(refusal("nacre.grad(function(x)\nerror({}) end)(nacre.tensor(1.0))"),
            "s.lua:2: the script raised an error that is no text (table)\n  called at s.lua:1");
  // The next error is its own.
  EXPECT_EQ(text("pcall(nacre.grad(function(x) error({code = 42}) end), nacre.tensor(1.0)) "
                 "local _, e = pcall(nacre.grad(function(x) error('text') end), nacre.tensor(1.0)) return e"),
            "'s.lua:1: text'");
}

// The words of Python and of other libraries lead to ours.
TEST_F(Scripts, HabitsOfOtherLanguagesAreAnswered) {
  const std::pair<const char*, const char*> answers[] = {
      {"nacre.layers.Dense{16, activation = 'relu'}", "write Dense{units = 16}"},
      {"nacre.layers.Dense(16, {activation = 'relu'})", "write Dense{units = 16}"},
      {"nacre.optimizers.Adam(0.01)", "write Adam{learning_rate = 0.01}"},
      {"local o = nacre.optimizers.Adam() print(o.lr)", "here it is optimizer.learning_rate"},
      {"nacre.optimizers.Adam():apply_gradients()", "here it is optimizer:apply(gradients, weights)"},
      {"nacre.Sequential{}:get_layer('x')", "here it is model:layer(name)"},
      {"nacre.Sequential{}:compile('adam', 'mse')", "write {optimizer = 'adam'}"},
      {"nacre.Sequential{}:compile{optimizer = 'sgd', loss = 'mse', metrics = {'acuracy'}}",
       "did you mean 'accuracy'?"},
      {"nacre.Sequential{}:compile{optimizer = 'sgd', loss = 'sparse_crossentropy'}",
       "did you mean 'sparse_categorical_crossentropy'?"},
      {"nacre.callbacks.LambdaCallback{}",
       "C++ makes it; in Lua a table of the functions is a callback: {on_epoch_end = function(self, epoch, logs) … "
       "end}"},
      {"nacre.data.digits{count = 4}:batches(2)", "write {batch_size = 2}"},
      {"nacre.data.digits{count = 4}:shuffle(2)", "here it is dataset:batches{shuffle = true}"},
      {"nacre.load_model('x.keras')", "here it is nacre.load(path)"},
      {"nacre.relu(nacre.ones{1})", "here it is nacre.ops.relu"},
      {"nacre.Dense{units = 1}", "here it is nacre.layers.Dense"},
      {"nacre.ops.vectorized_map()", "it takes functions: nacre.map"},
      {"nacre.Layer('Scale', {build = function() end})",
       "methods stand behind the class: function Scale:build(…) … end"},
      {"nacre.Layer{name = 'Scale'}", "nacre.Layer(\"Name\", {fields}), then its methods"},
      {"nacre.zeros{4}:reshape(2, 2)", "reshape takes x, newshape; a list is one table: {2, 2}"},
      {"nacre.randn(2, 3)", "the shape is one table: {2, 3}"},
      {"local x = nacre.ones{2, 2} x.mean(0)", "methods are called with a colon: tensor:mean(…)"},
      {"local x = nacre.ones{2, 2} x.sum()", "methods are called with a colon: tensor:sum(…)"},
      {"local x = nacre.ones{2} return x * weight", "is a name misspelt, or without a value yet?"},
      {"local model = 1 modle:fit()", "did you mean 'model'?"},
      {"local function f(model) return function() return modle.x, model end end f(1)()", "did you mean 'model'?"},
      {"return 'loss: ' .. nacre.ones{1}", "tostring(t) is its text, t:item() its number"},
      {"return string.format('%d', nacre.ones{1})", "t:item() is its number"},
  };
  for (const auto& [source, answer] : answers) EXPECT_EQ(error(source).hint_text(), answer) << source;
}

TEST_F(Scripts, MistakesAreSaidWithLineAndNearestKey) {
  EXPECT_EQ(refusal("local x\nx = nacre.layers.Dense{unit = 3}"),
            "s.lua:2: layer 'dense' (Dense): unknown key 'unit'\n  hint: did you mean 'units'?");
  EXPECT_EQ(refusal("nacre.layers.Dense{units = 'many', name = 'fc'}"),
            "s.lua:1: layer 'fc' (Dense): 'units': wanted an integer, got 'many'");
  EXPECT_EQ(refusal("nacre.layers.Dens{units = 3}"), "s.lua:1: unknown layer 'Dens'\n  hint: did you mean 'Dense'?");
  EXPECT_EQ(refusal("nacre.Sequental{}"), "s.lua:1: nacre has no 'Sequental'\n  hint: did you mean 'Sequential'?");
  EXPECT_EQ(refusal("nacre.layers.Dense(3)"),
            "s.lua:1: got a number, wanted a table of names: Dense{…}\n  hint: write Dense{units = 3}");
  EXPECT_NE(
      refusal("nacre.ops.unique(1)").find("operation keras.ops.Unique has results whose size depends on the values"),
      std::string::npos);
  EXPECT_EQ(refusal("nacre.ops.rellu(1)"), "s.lua:1: there is no operation 'rellu'\n  hint: did you mean 'relu'?");
  EXPECT_EQ(refusal("nacre.optimizers.Adam{learning_rat = 1}"),
            "s.lua:1: Adam: unknown key 'learning_rat'\n  hint: did you mean 'learning_rate'?");
  EXPECT_EQ(refusal("nacre.Input{3, dtyp = 'int32'}"),
            "s.lua:1: Input: unknown key 'dtyp'\n  hint: did you mean 'dtype'?");
  EXPECT_EQ(refusal("nacre.layers.Dense{units = 3}(nacre.Input{3}, {trainig = true})"),
            "s.lua:1: layer 'dense' (Dense): the call has no argument 'trainig'\n  hint: did you mean 'training'?");
  EXPECT_EQ(refusal("nacre.layers.Dense{units = 3}(5)"),
            "s.lua:1: got a number, wanted a symbol or tensor, or a list of them");
  EXPECT_EQ(refusal("nacre.layers.TimeDistributed{layer = nacre.tensor{1}}"),
            "s.lua:1: layer 'time_distributed' (TimeDistributed): 'layer': got tensor int32(1,) {1}, wanted a layer");
  const std::string model(base_model);
  EXPECT_EQ(refusal(model + "base:layer('hiden')"),
            "s.lua:6: the model 'base' has no layer 'hiden'\n  hint: did you mean 'hidden'?");
  EXPECT_EQ(refusal(model + "base:fitt{}"),
            "s.lua:6: model 'base' (Functional) has no 'fitt'\n  hint: did you mean 'fit'?");
  EXPECT_EQ(refusal(model + "base:compile{los = 'mse'}"),
            "s.lua:6: compile: unknown key 'los'\n  hint: did you mean 'loss'?");
  EXPECT_EQ(refusal(model + "base.fit(3)"),
            "s.lua:6: got a number, wanted a model\n  hint: methods are called with a colon: model:fit(…)");
  EXPECT_EQ(refusal(model + "base:compile{loss = 'mse'} base:fit(nacre.ones{1, 6}, nacre.ones{1, 2}, {epoch = 1})"),
            "s.lua:6: fit: unknown key 'epoch'\n  hint: did you mean 'epochs'?");
  EXPECT_EQ(refusal(model + "base:predict{{1, 2}}"),
            "s.lua:6: 'x': got a table, wanted a tensor\n  hint: nacre.tensor(table) makes one");
  EXPECT_EQ(refusal("nacre.data.digit{count = 3}"),
            "s.lua:1: unknown data source 'digit'\n  hint: did you mean 'digits'?");
}

TEST_F(Scripts, LayersThatDoNotFitAreSaidWithTheLineThatMadeThem) {
  const Error caught = error(
      "nacre.Sequential{nacre.Input{4},\n  nacre.layers.Dense{units = 2},\n  nacre.layers.Conv2D{filters = 3, "
      "kernel_size = 3}}");
  EXPECT_EQ(
      std::string(caught.what()),
      "s.lua:3: layer 'conv2d' (Conv2D): got input (None, 2), wanted rank 4\n  while building model 'sequential'\n"
      "  hint: put a Reshape layer before it that adds the missing axes");
  EXPECT_EQ(caught.kind(), Error::Kind::usage);
}

TEST_F(Scripts, MistakesInFunctionsSayWhereTheyWereCalled) {
  EXPECT_EQ(refusal("local function block(x)\n  return (nacre.layers.Conv2D{filters = 3, kernel_size = "
                    "3}(x))\nend\nlocal y = block(nacre.Input{4})\nreturn y"),
            "s.lua:2: layer 'conv2d' (Conv2D): got input (None, 4), wanted rank 4\n  called at s.lua:4\n"
            "  hint: put a Reshape layer before it that adds the missing axes");
  EXPECT_EQ(refusal("local t\nt.x = 1"), "s.lua:2: attempt to index a nil value (local 't')");
}

TEST_F(Scripts, ErrorsAreTextsThatScriptsMayCatch) {
  EXPECT_EQ(
      text(
          "local ok, message = pcall(nacre.load, 'nothing.keras') return {ok, type(message), message:match('^[^:]+')}"),
      "[false, 'string', 'nothing.keras']");
  EXPECT_EQ(error("error(select(2, pcall(nacre.layers.Dense, {unit = 1})), 0)").kind(), Error::Kind::usage)
      << "what was caught and raised again is still what it was";
  EXPECT_EQ(error("error('mine')").kind(), Error::Kind::failure);
  EXPECT_EQ(error("x = = 1").kind(), Error::Kind::usage);
  EXPECT_EQ(std::string(error("x = = 1").what()), "s.lua:1: unexpected symbol near '='");
  EXPECT_EQ(error("\nerror('mine')").mark().line, 2);
}

// --- hostile scripts ----------------------------------------------------------------------------------------------

TEST_F(Scripts, AnythingMayBeRaised) {
  EXPECT_EQ(refusal("error(nil)"), "s.lua:1: the script raised an error that is no text (nil)");
  EXPECT_EQ(refusal("\nerror({})"), "s.lua:2: the script raised an error that is no text (table)");
  EXPECT_EQ(refusal("error(setmetatable({}, {__tostring = function() return 'mine' end}))"), "mine");
  EXPECT_NE(refusal("error(setmetatable({}, {__tostring = function() error({}) end}))"), "");
  EXPECT_NE(refusal("error(nacre.tensor{1})"), "");
  EXPECT_EQ(refusal("error(12)"), "12");
  EXPECT_NE(refusal("coroutine.wrap(function() nacre.layers.Dense{unit = 1} end)()").find("unknown key 'unit'"),
            std::string::npos);
}

TEST_F(Scripts, RecursionAndMemoryEnd) {
  EXPECT_NE(refusal("local function f() return 1 + f() end f()").find("stack overflow"), std::string::npos);
  EXPECT_NE(
      refusal(
          "local t = setmetatable({}, {}) getmetatable(t).__index = function(_, k) return t[k .. 'x'] end return t.a"),
      "");
  EXPECT_NE(refusal("local t = {} t.t = t nacre.layers.Dense(t)").find("nested too deep"), std::string::npos);
  EXPECT_NE(
      refusal("local t = {1} for i = 1, 30 do t = {t, t} end nacre.layers.Dense{units = t}").find("handed more than"),
      std::string::npos);
  EXPECT_NE(refusal("local t = {} t[1] = t nacre.tensor(t)").find("at most 32 axes"), std::string::npos);
  EXPECT_NE(
      refusal("local t = {1} for i = 1, 31 do t = {t, t, t, t} end nacre.tensor(t)").find("has too many elements"),
      std::string::npos);
  EXPECT_NE(refusal("local t = {1} for i = 1, 20 do t = {t, t, t, t} end nacre.tensor(t)")
                .find("larger than this machine's memory"),
            std::string::npos);
  Engine small({.memory = 8 << 20});
  EXPECT_EQ(test::message_of([&] { small.run("local t = {} for i = 1, 1e9 do t[i] = {} end"); }),
            "Lua needs too much memory\n  hint: it may use 8 MiB");
  EXPECT_EQ(test::message_of([&] { small.run("local t = {} for i = 1, 1e9 do t[i] = nacre.tensor(i) end"); }),
            "Lua needs too much memory\n  hint: it may use 8 MiB");
  EXPECT_NE(test::message_of([&] { small.run("return nacre.zeros{1000, 1000}:totable()"); }).find("too much memory"),
            std::string::npos);
  EXPECT_EQ(small.run("return 1 + 1").text(), "2") << "it goes on";
}

TEST_F(Scripts, MetatablesMayBeTamperedWith) {
  EXPECT_EQ(text("return getmetatable(nacre.tensor{1})"), "false");
  const std::string prelude =
      "local t, x = nacre.tensor{1.5}, nacre.Input{3}\nlocal tensor, symbol = debug.getmetatable(t), "
      "debug.getmetatable(x)\n";
  // Neither another class's methods nor another library's objects are taken for what they are not.
  EXPECT_NE(refusal(prelude + "debug.setmetatable(t, symbol) return t + 1, t.shape, nacre.layers.Dense{units = 1}(t)"),
            "");
  EXPECT_NE(refusal(prelude + "debug.setmetatable(io.stdout, tensor) local ok, m = pcall(function() return "
                              "io.stdout.shape end) debug.setmetatable(io.stdout, nil) error(m)"),
            "");
  EXPECT_NE(refusal(prelude + "tensor.__gc(t) return t:item()"), "");
  EXPECT_EQ(text(prelude + "tensor.__gc(t) tensor.__gc(t) tensor.__gc(5) tensor.__gc(io.stdout) tensor.__gc = nil t = "
                           "nil collectgarbage() return 'alive'"),
            "'alive'");
  EXPECT_NE(refusal(prelude + "for k in pairs(debug.getregistry()) do if type(k) == 'userdata' then "
                              "debug.getregistry()[k] = 5 end end return nacre.tensor{1}"),
            "");
}

// … and what is a tensor stays whole.
TEST_F(Scripts, MetamethodsRefuseWhatIsNoTensor) {
  const std::string prelude = "local t, x = nacre.tensor{1.5}, nacre.Input{3}\nlocal tensor = debug.getmetatable(t)\n";
  for (const char* call : {"__index", "__newindex", "__tostring", "__eq", "__len"})
    EXPECT_EQ(text(prelude +
                   fmt::format(
                       "local f, results = tensor.{}, {{}} for _, arguments in ipairs{{{{}}, {{1}}, {{nil, nil, nil}}, "
                       "{{{{}}, {{}}}}, {{io.stdout, t}}, {{1, t}}}} do local done, result = "
                       "pcall(f, table.unpack(arguments)) results[#results + 1] = done and result end "
                       "results[#results + 1] = t:item() return results",
                       call)),
              "[false, false, false, false, false, false, 1.5]")
        << call;
}

TEST_F(Scripts, ObjectsMayEndWhileTheyAreUsed) {
  EXPECT_EQ(text(R"(
    local t = nacre.ones{1024, 1024}
    local gc = debug.getmetatable(t).__gc
    for i = 1, 50 do setmetatable({}, {__gc = function() gc(t) end}) end
    collectgarbage("step", 0)
    for i = 1, 200 do pcall(function() return #nacre.tensor(t, "float32") end) end
    return "alive")"),
            "'alive'");
}

TEST_F(Scripts, EveryFunctionRefusesEveryKindOfArgument) {
  const std::string source = fmt::format("local text = [[{}]]", path("text")) + R"(
    local x = nacre.Input{3}
    local model = nacre.Model{inputs = x, outputs = nacre.layers.Dense{units = 2}(x)}
    local values = {1, -1, 0.5, text, true, {}, {1}, {{}}, {a = 1}, {[0.5] = 1}, {[{}] = 1}, print, coroutine.create(print), io.stdout,
                    nacre.tensor{1}, x, model, model.layers[2], nacre.null, nacre.optimizers.SGD(), nacre.data.digits{count = 2}, math.huge, 1 << 62}
    local functions = {}
    for _, f in pairs(nacre) do if type(f) == "function" then functions[#functions + 1] = f end end
    for _, name in ipairs{"layer", "add", "pop", "build", "compile", "fit", "evaluate", "predict", "initialize", "set_device", "load_weights",
                          "set_weights", "set_trainable", "get_config", "get_weights", "count_params"} do
      functions[#functions + 1] = function(...) return model[name](model, ...) end
      functions[#functions + 1] = model[name]
    end
    for _, name in ipairs{"item", "totable"} do functions[#functions + 1] = nacre.tensor{1}[name] end
    functions[#functions + 1] = model
    functions[#functions + 1] = nacre.layers.Dense
    functions[#functions + 1] = nacre.ops.add
    functions[#functions + 1] = nacre.ops.concatenate
    functions[#functions + 1] = nacre.data.digits
    -- What is refused is said in words, with the line.
    local calls, refused, strange = 0, 0, {}
    local function try(f, ...)
      calls = calls + 1
      local done, message = pcall(f, ...)
      if done then return end
      refused = refused + 1
      if type(message) ~= "string" or not message:find("s.lua:%d+") or message:find("internal error") then
        strange[#strange + 1] = tostring(message)
      end
    end
    for _, f in ipairs(functions) do
      try(f)
      for _, a in ipairs(values) do
        try(f, a)
        for _, b in ipairs{1, text, {}, x, nacre.tensor{1}} do try(f, a, b) end
      end
    end
    return {strange, calls > 5000, refused > 5000})";
  EXPECT_EQ(text(source), "[[], true, true]");
}

TEST(ScriptCallbacks, AreStoppedByTheFlag) {
  std::atomic<bool> stop{false};
  Engine engine({.stop = &stop});
  for (const char* source :
       {"while true do end", "while true do pcall(function() while true do end end) end",
        "coroutine.wrap(function() while true do end end)()",
        "nacre.while_loop(nacre.ops.ones_like, nacre.ops.negative, {1})",
        "nacre.compile(function(x) return nacre.while_loop(function() return true end, function(x) return x + 1 end, "
        "x) "
        "end)(nacre.ones{2})",
        "local m = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}} m:compile{loss = 'mse'}\n"
        "m:fit(nacre.ones{64, 2}, nacre.ones{64, 1}, {epochs = 1 << 40, verbose = false})"}) {
    stop = false;
    std::thread later([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      stop = true;
    });
    const std::string message = test::message_of([&] { engine.run(source, "s.lua"); });
    later.join();
    EXPECT_NE(message.find("interrupted"), std::string::npos) << source << message;
  }
}

// --- scripts of others --------------------------------------------------------------------------------------------

TEST(SandboxedScripts, ComputeAndReachNothingElse) {
  Engine engine({.sandbox = true});
  EXPECT_EQ(
      engine
          .run("local w = nacre.Variable(nacre.tensor{1.0, 2.0}) local o = nacre.optimizers.SGD{learning_rate = 0.5} "
               "local step = nacre.compile(function() local l, g = nacre.value_and_grad(function() return (w * "
               "w):sum() end, w)() "
               "o:apply({g}, {w}) return l end) return {step():item(), w.value:totable(), pcall(error, 'x')}")
          .text(),
      "[5, [0, 0], false, 'x']");
  for (const char* name : {"io", "os", "require", "dofile", "loadfile", "load", "debug", "package", "setmetatable"})
    EXPECT_NE(test::message_of([&] {
                engine.run(fmt::format("return {}", name));
              }).find(fmt::format("the sandbox has no '{}'", name)),
              std::string::npos)
        << name;
  for (const char* name : {"load", "from_yaml", "save_npy", "load_npy", "data", "callbacks", "import"})
    EXPECT_THROW(engine.run(fmt::format("return nacre.{}", name)), Error) << name;
  EXPECT_THROW(engine.run("nacre.Sequential{nacre.Input{1}}:save('x.keras')"), Error);
}

TEST(SandboxedScripts, AreBounded) {
  const auto message = [](const char* source) {
    Engine engine({.sandbox = true});
    return test::message_of([&] { engine.run(source); });
  };
  EXPECT_NE(message("while true do pcall(function() while true do end end) end").find("too many steps"),
            std::string::npos);
  EXPECT_NE(message("local t = {} while true do t[#t + 1] = {} end").find("too much memory"), std::string::npos);
  EXPECT_NE(message("local t = {} while true do t[#t + 1] = nacre.ones{1000, 1000} end").find("tensors take more than"),
            std::string::npos);
  EXPECT_NE(message("local a = nacre.ones{100000, 1} return a:matmul(nacre.ones{1, 100000})").find("take more than"),
            std::string::npos);
}

}  // namespace
}  // namespace nacre
