// A YAML file whose model, loss and the rest are classes of Lua: trained, saved, and used by who allows it.
#include <gtest/gtest.h>

#include "formats/json.h"
#include "tests/cli/run_nacre.h"
#include "tests/support/paths.h"
#include "tests/support/sanitizers.h"

namespace nacre::test {
namespace {

constexpr std::string_view classes = R"(local Gate = nacre.Layer("Gate", {units = 8, activation = "sigmoid"})
function Gate:build(input_shape)
  self.kernel = self:add_weight{name = "kernel", shape = {input_shape[#input_shape], self.units}}
  self.inner = nacre.layers.Dense{units = self.units}
end
function Gate:call(x)
  return nacre.ops[self.activation](x:matmul(self.kernel)) * self.inner(x)
end
local Squared = nacre.Loss("Squared", {factor = 1})
function Squared:call(y_true, y_pred) return self.factor * nacre.ops.mean((y_true - y_pred) ^ 2, -1) end
local Plain = nacre.Optimizer("Plain", {learning_rate = 0.1})
function Plain:update_step(gradient, variable, learning_rate) return variable - gradient * learning_rate end
local Tell = nacre.Callback("Tell")
function Tell:on_epoch_end(epoch, logs) print("epoch " .. epoch) end
return {error = function(y_true, y_pred) return nacre.ops.mean(nacre.ops.abs(y_true - y_pred), -1) end}
)";
constexpr std::string_view config = R"(name: gates
model:
  sequential:
    - Input: {shape: [2]}
    - Lua: {file: classes.lua, class: Gate, units: 6}
    - Dense: {units: 1}
data: {train: {csv: {file: d.csv, target: y}}}
train:
  optimizer: {Lua: {file: classes.lua, class: Plain}}
  loss: {Lua: {file: classes.lua, class: Squared}}
  metrics: [{Lua: {file: classes.lua, class: error}}]
  callbacks: [{Lua: {file: classes.lua, class: Tell}}]
  epochs: 3
)";

class LuaClasses : public testing::Test {
 protected:
  LuaClasses() {
    std::filesystem::create_directory(folder_ / "in");
    write_plainly(folder_ / "in/classes.lua", std::string(classes));
    write_plainly(folder_ / "in/t.yaml", std::string(config));
    std::string rows = "a,b,y\n";
    for (int i = 0; i < 32; ++i)
      rows += fmt::format("{},{},{}\n", i % 4 * 0.25, i % 3 * 0.5, i % 4 * 0.5 - i % 3 * 0.25);
    write_plainly(folder_ / "in/d.csv", rows);
    write_plainly(folder_ / "x.csv", "0.25,0.5\n");
  }
  Outcome nacre(const std::vector<std::string>& words) { return run_nacre(words, folder_.path()); }
  TemporaryFolder folder_;
};

TEST_F(LuaClasses, TrainPredictAndTheRest) {
  const Outcome trained = nacre({"train", "in/t.yaml", "--output", "run"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_EQ(trained.err.find("epoch 0\nepoch 1\nepoch 2\n"), 0u) << trained.err;
  EXPECT_NE(trained.out.find("Epoch 3/3 - "), std::string::npos) << trained.out;
  std::filesystem::remove(folder_ / "in/classes.lua");  // the model needs it no more

  const Outcome refused = nacre({"predict", "run/model.h5", "x.csv"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_NE(refused.err.find(": it holds Lua code, which is not run from files unless that is allowed\n"),
            std::string::npos)
      << refused.err;
  EXPECT_NE(refused.err.find("\n  hint: --allow-lua allows it, and in a script "), std::string::npos) << refused.err;
  const Outcome predicted = nacre({"predict", "run/model.h5", "x.csv", "--allow-lua"});
  EXPECT_EQ(predicted.status, 0) << predicted.err;
  EXPECT_EQ(parse_json(predicted.out).items().size(), 1u) << predicted.out;
  // Through every format, and from a process that can do nothing else.
  for (const char* file : {"m.keras", "n.h5", "m.json"}) {
    const Outcome converted = nacre({"convert", "run/model.h5", file, "--allow-lua"});
    EXPECT_EQ(converted.status, 0) << file << converted.err;
  }
  if (!test::sanitized) {  // sanitizers reserve more memory than any limit allows
    for (const char* file : {"m.keras", "n.h5"})
      EXPECT_EQ(nacre({"predict", file, "x.csv", "--allow-lua", "--untrusted"}).out, predicted.out) << file;
  }
  EXPECT_EQ(nacre({"summary", "m.json"}).status, 2);
  const Outcome summary = nacre({"summary", "m.json", "--allow-lua"});
  EXPECT_NE(summary.out.find("gate (Gate)"), std::string::npos) << summary.out << summary.err;
  const Outcome evaluated = nacre({"evaluate", "m.keras", "--data", "in/t.yaml", "--allow-lua"});
  EXPECT_EQ(evaluated.status, 2) << "the configuration still names the file";
  write_plainly(folder_ / "in/classes.lua", std::string(classes));
  const Outcome with_file = nacre({"evaluate", "m.keras", "--data", "in/t.yaml", "--allow-lua"});
  EXPECT_EQ(with_file.status, 0) << with_file.err;
  EXPECT_NE(with_file.out.find("error "), std::string::npos) << with_file.out;
  // The run's own configuration is whole: it goes on from elsewhere.
  const Outcome resumed = nacre({"train", "run/config.yaml", "--output", "run", "--resume", "train.epochs=5"});
  EXPECT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_NE(resumed.out.find("Epoch 5/5 - "), std::string::npos) << resumed.out;
}

// Only how it was compiled needs Lua: it predicts without.
TEST_F(LuaClasses, ALossOfLuaDoesNotStopAModelFromPredicting) {
  std::string text(config);
  text.replace(text.find("Lua: {file: classes.lua, class: Gate, units: 6}"), 47, "Dense: {units: 6}");
  write_plainly(folder_ / "in/t.yaml", text);
  ASSERT_EQ(nacre({"train", "in/t.yaml", "--output", "run"}).status, 0);
  const Outcome predicted = nacre({"predict", "run/model.h5", "x.csv"});
  EXPECT_EQ(predicted.status, 0) << predicted.err;
  const Outcome bench = nacre({"bench", "run/model.h5", "--train", "--seconds", "0"});
  EXPECT_EQ(bench.status, 2);
  EXPECT_NE(bench.err.find("the model is not compiled: "), std::string::npos) << bench.err;
  EXPECT_NE(bench.err.find("it holds Lua code"), std::string::npos) << bench.err;
}

TEST_F(LuaClasses, MistakesHaveTheirPlaces) {
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text(config);
    write_plainly(folder_ / "in/t.yaml", text.replace(text.find(from), from.size(), to));
    const Outcome outcome = nacre({"train", "in/t.yaml", "--output", "run"});
    EXPECT_EQ(outcome.status, 2);
    return outcome.err;
  };
  EXPECT_EQ(changed("units: 6}", "unit: 6}"),
            "in/t.yaml:5:45: layer 'gate' (Lua): unknown key 'unit'\n  while building model 'gates'\n  hint: did you "
            "mean 'units'?\n");
  EXPECT_EQ(
      changed("units: 6}", "units: six}"),
      "in/t.yaml:5:52: layer 'gate' (Lua): 'units': wanted a number, got 'six'\n  while building model 'gates'\n");
  EXPECT_EQ(changed("class: Squared", "class: Sqared"),
            "in/t.yaml:10:10: 'loss': 'in/classes.lua' has no class 'Sqared'\n  hint: did you mean 'Squared'?\n");
  EXPECT_EQ(changed("classes.lua, class: Gate", "class.lua, class: Gate"),
            "in/class.lua: cannot be opened: no such file or folder\n  named at in/t.yaml:5:19\n  while building model "
            "'gates'\n"
            "  hint: check the path: it leads to " +
                (folder_ / "in/class.lua").string() + "\n");
  write_plainly(folder_ / "in/classes.lua",
                "local Gate = nacre.Layer('Gate')\nfunction Gate:call(x)\n  return x +\nend\n");
  EXPECT_EQ(changed("gates", "gates"), "in/classes.lua:4: 'optimizer': unexpected symbol near 'end'\n");
}

}  // namespace
}  // namespace nacre::test
