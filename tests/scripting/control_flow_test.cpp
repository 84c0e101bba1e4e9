// Decisions and loops by numbers, gradients by hand, and derivatives of all results: at once and compiled.
#include "tests/scripting/scripts.h"

namespace nacre {
namespace {

class ControlFlow : public test::Scripts {
 protected:
  // `body` defines f, whose results are tensors or tables of tensors; `arguments` are what it is called with. It gives
  // the same at once and compiled.
  void both_ways(const std::string& body, const std::string& arguments) {
    SCOPED_TRACE(body);
    const std::string compare = R"(
      local function apart(a, b)
        if type(a) ~= "table" then
          assert(tostring(a.shape) == tostring(b.shape) and a.dtype == b.dtype, tostring(a) .. " and " .. tostring(b))
          if #a.shape > 0 and nacre.ops.size(a):item() == 0 then return 0 end
          return nacre.ops.max(nacre.ops.abs(nacre.ops.cast(a, "float32") - nacre.ops.cast(b, "float32"))):item()
        end
        local most = 0
        for key, value in pairs(a) do most = math.max(most, apart(value, b[key])) end
        for key in pairs(b) do assert(a[key] ~= nil) end
        return most
      end
      return apart)";
    const std::string call = "local apart = (function()" + compare + " end)() local a, b = table.pack(f(" + arguments +
                             ")), table.pack(nacre.compile(f)(" + arguments +
                             ")) assert(a.n == b.n and a.n > 0) a.n, b.n = nil, nil return apart(a, b)";
    EXPECT_LE(run(body + " " + call).as_number(), 1e-5);
  }
  // The same of its gradient, of its gradient's, and of the gradients of what is compiled; `f` gives one tensor.
  void with_gradients(const std::string& body, const std::string& arguments) {
    both_ways(body, arguments);
    const std::string sum = body + " local whole = function(...) return nacre.ops.sum(f(...)) end ";
    both_ways(sum + "local f = nacre.grad(whole)", arguments);
    both_ways(sum + "local f = nacre.grad(nacre.compile(whole))", arguments);
    const std::string slope = sum + "local slope = function(...) return nacre.ops.sum(nacre.grad(whole)(...)) end ";
    both_ways(slope + "local f = nacre.grad(slope)", arguments);
    both_ways(slope + "local f = nacre.grad(nacre.compile(slope))", arguments);
    EXPECT_EQ(text(body + " return (nacre.check_grad(f, " + arguments + "))"), "true") << body;
    EXPECT_EQ(text(body + " return (nacre.check_grad(nacre.compile(f), " + arguments + "))"), "true") << body;
  }
  // The error of a function that is compiled and called on nacre.ones{2}.
  std::string traced_refusal(const std::string& function) {
    return refusal("local w = nacre.Variable(nacre.tensor(2.0), {name = 'w'}) local f = nacre.compile(" + function +
                   ")\nf(nacre.ones{2})");
  }
};

// --- nacre.cond, nacre.switch -------------------------------------------------------------------------------------

constexpr const char* choice =
    "local f = function(x) return nacre.cond(x:sum():greater(0), function(x) return nacre.ops.sin(x) * x end, "
    "function(x) return x "
    "* x * x end, x) end";

TEST_F(ControlFlow, CondIsEitherFunction) {
  with_gradients(choice, "nacre.tensor{0.5, 1.5}");
  with_gradients(choice, "nacre.tensor{-0.5, -1.5}");
  EXPECT_EQ(
      text("local function f(c) return nacre.cond(c, function() return 1 end, function() return 2 end):item() end "
           "return {f(true), f(false), f(nacre.tensor{0.5}), f(nacre.tensor(0)), f(3), f(nacre.tensor{{false}})}"),
      "[1, 2, 1, 2, 1, 2]");
}

TEST_F(ControlFlow, OnlyTheChosenFunctionIsComputed) {
  // 1/0 is neither in the result nor, by 0 · ∞, in the gradient.
  with_gradients(
      "local f = function(x) return nacre.cond(nacre.ops.all(x:greater(0.1)), function() return 1 / x end, "
      "function() return x * 0 end) end",
      "nacre.tensor{1.0, 0.0}");
}

TEST_F(ControlFlow, FunctionsUseWhatIsAroundThem) {
  const std::string around =
      "local w, c = nacre.Variable(nacre.tensor{2.0, 3.0}), nacre.tensor{0.5, -1.0} "
      "local f = function(x) local y = nacre.ops.tanh(x) return nacre.cond(y:sum() > nil or y:sum():greater(0), "
      "function(z) "
      "return z * y * w + c end, function(z) return z - w end, x * 2) end";
  const std::string body = std::string(around).replace(around.find("y:sum() > nil or "), 17, "");
  with_gradients(body, "nacre.tensor{0.5, 1.5}");
  with_gradients(body, "nacre.tensor{-0.5, -1.5}");
  both_ways(body + " local inner = f f = function(x) return nacre.grad(function() return inner(x):sum() end, w)() end",
            "nacre.tensor{0.5, 1.5}");
}

TEST_F(ControlFlow, CondTakesAndGivesTables) {
  both_ways(
      "local f = function(p) return nacre.cond(p.on, function(q) return {sum = q.a + q.b[1], list = {q.a, 'x'}}, 1 "
      "end, function(q) return {sum = q.a, list = {q.b[1], 'x'}}, 2 end, p) end "
      "local inner = f f = function(p) local t, n = inner(p) assert(t.list[2] == 'x') t.list[2] = nil return t, n end",
      "{on = nacre.tensor(false), a = nacre.ones{2}, b = {nacre.zeros{2}}}");
}

TEST_F(ControlFlow, CondWithinCondAndGradientsWithinBoth) {
  with_gradients(
      "local f = function(x) return nacre.cond(x:sum():greater(0), function() "
      "  return nacre.cond(x:max():greater(1), function() return x * x end, function() return nacre.ops.sin(x) end) "
      "end, "
      "function() return nacre.grad(function(z) return nacre.cond(z:max():less(0), function() return (z * z * z):sum() "
      "end, function() return z:sum() end) end)(x) end) end",
      "nacre.tensor{0.5, 0.75}");
  with_gradients(
      "local f = function(x) return nacre.cond(x:sum():greater(0), function() return x end, "
      "function() return nacre.grad(function(z) return nacre.cond(z:max():less(0), function() return (z * z * z):sum() "
      "end, function() return z:sum() end) end)(x) end) end",
      "nacre.tensor{-0.5, -0.75}");
}

TEST_F(ControlFlow, SwitchTakesNumbersBeyondItsFunctions) {
  const std::string body =
      "local f = function(i, x) return nacre.switch(i, {function(x) return x end, function(x) return x * x end, "
      "function(x) return x * x * x end}, x) end ";
  for (const char* index :
       {"nacre.tensor(-2)", "nacre.tensor(0)", "nacre.tensor({1}, 'int64')", "nacre.tensor(9)", "2"})
    both_ways(body, std::string(index) + ", nacre.tensor{2.0, 3.0}");
  EXPECT_EQ(
      text(body + "local x = nacre.tensor(2.0) return {f(-2, x):item(), f(nacre.tensor(1), x):item(), f(9, x):item()}"),
      "[2, 4, 8]");
}

TEST_F(ControlFlow, WeightsChangeWhereTheyAreChosen) {
  EXPECT_EQ(text("local w, v = nacre.Variable(nacre.tensor(1.0)), nacre.Variable(nacre.tensor(1.0)) "
                 "local f = nacre.compile(function(x) v:assign(5) nacre.cond(x, function() w:assign_add(v) end, "
                 "function() v:assign(w) "
                 "v:assign_add(1) end) return w.value + 100 * v.value end) "
                 "return {f(nacre.tensor(true)):item(), w.value:item(), v.value:item(), f(nacre.tensor(false)):item(), "
                 "w.value:item(), v.value:item()}"),
            "[506, 6, 5, 706, 6, 7]");
  EXPECT_EQ(
      text("local norm, x = nacre.layers.BatchNormalization{momentum = 0.5}, nacre.tensor{{1.0}, {3.0}} "
           "local f = nacre.compile(function(on) return nacre.cond(on, function() return norm(x, {training = true}) "
           "end, function() return x end) end) local seen = {} "
           "for i, on in ipairs{false, true, false} do f(nacre.tensor(on)) seen[i] = norm.weights[3].value:item() end "
           "return seen"),
      "[0, 1, 1]");
}

TEST_F(ControlFlow, OptimizersStepWhereTheyAreChosen) {
  const std::string source =
      "local function train(compiled) local d = nacre.layers.Dense{units = 1, kernel_initializer = 'ones', name = 'd'} "
      "  local opt, x = nacre.optimizers.Adam{learning_rate = 0.1}, nacre.tensor{{1.0, 2.0}} d(x) "
      "  local function step(on) return nacre.cond(on, function() local l, g = nacre.value_and_grad(function() return "
      "d(x):sum() end, d)() opt:apply(g, d) return l end, function() return 0.0 end) end "
      "  if compiled then step = nacre.compile(step) end "
      "  for _, on in ipairs{true, false, true} do step(nacre.tensor(on)) end "
      "  return {opt.iterations, d.weights[1].value:totable()} end "
      "local a, b = train(false), train(true) return {a[1], b[1], a[2][1][1] == b[2][1][1], a[2][1][1] < 0.85}";
  EXPECT_EQ(text(source), "[2, 2, true, true]");
  EXPECT_EQ(text("local o, w = nacre.optimizers.SGD{learning_rate = 1}, nacre.Variable(nacre.tensor(0.0)) "
                 "local f = nacre.compile(function(on) nacre.cond(on, function() o:apply({1}, {w}) end, function() "
                 "o:apply({-10}, {w}) end) end) f(nacre.tensor(true)) f(nacre.tensor(false)) return w.value:item()"),
            "9");
}

TEST_F(ControlFlow, MasksTravelThroughCond) {
  both_ways(
      "local e = nacre.layers.Embedding{input_dim = 5, output_dim = 2, mask_zero = true} "
      "local pool = nacre.layers.GlobalAveragePooling1D() "
      "local f = function(on, ids) return pool(nacre.cond(on, function() return e(ids) end, function() return "
      "nacre.ones{1, 4, 2} end)), nacre.cond(nacre.ops.logical_not(on), function() return e(ids) end, function() "
      "return "
      "nacre.ones{1, 4, 2} end) end",
      "nacre.tensor(true), nacre.tensor{{1, 2, 0, 0}}");
}

TEST_F(ControlFlow, WhatIsKnownIsDecidedAtOnce) {
  // A constant of the trace chooses; the other function is not even called.
  EXPECT_EQ(text("local on = nacre.tensor(true) local f = nacre.compile(function(x) return nacre.cond(on, function() "
                 "return x + 1 "
                 "end, function() error('not called') end) end) return f(nacre.tensor(1)):item()"),
            "2");
}

TEST_F(ControlFlow, FunctionsThatDifferAreRefusedWithTheirLine) {
  EXPECT_EQ(traced_refusal(
                "function(x) return nacre.cond(x:sum(),\nfunction() return x end, function() return x:sum() end) end"),
            "s.lua:1: nacre.cond: result 1 of function 1 is float32(2,), of function 2 float32()\n  called at s.lua:3\n"
            "  hint: all functions give the same tables, dtypes and shapes");
  EXPECT_NE(
      traced_refusal("function(x) return nacre.cond(x:sum(), function() return x end, function() return {x} end) end")
          .find("result 1 of function 1 is float32(2,), of function 2 {float32(2,),}"),
      std::string::npos);
  EXPECT_NE(traced_refusal("function(x) return nacre.cond(x:sum(), function() return x end, function() end) end")
                .find("function 1 gives 1 result, function 2 gives 0"),
            std::string::npos);
  EXPECT_NE(
      traced_refusal("function(x) return nacre.cond(x:sum(), function() return 'a' end, function() return 'b' end) end")
          .find("is 'a', of function 2 'b'"),
      std::string::npos);
  EXPECT_NE(traced_refusal("function(x) return nacre.cond(x, function() end, function() end) end")
                .find("the condition of nacre.cond is tensor float32(2,), wanted one number or boolean"),
            std::string::npos);
  EXPECT_EQ(refusal("nacre.cond(nacre.tensor(1), 3, print)"),
            "s.lua:1: got a number, wanted a function for where the condition holds");
  EXPECT_EQ(refusal("nacre.cond('yes', print, print)"),
            "s.lua:1: the condition of nacre.cond is 'yes', wanted true, false or a tensor");
  EXPECT_NE(refusal("nacre.switch(1, {})").find("got no functions"), std::string::npos);
  EXPECT_NE(refusal("nacre.switch(0.5, {print})").find("wanted an integer"), std::string::npos);
  EXPECT_NE(traced_refusal(
                "function(x) return nacre.cond(x:sum(), function() return x end, function()\nerror('own') end) end")
                .find("s.lua:2: own"),
            std::string::npos);
  // A trace that failed leaves none behind.
  EXPECT_EQ(
      text("pcall(nacre.compile(function(x) nacre.cond(x, error, error) end), nacre.tensor(1)) return nacre.cond(true, "
           "function() return 1 end, print):item()"),
      "1");
}

// The lines on the way to an error are its own, not those of one that was caught before.
TEST_F(ControlFlow, CaughtErrorsLeaveNoLinesBehind) {
  EXPECT_EQ(refusal("local f = nacre.compile(function(x) return nacre.ops.rellu(x) end)\npcall(f, "
                    "nacre.ones{2})\n\nf(nacre.ones{2})"),
            "s.lua:1: there is no operation 'rellu'\n  called at s.lua:4\n  hint: did you mean 'relu'?");
}

TEST_F(ControlFlow, WhatIsComputedWithinStaysThere) {
  EXPECT_NE(
      traced_refusal(
          "function(x) local kept nacre.cond(x:sum(), function() kept = x * 2 end, function() end) return kept end")
          .find("a tensor of a trace that has ended"),
      std::string::npos);
  EXPECT_NE(
      traced_refusal("function(x) local look = nacre.layers.StringLookup{vocabulary = {'a'}} return "
                     "nacre.cond(x:sum(), function() return look(nacre.tensor{'a'}) end, function() return x end) end"),
      "no error");
}

TEST_F(ControlFlow, RecursionWithoutAnEndIsSaid) {
  EXPECT_NE(traced_refusal(
                "(function() local function f(x) return nacre.cond(x:sum(), function() return f(x) end, function() "
                "return f(x) end) end return f end)()")
                .find("C stack overflow"),
            std::string::npos);
}

// --- loops --------------------------------------------------------------------------------------------------------

constexpr const char* squares =
    "local f = function(x) local n, y = nacre.while_loop(function(n, y) return y:sum():less(100) end, function(n, y) "
    "return n + "
    "1, y * y * 0.9 end, {0, x}, {maximum_iterations = 6}) return y end";

TEST_F(ControlFlow, WhileLoopsEndByTheirCondition) {
  with_gradients(squares, "nacre.tensor{1.5, 1.25}");   // before the most of its steps
  with_gradients(squares, "nacre.tensor{0.5, 1.0}");    // with it
  with_gradients(squares, "nacre.tensor{50.0, 60.0}");  // no step
  EXPECT_EQ(
      text("local n, x = nacre.while_loop(function(n, x) return x:less(100) end, function(n, x) return n + 1, x * 2 "
           "end, "
           "{0, 1.0}) local one = nacre.while_loop(function(x) return x:less(9) end, function(x) return x + 1 end, "
           "nacre.tensor(1)) local named = nacre.while_loop(function(s) return s.n:less(3) end, function(s) return {n "
           "= s.n + "
           "1, x = s.x} end, {n = 0, x = {nacre.ones{2}}}) "
           "return {n:item(), x:item(), one:item(), named.n:item(), named.x[1].shape[1]}"),
      "[7, 128, 9, 3, 2]");
  EXPECT_EQ(text("return nacre.while_loop(function() return true end, function(x) return x + 1 end, {0}, "
                 "{maximum_iterations = 5}):item()"),
            "5");
}

TEST_F(ControlFlow, UnboundedLoopsHaveNoGradientWhenCompiled) {
  const std::string body =
      "local f = function(x) return nacre.while_loop(function(y) return y:less(5) end, function(y) return y * 2 end, "
      "x) end "
      "local x = nacre.tensor(1.0) ";
  both_ways(body, "nacre.tensor(1.0)");
  EXPECT_EQ(text(body + "return nacre.grad(f)(x):item()"), "8") << "at once they have one";
  EXPECT_EQ(refusal(body + "\nnacre.grad(nacre.compile(f))(x)"),
            "s.lua:2: a loop of any number of steps has no gradient\n"
            "  hint: say how many steps it makes at most (maximum_iterations), or use a for loop");
  EXPECT_NE(refusal(body + "\nnacre.compile(nacre.grad(f))(x)").find("has no gradient"), std::string::npos);
}

TEST_F(ControlFlow, LoopsUseAndChangeWhatIsAroundThem) {
  const std::string body =
      "local w, v = nacre.Variable(nacre.tensor(0.5)), nacre.Variable(nacre.tensor(1.0)) "
      "local f = function(x) v:assign(1) local _, y = nacre.while_loop(function(i, y) return nacre.ops.less(v, 4) end, "
      "function(i, y) v:assign_add(1) return i + 1, y * w + x * v + nacre.ops.cast(i, 'float32') end, {0, x}, "
      "{maximum_iterations = 9}) return y * v end ";
  both_ways(body, "nacre.tensor{0.5, 2.0}");
  EXPECT_EQ(text(body + "nacre.compile(f)(nacre.ones{1}) return v.value:item()"), "4");
  // At once weights that were read are not changed before gradients are taken; a compiled function keeps what it read.
  const std::string sum = body + "local whole = function(x) return f(x):sum() end local x = nacre.tensor{0.5, 2.0} ";
  EXPECT_EQ(text(sum + "return {(nacre.check_grad(nacre.compile(f), x)), "
                       "nacre.ops.all(nacre.ops.equal(nacre.compile(nacre.grad(whole))(x), "
                       "nacre.grad(nacre.compile(whole))(x))):item()}"),
            "[true, true]");
  // y ← y/2 + x·v + i for v = 2, 3, 4, and the result is 4·y: 4·(½³ + ½²·2 + ½·3 + 4).
  EXPECT_EQ(text(sum + "return nacre.grad(nacre.compile(whole))(x):totable()"), "[24.5, 24.5]");
  // By w: with y₀ = x, y₁ = y₀/2 + 2x, y₂ = y₁/2 + 3x + 1: 4·(y₀/4 + y₁/2 + y₂), summed over x.
  EXPECT_EQ(
      text(sum +
           "return {nacre.compile(function(x) return nacre.grad(function() return whole(x) end, w)() end)(x):item(), "
           "nacre.grad(nacre.compile(whole), w)(x):item()}"),
      "[65.5, 65.5]");
}

TEST_F(ControlFlow, LoopsWithinLoops) {
  with_gradients(
      "local f = function(x) local _, y = nacre.while_loop(function(i, y) return i:less(3) end, function(i, y) "
      "  local z = nacre.fori_loop(0, 2, function(j, z) return nacre.ops.sin(z) * x + nacre.ops.cast(i + j, 'float32') "
      "end, y) "
      "  return i + 1, nacre.cond(z:sum():greater(2), function() return z * 0.5 end, function() return z * 2 end) end, "
      "{0, x}, {maximum_iterations = 4}) return y end",
      "nacre.tensor{0.5, 1.5}");
}

TEST_F(ControlFlow, ForiLoopsCount) {
  const std::string body =
      "local f = function(x) return nacre.fori_loop(1, 4, function(i, y) return y * x + nacre.ops.cast(i, 'float32') "
      "end, x) end";
  with_gradients(body, "nacre.tensor{0.5, 1.5}");
  with_gradients("local f = function(x) return nacre.fori_loop(3, 1, function(i, y) return y * 2 end, x) end",
                 "nacre.tensor{0.5, 1.5}");
  both_ways(
      "local f = function(n, x) return nacre.fori_loop(n, 2 * n, function(i, y, z) return y + z, z + i end, {x, 0}) "
      "end",
      "nacre.tensor(3), nacre.tensor(5)");
  EXPECT_NE(refusal("nacre.fori_loop(0, 1 << 40, print, {0})").find("is no int32"), std::string::npos);
  EXPECT_NE(refusal("nacre.fori_loop(0.5, 1, print, {0})").find("wanted an integer"), std::string::npos);
}

TEST_F(ControlFlow, ScansStackTheirItems) {
  const std::string body =
      "local f = function(x) local last, items = nacre.scan(function(sum, e) local next = sum * 0.5 + e * e return "
      "next, {next * e, "
      "n = next} end, nacre.zeros{2}, x, {reverse = REVERSE}) return items[1] * items.n + last end";
  for (const char* reverse : {"false", "true"}) {
    std::string source = body;
    with_gradients(source.replace(source.find("REVERSE"), 7, reverse),
                   "nacre.tensor{{0.5, 1.5}, {1.0, -2.0}, {0.25, 0.5}}");
  }
  both_ways(
      "local f = function(x) local a, b = nacre.scan(function(c, e) return {c[1] + 1, c[2] * e.y + e.x[1]}, c[2] end, "
      "{0, x}, {x = {nacre.tensor{1.0, 2.0, 3.0}}, y = nacre.tensor{3, 4, 5}:cast('float32')}) return a, b end",
      "nacre.tensor(0.5)");
  both_ways("local f = function(x) return nacre.scan(function(c) return c * 2, c end, x, nil, {length = 3}) end",
            "nacre.tensor(0.5)");
  both_ways("local f = function(x) return (nacre.scan(function(c, e) return c + e end, x, nacre.ones{3})) end",
            "nacre.tensor(0.5)");
  with_gradients(
      "local f = function(x) return nacre.map(function(e) return nacre.ops.sin(e.a) * e.b end, {a = x, b = x}) end",
      "nacre.tensor{{0.5, 1.5}, {1.0, -2.0}}");
  EXPECT_NE(refusal("nacre.scan(function(c, e) return e end, nacre.ones{2}, nacre.ones{3})")
                .find("makes float32() of float32(2,)"),
            std::string::npos);
  EXPECT_NE(refusal("nacre.scan(type, 0, {nacre.ones{2}, nacre.ones{3}})").find("got a sequence tensor float32(3,)"),
            std::string::npos);
  EXPECT_NE(refusal("nacre.map(function() end, nacre.ones{0})").find("without elements"), std::string::npos);
  EXPECT_NE(refusal("nacre.map(function() end, nacre.ones{2})").find("gives 0 values, wanted one"), std::string::npos);
}

TEST_F(ControlFlow, LayersAndTrainingWithinLoops) {
  const std::string source =
      "local function train(compiled) local d = nacre.layers.Dense{units = 1, kernel_initializer = 'ones', name = 'd'} "
      "  local opt, loss = nacre.optimizers.Adam{learning_rate = 0.1}, nacre.losses.MeanSquaredError() "
      "  local x, y = nacre.tensor{{1.0, 2.0}, {3.0, 4.0}}, nacre.tensor{{1.0}, {0.0}} d(x) "
      "  local run = function(x) return nacre.fori_loop(0, 5, function(i, l) local l, g = "
      "nacre.value_and_grad(function() return "
      "loss(y, d(x)) end, d)() opt:apply(g, d) return l end, 0.0) end if compiled then run = nacre.compile(run) end "
      "  return {run(x):item(), d.weights[1].value:totable()[1][1], opt.iterations} end "
      "local a, b = train(false), train(true) return {math.abs(a[1] - b[1]) < 1e-5, math.abs(a[2] - b[2]) < 1e-5, "
      "a[3], b[3]}";
  EXPECT_EQ(text(source), "[true, true, 5, 5]");
}

TEST_F(ControlFlow, RandomNumbersAreNewInEachStepAndFunction) {
  EXPECT_EQ(text(R"(
    local drop, x = nacre.layers.Dropout{rate = 0.5}, nacre.ones{200}
    local function draw() return drop(x, {training = true}) end
    local f = nacre.compile(function(on)
      local all = {draw()}
      all[2] = nacre.cond(on, draw, draw)
      all[3] = nacre.cond(on, draw, draw)
      local _, rows = nacre.scan(function(c) return c, draw() end, 0, nil, {length = 2})
      local _, nested = nacre.scan(function(c) return c, nacre.map(draw, nacre.zeros{2}) end, 0, nil, {length = 2})
      local _, kept = nacre.while_loop(function(i) return i:less(2) end, function(i, kept) return i + 1, kept * 10 + draw() end, {0, x * 0})
      all[4] = nacre.fori_loop(0, 1, function(i, y) return draw() end, x)
      all[5] = nacre.value_and_grad(function(z) return (draw() * z):sum(), draw() end)(x) * x
      return all, rows, nested, kept
    end)
    local all, rows, nested, kept = f(nacre.tensor(true))
    local texts, seen, same = {}, {}, 0
    local function add(t) texts[#texts + 1] = table.concat(t, " ") end
    for i = 1, 4 do add(all[i]:totable()) end
    for _, row in ipairs(rows:totable()) do add(row) end
    for _, outer in ipairs(nested:totable()) do for _, row in ipairs(outer) do add(row) end end
    for _, text in ipairs(texts) do same = same + (seen[text] and 1 or 0) seen[text] = true end
    local again = f(nacre.tensor(true))
    -- 20 and 2 tell that the two steps drew other numbers.
    return {#texts, same, nacre.ops.all(nacre.ops.equal(again[1], all[1])):item(), nacre.ops.any(nacre.ops.equal(kept, 20)):item(),
            nacre.ops.any(nacre.ops.equal(kept, 2)):item()})"),
            "[10, 0, false, true, true]");
}

TEST_F(ControlFlow, LoopsThatChangeTypesAreRefused) {
  for (const bool compiled : {false, true}) {
    const auto said = [&](const std::string& loop) {
      return compiled ? traced_refusal("function(x) return " + loop + " end")
                      : refusal("local x = nacre.ones{2} " + loop);
    };
    EXPECT_NE(said("nacre.while_loop(function() return true end, function(y) return y:sum() end, {x})")
                  .find("the body of nacre.while_loop makes float32() of float32(2,)"),
              std::string::npos);
    EXPECT_NE(said("nacre.while_loop(function() return true end, function(y) return y, y end, {x})")
                  .find("gives 2 values, wanted 1, one for each of the state"),
              std::string::npos);
    EXPECT_NE(said("nacre.while_loop(function(y) return y end, function(y) return y end, {x})").find("wanted"),
              std::string::npos);
    EXPECT_NE(
        said("nacre.while_loop(function(y) end, function(y) return y end, {x})").find("gives 0 values, wanted one"),
        std::string::npos);
    EXPECT_NE(said("nacre.while_loop(print, print, {})").find("wanted a state"), std::string::npos);
    EXPECT_NE(
        said("nacre.while_loop(print, print, {x}, {maximum_iteration = 3})").find("did you mean 'maximum_iterations'"),
        std::string::npos);
    EXPECT_NE(said("nacre.fori_loop(0, 3, function(i, y) return i end, {x})").find("the body of nacre.fori_loop makes"),
              std::string::npos);
  }
  EXPECT_NE(traced_refusal("function(x) return nacre.while_loop(function() w:assign(1) return true end, function(y) "
                           "return y end, {x}) end")
                .find("the condition of nacre.while_loop changes 'w'"),
            std::string::npos);
}

TEST_F(ControlFlow, WalksWithoutTensorsAreRefused) {
  for (const char* sequences : {"{1, 2, 3}", "3.0", "{}", "'abc'"})
    for (const char* walk :
         {"nacre.map(function(x) return x end, {})", "nacre.scan(function(c) return c end, 0.0, {})"}) {
      const std::string source = fmt::format(fmt::runtime(walk), sequences);
      for (const std::string& said : {refusal(source), traced_refusal("function(y) return " + source + " end")}) {
        EXPECT_NE(said.find("wanted a tensor or a table of tensors, whose first axis is walked along"),
                  std::string::npos)
            << source << ": " << said;
        EXPECT_NE(said.find("hint: nacre.tensor{1, 2, 3} makes one of numbers"), std::string::npos) << said;
      }
    }
  EXPECT_NE(refusal("nacre.scan(function(c) return c end, 0.0, nil, {length = 0})").find("'length'"),
            std::string::npos);
}

TEST_F(ControlFlow, LongLoopsKeepNothing) {
  EXPECT_EQ(text("local before = collectgarbage('count') local n = nacre.while_loop(function(n) return n:less(20000) "
                 "end, function(n) "
                 "return n + 1 end, {0}) collectgarbage() collectgarbage() return {n:item(), collectgarbage('count') - "
                 "before < 100}"),
            "[20000, true]");
}

// --- gradients by hand --------------------------------------------------------------------------------------------

constexpr const char* by_hand =
    "local product = nacre.custom_gradient(function(x, y) return x * y, x, y end, function(dy, x, y) return 10 * dy * "
    "y, dy * x * x "
    "end) local x, y = nacre.tensor{2.0, 3.0}, nacre.tensor{5.0, 6.0} ";

TEST_F(ControlFlow, CustomGradientsAreThoseThatAreGiven) {
  const std::string body(by_hand);
  EXPECT_EQ(text(body + "local a, b = nacre.grad(function(x, y) return product(x, y):sum() end, {1, 2})(x, y) "
                        "return {product(x, y):totable(), a:totable(), b:totable()}"),
            "[[10, 18], [50, 60], [4, 9]]");
  both_ways(body + "local f = product", "x, y");
  const std::string slopes =
      body + "local f = nacre.grad(function(x, y) return (product(x, y) * x):sum() end, {1, 2}) ";
  both_ways(slopes, "x, y");
  const std::string second =
      slopes + "local g = f f = nacre.grad(function(x, y) local a, b = g(x, y) return (a * b):sum() end, {1, 2}) ";
  both_ways(second, "x, y");
  both_ways(second + "local h = f f = nacre.grad(function(x, y) local a, b = h(x, y) return (a * b):sum() end, {1, 2})",
            "x, y");
  both_ways(
      body + "local g = nacre.compile(function(x, y) return product(x, y):sum() end) local f = nacre.grad(g, {1, 2})",
      "x, y");
}

TEST_F(ControlFlow, CustomGradientsOfTablesAndWeights) {
  const std::string tables =
      "local c = nacre.custom_gradient(function(t, n) return {t.a * n, b = t.b[1]}, {t.a, n} end, function(dy, kept) "
      "return {a = dy[1] * 100 + kept[1], b = {dy.b * kept[2]}} , nil end) "
      "local f = nacre.grad(function(t) local y = c(t, 3) return (y[1] + y.b):sum() end)";
  both_ways(tables, "{a = nacre.tensor{1.0, 2.0}, b = {nacre.tensor{3.0, 4.0}}}");
  both_ways(
      "local w = nacre.Variable(nacre.tensor{2.0, 3.0}) local c = nacre.custom_gradient(function(x, w) return x * w, x "
      "end, "
      "function(dy, x) return nil, dy * x * 7 end) local f = function(x) return nacre.grad(function() return c(x, "
      "w):sum() end, w)() "
      "end",
      "nacre.tensor{1.0, 2.0}");
  // Indices have no gradient; the weights that backward reads are read then.
  both_ways(
      "local scale = nacre.Variable(nacre.tensor(2.0)) local c = nacre.custom_gradient(function(x, i) return "
      "x:take(i), i end, "
      "function(dy, i) return dy:sum() * scale * nacre.ones{3}, nil end) "
      "local f = nacre.grad(function(x, i) return c(x, i):sum() end)",
      "nacre.tensor{1.0, 2.0, 3.0}, nacre.tensor{0, 2}");
}

TEST_F(ControlFlow, NumbersThatACustomGradientKeepsStayNumbers) {
  both_ways(
      "local total = nacre.custom_gradient(function(x, axis) return x:sum(axis), axis, 'text', {1, x} end, "
      "function(dy, axis, text, kept) assert(math.type(axis) == 'integer' and text == 'text' and kept[1] == 1) "
      "return dy:expand_dims(axis) * kept[2], nil end) "
      "local f = nacre.grad(function(x) return total(x, 1):sum() end)",
      "nacre.tensor{{1.0, 2.0}, {3.0, 4.0}}");
}

TEST_F(ControlFlow, CustomGradientsWithinLoopsAndDecisions) {
  both_ways(std::string(by_hand) +
                "local f = nacre.grad(function(x) return nacre.fori_loop(0, 3, function(i, z) return "
                "nacre.cond(z:sum():less(50), function() "
                "return product(z, x) end, function() return z * 0.5 end) end, x):sum() end)",
            "x");
  both_ways(std::string(by_hand) +
                "local f = nacre.grad(function(x) return nacre.map(function(e) return product(e, e) end, x):sum() end)",
            "x");
  both_ways(
      "local c = nacre.custom_gradient(function(x) return x * x, x end, function(dy, x) return "
      "nacre.cond(x:sum():greater(0), "
      "function() return dy * x end, function() return -dy end) end) local f = nacre.grad(function(x) return "
      "c(x):sum() end)",
      "nacre.tensor{-1.0, 2.0}");
}

TEST_F(ControlFlow, WrongGradientsAreSaidWithTheirLine) {
  const auto said = [&](const std::string& functions, const std::string& call) {
    return refusal("local c = nacre.custom_gradient(" + functions + ")\nlocal x = nacre.tensor(1.0)\n" + call);
  };
  const std::string take = "nacre.grad(c)(x, x)", trace = "nacre.compile(c)(x, x)";
  for (const std::string& call : {take, trace}) {
    EXPECT_EQ(said("function(x, y) return x * y end, function(dy) return dy end", call),
              "s.lua:3: the backward function of nacre.custom_gradient (s.lua:1) gives 1 gradient for 2 arguments\n"
              "  hint: one for each argument, nil for those that have none");
    EXPECT_NE(said("function(x, y) return x * y end, function(dy) return dy:expand_dims(0), nil end", call)
                  .find("gives float32(1,) as the gradient of argument 1, wanted float32()"),
              std::string::npos);
    EXPECT_NE(said("function(x, y) return x * y end, function(dy) return dy, {dy} end", call)
                  .find("gives {float32(),} as the gradient of argument 2, wanted a tensor float32()"),
              std::string::npos);
    EXPECT_NE(said("function(x, y) end, function(dy) return dy end", call)
                  .find("the forward function of nacre.custom_gradient gives nothing"),
              std::string::npos);
    EXPECT_NE(said("function(x, y) return x * y end, function(dy)\nerror('own') end", call).find("s.lua:2: own"),
              std::string::npos);
  }
  EXPECT_NE(said("function(x, n) return x * n end, function(dy) return dy, dy end", "nacre.grad(c)(x, 3)")
                .find("as the gradient of argument 2, wanted nil"),
            std::string::npos);
  EXPECT_NE(said("function(x, i) return x end, function(dy) return dy, dy end", "nacre.grad(c)(x, nacre.tensor(3))")
                .find("wanted nil: int32() has none"),
            std::string::npos);
  EXPECT_NE(
      refusal(
          "local w = nacre.Variable(nacre.tensor(1.0)) local c = nacre.custom_gradient(function(x) return x * w end, "
          "function(dy) return dy end) nacre.grad(function(x) return c(x) end, w)(nacre.tensor(1.0))")
          .find("uses what gradients are taken of and is no argument"),
      std::string::npos);
  EXPECT_NE(refusal("local w = nacre.Variable(nacre.tensor(1.0), {name = 'w'}) "
                    "nacre.compile(nacre.custom_gradient(function(x) return x end, "
                    "function(dy) w:assign(1) return dy end))(nacre.tensor(1.0))")
                .find("changes 'w'"),
            std::string::npos);
  EXPECT_EQ(refusal("nacre.custom_gradient(print)"), "s.lua:1: got nil, wanted a function that gives the gradients");
}

// What a gradient needs goes with it, and what `backward` refers to may be collected.
TEST_F(ControlFlow, CustomGradientsKeepNothingAlive) {
  run(R"(
    for i = 1, 50 do
      local big = nacre.ones{256, 1024}
      local c = nacre.custom_gradient(function(x) return x * 2, x end, function(dy, x) return dy + big end)
      local y, back = nacre.vjp(c, big)
      back(y)
    end
    collectgarbage() collectgarbage()
  )");
  EXPECT_LT(engine_.held_bytes(), std::size_t{8} << 20);
}

// --- all derivatives ----------------------------------------------------------------------------------------------

TEST_F(ControlFlow, JacobiansHessiansAndDirections) {
  const std::string body = "local h = function(x) return nacre.ops.sin(x) * x:sum() end ";
  both_ways(body + "local f = function(x) return nacre.jacobian(h, x) end", "nacre.tensor{0.5, 1.5}");
  both_ways(body + "local f = function(x) return nacre.hessian(function(x) return h(x):sum() end, x) end",
            "nacre.tensor{0.5, 1.5}");
  both_ways(body + "local f = function(x, v) return nacre.jvp(h, x, v) end",
            "nacre.tensor{0.5, 1.5}, nacre.tensor{1.0, -2.0}");
  both_ways(body + "local f = nacre.grad(function(x) return nacre.jacobian(h, x):sum() end)", "nacre.tensor{0.5, 1.5}");
  EXPECT_EQ(text(body + "local x, v = nacre.tensor{0.5, 1.5}, nacre.tensor{1.0, -2.0} local y, dy = nacre.jvp(h, x, v) "
                        "return nacre.ops.max(nacre.ops.abs(nacre.jacobian(h, x):matmul(v) - dy)):item() < 1e-5"),
            "true");
  EXPECT_EQ(text("local j = nacre.jacobian(function(t) return t.a:matmul(t.b) * 10 end, {a = nacre.tensor{{1.0, "
                 "2.0}}, b = nacre.tensor{{3.0}, "
                 "{4.0}}}) return {j.a:totable(), j.b:totable(), tostring(j.a.shape)}"),
            "[[[[[30, 40]]]], [[[[10], [20]]]], '(1, 1, 1, 2)']");
  EXPECT_NE(
      refusal("nacre.jacobian(function(x) return {x} end, nacre.ones{2})").find("wanted a tensor of real numbers"),
      std::string::npos);
  EXPECT_NE(refusal("nacre.jvp(function(x) return x end, nacre.ones{2}, nacre.ones{3})")
                .find("got float32(3,) as the direction of float32(2,)"),
            std::string::npos);
  EXPECT_NE(refusal("nacre.hessian(function(x) return x end, nacre.ones{2})").find("wanted one number"),
            std::string::npos);
  EXPECT_NE(
      traced_refusal(
          "function(x) return nacre.jacobian(function(x) return x end, nacre.ops.broadcast_to(x:sum(), {1000})) end")
          .find("too large for a function that is compiled"),
      std::string::npos);
}

// What a function draws and changes on the way is the same for both results, and happens once.
TEST_F(ControlFlow, DirectionsCallTheFunctionOnce) {
  run(R"(
    local x = nacre.tensor{{1.0}, {3.0}}
    local function noisy(x) return nacre.jvp(function(x) return x * nacre.rand{2, 1} end, x, x) end
    for _, f in ipairs{noisy, nacre.compile(noisy)} do
      local y, dy = f(x)
      assert(y == dy)
      assert(y ~= f(x))
    end
    local means = {}
    for i, wrap in ipairs{function(f) return f end, nacre.compile} do
      local norm = nacre.layers.BatchNormalization{momentum = 0.5}
      norm(x)
      local runs = 0
      local function step(x) runs = runs + 1 return norm(x, {training = true}) end
      wrap(function(x) return nacre.jvp(step, x, x) end)(x)
      means[i] = norm.weights[3].value:item()
      assert(i == 2 or runs == 1)
    end
    assert(means[1] == 1 and means[2] == 1)
    -- Tables, and gradients of it.
    local function slope(t) local y, dy = nacre.jvp(function(t) return {t.a * t.b, 3, t.a} end, t, {a = t.b, b = t.a})
      return (dy[1] * y[1] + dy[3] * y[3]):sum() end
    local t = {a = nacre.tensor{2.0}, b = nacre.tensor{5.0}}
    assert(slope(t):item() == 29 * 10 + 5 * 2 and nacre.compile(slope)(t) == slope(t))
    local g, h = nacre.grad(slope)(t), nacre.compile(nacre.grad(slope))(t)
    assert(g.a:item() == 3 * 4 * 5 + 125 + 5 and g.a == h.a and g.b == h.b))");
}

// --- what is refused while a function is traced -------------------------------------------------------------------

TEST_F(ControlFlow, NumbersOfATraceAreRefusedWithTheWayOut) {
  for (const char* use : {"x:sum():item()", "x:totable()"})
    EXPECT_NE(traced_refusal(fmt::format("function(x)\nlocal y = {} return y end", use))
                  .find("s.lua:2: a function that is being traced has no numbers yet: they come when it runs\n  called "
                        "at s.lua:3\n"
                        "  hint: nacre.cond and nacre.while_loop decide by them"),
              std::string::npos)
        << use;
  EXPECT_NE(traced_refusal("function(x)\nif x:sum() < 0 then return x end end")
                .find("nacre.cond and nacre.while_loop decide by them"),
            std::string::npos);
  EXPECT_EQ(text("local seen nacre.compile(function(x) seen = {tostring(x), #x, #x.shape} return x end)(nacre.ones{3, "
                 "2}) return seen"),
            "['tensor float32(3, 2)', 3, 2]");
  EXPECT_EQ(traced_refusal("function(x) return #x:sum() end"),
            "s.lua:1: a tensor without axes has no length\n  called at s.lua:2");
  EXPECT_EQ(refusal("nacre.ops.while_loop(print)"),
            "s.lua:1: there is no operation 'while_loop'\n  hint: it takes functions: nacre.while_loop");
  EXPECT_NE(
      traced_refusal("function(x) return nacre.tensor{'a'} end").find("a traced function has no texts of its own"),
      std::string::npos);
}

}  // namespace
}  // namespace nacre
