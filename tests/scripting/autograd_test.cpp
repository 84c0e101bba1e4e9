// Layers, losses, metrics and optimizers on tensors, gradients of functions, and functions that are compiled.
#include "tests/scripting/scripts.h"

namespace nacre {
namespace {

class Autograd : public test::Scripts {
 protected:
  // Runs a function of the script at once and compiled: `body` defines f and x, and both give the same.
  void both_ways(const std::string& body) {
    SCOPED_TRACE(body);
    const std::string ends = " return (nacre.ops.max(nacre.ops.abs(a - b)):item())";
    EXPECT_LE(run(body + " local a, b = f(x), nacre.compile(f)(x)" + ends).as_number(), 1e-5);
  }
};

// --- at once ------------------------------------------------------------------------------------------------------

TEST_F(Autograd, NumbersBesideTensorsTakeTheirDtype) {
  EXPECT_EQ(text("local i, f = nacre.tensor{3}, nacre.tensor({2}, 'float16') return {(i + 1).dtype, (i + 0.5).dtype, "
                 "(i / 2).dtype, "
                 "(f * 3).dtype, (2 - f).dtype, (nacre.tensor{true} + 1).dtype, (10 - i):item(), (i // 2):item(), (i % "
                 "2):item(), "
                 "(2 ^ i):item(), (-i):item()}"),
            "['int32', 'float32', 'float32', 'float16', 'float16', 'int32', 7, 1, 1, 8, -3]");
}

TEST_F(Autograd, ShapesThatDoNotFitAreSaidWithTheirLine) {
  EXPECT_NE(refusal("\nreturn nacre.ones{2, 2} + nacre.ones{3}").find("s.lua:2: "), std::string::npos);
  EXPECT_NE(
      refusal("return nacre.ones{2, 2} + nacre.ones{3}").find("shapes (2, 2) and (3,) cannot be broadcast together"),
      std::string::npos);
}

TEST_F(Autograd, ShapesAreShownAndCompared) {
  EXPECT_EQ(text("local s = nacre.ones{2, 3}.shape return {tostring(s), #s, s[2], s == nacre.zeros{2, 3}.shape, "
                 "s == nacre.zeros{3}.shape, tostring(nacre.Input{4}.shape), tostring(nacre.ones{3}.shape), "
                 "tostring(nacre.ones{}.shape)}"),
            "['(2, 3)', 2, 3, true, false, '(None, 4)', '(3,)', '()']");
}

TEST_F(Autograd, LayersBuildThemselvesOnTensors) {
  EXPECT_EQ(text("local a, b = nacre.layers.Dense{units = 3}, nacre.layers.Dense{units = 3} local x = nacre.ones{2, 4} "
                 "return {a(x).shape, a.name, b(x).shape, b.name, #a.weights, a.weights[1].name, a.weights[1].shape, "
                 "nacre.ops.all(nacre.ops.equal(a(x), b(x))):item()}"),
            "[[2, 3], 'dense', [2, 3], 'dense_1', 2, 'dense/kernel', [4, 3], false]");
  EXPECT_EQ(text("local m = nacre.Sequential{nacre.layers.Flatten(), nacre.layers.Dense{units = 2}} "
                 "return {m(nacre.ones{3, 2, 2}).shape, m(nacre.ones{5, 2, 2}).shape, #m.weights}"),
            "[[3, 2], [5, 2], 2]");
}

TEST_F(Autograd, TrainingIsAnArgument) {
  EXPECT_EQ(
      text("local drop, x = nacre.layers.Dropout{rate = 0.5}, nacre.ones{1000} local y = drop(x, {training = true}) "
           "local again = drop(x, {training = true}) local kept = y:sum():item() / 2 "
           "return {drop(x):sum():item(), kept > 400 and kept < 600, nacre.ops.all(nacre.ops.equal(y, again)):item()}"),
      "[1000, true, false]");
  EXPECT_EQ(
      text("local norm = nacre.layers.BatchNormalization{momentum = 0.5} local x = nacre.tensor{{1.0}, {3.0}} "
           "norm(x, {training = true}) return {norm.weights[3].value:totable(), norm.weights[4].value:totable()}"),
      "[[1], [1]]");
}

TEST_F(Autograd, MasksTravel) {
  EXPECT_EQ(text("local e = nacre.layers.Embedding{input_dim = 5, output_dim = 2, mask_zero = true} "
                 "local pool = nacre.layers.GlobalAveragePooling1D() local x = nacre.tensor{{1, 2, 0, 0}} "
                 "local a, b = pool(e(x)), pool(e(nacre.tensor{{1, 2}})) "
                 "return nacre.ops.max(nacre.ops.abs(a - b)):item() < 1e-6"),
            "true");
}

TEST_F(Autograd, PenaltiesAreTheLayersLosses) {
  EXPECT_EQ(text("local d = nacre.layers.Dense{units = 1, use_bias = false, kernel_initializer = 'ones', "
                 "kernel_regularizer = nacre.regularizers.L2{l2 = 0.5}} d(nacre.ones{1, 4}) "
                 "return {#d.losses, d.losses[1]:item()}"),
            "[1, 2]");
}

TEST_F(Autograd, LossesMetricsAndTheRestTakeTensors) {
  EXPECT_EQ(
      text("local y, p = nacre.tensor{{1.0}, {0.0}}, nacre.tensor{{0.5}, {0.5}} "
           "local m = nacre.metrics.MeanSquaredError() m:update_state(y, p) m:update_state(y, y) "
           "local mean = nacre.metrics.Mean() mean:update_state(nacre.tensor{1.0, 3.0}) local before = mean:result() "
           "mean:reset_state() mean:update_state(5) "
           "return {nacre.losses.MeanSquaredError()(y, p):item(), nacre.losses.MeanSquaredError()(y, p, "
           "nacre.tensor{1.0, 0.0}):item(), "
           "m:result(), before, mean:result(), nacre.activations.relu()(nacre.tensor{-1.0, 2.0}):totable(), "
           "nacre.schedules.ExponentialDecay{initial_learning_rate = 1, decay_steps = 1, decay_rate = 0.5}(2):item(), "
           "nacre.initializers.Ones()({2, 3}).shape, nacre.regularizers.L1{l1 = 1}(nacre.tensor{-2.0}):item()}"),
      "[0.25, 0.125, 0.125, 2, 5, [0, 2], 0.25, [2, 3], 2]");
}

TEST_F(Autograd, WeightsChange) {
  EXPECT_EQ(
      text("local w = nacre.Variable(nacre.tensor{1.0, 2.0}, {name = 'w'}) local before = w.value w:assign_add(1) "
           "w:assign_sub(nacre.tensor{0.5, 0.5}) local sum = (w * 2):sum():item() w:assign(7) "
           "return {before:totable(), sum, w.value:totable(), w.name, w.trainable, tostring(w)}"),
      "[[1, 2], 8, [7, 7], 'w', true, 'weight 'w' float32(2,)']");
  EXPECT_NE(
      refusal("nacre.Variable(nacre.ones{2}):assign(nacre.ones{3})").find("'variable' is float32(2,), got float32(3,)"),
      std::string::npos);
}

// --- gradients ----------------------------------------------------------------------------------------------------

TEST_F(Autograd, GradientsOfTensorsTablesAndWeights) {
  EXPECT_EQ(text("return nacre.grad(function(x) return (x * x):sum() end)(nacre.tensor{1.0, 2.0}):totable()"),
            "[2, 4]");
  EXPECT_EQ(text("local g = nacre.grad(function(p) return (p.a * p.b[1]):sum() end){a = nacre.tensor(3.0), b = "
                 "{nacre.tensor(5.0)}} "
                 "return {g.a:item(), g.b[1]:item()}"),
            "[5, 3]");
  EXPECT_EQ(
      text("local a, b = nacre.grad(function(x, y) return x * y end, {1, 2})(nacre.tensor(3.0), nacre.tensor(5.0)) "
           "return {a:item(), b:item()}"),
      "[5, 3]");
  EXPECT_EQ(text("local d = nacre.layers.Dense{units = 1, kernel_initializer = 'ones'} local x = nacre.tensor{{1.0, "
                 "2.0}} d(x) "
                 "local g = nacre.grad(function(d) return d(x):sum() end)(d) local h = nacre.grad(function() return "
                 "d(x):sum() end, d)() "
                 "local k = nacre.grad(function() return d(x):sum() end, d.weights[1])() "
                 "return {#g, g[1]:totable(), g[2]:totable(), h[1]:totable(), k:totable()}"),
            "[2, [[1], [2]], [1], [[1], [2]], [[1], [2]]]");
  EXPECT_EQ(text("local v, g, extra = nacre.value_and_grad(function(x) return x * x, 'more' end)(nacre.tensor(3.0)) "
                 "return {v:item(), g:item(), extra}"),
            "[9, 6, 'more']");
}

TEST_F(Autograd, LayersMayMakeTheirWeightsInTheFunction) {
  const std::string source =
      "local function train(wrap) "
      "  local a, b = nacre.layers.Dense{units = 3, name = 'a'}, nacre.layers.Dense{units = 1, name = 'b'} "
      "  local opt, x, list = nacre.optimizers.SGD{learning_rate = 0.1}, nacre.ones{2, 4}, {a, b} local counts = {} "
      "  local step = wrap(function(x) local l, g = nacre.value_and_grad(function() return b(a(x)):sum() end, list)() "
      "    counts[#counts + 1] = #g opt:apply(g, list) return l end) "
      "  return {step(x):item(), step(x):item(), counts[1], #a.weights} end "
      "local one, two = train(function(f) return f end), train(nacre.compile) "
      "return {math.abs(one[1] - two[1]) < 1e-5, math.abs(one[2] - two[2]) < 1e-5, one[2] < one[1], one[3], two[3], "
      "one[4]}";
  EXPECT_EQ(text(source), "[true, true, true, 4, 4, 2]");
  // Tensors beside layers, in any order.
  EXPECT_EQ(text("local d = nacre.layers.Dense{units = 1, kernel_initializer = 'ones'} "
                 "local g, dx = nacre.grad(function(d, x) return d(x):sum() end, {1, 2})(d, nacre.tensor{{1.0, 2.0}}) "
                 "return {#g, g[1]:totable(), dx:totable()}"),
            "[2, [[1], [2]], [[1, 1]]]");
}

TEST_F(Autograd, GradientsGoThroughControlFlow) {
  EXPECT_EQ(text("local f = function(x) local y = x for i = 1, 3 do if y:item() > 2 then y = y * y else y = y * 3 end "
                 "end return y end "
                 "return {nacre.grad(f)(nacre.tensor(1.0)):item(), nacre.grad(f)(nacre.tensor(4.0)):item()}"),
            "[324, 131072]");
}

TEST_F(Autograd, GradientsHaveGradients) {
  EXPECT_EQ(
      text("local function cube(x) return x * x * x end local x = nacre.tensor(2.0) local first = nacre.grad(cube) "
           "return {first(x):item(), nacre.grad(first)(x):item(), nacre.grad(nacre.grad(first))(x):item()}"),
      "[12, 12, 6]");
  // A penalty on a gradient, as Wasserstein GANs have.
  EXPECT_EQ(text("local w = nacre.Variable(nacre.tensor(3.0)) local x = nacre.tensor(2.0) "
                 "local g = nacre.grad(function() local slope = nacre.grad(function(z) return w * z * z end)(x) return "
                 "slope * slope end, w)() "
                 "return g:item()"),
            "96");
}

// What a gradient within another function is taken of was computed in its own function alone.
TEST_F(Autograd, GradientsByAWeightWithinOnesByTheSame) {
  const std::string source =
      "local w = nacre.Variable(3.0) "
      "local function inner(x) local h = w * x return (nacre.grad(function() return h * w end, w)()) end "
      "local function outer(x) return nacre.value_and_grad(function() return inner(x) end, w)() end "
      "local plain = inner(nacre.tensor(2.0)):item() "
      "local value, slope = {}(nacre.tensor(2.0)) "
      "return {{plain, value:item(), slope:item()}}";
  EXPECT_EQ(text(fmt::format(fmt::runtime(source), "outer")), "[6, 6, 2]");
  EXPECT_EQ(text(fmt::format(fmt::runtime(source), "nacre.compile(outer)")), "[6, 6, 2]");
  // Also where the layers are built on the way.
  EXPECT_EQ(
      text("local d = nacre.layers.Dense{units = 1, use_bias = false, kernel_initializer = 'ones'} "
           "local function inner(x) local h = d(x) return nacre.grad(function() return (h * d(x)):sum() end, d)()[1] "
           "end "
           "local value, slope = nacre.value_and_grad(function() return inner(nacre.tensor{{2.0}}):sum() end, d)() "
           "return {value:item(), slope[1]:item()}"),
      "[4, 4]");
}

// The same layer draws the same mask at once and compiled, also where gradients are taken.
TEST_F(Autograd, RandomNumbersOfGradientsAreThoseOfTheFunction) {
  EXPECT_EQ(
      text("local drop, x = nacre.layers.Dropout{rate = 0.5, name = 'd'}, nacre.ones{1, 20} "
           "local function f(x) return (drop(x, {training = true}) * nacre.arange(20)):sum() end "
           "local function draw(g) nacre.set_seed(7) return (g(x):item()) end "
           "local gradient = nacre.value_and_grad(f) "
           "local once = draw(f) "
           "return {draw(gradient) == once, draw(nacre.compile(f)) == once, draw(nacre.compile(gradient)) == once}"),
      "[true, true, true]");
  // Two functions within one draw differently.
  EXPECT_EQ(text("local function f(x) return (nacre.rand{3} * x):sum() end "
                 "local a, b = nacre.compile(function(x) return nacre.grad(f)(x), nacre.grad(f)(x) end)(nacre.ones{3}) "
                 "return a == b"),
            "false");
}

// nacre.tensor of a tensor is the tensor, cast: gradients pass, in compiled functions too.
TEST_F(Autograd, TensorsOfTensorsAreFollowed) {
  const std::string f = "local function f(x) return nacre.tensor(x) * nacre.tensor(x, 'float32') end ";
  EXPECT_EQ(text(f + "return nacre.grad(f)(nacre.tensor(3.0)):item()"), "6");
  EXPECT_EQ(text(f + "return nacre.compile(nacre.grad(f))(nacre.tensor(3.0)):item()"), "6");
  EXPECT_EQ(text("local w = nacre.Variable(3.0) "
                 "return {nacre.tensor(w):item(), nacre.grad(function() return nacre.tensor(w) * w end, w)():item(), "
                 "nacre.tensor(w, 'int32').dtype, nacre.tensor(nacre.tensor{'a'}):totable()[1]}"),
            "[3, 6, 'int32', 'a']");
}

TEST_F(Autograd, WeightsHaveTheirInitialValuesWhenTheyAreRead) {
  const std::string model =
      "local m = nacre.Sequential{nacre.Input{3}, nacre.layers.Dense{units = 1, kernel_initializer = 'ones'}} "
      "local w = m.weights[1] ";
  EXPECT_EQ(text(model + "return w.value:sum():item()"), "3");
  EXPECT_EQ(text(model + "return {(w * 2):sum():item(), w:totable()[3][1], m.layers[1].kernel == w}"), "[6, 1, true]");
  EXPECT_EQ(text(model + "w:assign_add(1) return w.value:sum():item()"), "6");
  EXPECT_EQ(text(model + "nacre.optimizers.SGD{learning_rate = 1}:apply({nacre.ones{3, 1}, nacre.ones{1}}, m) "
                         "return w.value:sum():item()"),
            "0");
  EXPECT_EQ(text(model + "return nacre.compile(function() return (w * 2):sum() end)():item()"), "6");
  EXPECT_EQ(text(model + "return nacre.grad(function() return (w * w):sum() end, w)():sum():item()"), "6");
  EXPECT_EQ(refusal(model + "nacre.compile(function() return w:item() end)()").substr(0, 60),
            "s.lua:1: a function that is being traced has no numbers yet:");
  // As get_weights gives them.
  EXPECT_EQ(text("nacre.set_seed(3) local m = nacre.Sequential{nacre.Input{3}, nacre.layers.Dense{units = 2}} "
                 "local first = m.weights[1].value return first == m:get_weights()[1]"),
            "true");
}

TEST_F(Autograd, VjpStopAndCheck) {
  EXPECT_EQ(text("local y, back = nacre.vjp(function(x) return x * x end, nacre.tensor{1.0, 2.0}) "
                 "return {y:totable(), back(nacre.tensor{1.0, 10.0}):totable()}"),
            "[[1, 4], [2, 40]]");
  EXPECT_EQ(text("return nacre.grad(function(x) return x * nacre.stop_gradient(x) end)(nacre.tensor(3.0)):item()"),
            "3");
  EXPECT_EQ(text("return {(nacre.check_grad(function(x) return nacre.ops.sin(x) end, nacre.tensor{0.5, 1.5})), "
                 "(nacre.check_grad(function(x) return nacre.stop_gradient(x) * x end, nacre.tensor{0.5, 1.5}))}"),
            "[true, false]");
}

TEST_F(Autograd, ArgumentsWithoutRealTensorsHaveNoGradient) {
  EXPECT_EQ(
      text("local y, back = nacre.vjp(function(x, o, i, t) assert(o.scale == 3 and i.dtype == 'int32') return x * "
           "o.scale end, nacre.tensor(2.0), {scale = 3}, nacre.tensor{1}, {nacre.tensor{1}}) "
           "return {y:item(), select('#', back()), back():item()}"),
      "[6, 1, 3]");
  for (const char* call : {"vjp(function(x) return x end, 3.0)", "vjp(function(x) return x end, {3.0})",
                           "check_grad(function(x) return x end, nacre.tensor{1})"})
    EXPECT_EQ(refusal(fmt::format("nacre.{}", call)),
              "s.lua:1: got no argument that a gradient could be taken of\n  hint: wanted a tensor of real numbers: "
              "nacre.tensor(3.0), tensor:cast(\"float32\")");
}

TEST_F(Autograd, WhatHasNoGradientIsRefused) {
  const auto both = [&](const std::string& function, const std::string& message) {
    for (const char* how : {"nacre.grad({})(x)", "nacre.compile(nacre.grad({}))(x)"})
      EXPECT_NE(refusal("local x = nacre.tensor{3.0, 4.0} " + fmt::format(fmt::runtime(how), function)).find(message),
                std::string::npos)
          << function;
  };
  both("function(x) return x:argmax() end", "the function that is differentiated gives tensor int32()");
  both("function(x) return x:argmax() end", "wanted a real number\n");
  both("function(x) return x:sum() end, {1, 1}", "got argument 1 twice among those that gradients are taken of");
  both("function(x) return x:sum() end, {}", "wanted numbers of arguments, a layer or weights");
  for (const char* how : {"f", "nacre.compile(f)"})
    for (const char* dy : {"nacre.tensor{1, 2}", "nacre.tensor{1.0, 2, 3}"})
      EXPECT_NE(refusal(fmt::format("local function f(x) local y, back = nacre.vjp(function(x) return x * x end, x) "
                                    "return back({}) end {}(nacre.ones{{2}})",
                                    dy, how))
                    .find("\n  hint: it has the dtype and the shape of the result"),
                std::string::npos)
          << how << dy;
}

TEST_F(Autograd, MistakesAreSaid) {
  EXPECT_NE(refusal("nacre.grad(function(x) return x end)(nacre.ones{2})").find("wanted one number"),
            std::string::npos);
  EXPECT_NE(refusal("nacre.grad(function(x) return x end)(nacre.tensor{1})").find("of which there is no gradient"),
            std::string::npos);
  EXPECT_NE(refusal("nacre.losses.MeanSquaredError(nacre.ones{2}, nacre.ones{2})")
                .find("what it makes can be called: MeanSquaredError()(…)"),
            std::string::npos);
  for (const char* call : {"grad(3)", "vjp(3, nacre.ones{})", "check_grad(3, nacre.ones{})", "compile(3)"})
    EXPECT_EQ(refusal(fmt::format("nacre.{}", call)), "s.lua:1: got a number, wanted a function");
  EXPECT_NE(refusal("nacre.grad(function(x) error('own') end)(nacre.ones{})").find("s.lua:1: own"), std::string::npos);
  EXPECT_EQ(
      text(
          "local ok, message = pcall(nacre.grad(function(x) error(nil) end), nacre.ones{}) return {ok, type(message)}"),
      "[false, 'string']");
  EXPECT_NE(
      refusal("local w = nacre.Variable(nacre.tensor(2.0)) local y, back = nacre.vjp(function(w) return w * w end, w) "
              "w:assign(3) back()")
          .find("has changed since the values were computed"),
      std::string::npos);
  // What fails within a recording leaves none behind.
  EXPECT_EQ(text("pcall(nacre.grad(function(x) error('own') end), nacre.ones{}) return nacre.grad(function(x) return x "
                 "* x end)(nacre.tensor(3.0)):item()"),
            "6");
}

// --- compiled -----------------------------------------------------------------------------------------------------

TEST_F(Autograd, CompiledFunctionsAgree) {
  both_ways(
      "local x = nacre.tensor{{1.0, -2.0}, {0.5, 3.0}} local function f(x) return nacre.ops.tanh(x):matmul(x) + 2 * x "
      "end");
  both_ways(
      "local x = nacre.tensor{{1.0, -2.0}} local d = nacre.layers.Dense{units = 3, activation = 'gelu'} local f = "
      "function(x) return d(x) end");
  both_ways("local x = nacre.tensor{1.0, -2.0} local f = nacre.grad(function(x) return (x * x * x):sum() end)");
  both_ways("local x = nacre.tensor(1.5) local f = nacre.grad(nacre.grad(function(x) return x * x * x * x end))");
  both_ways(
      "local x = nacre.tensor{1.5, 2} local f = function(x) local y, back = nacre.vjp(function(z) return z * z * x "
      "end, x) return back(y) end");
  both_ways(
      "local x = nacre.tensor{1.5, 2} local c = nacre.tensor{3.0, 4.0} local f = function(x) return "
      "nacre.grad(function(z) return (z * x * c):sum() end)(x) * c end");
  both_ways(
      "local x = nacre.tensor{1.5, 2} local w = nacre.Variable(nacre.tensor{3.0, 4.0}) "
      "local f = function(x) return nacre.grad(function() return (w * w * x):sum() end, w)() end");
}

TEST_F(Autograd, CompiledFunctionsTakeAndGiveTables) {
  EXPECT_EQ(
      text("local f = nacre.compile(function(p, n, name) return {sum = p.a + p.b, list = {p.a * n}}, name, n + 1 end) "
           "local r, name, n = f({a = nacre.tensor(2.0), b = nacre.tensor(3.0)}, 4, 'x') "
           "return {r.sum:item(), r.list[1]:item(), name, n}"),
      "[5, 8, 'x', 5]");
}

TEST_F(Autograd, MasksTravelThroughCompiledFunctions) {
  run(R"(
    local embed = nacre.layers.Embedding{input_dim = 5, output_dim = 2, mask_zero = true}
    local pool, ids = nacre.layers.GlobalAveragePooling1D(), nacre.tensor{{1, 2, 0, 0}}
    local e = embed(ids)
    local whole = pool(e)
    assert(whole ~= pool(e:clone() * 1), "the mask matters")
    local function same(f, x, line)
      assert(f(x) == whole and nacre.ops.allclose(nacre.compile(f)(x), whole):item(), debug.getinfo(2, "l").currentline)
    end
    same(function(e) return pool(e) end, e)
    same(function(i) return pool(embed(i)) end, ids)
    same(function(i) return pool(nacre.stop_gradient(embed(i))) end, ids)
    same(function(i) return (nacre.vjp(function(e) return pool(e) end, embed(i))) end, ids)
    same(function(i) return pool((nacre.vjp(function(e) return nacre.stop_gradient(e) end, embed(i)))) end, ids)
    same(function(i) return pool((nacre.vjp(function() return embed(i) end, nacre.ones{1}))) end, ids)
    same(function(i)
      local loss, slope, again = nacre.value_and_grad(function(e) return pool(e):sum(), e end)(embed(i))
      return pool(again)
    end, ids)
    -- Gradients of gradients: the mask comes from two traces further out.
    local function slope(e)
      return nacre.grad(function(x) return (nacre.grad(function(z) return (pool(e) * pool(e) * z):sum() end)(x) * x):sum() end)(pool(e))
    end
    assert(nacre.ops.allclose(slope(e), nacre.compile(slope)(e)):item())
    -- What they give has masks, in its place, and calls with and without one differ.
    local f = nacre.compile(function(i, e) return i, {embed(i), 3, e}, i:cast("float32"):expand_dims(-1) end)
    local plain, list, last = f(ids, e)
    assert(plain.mask == nil and last.mask == nil and list[2] == 3)
    assert(list[1].mask == e.mask and list[3].mask == e.mask and list[3] == e)
    local _, unmasked = f(ids, nacre.zeros{1, 4, 2})
    assert(unmasked[3].mask == nil and unmasked[1].mask == e.mask))");
}

// As Lua tells them apart.
TEST_F(Autograd, CompiledFunctionsKnowTheirArgumentsApart) {
  EXPECT_EQ(text("local f = nacre.compile(function(a) return math.type(a), type(a) end) local all = {} "
                 "for i, a in ipairs{1, 1.0, '1', true, 1} do all[i] = f(a) or select(2, f(a)) end return all"),
            "['integer', 'float', 'string', 'boolean', 'integer']");
  EXPECT_EQ(text("local f = nacre.compile(function(a) return #a, a[#a] end) local long = ('x'):rep(80) "
                 "local one, two = select(2, f{long .. 'a'}), select(2, f{long .. 'b'}) "
                 "return {one:sub(-1), two:sub(-1), f{'a', 'b'}, (f{\"a','b\"})}"),
            "['a', 'b', 2, 1]");
  EXPECT_EQ(text("local n, f = 0 f = nacre.compile(function(x) n = n + 1 return x end) "
                 "for i = 1, 64 do f(nacre.zeros{i}) end f(nacre.zeros{1}) f(nacre.zeros{65}) f(nacre.zeros{1}) "
                 "return {n, (pcall(f, nacre.zeros{2})), n}"),
            "[65, true, 66]")
      << "what was not used for the longest time is forgotten";
}

TEST_F(Autograd, GradientsOfFloat64AreTakenInCompiledFunctions) {
  run(R"(
    local x = nacre.tensor({1, 2}, "float64")
    local f = nacre.grad(function(x) return (nacre.ops.tanh(x) ^ 3):sum() end)
    local a, b = f(x), nacre.compile(f)(x)
    assert(b.dtype == "float64" and nacre.ops.allclose(a, b, 1e-12, 1e-14):item())
    local back = nacre.compile(function(x) local y, back = nacre.vjp(function(x) return nacre.ops.softmax(x) end, x) return back(x) end)
    assert(back(x).dtype == "float64"))");
}

TEST_F(Autograd, ACompiledStepTrainsAsAnEagerOne) {
  const std::string source =
      "local function train(compiled) "
      "  local d = nacre.layers.Dense{units = 2, kernel_initializer = 'ones', name = 'd' .. tostring(compiled)} "
      "  local opt, loss = nacre.optimizers.Adam{learning_rate = 0.1}, nacre.losses.MeanSquaredError() "
      "  local x, y = nacre.tensor{{1.0, 2.0}, {3.0, 4.0}}, nacre.tensor{{0.0, 1.0}, {1.0, 0.0}} d(x) "
      "  local function step(x, y) local l, g = nacre.value_and_grad(function() return loss(y, d(x)) end, d)() "
      "opt:apply(g, d) return l end "
      "  if compiled then step = nacre.compile(step) end local losses = {} "
      "  for i = 1, 5 do losses[i] = step(x, y):item() end losses[6] = opt.iterations return losses end "
      "local a, b = train(false), train(true) local apart = 0 for i = 1, 6 do apart = math.max(apart, math.abs(a[i] - "
      "b[i])) end "
      "return {apart < 1e-5, a[5] < a[1], a[6]}";
  EXPECT_EQ(text(source), "[true, true, 5]");
}

TEST_F(Autograd, CompiledRandomnessIsNewEachTime) {
  EXPECT_EQ(text("local drop = nacre.layers.Dropout{rate = 0.5} local f = nacre.compile(function(x) return drop(x, "
                 "{training = true}) end) "
                 "local x = nacre.ones{1000} return nacre.ops.all(nacre.ops.equal(f(x), f(x))):item()"),
            "false");
}

TEST_F(Autograd, CompiledFunctionsFollowWhatIsFrozen) {
  EXPECT_EQ(text("local n = nacre.layers.BatchNormalization() local x = nacre.tensor{{1.0}, {3.0}} "
                 "local f = nacre.compile(function(x) return n(x, {training = true}) end) local a = f(x) n.trainable = "
                 "false local b = f(x) "
                 "return nacre.ops.all(nacre.ops.equal(a, b)):item()"),
            "false");
}

TEST_F(Autograd, TensorsOfATraceEndWithIt) {
  for (const char* use :
       {"kept + 1", "kept[1]", "kept:sum()", "nacre.layers.ReLU()(kept)", "kept.shape",
        "nacre.ones{2}[kept:cast('int32')]", "(function() local t = nacre.zeros{2} t[1] = kept end)()",
        "nacre.ops.where(nacre.tensor{true, false}, kept, 1)"})
    EXPECT_NE(
        refusal(fmt::format("local kept nacre.compile(function(x) kept = x end)(nacre.ones{{2}}) return {}", use))
            .find("got a tensor of a trace that has ended\n  hint: what a traced function computes is known to it"),
        std::string::npos)
        << use;
}

TEST_F(Autograd, FunctionsThatWereTakenApartAreRefused) {
  EXPECT_EQ(refusal("local f = nacre.compile(function(x) return x end) debug.setupvalue(f, 2, 5) f(nacre.ones{1})"),
            "s.lua:1: a compiled function has lost its traces\n  hint: make it anew: nacre.compile(f)");
  for (const char* wrap : {"f", "nacre.compile(f)"})
    EXPECT_NE(
        refusal(fmt::format("local add = nacre.ops.add debug.setupvalue(add, 1, 'nosuch') local function f(x) return "
                            "add(x, 1) end {}(nacre.ones{{1}})",
                            wrap))
            .find("s.lua:1: nosuch: there is no such operation"),
        std::string::npos);
}

TEST_F(Autograd, CapturedTensorsAreConstantsOfATrace) {
  EXPECT_EQ(
      text("local c = nacre.tensor(2.0) local f = nacre.compile(function(x) return x * c end) "
           "local a = f(nacre.tensor(1.0)):item() c = nacre.tensor(10.0) return {a, f(nacre.tensor(1.0)):item()}"),
      "[2, 2]");
  EXPECT_EQ(text("local x = nacre.tensor{3.0} local y = nacre.compile(function(x) x[1] = 0 return x end)(x) "
                 "return {x[1]:item(), y[1]:item()}"),
            "[3, 0]");
  // Their gradients would be lost without a word.
  const std::string source =
      "local function outer(x) local h = x * 2 local f = nacre.compile(function(y)\nreturn y * {} end)\n"
      "return f(x) end return nacre.grad(outer)(nacre.tensor(3.0)):item()";
  EXPECT_EQ(refusal(fmt::format(fmt::runtime(source), "h")),
            "s.lua:2: multiply: tensor float32() 6 comes from outside of the compiled function, and gradients are "
            "taken of it\n  called at s.lua:3\n  called at s.lua:3\n  hint: hand it over as an argument, or as "
            "nacre.stop_gradient(…)");
  EXPECT_EQ(text(fmt::format(fmt::runtime(source), "nacre.stop_gradient(h)")), "6");
  // What is left of gradients that were taken before is a constant like any other.
  EXPECT_EQ(text("local kept, more local f = nacre.compile(function(x) return x * kept + more end) "
                 "local c = nacre.custom_gradient(function(x) return x * kept end, function(dy) return dy * 7 end) "
                 "nacre.grad(function(x) kept = x * x return kept end)(nacre.tensor(3.0)) "
                 "local g = nacre.grad(function(x) more = kept * 2 return f(x) end)(nacre.tensor(1.0)) "
                 "return {g:item(), nacre.grad(c)(nacre.tensor(1.0)):item()}"),
            "[9, 7]");
}

TEST_F(Autograd, WhatCannotBeTracedIsRefusedWithItsLine) {
  EXPECT_NE(refusal("local f = nacre.compile(function(x)\nif x:sum():item() > 0 then return x end return -x end) "
                    "f(nacre.ones{2})")
                .find("s.lua:2: a function that is being traced has no numbers yet"),
            std::string::npos);
  EXPECT_NE(
      refusal(
          "local kept local f = nacre.compile(function(x) kept = x * 2 return x end) f(nacre.ones{2}) return kept + 1")
          .find("a tensor of a trace that has ended"),
      std::string::npos);
  EXPECT_NE(refusal("local kept local f = nacre.compile(function(x) nacre.grad(function(z) kept = z * 2 return z:sum() "
                    "end)(x) return kept end) "
                    "f(nacre.ones{2})")
                .find("a tensor of a trace that has ended"),
            std::string::npos);
  EXPECT_NE(refusal("nacre.compile(function() return nacre.initializers.RandomNormal()({2}) end)()")
                .find("the same numbers each time"),
            std::string::npos);
  EXPECT_NE(refusal("local o, w = nacre.optimizers.SGD(), nacre.Variable(nacre.ones{}) "
                    "nacre.compile(function(x) o:apply({x}, {w}) o:apply({x}, {w}) end)(nacre.ones{})")
                .find("applied twice"),
            std::string::npos);
}

TEST_F(Autograd, ModelsTakeSingleBatches) {
  EXPECT_EQ(
      text(
          "local m = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1, kernel_initializer = 'ones'}} "
          "m:compile{optimizer = nacre.optimizers.SGD{learning_rate = 0.5}, loss = 'mse', metrics = {'mae'}} "
          "local x, y = nacre.ones{4, 2}, nacre.ones{4, 1} local before = m:test_on_batch(x, y).loss m:reset_metrics() "
          "local first = m:train_on_batch(x, y).loss m.optimizer.learning_rate = 0.25 "
          "return {before, first, m.optimizer.learning_rate, m:predict_on_batch(x).shape, m.optimizer.iterations}"),
      "[1, 1, 0.25, [4, 1], 1]");
}

// --- data ---------------------------------------------------------------------------------------------------------

TEST_F(Autograd, WalksAreShuffledAnewEachTime) {
  EXPECT_EQ(text("local set = nacre.dataset{x = nacre.arange(50)} "
                 "local function walk() return (set:batches{batch_size = 50, shuffle = true}()) end "
                 "nacre.set_seed(1) local a, b = walk(), walk() nacre.set_seed(1) "
                 "return {a == b, a == walk(), b == walk(), a:sum():item()}"),
            "[false, true, true, 1225]");
}

TEST_F(Autograd, DataSetsAreWalkedAndChanged) {
  EXPECT_EQ(text("local d = nacre.dataset{x = nacre.tensor{1, 2, 3, 4, 5}, y = nacre.tensor{10, 20, 30, 40, 50}} local "
                 "all = {} "
                 "for x, y in d:batches{batch_size = 2} do all[#all + 1] = {x:totable(), y:totable()} end return all"),
            "[[[1, 2], [10, 20]], [[3, 4], [30, 40]], [[5], [50]]]");
  EXPECT_EQ(
      text(
          "local d = nacre.dataset{x = nacre.tensor{1, 2, 3, 4}} local m = d:map(function(x) return x * 2, x + 0.5 "
          "end) "
          "local f = d:filter(function(x) return x:item() % 2 == 0 end) "
          "local b = d:map(function(x) return x:reshape({-1, 1}) end, {batched = true}) local x, y = m:batches()() "
          "return {x:totable(), y:totable(), #f, f:batches()():totable(), b:batches()().shape, #d:take(3), #d:skip(3), "
          "d:take(3):skip(1):batches()():totable()}"),
      "[[2, 4, 6, 8], [1.5, 2.5, 3.5, 4.5], 2, [2, 4], [4, 1], 3, 1, [2, 3]]");
  EXPECT_EQ(text("local d = nacre.dataset{x = nacre.ones{8, 2}, y = nacre.ones{8, 1}}:map(function(x, y) return x * "
                 "0.5, y end) "
                 "local m = nacre.Sequential{nacre.layers.Dense{units = 1}} m:compile{loss = 'mse'} "
                 "return #m:fit{data = d, epochs = 2, verbose = false}.loss"),
            "2");
  EXPECT_EQ(text("return #nacre.data.digits()"), "10000");
  EXPECT_NE(refusal("nacre.dataset{x = nacre.tensor{1, 2}}:map(function(x)\nerror('own') end)").find("s.lua:2: own"),
            std::string::npos);
  EXPECT_NE(refusal("nacre.dataset{x = nacre.tensor{1, 2}}:batches{batchsize = 2}").find("did you mean 'batch_size'"),
            std::string::npos);
}

}  // namespace
}  // namespace nacre
