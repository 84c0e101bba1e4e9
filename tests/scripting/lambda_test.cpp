// Lambda layers with functions of Lua.
#include "scripting/lambda.h"

#include <gtest/gtest.h>

#include "api/experiment/model_builder.h"
#include "api/nacre.h"
#include "formats/yaml.h"
#include "layers/symbolic_ops.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

class LambdaOfLua : public testing::Test {
 protected:
  void SetUp() override { enable_lua(); }
  static Model model(const std::string& function, Shape shape = {3}) {
    const Symbol x = Input(std::move(shape));
    return Model({x}, {Lambda({.function = {function}})(x)});
  }
  static Tensor result(const std::string& function) { return model(function).predict(numbers()); }
  static Tensor numbers() { return Tensor::of<float>({2, 3}, {-1, 0, 1, 2, 3, 4}); }
  static std::string refusal(const std::string& function) {
    return test::message_of([&] { result(function); });
  }
};

TEST_F(LambdaOfLua, ComputesWithTensorsAndNumbers) {
  const auto expect = [&](const std::string& function, const std::vector<double>& wanted) {
    EXPECT_EQ(result(function).to_doubles(), wanted) << function;
  };
  expect("function(x) return x * 2 + nacre.ops.relu(x) end", {-2, 0, 3, 6, 9, 12});
  expect("function(x) return 1 - x // 2 end", {2, 1, 1, 0, 0, -1});
  expect("function(x) return (-x) ^ 2 % 3 end", {1, 0, 1, 1, 0, 1});
  expect("function(x) return nacre.ops.sum(x, 1) end", {0, 9});
  expect("function(x) return x:sum({axis = 1}) / x.shape[2] end", {0, 3});
  expect("function(x) return nacre.ops.where(nacre.ops.greater(x, 1), x, 0) end", {0, 0, 0, 2, 3, 4});
  expect("function(x) return nacre.ops.concatenate({x, x}, 1):get_item({':', '4:'}) end", {0, 1, 3, 4});
  expect("function(x) local y = x for i = 1, 3 do y = y + x end return y end", {-4, 0, 4, 8, 12, 16});
}

TEST_F(LambdaOfLua, TakesSeveralInputsAndArgumentsAndGivesSeveralOutputs) {
  const Symbol a = Input({3}), b = Input({3});
  const LayerRef layer = Lambda(
      {.function = {"function(inputs, arguments) return {inputs[1] - inputs[2], inputs[1] * arguments.scale} end"},
       .arguments = Tree(Tree::Mapping{{"scale", 10, {}}})});
  Model model({a, b}, layer.all({a, b}));
  const auto results = model.predict(array_dataset({.inputs = {numbers(), numbers()}}));
  EXPECT_EQ(results.at(0).to_doubles(), (std::vector<double>(6, 0)));
  EXPECT_EQ(results.at(1).at(5), 40);
}

TEST_F(LambdaOfLua, SaysWhatIsWrongWithTheFunction) {
  EXPECT_NE(refusal("function(x) return x + end").find("in the Lua function"), std::string::npos);
  EXPECT_NE(refusal("function(x) return 3 end").find("wanted a tensor"), std::string::npos);
  EXPECT_NE(refusal("function(x) return nacre.ops.rellu(x) end").find("did you mean"), std::string::npos);
  EXPECT_NE(refusal("function(x) if x > 0 then return x end end").find("nacre.ops.greater"), std::string::npos);
  EXPECT_NE(refusal("function(x) return nacre.ops.reshape(x, {7, 7}) end").find("layer 'lambda' (Lambda)"),
            std::string::npos);
}

TEST_F(LambdaOfLua, ReachesNothingOutsideAndEnds) {
  for (const char* name : {"io", "os", "load", "require", "dofile", "debug", "coroutine", "setmetatable"})
    EXPECT_NE(
        refusal(fmt::format("function(x) return {}.x end", name)).find(fmt::format("the sandbox has no '{}'", name)),
        std::string::npos)
        << name;
  EXPECT_NE(refusal("function(x) while true do end end").find("too many steps"), std::string::npos);
  EXPECT_NE(refusal("function(x) local t = {} for i = 1, 1e9 do t[i] = i end end").find("memory"), std::string::npos);
  for (const char* body : {"for i = 1, 1e6 do x = x + 1 end return x",
                           "local t = {1} for i = 1, 30 do t = {t, t} end return nacre.ops.add(x, t)"})
    EXPECT_NE(refusal(fmt::format("function(x) {} end", body)).find("handed more than"), std::string::npos) << body;
}

// A few entries make a table whose length is 2^62.
TEST_F(LambdaOfLua, TablesThatClaimToBeLongCountAsSteps) {
  std::string entries;
  for (int bit = 0; bit < 63; ++bit) entries += fmt::format("[{}] = 1, ", std::int64_t{1} << bit);
  for (const char* work : {"table.insert(t, 1, 5)", "table.remove(t, 1)", "table.concat(t)", "table.unpack(t)",
                           "for i = 1, 1000 do table.unpack({}, 1, 100000) end"})
    EXPECT_NE(
        refusal(fmt::format("function(x) local t = {{{}}} {} return x end", entries, work)).find("too many steps"),
        std::string::npos)
        << work;
  const auto works = [](const char* body) { return result(fmt::format("function(x) {} end", body)).to_doubles(); };
  const std::vector<double> twice{-2, 0, 2, 4, 6, 8};
  EXPECT_EQ(works("local t = {} for i = 1, 20000 do table.insert(t, i) end return x * table.remove(t, 2)"), twice);
  EXPECT_EQ(works("local t = {3, 2} table.insert(t, 1, 1) local a, b, c = table.unpack(t) return x * c"), twice);
  EXPECT_EQ(works("return x * tonumber(table.concat({1, 2, 3}, '', 2, 2))"), twice);
  EXPECT_NE(refusal("function(x) table.insert(3, 4) end").find("lambda:1: bad argument #1 to 'insert'"),
            std::string::npos);
}

// One step may copy, compare or read all of a text.
TEST_F(LambdaOfLua, TextsAreShort) {
  for (const char* work :
       {"while true do s = s .. s end", "s = table.concat({s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s})"})
    EXPECT_NE(refusal(fmt::format("function(x) local s = 'x' for i = 1, 10 do s = s .. s end {} return x end", work))
                  .find("a text grows too long"),
              std::string::npos)
        << work;
  const std::string first = "function(x) local a, b = ' ', ' ' for i = 1, 12 do a = a .. a b = b .. b end ";
  EXPECT_EQ(result(first + "return x * #(a .. b) end").at(1), 0);
  for (const char* work : {"local c = a .. b", "local c = a == b", "local c = a < b", "local c = tonumber(a)"})
    EXPECT_NE(refusal(first + fmt::format("while true do {} end end", work)).find("too many steps"), std::string::npos)
        << work;
}

TEST_F(LambdaOfLua, HasGradients) {
  Sequential trained(
      {Input({3}), Dense({.units = 2}), Lambda({.function = {"function(x) return nacre.ops.square(x) end"}})});
  trained.initialize(1);
  trained.compile({.optimizer = "adam", .loss = "mse"});
  const Batch batch{.inputs = {numbers()}, .targets = {Tensor(DType::float32, {2, 2})}, .weights = {}, .size = 2};
  const auto loss = [&] {
    const Logs logs = trained.train_on_batch(batch);
    return *logs.find("loss");
  };
  const double first = loss();
  double last = first;
  for (int i = 0; i < 20; ++i) last = loss();
  EXPECT_LT(last, first);
}

TEST_F(LambdaOfLua, RunsFromFilesOnlyWhereThatIsAllowed) {
  const test::TemporaryFolder folder;
  const Model saved = model("function(x) return x * 3 end");
  for (const char* name : {"model.h5", "model.keras"}) {
    saved.save(folder / name);
    const std::string message = test::message_of([&] { load_model(folder / name); });
    EXPECT_NE(message.find("--allow-lua"), std::string::npos) << message;
    EXPECT_NE(message.find("'lambda'"), std::string::npos) << message;
    EXPECT_TRUE(
        load_model(folder / name, {.allow_lua = true}).predict(numbers()).identical(Model(saved).predict(numbers())))
        << name;
  }
}

TEST_F(LambdaOfLua, SavingSaysThatKerasWillNotOpenTheFile) {
  struct KeepsWarnings : ProgressListener {
    std::vector<std::string> lines;
    void warn(std::string_view line) override { lines.emplace_back(line); }
  } said;
  const test::TemporaryFolder folder;
  save_model(model("function(x) return x * 3 end"), folder / "m.keras", {.listener = &said});
  EXPECT_EQ(
      said.lines,
      (std::vector<std::string>{"layer 'lambda' (Lambda): its function is Lua, so Keras will not open the file"}));
  said.lines.clear();
  save_model(model("relu"), folder / "n.keras", {.listener = &said});
  EXPECT_TRUE(said.lines.empty());
}

TEST_F(LambdaOfLua, StandsInYaml) {
  const auto built = build_model(
      parse_yaml("sequential:\n- Input: {shape: [3]}\n- Lambda: {function: 'function(x) return x + 1 end'}\n"), {},
      ".");
  EXPECT_EQ(Model(built).predict(numbers()).at(0), 0);
}

TEST(Lambda, KnowsKerasFunctionsByName) {
  const auto layer =
      read_object<Layer>(parse_yaml("{class_name: Lambda, config: {function: {class_name: function, config: relu, "
                                    "module: keras.activations, registered_name: relu}}}"));
  const Symbol x = Input({2});
  EXPECT_EQ(Model({x}, {LayerRef(layer)(x)}).predict(Tensor::of<float>({1, 2}, {-1, 2})).to_doubles(),
            (std::vector<double>{0, 2}));
  for (const char* python : {"{class_name: __lambda__, config: {code: abc}}", "[abc, null, null]", "my_function"}) {
    const std::string message =
        test::message_of([&] { read_object<Layer>(parse_yaml(fmt::format("{{Lambda: {{function: {}}}}}", python))); });
    EXPECT_NE(message.find("Python code"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace nacre
