// Layers, losses, metrics, optimizers and the rest whose classes are Lua's: what they compute, how they are saved, what
// is said of mistakes, and what hostile ones cannot do.
#include <thread>

#include "api/experiment/experiment.h"
#include "formats/file.h"
#include "formats/yaml.h"
#include "scripting/lambda.h"
#include "tests/scripting/scripts.h"

namespace nacre {
namespace {

constexpr const char* gate = R"(
local Gate = nacre.Layer("Gate", {units = 8, activation = "sigmoid"})
function Gate:build(input_shape)
  self.kernel = self:add_weight{name = "kernel", shape = {input_shape[#input_shape], self.units}}
  self.inner = nacre.layers.Dense{units = self.units}
end
function Gate:call(x, options)
  return nacre.ops[self.activation](x:matmul(self.kernel)) * self.inner(x)
end
return {Gate = Gate}
)";

// Scripts that find files of Lua beside them.
class Classes : public test::Scripts {
 protected:
  Classes() {
    enable_lua();
    write("gate.lua", gate);
  }
  void write(const std::string& name, const std::string& text) { test::write_plainly(folder_ / name, text); }
  // Runs a script that lies in the folder; `folder` is a global of its.
  Tree here(const std::string& source) { return engine_.run(prefix() + source, path("s.lua")); }
  std::string said(const std::string& source) { return whole(here(source)); }
  std::string refused(const std::string& source) {
    std::string message = test::message_of([&] { here(source); });
    for (std::size_t at = 0; (at = message.find(prefix_path())) != std::string::npos;)
      message.erase(at, prefix_path().size());
    return message;
  }
  std::string prefix_path() const { return folder_.path().string() + "/"; }
  std::string prefix() const { return fmt::format("folder = '{}' ", prefix_path()); }
};

void expect_holds(const std::string& message, const std::string& part) {
  EXPECT_NE(message.find(part), std::string::npos) << message << "\nlacks: " << part;
}

// --- layers -------------------------------------------------------------------------------------------------------

TEST_F(Classes, LayersComputeTheSameInEveryWay) {
  EXPECT_EQ(said(R"(
    local Gate = nacre.import("gate.lua").Gate
    local gate, x = Gate{units = 4, name = "g"}, nacre.tensor{{1.0, -2.0, 0.5}, {0.0, 1.0, 3.0}}
    local at_once = gate(x)
    local wanted = nacre.ops.sigmoid(x:matmul(gate.kernel)) * (x:matmul(gate.inner.weights[1]) + gate.inner.weights[2])
    local function same(a) return nacre.ops.max(nacre.ops.abs(a - wanted)):item() < 1e-6 end
    local input = nacre.Input{3}
    local model, stack = nacre.Model{inputs = input, outputs = gate(input)}, nacre.Sequential{nacre.Input{3}, gate}
    local names = {}
    for i, weight in ipairs(gate.weights) do names[i] = weight.name end
    return {same(at_once), same(model:predict(x)), same(model(x)), same(stack:predict(x)),
            same(nacre.compile(function(t) return gate(t) end)(x)), gate.units, gate.activation, gate.class_name, names}
  )"),
            "[true, true, true, true, true, 4, 'sigmoid', 'Gate', ['g/kernel', 'g/inner/kernel', 'g/inner/bias']]");
}

TEST_F(Classes, LayersHaveGradients) {
  EXPECT_EQ(said(R"(
    local gate, x = nacre.import("gate.lua").Gate{units = 2}, nacre.tensor{{1.0, -2.0, 0.5}}
    local function f(t) return nacre.ops.sum(gate(t) ^ 2) end
    f(x)
    local slopes = nacre.grad(function(layer) return nacre.ops.sum(layer(x) ^ 2) end)(gate)
    local compiled = nacre.compile(function(t) return nacre.grad(f)(t) end)
    local apart = nacre.ops.max(nacre.ops.abs(compiled(x) - nacre.grad(f)(x))):item()
    return {nacre.check_grad(f, x), #slopes, slopes[1].shape, apart < 1e-5}
  )"),
            "[true, 3, [3, 2], true]");
}

TEST_F(Classes, LayersTrain) {
  EXPECT_EQ(said(R"(
    local Gate = nacre.import("gate.lua").Gate
    local model = nacre.Sequential{nacre.Input{3}, Gate{units = 6}, Gate{units = 4, activation = "tanh"},
                                   nacre.layers.Dense{units = 1}}
    model:compile{loss = "mse", optimizer = {Adam = {learning_rate = 0.02}}}
    local x = nacre.initializers.RandomNormal{stddev = 1, seed = 1}({64, 3})
    local history = model:fit(x, nacre.ops.sum(x, 1, true), {epochs = 30, verbose = false})
    return {history.loss[30] < 0.2 * history.loss[1], model.layers[1].name, model.layers[2].name, model:count_params()}
  )"),
            "[true, 'gate', 'gate_1', 99]");
}

// What a script decides by numbers runs at once, and is refused in models.
TEST_F(Classes, LayersOfAScriptRunAsTheyStandOnTensors) {
  EXPECT_EQ(said(R"(
    local seen = {}
    local Choice = nacre.Layer("Choice")
    function Choice:call(x)
      seen[#seen + 1] = nacre.ops.sum(x):item()
      if seen[#seen] > 0 then return x * 2 end
      return -x
    end
    local choice = Choice()
    local slope = nacre.grad(function(t) return nacre.ops.sum(choice(t)) end)
    return {choice(nacre.ones{2}):totable(), choice(-nacre.ones{2}):totable(), slope(nacre.ones{1}):item(), seen}
  )"),
            "[[2, 2], [1, 1], 2, [2, -2, 1]]");
  const std::string message = refused(
      "local Choice = nacre.Layer('Choice')\n"
      "function Choice:call(x)\n  if nacre.ops.sum(x):item() > 0 then return x end\nend\n"
      "nacre.Sequential{nacre.Input{2}, Choice()}");
  expect_holds(message, "s.lua:3: layer 'choice_1' (Choice): a function that is being traced has no numbers yet");
}

TEST_F(Classes, LayersKnowTrainingMasksAndTheirArguments) {
  EXPECT_EQ(said(R"(
    local Plus = nacre.Layer("Plus")
    Plus.supports_masking = true
    Plus.call_arguments = {"bias", "scale"}
    function Plus:call(x, options)
      local y = x * (options.scale or 1)
      if options.bias then y = y + options.bias end
      if options.training then y = y + 100 end
      if options.mask then y = y * options.mask:cast("float32"):expand_dims(-1) end
      return y
    end
    local plus, x = Plus(), nacre.ones{1, 2, 1}
    local function flat(t) return t:reshape{-1}:totable() end
    local masked = plus(nacre.layers.Masking{mask_value = 5}(nacre.tensor{{{1.0}, {5.0}}}))
    local compiled = nacre.compile(function(t) return plus(t, {bias = t, training = true}) end)
    local input = nacre.Input{2, 1}
    local model = nacre.Model{inputs = input, outputs = plus(nacre.layers.Masking{mask_value = 5}(input), {scale = 3})}
    return {flat(plus(x)), flat(plus(x, {scale = 2, bias = x, training = true})), flat(masked), flat(masked.mask:cast("int32")),
            flat(compiled(x)), flat(model:predict(nacre.tensor{{{1.0}, {5.0}}}))}
  )"),
            "[[1, 1], [103, 103], [1, 0], [1, 0], [102, 102], [3, 0]]");
  expect_holds(refused("local L = nacre.Layer('L') L.call_arguments = {'scale'} function L:call(x) return x end "
                       "L()(nacre.ones{1}, {scales = 2})"),
               "the call has no argument 'scales'\n  hint: did you mean 'scale'?");
}

TEST_F(Classes, LayersSayTheirMasksAndShapes) {
  EXPECT_EQ(said(R"(
    local Steps = nacre.Layer("Steps")      -- every second step: a loop over sizes that models do not know
    function Steps:call(x)
      local steps = {}
      for i = 0, x.shape[2] - 1, 2 do steps[#steps + 1] = x:get_item({":", i}) end
      return nacre.ops.stack(steps, 1)
    end
    function Steps:compute_output_shape(shape)
      return {shape[1], shape[2] < 0 and -1 or (shape[2] + 1) // 2, shape[3]}
    end
    function Steps:compute_mask(x, mask) return mask and mask:get_item({":", "::2"}) end
    local x = nacre.Input{shape = {nacre.null, 1}}
    local y = Steps()(nacre.layers.Masking()(x))
    local model = nacre.Model{inputs = x, outputs = nacre.layers.LSTM{units = 1}(y)}
    local result = model:predict(nacre.ones{2, 5, 1})
    local at_once = Steps()(nacre.layers.Masking()(nacre.tensor{{{1.0}, {2.0}, {0.0}}}))
    return {y.shape, result.shape, at_once:reshape{-1}:totable(), at_once.mask:cast("int32"):reshape{-1}:totable()}
  )"),
            "[[-1, -1, 1], [2, 1], [1, 0], [1, 0]]");
  expect_holds(refused("local L = nacre.Layer('L') function L:call(x) return x end "
                       "function L:compute_output_shape(s) return {s[1], 7} end "
                       "local m = nacre.Sequential{nacre.Input{2}, L()} m:predict(nacre.ones{1, 2})"),
               "'call' gives (1, 2), 'compute_output_shape' says (1, 7)");
}

TEST_F(Classes, LayersHoldWeightsLayersAndLosses) {
  EXPECT_EQ(said(R"(
    local Block = nacre.Layer("Block", {"layer", depth = 2})
    function Block:build(shape)
      self.scale = self:add_weight{name = "scale", shape = {}, initializer = "ones", regularizer = {L2 = {l2 = 0.5}}}
      self.count = self:add_weight{name = "count", shape = {}, initializer = "zeros", trainable = false}
      self.stack = {}
      for i = 1, self.depth do self.stack[i] = nacre.layers.Dense{units = shape[#shape]} end
      self.net = nacre.Sequential{nacre.layers.Dense{units = 3}, nacre.layers.Activation{activation = "relu"}}
    end
    function Block:call(x)
      self.count:assign_add(1)
      for _, layer in ipairs(self.stack) do x = layer(x) end
      self:add_loss(nacre.ops.sum(x) * 0 + 2)
      return self.layer(self.net(x)) * self.scale
    end
    local block = Block{layer = nacre.layers.Dense{units = 1, activity_regularizer = {L1 = {l1 = 0}}}, name = "b"}
    block(nacre.ones{1, 3})
    block(nacre.ones{1, 3})
    local names, losses = {}, {}
    for i, weight in ipairs(block.weights) do names[i] = weight.name end
    for i, loss in ipairs(block.losses) do losses[i] = loss:item() end
    local model = nacre.Sequential{nacre.Input{3}, block}
    model:compile{loss = "mse", optimizer = {SGD = {learning_rate = 0}}}
    local y = model:predict(nacre.ones{4, 3})
    local logs = model:fit(nacre.ones{4, 3}, y, {verbose = false})
    return {names, losses, block.count.value:item(), #block.trainable_weights, math.abs(logs.loss[1] - 2.5) < 1e-6}
  )"),
            "[['b/scale', 'b/count', 'b/layer/kernel', 'b/layer/bias', 'b/net/dense/kernel', 'b/net/dense/bias', "
            "'b/stack_1/kernel', 'b/stack_1/bias', 'b/stack_2/kernel', 'b/stack_2/bias'], [2, 0.5, 0], 4, 9, true]");
}

// What leads back to a layer is no part of it.
TEST_F(Classes, LayersMayKnowOneAnother) {
  EXPECT_EQ(said(R"(
    local C = nacre.Layer("C")
    function C:build() self.w = self:add_weight{name = "w", shape = {}, initializer = "ones"} end
    function C:call(x) return x * self.w end
    local P = nacre.Layer("P")
    function P:build(shape)
      self.child = C{}
      self.child.parent = self
      self.children = {C{}}
      self.children[1].family = {self, {self}}
    end
    function P:call(x) return self.child(self.children[1](x)) end
    local p = P{}
    p(nacre.ones{2})
    local b, c = C{}, C{}
    b.o = c
    c.o = b
    local a, m = C{}, nacre.Sequential{nacre.Input{2}}
    m:add(a)
    a.m = m
    return {#p.weights, p.weights[1].name, p.child.parent == p, #b.weights, #c.weights, m:count_params(), a.m == m}
  )"),
            "[2, 'p/child/w', true, 0, 0, 1, true]");
  const std::string within = "the model 's' would stand within itself";
  expect_holds(refused("local s = nacre.Sequential{name = 's'}\ns:add(s)"), within);
  expect_holds(refused("local A = nacre.Layer('A') function A:call(x) return x end local a, s = A{}, "
                       "nacre.Sequential{name = 's'} a.m = s\ns:add(a)"),
               within);
  expect_holds(refused("local s = nacre.Sequential{name = 's'} local t = nacre.Sequential{s}\ns:add(t)"), within);
}

TEST_F(Classes, LayersDrawRandomNumbers) {
  EXPECT_EQ(said(R"(
    local Noise = nacre.Layer("Noise")
    function Noise:call(x) return x + nacre.random.normal(x.shape) end
    function Noise:compute_output_shape(shape) return shape end
    local x = nacre.zeros{2, 3}
    local m = nacre.Sequential{nacre.Input{3}, Noise{}, nacre.layers.Lambda{function(x) return x + nacre.random.normal{3} end}}
    m:save(folder .. "n.keras")
    local loaded = nacre.load(folder .. "n.keras", {allow_lua = true})
    return {m:predict(x) ~= x, loaded:predict(x) ~= x, Noise{}(x) ~= x}
  )"),
            "[true, true, true]");
  EXPECT_EQ(refused("local A = nacre.Layer('A') function A:call(x) return x + nacre.random.normal(x.shape) end\n"
                    "nacre.Sequential{nacre.Input{2}, A{name = 'a'}, name = 'm'}"),
            "s.lua:1: random.normal: got the size -1, wanted sizes of at least 0\n  in layer 'a' (A)\n  while building "
            "model 'm'\n  hint: a size that is still open is -1: a layer with compute_output_shape is called when all "
            "are known");
  const std::string draw = "nacre.random.normal{1}", refusal = "random.normal: only layers can draw random numbers";
  const std::string fit = " m:fit(nacre.zeros{4, 2}, nacre.zeros{4, 1}, {verbose = false})";
  const std::string model = " local m = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1, PENALTY}} ";
  const auto with = [&](const std::string& penalty) {
    return std::string(model).replace(model.find("PENALTY"), 7, penalty);
  };
  expect_holds(refused(with("kernel_regularizer = function(x) return nacre.ops.sum(x * " + draw + ") end") +
                       "m:compile{loss = 'mse'}" + fit),
               refusal);
  expect_holds(refused(with("") + "m:compile{loss = function(y, p) return p - y + " + draw + " end}" + fit), refusal);
  expect_holds(refused("local O = nacre.Optimizer('O', {learning_rate = 1}) function O:update_step(gradient, variable) "
                       "variable:assign(variable * " +
                       draw + ") end" + with("") + "m:compile{loss = 'mse', optimizer = O{}}" + fit),
               refusal);
  expect_holds(refused("local M = nacre.Metric('M') function M:build() self.s = self:add_variable{name = 's'} end "
                       "function M:update_state() self.s:assign(nacre.ops.sum(" +
                       draw + ")) end function M:result() return self.s end" + with("") +
                       "m:compile{loss = 'mse', metrics = {M{}}}" + fit),
               refusal);
}

TEST_F(Classes, LayersComputeInTheirPolicy) {
  EXPECT_EQ(said(R"(
    local Scale = nacre.Layer("Scale")
    function Scale:build(shape) self.w = self:add_weight{name = "w", shape = {shape[#shape]}, initializer = "ones"} end
    function Scale:call(x) self.seen = x.dtype return x * self.w end
    local scale = Scale{dtype = "mixed_bfloat16"}
    local at_once = scale(nacre.ones{1, 2})
    local model = nacre.Sequential{nacre.Input{2}, Scale{dtype = "mixed_bfloat16"}}
    return {at_once.dtype, scale.seen, scale.w.dtype, model:predict(nacre.ones{1, 2}).dtype,
            nacre.Sequential{nacre.Input{2}, Scale()}:with_dtype("mixed_bfloat16"):predict(nacre.ones{1, 2}).dtype}
  )"),
            "['bfloat16', 'bfloat16', 'float32', 'bfloat16', 'bfloat16']");
}

TEST_F(Classes, LayersStandInLayers) {
  EXPECT_EQ(
      said(R"(
    local Gate = nacre.import("gate.lua").Gate
    local Two = nacre.Layer("Two", {units = 2})
    function Two:build() self.a, self.b = Gate{units = self.units}, Gate{units = self.units} end
    function Two:call(x) return self.a(x) + self.b(x) end
    local two = Two{name = "two"}
    local steps = nacre.Sequential{nacre.Input{5, 3}, nacre.layers.TimeDistributed{layer = two}}
    local names = {}
    for i, weight in ipairs(two.weights) do names[i] = weight.name:sub(#"time_distributed/two/" + 1) end
    return {steps:predict(nacre.ones{1, 5, 3}).shape, names}
  )"),
      "[[1, 5, 2], ['a/kernel', 'a/inner/kernel', 'a/inner/bias', 'b/kernel', 'b/inner/kernel', 'b/inner/bias']]");
}

// A graph that was made before holds what the attribute was.
TEST_F(Classes, AttributesThatAreSetCount) {
  EXPECT_EQ(said(R"(
    local Times = nacre.Layer("Times", {factor = 2})
    function Times:call(x) return x * self.factor end
    local times = Times()
    local model = nacre.Sequential{nacre.Input{1}, times}
    local compiled = nacre.compile(function(x) return times(x) end)
    local before = {times(nacre.ones{1, 1}):item(), model:predict(nacre.ones{1, 1}):item(), compiled(nacre.ones{1, 1}):item()}
    times.factor = 5
    return {before, times(nacre.ones{1, 1}):item(), model:predict(nacre.ones{1, 1}):item(), compiled(nacre.ones{1, 1}):item()}
  )"),
            "[[2, 2, 2], 5, 5, 5]");
}

TEST_F(Classes, MistakesWithLayersAreSaid) {
  const auto expect = [&](const std::string& source, const std::string& message) {
    EXPECT_EQ(refused(source), message) << source;
  };
  expect("nacre.Layer('A b')", "s.lua:1: nacre.Layer: got the name 'A b', wanted one of letters, digits and '_'");
  expect("nacre.Layer('A', {weights = 3})",
         "s.lua:1: nacre.Layer: a field cannot be called 'weights', which all objects of the kind have");
  expect("nacre.Layer('A', 3)",
         "s.lua:1: nacre.Layer: got a number, wanted a table of fields with their defaults: {units = 8}");
  expect("nacre.Layer('A', {'a', a = 3})", "s.lua:1: nacre.Layer: the field 'a' stands twice");
  expect("\nnacre.Layer('A')()",
         "s.lua:2: layer 'A': 'A' has no method 'call'\n  hint: function A:call(…) … end makes one");
  const std::string plain =
      "local A = nacre.Layer('A', {'size', units = 8, word = 'a', on = true}) function A:call(x) return x end\n";
  expect(plain + "A{size = 1, unit = 3}", "s.lua:2: layer 'A': unknown key 'unit'\n  hint: did you mean 'units'?");
  expect(plain + "A{size = 1, nam = 3}", "s.lua:2: layer 'A': unknown key 'nam'\n  hint: did you mean 'name'?");
  expect(plain + "A{}", "s.lua:2: layer 'A': the key 'size' is missing (a field of 'A')");
  expect(plain + "A{size = 1, units = 'x'}", "s.lua:2: layer 'A': 'units': wanted a number, got 'x'");
  expect(plain + "A{size = 1, word = 3}", "s.lua:2: layer 'A': 'word': wanted a text or an object, got 3");
  expect(plain + "A{size = 1, on = 3}", "s.lua:2: layer 'A': 'on': wanted true or false, got 3");
  expect(plain + "A{size = nacre.ones{2}}",
         "s.lua:2: layer 'A': got tensor float32(2,) {1, 1}, which a field cannot hold\n  hint: fields are numbers, "
         "texts, tables, "
         "layers and other objects with a config, and functions");
  expect(plain + "A(3)", "s.lua:2: layer 'A': got a number, wanted a table of names: A{…}");
  const auto call = [&](const std::string& body, const std::string& message) {
    expect("local A = nacre.Layer('A')\n" + body + "\nA{name = 'a'}(nacre.ones{2, 3})",
           message + "\n  in layer 'a' (A)");
  };
  call("function A:call(x) return 'a' end", "s.lua:3: 'call' of 'A' gives 'a', wanted a tensor");
  const auto called = [&](const std::string& body, const std::string& message) {
    const auto lines = std::ranges::count(body, '\n');
    expect("local A = nacre.Layer('A')\n" + body + "\nA{name = 'a'}(nacre.ones{2, 3})",
           message + fmt::format("\n  in layer 'a' (A)\n  called at s.lua:{}", 3 + lines));
  };
  called("function A:call(x)\n return x:matmul(x) end", "s.lua:3: matmul: inner sizes differ: (2, 3) · (2, 3)");
  called("function A:call(x) self:add_weight{name = 'a'} return x end", "s.lua:2: weights are made in 'build'");
  expect(
      "local A = nacre.Layer('A') function A:call(x) return x end function A:build() self:add_weight{nam = 3} "
      "end\nA()(nacre.ones{1})",
      "s.lua:1: add_weight: unknown key 'nam'\n  called at s.lua:2\n  hint: did you mean 'name'?");
  const std::string no_weight =
      "the attribute 'v' is a variable, but no weight of the layer\n  hint: self:add_weight in 'build' makes one, "
      "which "
      "is trained and saved with the layer";
  EXPECT_EQ(refused("local A = nacre.Layer('A') function A:call(x) return x end function A:build() self.v = "
                    "nacre.Variable(nacre.ones{1}) end\nA{name = 'a'}(nacre.ones{1})"),
            "s.lua:2: layer 'a' (A): " + no_weight);
  EXPECT_EQ(
      refused("local A = nacre.Layer('A') function A:call(x) return x end local a = A{name = 'a'} a(nacre.ones{1})"
              "\na.v = nacre.Variable(nacre.ones{1})"),
      "s.lua:2: " + no_weight);
  expect(
      "local A = nacre.Layer('A') function A:call(x) return x end local f = A{}.add_weight\nf(nacre.layers.Dense{units "
      "= 1, name = 'd'}, {name = 'w'})",
      "s.lua:2: layer 'd' (Dense) makes its own weights");
  expect(plain + "A{size = 1, name = 'a'}.weights = 3", "s.lua:2: layer 'a' (A): 'weights' cannot be set");
  expect("nacre.layers.Dense{units = print}",
         "s.lua:1: layer 'dense' (Dense): 'units': wanted an integer, got a function");
}

// --- files --------------------------------------------------------------------------------------------------------

TEST_F(Classes, ModelsAreSavedWithTheFileOfTheirClasses) {
  here(R"(
    local Gate = nacre.import("gate.lua").Gate
    model = nacre.Sequential{nacre.Input{3}, Gate{units = 4}, Gate{units = 2, name = "last"}}
    x = nacre.tensor{{1.0, -2.0, 0.5}}
    for _, name in ipairs{"m.keras", "m.h5", "m.weights.h5"} do
      if name:find("weights") then model:save_weights(folder .. name) else model:save(folder .. name) end
    end
  )");
  std::filesystem::remove(path("gate.lua"));
  const Tensor x = Tensor::of<float>({1, 3}, {1, -2, 0.5F});
  const std::vector<double> wanted = [&] {
    std::vector<double> numbers;
    for (const Tree& number : here("return model:predict(x):reshape{-1}:totable()").items())
      numbers.push_back(number.as_number());
    return numbers;
  }();
  for (const char* name : {"m.keras", "m.h5"}) {
    const std::string message = test::message_of([&] { load_model(folder_ / name); });
    expect_holds(message, "it holds Lua code, which is not run from files unless that is allowed");
    expect_holds(message, "hint: --allow-lua allows it");
    Model loaded = load_model(folder_ / name, {.allow_lua = true});
    EXPECT_EQ(loaded.predict(x).to_doubles(), wanted) << name;
    // And once more, from what was read.
    loaded.save(folder_ / "again.keras");
    EXPECT_EQ(load_model(folder_ / "again.keras", {.allow_lua = true}).predict(x).to_doubles(), wanted) << name;
  }
  EXPECT_EQ(said(R"(
    local again = nacre.load(folder .. "m.keras", {allow_lua = true})
    local config, last = again:layer("last"):get_config(), again:layer("last")
    again:initialize(9)
    again:load_weights(folder .. "m.weights.h5")
    return {config.units, config.class, config.file, config.source, last.units, last.class_name, #last.weights,
            nacre.ops.max(nacre.ops.abs(again:predict(x) - model:predict(x))):item()}
  )"),
            "[2, 'Gate', 'gate.lua', null, 2, 'Gate', 3, 0]");
}

TEST_F(Classes, ClassesInTheScriptAreSavedWithWhatTheyUse) {
  EXPECT_EQ(said(R"(
    local scale, ops, list = 3, nacre.ops, {weights = {1, 2}, "a \"b\"\n"}
    local function helper(x) return ops.relu(x) * scale end
    function global_helper(x) if x then return helper(x) + list.weights[2] + #list[1] end return global_helper(1) end
    local Inner = nacre.Layer("Inner", {by = 2.5, shape = {1, 2}})
    function Inner:call(x) return x * self.by end
    local Outer = nacre.Layer("Outer", {"size"})
    Outer.supports_masking = true
    local odd = function(self) return self.size % 2 == 1 end Outer.is_odd = odd
    function Outer:build(input_shape)
      self.inner = Inner{by = -1.5}
      self.w = self:add_weight{name = "w", shape = {self.size}, initializer = function(shape, dtype)
        return nacre.ones(shape, dtype) * 2   -- a comment with end
      end}
    end
    function Outer.call(self, x)
      local text = [==[ end function ]==] .. 'it\'s "end"'
      assert(#text > 3 and self:is_odd() == false)
      for _ = 1, 2 do repeat x = x + 0 until true end
      while false do end
      if self.size > 100 then return x elseif self.size > 50 then return -x else x = global_helper(self.inner(x)) end
      return x * self.w * (math.pi > 3 and 1 or 0)
    end
    model = nacre.Sequential{nacre.Input{4}, Outer{size = 4}}
    local x = nacre.tensor{{1.0, -2.0, 3.0, -4.0}}
    model:save(folder .. "m.keras")
    local again = nacre.load(folder .. "m.keras", {allow_lua = true})
    return {model:predict(x):reshape{-1}:totable(), again:predict(x):reshape{-1}:totable(), again.layers[1].size}
  )"),
            "[[16, 34, 16, 52], [16, 34, 16, 52], 4]");
}

TEST_F(Classes, FieldsAreSavedAsTheyAre) {
  EXPECT_EQ(said(R"(
    local C = nacre.Layer("C", {scale = 1, sizes = {1, 2}, inner = nacre.null})
    function C:call(x) return x * self.scale end
    local c = C{}
    c.scale, c.sizes, c.inner = 5, {3}, nacre.layers.Dense{units = 1}
    local config = c:get_config()
    c.scale = "x"    -- no number, which C{scale = …} wants
    local other = c:get_config()
    c.scale = 7
    nacre.Sequential{nacre.Input{2}, c}:save(folder .. "m.keras")
    local again = nacre.load(folder .. "m.keras", {allow_lua = true})
    return {config.scale, config.sizes, other.scale, again:predict(nacre.ones{1, 2}):totable()}
  )"),
            "[5, [3], 1, [[7, 7]]]");
}

TEST_F(Classes, DefaultsOfLuaBelongToOneObject) {
  EXPECT_EQ(said(R"(
    local Gate = nacre.import("gate.lua").Gate
    local S = nacre.Layer("S", {layer = nacre.null, f = nacre.null})
    function S:build() self.w = self:add_weight{name = "w", shape = {}, initializer = "ones"} end
    function S:call(x) return self.f(self.layer(x)) * self.w end
    local A = nacre.Layer("A", {gate = Gate{units = 2, name = "g"},
                                s = S{layer = nacre.layers.Dense{units = 2}, f = function(x) return x * 2 end}})
    function A:call(x) return self.gate(x) + self.s(x) end
    local a, b, x = A{}, A{}, nacre.ones{1, 2}
    a(x) b(x)
    return {a.gate == b.gate, a.s == b.s, a.s.layer == b.s.layer, a.gate.units, b.gate.name, #a.weights, #b.weights,
            #nacre.Sequential{nacre.Input{2}, a, b}.weights}
  )"),
            "[false, false, false, 2, 'g', 6, 6, 12]");
}

TEST_F(Classes, DefaultsBelongToOneObject) {
  EXPECT_EQ(said(R"(
    local A = nacre.Layer("A", {inner = nacre.layers.Dense{units = 2}, scale = function(x) return x * 3 end})
    function A:call(x) return self.scale(self.inner(x)) end
    local B = nacre.Layer("B")
    function B:build() self.a = A{} end
    function B:call(x) return self.a(x) end
    local a, b = A{}, A{}
    local model, x = nacre.Sequential{nacre.Input{2}, a, b, B{}}, nacre.ones{1, 2}
    model:save(folder .. "m.keras")
    local again = nacre.load(folder .. "m.keras", {allow_lua = true})
    return {#model.weights, #again.weights, a.inner == b.inner,
            nacre.ops.max(nacre.ops.abs(model:predict(x) - again:predict(x))):item()}
  )"),
            "[6, 6, false, 0]");
}

// Lines of errors are those of the script, also when the model comes from a file.
TEST_F(Classes, SavedTextsKeepTheirLines) {
  here(
      "\n\nlocal L = nacre.Layer('L')\n\nfunction L:call(x)\n  assert(x.shape[2] < 4, 'too wide')\n  return x\nend\n"
      "nacre.Sequential{nacre.Input{shape = {nacre.null}}, L()}:save(folder .. 'm.keras')");
  Model loaded = load_model(folder_ / "m.keras", {.allow_lua = true});
  expect_holds(test::message_of([&] {
                 loaded.predict(Tensor(DType::float32, {1, 5}));
               }),
               "s.lua:6: layer 'l' (L): too wide");
}

TEST_F(Classes, WhatATextCannotHoldIsRefusedWhenItIsSaved) {
  const auto refusal = [&](const std::string& before, const std::string& call) {
    return refused(before + "\nlocal L = nacre.Layer('L') function L:call(x) " + call +
                   " end nacre.Sequential{nacre.Input{1}, L{}}:save(folder .. 'm.keras')");
  };
  const std::string advice = "put the class into a file of its own, which the script takes with nacre.import";
  for (const auto& [before, call, what] : std::vector<std::array<std::string, 3>>{
           {"local w = nacre.ones{1}", "return x * w",
            "its method 'call' uses 'w', tensor float32(1,) {1}, which its text cannot hold"},
           {"local d = nacre.layers.Dense{units = 1}", "return d(x)",
            "its method 'call' uses 'd', layer 'dense' (Dense), which its text cannot hold"},
           {"w = nacre.ones{1}", "return x * w",
            "its method 'call' uses 'w', tensor float32(1,) {1}, which its text cannot hold"},
           {"", "io.write('') return x",
            "its method 'call' uses 'io', and the sandbox, in which it runs when it is loaded, has no 'io'"},
           {"", "local t = {2, 1} table.sort(t) return x * t[1]",
            "its method 'call' uses 'table.sort', and the sandbox, in which it runs when it is loaded, has no "
            "'table.sort'"},
           {"", "local f = function() return x * math.random() end return f()",
            "its method 'call' uses 'math.random', and the sandbox, in which it runs when it is loaded, has no "
            "'math.random'"},
           {"local p = xpcall", "return p and x", "its method 'call' uses 'p', a function, which its text cannot hold"},
           {"local t = {nacre.ones{1}}", "return x * t[1]",
            "its method 'call' uses 't', a table of more than numbers, texts and tables, which"},
           {"local f = load('return function(x) return x end')()", "return f(x)", ""},
           {"local f = load(string.dump(function(x) return x end, true))", "return f(x)",
            "the text of 'f', which its method 'call' uses is not known"},
           {"local c <const> = 3", "return x * c", "the text of its method 'call' is not known"},
           {"f = coroutine.wrap(print)", "return f and x", "its method 'call' uses 'f', a function"},
           {"function load() return 2 end", "return x * load() * (math.ult(1, 2) and 1 or 0)", ""}}) {
    const std::string message = refusal(before, call);
    if (what.empty()) EXPECT_EQ(message, "") << before;
    else expect_holds(message, "'L' cannot be saved: " + what), expect_holds(message, advice);
  }
  // It runs here, but not without this script.
  const std::string message = refused(
      "local L = nacre.Layer('L') function L:call(x) return x * (x.shape[1] > 0 and 1 or helper()) end\n"
      "local m = nacre.Sequential{nacre.Input{1}, L{}}");
  expect_holds(message, "attempt to call a nil value (global 'helper')");
  expect_holds(refused("local Gate = nacre.import('gate.lua').Gate\nfunction Gate:call(x) return x end\n"
                       "nacre.Sequential{nacre.Input{1}, Gate{}}:save(folder .. 'm.keras')"),
               "its method 'call' is not from 'gate.lua', but from elsewhere");
}

// What only a script can do in 'build' is found when the model is saved, not when somebody opens the file.
TEST_F(Classes, SavingTriesTheLayerWithoutTheScript) {
  const std::string message = refused(
      "local L = nacre.Layer('L') function L:build() self.f = xpcall and nacre.clock() end function L:call(x) return x "
      "end\n"
      "nacre.Sequential{nacre.Input{1}, L{}}:save(folder .. 'm.keras')");
  expect_holds(message, "cannot be saved");
}

TEST_F(Classes, ImportedFilesMayUseNothingOutside) {
  write("bad.lua",
        "local other = nacre.import('gate.lua')\nlocal L = nacre.Layer('L') function L:call(x) return x end return {L "
        "= L}");
  const std::string message =
      refused("local L = nacre.import('bad.lua').L nacre.Sequential{nacre.Input{1}, L{}}:save(folder .. 'm.keras')");
  expect_holds(message,
               "'L' cannot be saved: its source does not stand by itself: bad.lua:1: nacre has no 'import' in the "
               "sandbox");
  expect_holds(refused("\nnacre.import('none.lua')"), "none.lua: cannot be opened");
  write("syntax.lua", "local x = \n");
  expect_holds(refused("\nnacre.import('syntax.lua')"),
               "syntax.lua:2: unexpected symbol near <eof>\n  called at s.lua:2");
  write("fails.lua", "\nerror('mine')");
  expect_holds(refused("\nnacre.import('fails.lua')"), "fails.lua:2: mine");
}

// --- YAML ---------------------------------------------------------------------------------------------------------

constexpr const char* parts = R"(
local Power = nacre.Loss("Power", {exponent = 4})
function Power:call(y_true, y_pred) return nacre.ops.mean(nacre.ops.abs(y_true - y_pred) ^ self.exponent, -1) end
local Largest = nacre.Metric("Largest")
Largest.direction = "down"
function Largest:build() self.largest = self:add_variable{name = "largest", initial = -1} end
function Largest:update_state(y_true, y_pred)
  self.largest:assign(nacre.ops.maximum(self.largest, nacre.ops.max(nacre.ops.abs(y_true - y_pred))))
end
function Largest:result() return self.largest end
local Momentum = nacre.Optimizer("Momentum", {learning_rate = 0.02, momentum = 0.9})
function Momentum:build(variables)
  for _, variable in ipairs(variables) do self:add_variable_from(variable, "momentum") end
end
function Momentum:update_step(gradient, variable, learning_rate)
  local velocity = self:slot(variable, "momentum")
  velocity:assign(velocity * self.momentum - gradient * learning_rate)
  variable:assign_add(velocity)
end
local Half = nacre.Callback("Half", {after = 1})
function Half:on_epoch_end(epoch, logs)
  if epoch == self.after then self.model.optimizer.learning_rate = self.model.optimizer.learning_rate / 2 end
  if epoch == 2 then return "stop" end
end
local function mae(y_true, y_pred) return nacre.ops.mean(nacre.ops.abs(y_true - y_pred), -1) end
local function clipped(x) return nacre.ops.clip(x, -1, 1) end
local function ones(shape, dtype) return nacre.ones(shape, dtype) end
local function quiet(x) return 0.01 * nacre.ops.sum(x ^ 2) end
local function bounded(x) return nacre.ops.clip(x, -2, 2) end
local function falling(step) return 0.1 / (step + 1) end
return {mae = mae, clipped = clipped, ones = ones, quiet = quiet, bounded = bounded, falling = falling}
)";

constexpr const char* yaml = R"(
name: lua
model:
  sequential:
    - Input: {shape: [3]}
    - Lua: {file: gate.lua, class: Gate, units: 4}
    - Dense: {units: 4, activation: {Lua: {file: parts.lua, class: clipped}}, kernel_initializer: {Lua: {file: parts.lua, class: ones}},
              kernel_regularizer: {Lua: {file: parts.lua, class: quiet}}, kernel_constraint: {Lua: {file: parts.lua, class: bounded}}}
    - Lua: {file: gate.lua, units: 2, repeat: 2}
    - Dense: {units: 1}
data: {train: {csv: {file: d.csv, target: y}}}
train:
  optimizer: {Lua: {file: parts.lua, class: Momentum, learning_rate: 0.02, clipnorm: 1}}
  loss: {Lua: {file: parts.lua, class: Power, exponent: 2}}
  metrics: [{Lua: {file: parts.lua, class: Largest}}, {Lua: {file: parts.lua, class: mae, name: error}}, mae]
  callbacks: [{Lua: {file: parts.lua, class: Half}}]
  epochs: 5
  batch_size: 8
)";

class ClassesInYaml : public Classes {
 protected:
  ClassesInYaml() {
    write("parts.lua", parts);
    std::string rows = "a,b,c,y\n";
    for (int i = 0; i < 40; ++i)
      rows += fmt::format("{},{},{},{}\n", i % 3, i % 5 * 0.5, -(i % 7) * 0.25, i % 3 - i % 7 * 0.1);
    write("d.csv", rows);
    write("t.yaml", yaml);
  }
  Experiment experiment(const std::string& text) { return Experiment(parse_config(text, "t.yaml", folder_.path())); }
  std::string refusal(const std::string& from, const std::string& to) {
    std::string text = yaml;
    text.replace(text.find(from), from.size(), to);
    std::string message = test::message_of([&] { configured_model(experiment(text)); });
    for (std::size_t at = 0; (at = message.find(prefix_path())) != std::string::npos;)
      message.erase(at, prefix_path().size());
    return message;
  }
};

TEST_F(ClassesInYaml, EverythingIsNamedThere) {
  const Experiment config = experiment(yaml);
  Model model = configured_model(config);
  EXPECT_EQ(model.graph().layer("gate")->class_name(), "Lua");
  FitOptions options = fit_options(config.config().train.fit);
  const History history = model.fit(config.open_data().train, options);
  ASSERT_EQ(history.epochs.size(), 3u);
  EXPECT_EQ(history.stopped, "callback 'Half'");
  const auto series = [&](const char* name) { return history.series(name); };
  EXPECT_LT(series("loss")[2], series("loss")[0]);
  EXPECT_EQ(series("learning_rate"), (std::vector<double>{0.02F, 0.02F, 0.01F}));
  for (int epoch = 0; epoch < 3; ++epoch) {
    EXPECT_FLOAT_EQ(static_cast<float>(series("error")[static_cast<std::size_t>(epoch)]),
                    static_cast<float>(series("mae")[static_cast<std::size_t>(epoch)]));
    EXPECT_GT(series("largest")[static_cast<std::size_t>(epoch)], series("mae")[static_cast<std::size_t>(epoch)]);
  }
  // What is rendered is the same experiment.
  const Tree rendered = config.render();
  EXPECT_EQ(Experiment(ConfigFile{rendered, folder_.path()}).render(), rendered);
  EXPECT_EQ(write_yaml(rendered["train"]["metrics"]),
            "- Lua: {name: largest, dtype: float32, file: parts.lua, class: Largest}\n"
            "- Lua: {name: error, dtype: float32, file: parts.lua, class: mae}\n- mae\n");
  // And saved it goes on without the files.
  for (const char* name : {"m.keras", "m.h5"}) {
    model.save(folder_ / name);
    for (const char* file : {"gate.lua", "parts.lua"})
      std::filesystem::rename(folder_ / file, folder_ / (std::string(file) + "x"));
    Model again = load_model(folder_ / name, {.allow_lua = true});
    const Logs a = model.evaluate(config.open_data().train), b = again.evaluate(config.open_data().train);
    for (const auto& [key, value] : a) EXPECT_EQ(*b.find(key), value) << name << " " << key;
    const History more = again.fit(config.open_data().train, {.epochs = 1, .batch_size = 8});
    EXPECT_EQ(again.trainer().optimizer().iterations(), 20);
    for (const char* file : {"gate.lua", "parts.lua"})
      std::filesystem::rename(folder_ / (std::string(file) + "x"), folder_ / file);
  }
}

TEST_F(ClassesInYaml, MistakesHaveFileAndLine) {
  expect_holds(refusal("units: 4}", "unit: 4}"),
               "t.yaml:6:42: layer 'gate' (Lua): unknown key 'unit'\n  while building model 'lua'\n  hint: did you "
               "mean 'units'?");
  expect_holds(refusal("units: 4}", "units: x}"), "t.yaml:6:49: layer 'gate' (Lua): 'units': wanted a number, got 'x'");
  expect_holds(refusal("class: Gate", "class: Gat"),
               "t.yaml:6:7: layer 'gat' (Lua): 'gate.lua' has no class 'Gat'\n  while building model 'lua'\n  hint: "
               "did you mean 'Gate'?");
  expect_holds(refusal("exponent: 2", "exponents: 2"), "unknown key 'exponents'\n  hint: did you mean 'exponent'?");
  expect_holds(refusal("class: Power", "class: Largest"), "'Largest' is a metric, wanted a loss");
  expect_holds(refusal("file: gate.lua", "file: none.lua"), "none.lua: cannot be opened");
  expect_holds(refusal("parts.lua, class: Power", "parts.lua"),
               "'parts.lua' gives Half, Largest, Momentum, Power, bounded, clipped, falling, mae, ones, quiet, and no "
               "class is named\n  hint: class: NAME chooses one");
  write("gate.lua", "local Gate = nacre.Layer('Gate', {units = 8})\nfunction Gate:call(x)\n  return x + \nend");
  expect_holds(refusal("", ""), "gate.lua:4: layer 'gate' (Lua): unexpected symbol near 'end'");
  write("gate.lua",
        "local Gate = nacre.Layer('Gate', {units = 8, activation = ''})\nfunction Gate:call(x)\n  return x:reshape({7, "
        "9})\nend");
  expect_holds(refusal("", ""),
               "gate.lua:3: reshape: cannot reshape (7, 4) to (7, 9)\n  in layer 'lua' (Gate)\n  "
               "while building model 'lua'");
}

// A model of C++, in a thread of its own, with no script.
TEST_F(ClassesInYaml, ModelsTrainInThreads) {
  std::vector<double> losses(2);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 2; ++i)
    threads.emplace_back([&, i] {
      const Experiment config = experiment(yaml);
      Model model = configured_model(config);
      losses[i] = model.fit(config.open_data().train, {.epochs = 2, .batch_size = 8}).series("loss").back();
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(losses[0], losses[1]);
  EXPECT_GT(losses[0], 0);
}

// --- losses, metrics, optimizers ----------------------------------------------------------------------------------

TEST_F(Classes, LossesAndMetricsOfLuaEqualThoseOfNacre) {
  EXPECT_EQ(said(R"(
    local Squared = nacre.Loss("Squared")
    function Squared:call(y_true, y_pred) return nacre.ops.mean((y_true - y_pred) ^ 2, -1) end
    local Mean = nacre.Metric("MeanError")
    function Mean:build(y_true, y_pred) self.total, self.count = self:add_variable{name = "total"}, self:add_variable{name = "count"} end
    function Mean:update_state(y_true, y_pred, sample_weight)
      local values = nacre.ops.mean(nacre.ops.abs(y_true - y_pred), -1)
      if sample_weight then values = values * sample_weight end
      self.total:assign_add(nacre.ops.sum(values))
      self.count:assign_add(sample_weight and nacre.ops.sum(sample_weight) or y_pred.shape[1])
    end
    function Mean:result() return self.total / self.count end
    local function run(loss, metric)
      local model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 2}}
      model:initialize(3)
      model:compile{loss = loss, metrics = {metric()}, weighted_metrics = {metric()}, optimizer = "sgd"}
      return model:fit(x, x * 2, {epochs = 3, batch_size = 8, verbose = false, sample_weight = nacre.tensor(weights)})
    end
    x, weights = nacre.initializers.RandomNormal{seed = 4}({20, 2}), {}
    for i = 1, 20 do weights[i] = i / 10 end
    local a, b = run("mse", function() return "mae" end), run(Squared(), Mean)
    local c = run(function(t, p) return nacre.ops.mean((t - p) ^ 2, -1) end,
                  function() return function(t, p) return nacre.ops.mean(nacre.ops.abs(t - p), -1) end end)
    local function same(x, y) for i = 1, 3 do if math.abs(x[i] - y[i]) > 1e-6 then return x end end return true end
    return {same(a.loss, b.loss), same(a.loss, c.loss), same(a.mae, b.mean_error), same(a.weighted_mae, b.weighted_mean_error),
            same(a.mae, c["function"]), same(a.weighted_mae, c.weighted_function)}
  )"),
            "[true, true, true, true, true, true]");
}

TEST_F(Classes, OptimizersOfLuaEqualThoseOfNacre) {
  write("parts.lua", parts);
  EXPECT_EQ(said(R"(
    nacre.import("parts.lua")
    local Momentum = nacre.Optimizer("Momentum", {learning_rate = 0.05, momentum = 0.9})
    function Momentum:build(variables) for _, v in ipairs(variables) do self:add_variable_from(v, "momentum") end end
    function Momentum:update_step(gradient, variable, learning_rate, step)
      local velocity = self:slot(variable, "momentum")
      velocity:assign(velocity * self.momentum - gradient * learning_rate)
      return variable + velocity
    end
    local function run(optimizer)
      local model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 2}}
      model:initialize(3)
      model:compile{loss = "mse", optimizer = optimizer}
      model:fit(x, x * 2, {epochs = 3, batch_size = 4, verbose = false})
      return model:get_weights()[1]
    end
    x = nacre.initializers.RandomNormal{seed = 4}({20, 2})
    local results = {}
    for i, options in ipairs{{}, {clipnorm = 0.1}, {weight_decay = 0.1}, {gradient_accumulation_steps = 3}, {use_ema = true},
                             {learning_rate = nacre.schedules.ExponentialDecay{initial_learning_rate = 0.1, decay_steps = 3, decay_rate = 0.5}}} do
      options.momentum, options.learning_rate = 0.9, options.learning_rate or 0.05
      local apart = nacre.ops.max(nacre.ops.abs(run(nacre.optimizers.SGD(options)) - run(Momentum(options)))):item()
      results[i] = apart < 1e-6 or apart
    end
    return results
  )"),
            "[true, true, true, true, true, true]");
}

TEST_F(Classes, SchedulesInitializersAndTheLikeMayBeFunctions) {
  EXPECT_EQ(said(R"(
    local optimizer = nacre.optimizers.SGD{learning_rate = function(step) return 0.5 / (step + 1) end}
    local weight = nacre.Variable(nacre.zeros{1})
    local values = {}
    for i = 1, 3 do optimizer:apply({nacre.ones{1}}, {weight}) values[i] = weight.value:item() end
    local dense = nacre.layers.Dense{
      units = 2, activation = function(x) return x * 10 end, kernel_initializer = function(shape) return nacre.ones(shape) end,
      kernel_regularizer = function(w) return nacre.ops.sum(w) end, bias_constraint = function(b) return b * 0 + 7 end}
    local y = dense(nacre.ones{1, 3})
    local random = function(shape) return nacre.initializers.RandomNormal{stddev = 1}(shape) end
    local function drawn(seed)
      local model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 2, kernel_initializer = random}}
      model:initialize(seed)
      return model:get_weights()[1]:sum():item()
    end
    nacre.optimizers.SGD():apply({nacre.zeros{3, 2}, nacre.zeros{2}}, dense)
    return {values[1], values[2], y:totable(), dense.losses[1]:item(), dense.weights[2].value:totable(),
            drawn(1) == drawn(1), drawn(1) ~= drawn(2)}
  )"),
            "[-0.5, -0.75, [[30, 30]], 6, [7, 7], true, true]");
  // They are saved too.
  EXPECT_EQ(said(R"(
    local ten = 10
    local model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 2, activation = function(x) return x * ten end},
                                   nacre.layers.Lambda{function(x) return nacre.ops.relu(x) + ten end, name = "plus"},
                                   nacre.layers.Activation{activation = nacre.ops.tanh}}
    model:compile{loss = function(a, b) return nacre.ops.mean((a - b) ^ 2, -1) end,
                  optimizer = {SGD = {learning_rate = function(step) return 0.1 / (step + ten) end}}}
    model:fit(nacre.ones{4, 2}, nacre.ones{4, 2}, {verbose = false})
    model:save(folder .. "m.keras")
    local again = nacre.load(folder .. "m.keras", {allow_lua = true})
    local x = nacre.tensor{{0.1, -0.2}}
    again:fit(nacre.ones{4, 2}, nacre.ones{4, 2}, {verbose = false})
    model:fit(nacre.ones{4, 2}, nacre.ones{4, 2}, {verbose = false})
    return {nacre.ops.max(nacre.ops.abs(model:predict(x) - again:predict(x))):item(), again.layers[2].class_name, again.optimizer.iterations}
  )"),
            "[0, 'Lambda', 2]");
}

TEST_F(Classes, LambdaTakesFunctions) {
  EXPECT_EQ(said(R"(
    local m = nacre.Sequential{nacre.Input{2}, nacre.layers.Lambda{nacre.ops.relu}}
    m:save(folder .. "r.keras")
    local x = nacre.tensor{{-1.0, 2.0}}
    return {m:predict(x):totable(), nacre.load(folder .. "r.keras", {allow_lua = true}):predict(x):totable()}
  )"),
            "[[[0, 2]], [[0, 2]]]");
  EXPECT_EQ(said(R"(
    local w = nacre.tensor{2.0, 3.0}          -- what only the script has
    local layer = nacre.layers.Lambda{function(x, arguments) return x * w * (arguments.by or 1) end, name = "times"}
    local by = nacre.layers.Lambda{["function"] = function(x, arguments) return x * arguments.by end, arguments = {by = 4}}
    local model = nacre.Sequential{nacre.Input{2}, layer}
    return {layer(nacre.ones{1, 2}):totable(), model:predict(nacre.ones{1, 2}):totable(), by(nacre.ones{1}):item(), layer.name, layer.class_name}
  )"),
            "[[[2, 3]], [[2, 3]], 4, 'times', 'Lambda']");
  expect_holds(refused("local w = nacre.ones{1}\nnacre.Sequential{nacre.Input{1}, nacre.layers.Lambda{function(x) "
                       "return x * w end}}:save(folder .. 'm.keras')"),
               "'function' cannot be saved: the function uses 'w', tensor float32(1,) {1}, which its text cannot hold");
}

// What its text may use when it is saved is there when it is loaded.
TEST_F(Classes, SavedLambdasSeeWhatClassesSee) {
  EXPECT_EQ(said(R"(
    local function check(f)
      local x = nacre.tensor{{1.0, -2.0, 3.0}}
      local model = nacre.Sequential{nacre.Input{3}, nacre.layers.Lambda{f}}
      model:save(folder .. "l.keras")
      local loaded = nacre.load(folder .. "l.keras", {allow_lua = true})
      return nacre.ops.max(nacre.ops.abs(model:predict(x) - loaded:predict(x))):item()
    end
    return {check(function(x) return x + nacre.ones{3} end),
            check(function(x)
              return nacre.cond(nacre.ops.sum(x):greater(0), function() return x end, function() return -x end)
            end),
            check(function(x) local ok, y = pcall(function() return x * 2 end) return y end),
            check(function(x) return x * tonumber(("%d"):format(2)) end),
            check(function(x) return nacre.layers.Dense{units = 2, kernel_initializer = "ones"}(x) end)}
  )"),
            "[0, 0, 0, 0, 0]");
}

TEST_F(Classes, MistakesWithLossesMetricsAndOptimizersAreSaid) {
  const auto compiled = [&](const std::string& options) {
    return refused("local model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 2}}\nmodel:compile{" +
                   options + "}\nmodel:fit(nacre.ones{2, 2}, nacre.ones{2, 2}, {verbose = false})");
  };
  expect_holds(compiled("loss = function(a, b) return 'x' end"),
               "s.lua:3: loss 'function': 'call' of 'function' gives 'x', wanted a tensor");
  expect_holds(compiled("loss = function(a, b)\nreturn a:matmul(nacre.ones{3, 3}) end"),
               "s.lua:3: matmul: inner sizes differ");
  const std::string metric =
      "(function() local M = nacre.Metric('M') function M:update_state() end function M:result() end return M{} end)()";
  expect_holds(compiled("loss = 'mse', metrics = {" + metric + "}"), "metric 'm': 'M' has no state");
  expect_holds(refused(metric + ":result()"), "in metric 'm'");
  for (const auto& [kind, wanted, given] :
       std::vector<std::array<std::string, 3>>{{"Loss", "call", "cal"},
                                               {"Metric", "update_state", "update_stat"},
                                               {"Activation", "call", "cal"},
                                               {"Initializer", "call", "cal"},
                                               {"Regularizer", "call", "cal"},
                                               {"Constraint", "call", "cal"},
                                               {"LearningRateSchedule", "call", "cal"},
                                               {"Optimizer", "update_step", "update_steps"}})
    expect_holds(refused(fmt::format("local K = nacre.{}('K') function K:{}() end K()", kind, given)),
                 fmt::format("'K' has no method '{}'\n  hint: did you mean '{}'?", wanted, given));
  for (const char* use : {"nacre.Sequential{L}", "nacre.Sequential{}:add(L)", "nacre.Sequential{}:compile{loss = L}",
                          "nacre.Sequential{}:compile{metrics = {L}, loss = 'mse'}",
                          "nacre.layers.Dense{units = 1, activation = L}", "nacre.Sequential{}:compile{optimizer = L}"})
    expect_holds(refused(std::string("local L = nacre.Layer('L') function L:call(x) return x end ") + use),
                 "got class 'L', wanted an object of it");
  for (const char* callbacks : {"C", "{C}"})
    expect_holds(refused(fmt::format("local C = nacre.Callback('C') function C:on_epoch_end() end "
                                     "local m = nacre.Sequential{{nacre.Input{{1}}}} m:add(nacre.layers.ReLU{{}}) "
                                     "m:compile{{loss = 'mse'}} m:fit(nacre.ones{{2, 1}}, nacre.ones{{2, 1}}, "
                                     "{{callbacks = {}}})",
                                     callbacks)),
                 "got class 'C', wanted an object of it\n  hint: C{} makes one");
  expect_holds(refused("local M = nacre.Metric('M') M.direction = 'left' M()"),
               "'M' has the direction 'left', wanted \"up\" or \"down\"");
  expect_holds(compiled("loss = 'mse', optimizer = nacre.Optimizer('O')()"),
               "s.lua:2: optimizer 'O': 'O' has no method 'update_step'");
  expect_holds(compiled("loss = 'mse', optimizer = print"), "wanted a class of optimizers");
  const std::string optimizer =
      "loss = 'mse', optimizer = (function() local O = nacre.Optimizer('O') function O:update_step(g, v) {} end return "
      "O() end)()";
  const auto step = [&](const std::string& body) {
    std::string text = optimizer;
    return compiled(text.replace(text.find("{}"), 2, body));
  };
  expect_holds(step("return self:slot(v, 'm')"), "'dense/kernel' has no state 'm'");
  expect_holds(step("return g:reshape{-1}"),
               "'update_step' of 'O' gives float32(4,) for 'dense/kernel', which is float32(2, 2)");
  expect_holds(step("self:add_variable_from(v, 'm')"), "a variable's state is wanted in 'build'");
  expect_holds(refused("nacre.optimizers.Adam():slot(nacre.Variable(1.0), 'm')"), "has no 'slot'");
}

// A run that was broken off goes on as if it had not been, with the state of optimizer, metric and callback.
TEST_F(Classes, CheckpointsHoldTheState) {
  write("parts.lua", parts);
  const std::string script = R"(
    local Count = nacre.Callback("Count")
    function Count:on_train_begin() self.epochs = {} end
    function Count:on_epoch_end(epoch, logs) self.epochs[#self.epochs + 1] = epoch logs.count = #self.epochs end
    nacre.import("parts.lua")
    local Momentum = nacre.Optimizer("Momentum", {learning_rate = 0.02})
    function Momentum:build(variables) for _, v in ipairs(variables) do self:add_variable_from(v, "m") end end
    function Momentum:update_step(g, v, rate) local m = self:slot(v, "m") m:assign(m * 0.9 - g * rate) return v + m end
    x = nacre.initializers.RandomNormal{seed = 4}({20, 2})
    function train(epochs, checkpoint)
      local model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 2}}
      model:compile{loss = "mse", optimizer = Momentum()}
      return model:fit(x, x * 2, {epochs = epochs, batch_size = 4, verbose = false, checkpoint = folder .. checkpoint, resume = true, callbacks = {Count()}})
    end
  )";
  EXPECT_EQ(said(script + R"(
    local whole = train(4, "a.h5")
    train(2, "b.h5")
    local resumed = train(4, "b.h5")
    local same = #whole.loss == #resumed.loss
    for i = 1, 4 do same = same and whole.loss[i] == resumed.loss[i] end
    return {same, resumed.count}
  )"),
            "[true, [1, 2, 3, 4]]");
}

// --- callbacks ----------------------------------------------------------------------------------------------------

constexpr const char* trained = R"(
function fit(options)
  model = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}}
  model:compile{loss = "mse", optimizer = "sgd", metrics = {"mae"}}
  options.verbose, options.batch_size = false, 4
  return model:fit(nacre.ones{8, 2}, nacre.ones{8, 1}, options)
end
)";

TEST_F(Classes, CallbackHooksAreCalledInOrder) {
  EXPECT_EQ(said(std::string(trained) + R"(
    local calls = {}
    local table_of_hooks = {}
    for _, hook in ipairs{"train_begin", "train_end", "epoch_begin", "epoch_end", "train_batch_begin", "train_batch_end",
                          "test_begin", "test_end", "test_batch_begin", "test_batch_end"} do
      table_of_hooks["on_" .. hook] = function(self, a, b)
        local logs = type(b) == "table" and b or type(a) == "table" and a
        calls[#calls + 1] = hook .. (type(a) == "number" and " " .. a or "") .. (logs and logs.loss and " loss" or "")
        assert(self.model == model and self.params.epochs == 1 and self.params.steps == 2)
      end
    end
    fit{epochs = 1, callbacks = {table_of_hooks}, validation_data = {nacre.ones{2, 2}, nacre.ones{2, 1}}}
    return calls
  )"),
            "['train_begin', 'epoch_begin 0', 'train_batch_begin 0', 'train_batch_end 0 loss', 'train_batch_begin 1', "
            "'train_batch_end 1 "
            "loss', 'test_begin', 'test_batch_begin 0', 'test_batch_end 0 loss', 'test_end loss', 'epoch_end 0 loss', "
            "'train_end loss']");
}

TEST_F(Classes, CallbacksStopTrainingAndAddToItsLogs) {
  EXPECT_EQ(said(std::string(trained) + R"(
    local Stop = nacre.Callback("Stop", {after = 3})
    function Stop:on_epoch_begin(epoch) self.model.optimizer.learning_rate = 0.1 / (epoch + 1) end
    function Stop:on_epoch_end(epoch, logs)
      logs.twice = 2 * logs.loss
      if epoch + 1 == self.after then self.model.stop_training = true end
    end
    local seen = {}
    local history, reason = fit{epochs = 9, callbacks = {Stop{after = 2}, {on_epoch_end = function(self, epoch, logs) seen[#seen + 1] = logs.twice == 2 * logs.loss end}}}
    local single, why = fit{epochs = 9, callbacks = {on_train_batch_end = function(self, batch, logs) if batch == 1 then return "stop" end end}}
    return {#history.loss, reason, history.twice[2] == 2 * history.loss[2], seen, history.learning_rate[2] < 0.0501, #single.loss, why, model.stop_training}
  )"),
            "[2, 'callback 'Stop'', true, [true, true], true, 1, 'callback 'callback'', false]");
}

TEST_F(Classes, MistakesInCallbacksEndTheTrainingWithTheirLine) {
  const auto refusal = [&](const std::string& callback) {
    return refused(std::string(trained) + "fit{epochs = 2, callbacks = {" + callback + "}}");
  };
  expect_holds(refusal("{on_epoch_end = function(self)\nerror('mine') end}"),
               "s.lua:9: mine\n  while training model 'sequential'");
  expect_holds(refusal("{on_epoch_end = function(self)\nself.model.optimiser = 3 end}"),
               "s.lua:9: model 'sequential' (Sequential) has no 'optimiser'\n");
  expect_holds(refusal("{on_epoch_ends = function() end}"),
               "'callback' has the method 'on_epoch_ends', which nothing calls\n  called at s.lua:8\n  hint: did you "
               "mean 'on_epoch_end'?");
  expect_holds(refusal("{on_epoch_end = function() return 3 end}"),
               "'on_epoch_end' of 'callback' gives a number, wanted nothing or \"stop\"");
  expect_holds(refusal("{on_epoch_end = function(self, epoch, logs) logs.x = 'y' end}"),
               "puts 'y' into the logs as 'x', wanted a number");
  expect_holds(refusal("{on_epoch_end = function() error(nil) end}"),
               "the script raised an error that is no text (nil)");
  expect_holds(refusal("{on_epoch_end = function() coroutine.yield() end}"), "attempt to yield");
  expect_holds(refusal("print"), "wanted a callback");
  expect_holds(refusal("nacre.Callback('C')()"), "'C' has no hook");
  expect_holds(refused(std::string(trained) + "fit{epochs = 1, callbacks = {}}\nmodel.stop_training = true"),
               "s.lua:9: model 'sequential' (Sequential) is not being trained");
}

TEST_F(Classes, CallbacksInScriptsSeeEverything) {
  EXPECT_EQ(said(std::string(trained) + R"(
    local predictions = {}
    fit{epochs = 2, callbacks = {{on_epoch_end = function(self, epoch)
      predictions[#predictions + 1] = self.model:predict(nacre.ones{1, 2}):item()
      self.model:save(folder .. "epoch" .. epoch .. ".keras")
      local other = nacre.Sequential{nacre.Input{1}, nacre.layers.Dense{units = 1}}
      other:compile{loss = "mse"}
      other:fit(nacre.ones{2, 1}, nacre.ones{2, 1}, {verbose = false, callbacks = {{on_train_end = function(inner) inner.model.stop_training = true end}}})
    end}}}
    return {#predictions, predictions[1] ~= predictions[2], io.open(folder .. "epoch1.keras") ~= nil}
  )"),
            "[2, true, true]");
}

// --- hostile files ------------------------------------------------------------------------------------------------

TEST_F(Classes, SourcesOfFilesReachNothingOutside) {
  const auto with = [&](const std::string& body) {
    return "local L = nacre.Layer('L') function L:build() BUILD end function L:call(x) CALL return x end " + body;
  };
  const auto outcome = [&](std::string source, const std::string& build, const std::string& call) {
    for (const auto& [from, to] : {std::pair("BUILD", build), std::pair("CALL", call)})
      if (const std::size_t at = source.find(from); at != std::string::npos)
        source.replace(at, std::string_view(from).size(), to);
    Tree config;
    config.set("class", "L");
    config.set("source", source);
    return test::message_of([&] {
      const std::shared_ptr<Layer> layer = registry<Layer>().get("Lua").make(config);
      const Symbol x = Input({2});
      Model({x}, call_layer(layer, {x})).predict(Tensor(DType::float32, {1, 2}));
    });
  };
  EXPECT_EQ(outcome(with(""), "", ""), "");
  for (const char* name : {"io", "os", "load", "require", "dofile", "debug", "package", "xpcall", "coroutine",
                           "setmetatable", "getmetatable", "collectgarbage", "utf8", "warn"})
    expect_holds(outcome(with(""), "", fmt::format("local y = {}.x", name)),
                 fmt::format("the sandbox has no '{}'", name));
  expect_holds(outcome(with(""), "", "local y = loadstring.x"), "nil value");
  for (const char* name : {"import", "load", "from_yaml", "load_npy", "save_npy", "data", "callbacks", "clock"})
    expect_holds(outcome(with(""), "", fmt::format("local y = nacre.{}", name)),
                 fmt::format("nacre has no '{}' in the sandbox", name));
  for (const std::string place : {"build", "call", "chunk"}) {
    const auto runs = [&](const std::string& body) {
      return place == "chunk"   ? outcome(with(body), "", "")
             : place == "build" ? outcome(with(""), body, "")
                                : outcome(with(""), "", body);
    };
    expect_holds(runs("while true do end"), "too many steps");
    expect_holds(runs("local t = {} for i = 1, 1e9 do t[i] = i end"), "memory");
    expect_holds(runs("local s = 'x' while true do s = s .. s end"), "a text grows too long");
    expect_holds(runs("local s = string.rep('x', 1 << 40)"), "too many steps");
    expect_holds(runs("local s = ('x'):rep(100000)"), "a text grows too long");
    expect_holds(runs("local t = {} for i = 1, 100 do t[i] = nacre.zeros{1 << 22} end"), "tensors take more than");
    const std::string deep = runs("local function f() return 1 + f() end f()");
    EXPECT_TRUE(deep.find("stack overflow") != std::string::npos || deep.find("memory") != std::string::npos) << deep;
    expect_holds(runs("error(nil)"), "an error that is no text");
    expect_holds(runs("error({})"), "an error that is no text");
    expect_holds(runs("error('mine')"), "mine");
    expect_holds(runs("nacre.layers.StringLookup{vocabulary = '/etc/passwd'}"), "wanted a list");
    expect_holds(runs("nacre.layers.Lua{file = '/etc/passwd'}"), "was not read");
    expect_holds(runs("nacre.losses.Lua{file = '/etc/passwd'}"), "was not read");
    expect_holds(runs("nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}}:save('x.keras')"),
                 "has no 'save' in the sandbox\n  hint: models are layers there");
    expect_holds(runs("nacre.layers.Sequential{layers = {}}:save_weights('x.h5')"), "has no 'save_weights'");
    expect_holds(runs("tostring(nacre.ops)() "), "attempt to call");
    expect_holds(runs("('x'):gsub('x', 'y')"), "attempt to call");
    expect_holds(runs("nacre.ops = nil nacre.layers = nil local y = nacre.ops"), "nacre has no 'ops'");
  }
  // Walks over what lies in attributes end.
  EXPECT_EQ(
      outcome(with(""), "local t = {} for i = 1, 2000 do t[i] = t end self.t = t self.u = {t, {t}} self.me = self", ""),
      "");
  EXPECT_EQ(outcome(with(""), "local t = {} for i = 1, 50 do t = {t} end self.t = t", ""), "");
  expect_holds(outcome(with(""), "", "self(x)"), "overflow");
  expect_holds(outcome("return 3", "", ""), "the source has no class 'L'");
  expect_holds(outcome("nacre.Layer('L') nacre.Layer('L')", "", ""), "the source has two classes 'L'");
  expect_holds(outcome("\x1bLua", "", ""), "");
}

// Each has a memory and a stack of C of its own, so that their number is bounded too.
TEST_F(Classes, SourcesOfFilesMakeFewOthers) {
  const std::string make = "nacre.deserialize{class_name = 'Lua', module = 'nacre.layers', config = ";
  const auto outcome = [&](const std::string& source) {
    write("hostile.lua", source);
    return refused("local source = io.open(folder .. 'hostile.lua'):read('a')\n" + make +
                   "{source = source, text = source}}(nacre.ones{1, 2})");
  };
  const auto layer = [&](const std::string& build) {
    return "local A = nacre.Layer('A', {text = '', depth = 0}) function A:build(shape) " + build +
           " end function A:call(x) return self.inner and self.inner(x) or x end return {A = A}";
  };
  const std::string own = make + "{source = self.text, text = self.text, depth = self.depth + 1}}";
  expect_holds(outcome(layer("self.inner = " + own + " self.inner:build(shape)")),
               "Lua of files makes objects of Lua more than 4 deep");
  EXPECT_EQ(outcome(layer("if self.depth < 4 then self.inner = " + own + " end")), "");
  const std::string many = "if self.depth == 0 then local t = {} for i = 1, COUNT do t[i] = " + own + " end end";
  const auto times = [&](const std::string& count) {
    std::string text = many;
    return layer(text.replace(text.find("COUNT"), 5, count));
  };
  EXPECT_EQ(outcome(times("16")), "");
  expect_holds(outcome(times("17")), "Lua of a file makes more than 16 objects that come with a text of their own");
  expect_holds(refused("local text = 'function(x) return x end' for i = 1, 6 do text = ('function(x) return "
                       "nacre.layers.Lambda{[\"function\"] = %q}(x) end'):format(text) end "
                       "nacre.layers.Lambda{['function'] = text}(nacre.Input{2})"),
               "more than 4 deep");
}

// print is for people: no program reads it.
TEST_F(Classes, SourcesOfFilesPrintToStandardError) {
  const std::shared_ptr<Layer> layer = read_object<Layer>(parse_yaml(
      R"({Lua: {source: "local L = nacre.Layer('L') function L:call(x) print('seen', x, '\x1b[31m') return x end"}})"));
  testing::internal::CaptureStderr();
  call_layer(layer, {Input({2})});
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "seen\ttensor float32(None, 2)\t\\x1b[31m\n");
}

TEST_F(Classes, ObjectsOfScriptsCannotBeForgedInFiles) {
  for (const char* kind : {"{class_name: object of a script, config: {number: 0}}",
                           "{Lua: {source: 'return 1', class: {class_name: object of a script, config: {number: 0}}}}",
                           "{Lua: {source: \"local L = nacre.Layer('L', {a = nacre.null}) function L:call(x) return x "
                           "end\", a: {class_name: object of a script, config: {number: 7}}}}"})
    EXPECT_NE(test::message_of([&] { read_object<Layer>(parse_yaml(kind)); }), "") << kind;
}

// --- scripts that do what they should not ---------------------------------------------------------------------------

TEST_F(Classes, ScriptsMayTamperWithTheirClasses) {
  EXPECT_EQ(said(R"(
    local results = {}
    local function try(f, ...) local ok = pcall(f, ...) results[#results + 1] = ok end
    local L = nacre.Layer("L", {a = 1})
    function L:call(x) return x * self.a end
    local l = L()
    L.call = nil
    try(l, nacre.ones{1})
    L.call = 3
    try(l, nacre.ones{1})
    L.call = function(self, x) return x end
    local make = debug.getmetatable(L).__call
    try(make)
    try(make, 3)
    try(make, {}, {a = 2})
    debug.setmetatable(L, nil)
    try(function() L{a = 1} end)
    try(l, nacre.ones{1})
    debug.setmetatable(L, {__index = function() error("never") end})
    try(l, nacre.ones{1})
    l.a = nil
    l.call = function(self, x) return x + 1 end      -- its own
    try(l, nacre.ones{1})
    local M = setmetatable({}, {__call = make})
    try(M)
    debug.setupvalue(make, 1, nacre.ones{1})
    try(make, {})
    local registry = debug.getregistry()
    for i = 1, #registry do if type(registry[i]) == "table" and i > 2 then registry[i] = 3 end end
    try(l, nacre.ones{1})
    try(function() return l.a end)
    try(function() l.a = 3 end)
    return results
  )"),
            "[false, false, false, false, false, false, true, true, true, false, false, false, false, false]");
}

TEST_F(Classes, ObjectsMayHoldThemselvesAndCallThemselves) {
  EXPECT_EQ(said(R"(
    local L = nacre.Layer("L")
    function L:build() self.me, self.kept = self, {self} end
    function L:call(x, options)
      if options.training then return self(x) end
      return coroutine.wrap(function() return x * 2 end)()
    end
    local l = L()
    local y = l(nacre.ones{1})
    local model = nacre.Sequential{nacre.Input{1}, L()}
    local other = coroutine.wrap(function() return model:predict(nacre.ones{1, 1}):item() end)()
    local E = nacre.Layer("E")
    function E:call(x) return self(x) end
    local ok, message = pcall(E(), nacre.ones{1})
    local R = nacre.Layer("R")
    function R:call(x) return x + nacre.Sequential{nacre.Input{1}, R()}:predict(x) end
    local deep = pcall(R(), nacre.ones{1, 1})
    kept = nil
    local K = nacre.Layer("K")
    function K:call(x) kept = x return x end
    nacre.Sequential{nacre.Input{1}, K()}
    local ended, why = pcall(function() return kept + 1 end)
    return {y:item(), other, #l.weights, ok, message:find("overflow") ~= nil, deep, ended, why:find("has ended") ~= nil}
  )"),
            "[2, 2, 0, false, true, false, false, true]");
}

// Its state ends with the script; a model of it does not crash, and says so.
TEST(ClassesThatEnd, FinalizersMayUseThem) {
  Engine engine;
  engine.run(R"(
    local L = nacre.Layer("L") function L:call(x) return x end
    local l = L()
    local model = nacre.Sequential{nacre.Input{1}, l}
    setmetatable({}, {__gc = function() l(nacre.ones{1}) model:predict(nacre.ones{1, 1}) end})
  )");
}

}  // namespace
}  // namespace nacre
