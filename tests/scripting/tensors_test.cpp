// Tensors in Lua: what makes them, their elements by t[…], random numbers, files, pictures, and what is said of
// mistakes.
#include <chrono>

#include "backend/core/memory.h"
#include "formats/hdf5.h"
#include "formats/npy.h"
#include "scripting/sandbox.h"
#include "tests/scripting/scripts.h"
#include "tests/support/sanitizers.h"

namespace nacre {
namespace {

class TensorsOfLua : public test::Scripts {
 protected:
  // What the expressions give, one after the other, as tostring has them.
  std::string shown(const std::string& expressions, const std::string& before = "") {
    return run(fmt::format("{} local all = table.pack({}) for i = 1, all.n do all[i] = tostring(all[i]) end return "
                           "table.concat(all, ' | ')",
                           before, expressions))
        .as_string();
  }
  Tree run(const std::string& source, const std::vector<std::string>& arguments = {}) {
    return engine_.run(source, "s.lua", arguments);
  }
  std::string refusal(const std::string& source, const std::vector<std::string>& arguments = {}) {
    return test::message_of([&] { run(source, arguments); });
  }
};

// --- making -------------------------------------------------------------------------------------------------------

TEST_F(TensorsOfLua, AreMadeFromShapes) {
  EXPECT_EQ(
      shown("nacre.zeros{2}, nacre.ones({2}, 'int32'), nacre.zeros{2, dtype = 'bool'}, nacre.ones{}"),
      "tensor float32(2,) {0, 0} | tensor int32(2,) {1, 1} | tensor bool(2,) {false, false} | tensor float32() 1");
  EXPECT_EQ(
      shown("nacre.full({2}, 7), nacre.full({2}, 0.5), nacre.full({1}, true), nacre.full({2}, 7, 'float64')"),
      "tensor int32(2,) {7, 7} | tensor float32(2,) {0.5, 0.5} | tensor bool(1,) {true} | tensor float64(2,) {7, 7}");
  EXPECT_EQ(shown("nacre.full({2, 2}, nacre.tensor{1, 2}) == nacre.tensor{{1, 2}, {1, 2}}"), "true");
  EXPECT_EQ(shown("nacre.full({fill_value = 3, shape = {1}}), nacre.full({1}, 9007199254740993, 'int64')"),
            "tensor int32(1,) {3} | tensor int64(1,) {9007199254740993}");
}

TEST_F(TensorsOfLua, AreMadeAsSequencesAndMatrices) {
  EXPECT_EQ(
      shown("nacre.arange(3), nacre.arange(1, 4), nacre.arange(5, 0, -2), nacre.arange(0, 1, 0.25), nacre.arange(0)"),
      "tensor int32(3,) {0, 1, 2} | tensor int32(3,) {1, 2, 3} | tensor int32(3,) {5, 3, 1} | tensor float32(4,) "
      "{0.00, 0.25, 0.50, 0.75} | tensor int32(0,) {}");
  EXPECT_EQ(shown("nacre.arange(1 << 40, (1 << 40) + 2, 1, 'int64'), nacre.arange(2, {dtype = 'uint8'})"),
            "tensor int64(2,) {1099511627776, 1099511627777} | tensor uint8(2,) {0, 1}");
  EXPECT_EQ(shown("nacre.linspace(0, 1, 3), nacre.linspace(0, 4, {num = 2, dtype = 'int32'})"),
            "tensor float32(3,) {0.0, 0.5, 1.0} | tensor int32(2,) {0, 4}");
  EXPECT_EQ(shown("nacre.eye(2):totable()[2][2], nacre.eye(2, 3, 1):sum():item(), nacre.eye(3, 2, -2)[{3, 1}]:item(), "
                  "nacre.eye(2, {k = 9}):sum():item(), nacre.eye(2, {k = -9}):sum():item(), nacre.eye(2, {dtype = "
                  "'bool'}).dtype"),
            "1.0 | 2.0 | 1.0 | 0.0 | 0.0 | bool");
  EXPECT_EQ(shown("nacre.zeros_like(nacre.tensor{1, 2}), nacre.ones_like(nacre.tensor{1}, 'float16'), "
                  "nacre.full_like(nacre.tensor{1, 2}, 5), nacre.one_hot(nacre.tensor{1, 0}, 2)[1]"),
            "tensor int32(2,) {0, 0} | tensor float16(1,) {1} | tensor int32(2,) {5, 5} | tensor float32(2,) {0, 1}");
}

TEST_F(TensorsOfLua, OperationsOnConstantsAloneWorkAtOnceAndInTraces) {
  const std::string all =
      "nacre.ops.linspace(0, 1, 3), nacre.ops.full({2}, 1.5), nacre.ops.arange(3), "
      "nacre.ops.one_hot(1, 3), nacre.ops.add(1, 2), nacre.ops.zeros{2}, nacre.ops.ones{2}, "
      "nacre.ops.eye(1), nacre.full({1}, nacre.ops.add(1, 2)), nacre.zeros_like(nacre.ops.add(1, 2))";
  const std::string wanted =
      "tensor float32(3,) {0.0, 0.5, 1.0} | tensor float32(2,) {1.5, 1.5} | tensor int32(3,) "
      "{0, 1, 2} | tensor float32(3,) {0, 1, 0} | tensor int32() 3 | tensor float32(2,) {0, 0} "
      "| tensor float32(2,) {1, 1} | tensor float32(1, 1)\n{{1}} | tensor int32(1,) {3} | tensor int32() 0";
  EXPECT_EQ(shown(all), wanted);
  EXPECT_EQ(shown("f()", "local f = nacre.compile(function() return " + all + " end)"), wanted);
}

TEST_F(TensorsOfLua, OperationsTakeArgumentsInKerassOrder) {
  EXPECT_EQ(shown("nacre.ops.pad(nacre.tensor{1}, 1), nacre.ops.pad(nacre.tensor{1}, {{1, 0}}, 'constant', 9), "
                  "nacre.ops.average(nacre.tensor{{1.0, 3.0}}, 1), nacre.ops.average(nacre.tensor{1.0, 3.0}, 0, "
                  "nacre.tensor{1.0, 0.0})"),
            "tensor int32(3,) {0, 1, 0} | tensor int32(2,) {9, 1} | tensor float32(1,) {2} | tensor float32() 1");
  EXPECT_EQ(shown("nacre.ops.einsum('ij,j->i', nacre.tensor{{1, 2}, {3, 4}}, nacre.tensor{1, 1})"),
            "tensor int32(2,) {3, 7}");
  EXPECT_EQ(shown("nacre.ops.batch_normalization(nacre.tensor{{3.0}}, nacre.tensor{1.0}, nacre.tensor{1.0}, -1, "
                  "nacre.tensor{5.0}, nacre.tensor{2.0}, 0.0)[1], nacre.ops.allclose(nacre.ones{2}, 1), "
                  "nacre.ops.isin(nacre.tensor{3}, nacre.tensor{3, 4}), nacre.ops.searchsorted(nacre.tensor{1, 3}, "
                  "nacre.tensor{2}), nacre.ops.swish(0.0)"),
            "tensor float32(1,) {9} | tensor bool() true | tensor bool(1,) {true} | tensor int32(1,) {1} | tensor "
            "float32() 0");
}

// --- members ------------------------------------------------------------------------------------------------------

TEST_F(TensorsOfLua, KnowTheirTypes) {
  const std::string all =
      "x.shape, x.dtype, x.ndim, x.size, x.device, #x, x.shape == {2, 3}, x.shape == {2}, x[1].shape";
  const std::string wanted = "(2, 3) | float32 | 2 | 6 | cpu | 2 | true | false | (3,)";
  EXPECT_EQ(shown(all, "local x = nacre.zeros{2, 3}"), wanted);
  run("nacre.compile(function(x) local all = table.pack(" + all +
      ") for i = 1, all.n do all[i] = tostring(all[i]) end seen = table.concat(all, ' | ') return x "
      "end)(nacre.zeros{2, 3})");
  EXPECT_EQ(run("return seen").as_string(), wanted);
  EXPECT_EQ(refusal("return #nacre.tensor(3)"), "s.lua:1: a tensor without axes has no length");
  EXPECT_EQ(refusal("return nacre.zeros{2}.astype"),
            "s.lua:1: tensor float32(2,) {0, 0} has no 'astype'\n  hint: here it is tensor:cast(dtype)");
  EXPECT_EQ(refusal("return nacre.zeros{2}:resape{1, 2}"),
            "s.lua:1: tensor float32(2,) {0, 0} has no 'resape'\n  hint: did you mean 'reshape'?");
}

TEST_F(TensorsOfLua, CompareAsValues) {
  EXPECT_EQ(
      shown("a == nacre.tensor{1, 2}, a == nacre.tensor{1.0, 2.0}, a == nacre.tensor{1, 3}, a == nacre.tensor{{1, 2}}, "
            "a == 1, nacre.tensor{'x'} == nacre.tensor{'x'}, nacre.tensor{'x'} == nacre.tensor{1}, "
            "nacre.tensor{0/0} == nacre.tensor{0/0}, a ~= a:clone()",
            "local a = nacre.tensor{1, 2}"),
      "true | true | false | false | false | true | false | false | false");
  EXPECT_EQ(
      shown("nacre.tensor(2) < 3, nacre.tensor{{2}} <= nacre.tensor(2), 3 < nacre.tensor(2.5), nacre.tensor(2) > 1"),
      "true | true | false | true");
  EXPECT_EQ(refusal("return nacre.tensor{1, 2} < 3"),
            "s.lua:1: Lua's comparisons give true or false alone\n  hint: use nacre.ops.greater, nacre.ops.less, "
            "nacre.ops.equal, …");
  for (const char* comparison : {"x < 3", "x == x + 1", "x:sum() <= 2"})
    EXPECT_NE(
        refusal(fmt::format("nacre.compile(function(x) if {} then return x end end)(nacre.ones{{2}})", comparison))
            .find("Lua's comparisons"),
        std::string::npos)
        << comparison;
}

TEST_F(TensorsOfLua, TypesMeetAsInKeras) {
  EXPECT_EQ(
      shown("meet('bool', 'int32'), meet('uint8', 'int32'), meet('int64', 'float32'), meet('float16', 'bfloat16'), "
            "meet('float32', 'float64'), meet('int32', 'int64'), (nacre.tensor({1}, 'int32') + 0.5).dtype, "
            "(nacre.tensor({1}, 'float16') + 0.5).dtype, (nacre.tensor{true} + 1).dtype, (nacre.tensor({1}, 'uint8') * "
            "2).dtype",
            "local function meet(a, b) return (nacre.tensor({1}, a) + nacre.tensor({1}, b)).dtype end"),
      "int32 | int32 | float32 | float32 | float64 | int64 | float32 | float16 | int32 | uint8");
  EXPECT_EQ(shown("nacre.tensor({200, 100}, 'uint8'):sum(), nacre.tensor{true, true}:sum(), nacre.tensor{7, 2} / 2, "
                  "nacre.tensor{7, 2} // 2"),
            "tensor int32() 300 | tensor int32() 2 | tensor float32(2,) {3.5, 1.0} | tensor int32(2,) {3, 1}");
}

TEST_F(TensorsOfLua, EveryDtypeComputes) {
  run(R"(
    for _, dtype in ipairs{"bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64"} do
      local t = nacre.tensor({{1, 0}, {1, 1}}, dtype)
      assert(t.dtype == dtype and t:clone().dtype == dtype and t[1].dtype == dtype and t:cast("float32"):sum():item() == 3)
      assert((t + t):cast("float32") == t:cast("float32") * 2, dtype)
      assert(t:matmul(t):cast("float32") == nacre.tensor{{1, 0}, {2, 1}}, dtype)
      assert((t * 0.5).dtype == (dtype:find("float") and dtype or "float32"), dtype)
      assert(t:equal(1) == nacre.tensor{{true, false}, {true, true}}, dtype)
      t[{1, 2}] = 1
      assert(t:cast("int32") == nacre.ones({2, 2}, "int32"), dtype)
      assert(nacre.compile(function(x) x[1] = 0 return x end)(t):cast("int32") == nacre.tensor{{0, 0}, {1, 1}}, dtype)
      assert(nacre.ops.where(t:equal(0), t, t):max().dtype == dtype)
    end
    -- Numbers that only float64 holds.
    assert((nacre.tensor({1}, "float64") + 2^-40)[1]:item() > 1)
    assert(nacre.tensor({1 << 53}, "int64") + 1 == nacre.tensor({(1 << 53) + 1}, "int64")))");
}

TEST_F(TensorsOfLua, LargeNumbersBesideBooleansAreInt64) {
  const std::string all =
      "nacre.tensor{true, false} + (1 << 40), (1 << 40) * nacre.tensor{true}, nacre.tensor{true} + 1";
  const std::string wanted =
      "tensor int64(2,) {1099511627777, 1099511627776} | tensor int64(1,) {1099511627776} | tensor int32(1,) {2}";
  EXPECT_EQ(shown(all), wanted);
  EXPECT_EQ(shown("f(nacre.tensor{true, false}, nacre.tensor{true})",
                  "local f = nacre.compile(function(x, y) return x + (1 << 40), (1 << 40) * y, y + 1 end)"),
            wanted);
}

TEST_F(TensorsOfLua, MasksAreBooleans) {
  const std::string before = "local e = nacre.ones{1, 2, 1} ";
  for (const char* mask : {"nacre.tensor{{1.0, 0.0}}", "{true}", "3"})
    EXPECT_NE(
        refusal(before + fmt::format("e.mask = {}", mask)).find("wanted a tensor of booleans\n  hint: tensor:cast"),
        std::string::npos);
  EXPECT_EQ(shown("e.mask, e.mask.mask", before + "local m = nacre.tensor{{true, false}} m.mask = m e.mask = m"),
            "tensor bool(1, 2)\n{{ true, false}} | nil");
}

TEST_F(TensorsOfLua, NumbersThatDoNotFitAreRefused) {
  EXPECT_EQ(refusal("return nacre.tensor({1.5}, 'int32')"),
            "s.lua:1: the number 1.5 does not fit in int32\n  hint: another dtype holds it: nacre.tensor(table, "
            "\"float32\"), tensor:cast(\"float32\")");
  EXPECT_EQ(refusal("\nreturn nacre.tensor({1}, 'uint8') + 300"),
            "s.lua:2: add: the number 300 does not fit in uint8\n  hint: another dtype holds it: nacre.tensor(table, "
            "\"int64\"), tensor:cast(\"float32\")");
  EXPECT_EQ(refusal("return nacre.tensor{1} * (1 << 40)")
                .find("s.lua:1: multiply: the number 1099511627776 does not fit in int32"),
            0u);
  EXPECT_EQ(refusal("return nacre.compile(function(x) return x - 300 end)(nacre.tensor({1}, 'uint8'))"),
            "s.lua:1: subtract: the number 300 does not fit in uint8\n  called at s.lua:1");
  EXPECT_EQ(refusal("nacre.full({2}, -1, 'uint8')"), "s.lua:1: full: the number -1 does not fit in uint8");
  EXPECT_EQ(refusal("nacre.arange(0, 1000, 1, 'uint8')"), "s.lua:1: arange: the number 256 does not fit in uint8");
  EXPECT_EQ(refusal("return nacre.tensor{'a'} + 1"), "s.lua:1: add: got texts, wanted numbers");
  EXPECT_EQ(refusal("return nacre.tensor{'a'} + nacre.tensor{1}"),
            "s.lua:1: add: got string(1,) and int32(1,), wanted numbers");
}

TEST_F(TensorsOfLua, ShapesThatDoNotFitAreNamedWithTheirOperation) {
  EXPECT_EQ(refusal("\n\nreturn nacre.ones{2, 2} + nacre.ones{3}"),
            "s.lua:3: add: shapes (2, 2) and (3,) cannot be broadcast together");
  EXPECT_EQ(refusal("nacre.compile(function(x)\nreturn x / nacre.ones{3} end)(nacre.ones{2})"),
            "s.lua:2: true_divide: shapes (2,) and (3,) cannot be broadcast together\n  called at s.lua:1");
  EXPECT_EQ(refusal("return nacre.ones{2, 3}:matmul(nacre.ones{2, 3})"),
            "s.lua:1: matmul: inner sizes differ: (2, 3) · (2, 3)");
  EXPECT_EQ(refusal("return nacre.ones{2}:sum(3)"),
            "s.lua:1: sum: got (2,), which has no axis 3\n  hint: axes count from 0, and from the end from -1");
  EXPECT_EQ(refusal("return nacre.ones{2}:sum{axes = 0}"),
            "s.lua:1: sum: unknown key 'axes'\n  hint: did you mean 'axis'?");
  EXPECT_EQ(refusal("return nacre.Input{2} + nacre.Input{3}").find("s.lua:1: add: "), 0u);
  EXPECT_EQ(refusal("nacre.zeros{2, dtyp = 'x'}"), "s.lua:1: zeros: unknown key 'dtyp'\n  hint: did you mean 'dtype'?");
  EXPECT_EQ(refusal("nacre.full()").find("s.lua:1: full: the key 'shape' is missing"), 0u);
  EXPECT_EQ(refusal("nacre.zeros({2}, 'x', 3)"), "s.lua:1: zeros: wanted 2 arguments, got 3");
  EXPECT_EQ(refusal("nacre.zeros({2}, {shape = {3}})"),
            "s.lua:1: zeros: got 'shape' twice, by its place and by its name");
}

// --- pictures -----------------------------------------------------------------------------------------------------

TEST_F(TensorsOfLua, ArePrintedInColumns) {
  EXPECT_EQ(shown("nacre.tensor{{1, -20}, {300, 4}}"), "tensor int32(2, 2)\n{{  1, -20},\n {300,   4}}");
  EXPECT_EQ(shown("nacre.tensor{0.5, 1, 0/0, 1/0, -1/0}"), "tensor float32(5,) {0.5, 1.0, nan, inf, -inf}");
  EXPECT_EQ(shown("nacre.tensor{{0.5, 0/0}, {-1/0, 100}}"), "tensor float32(2, 2)\n{{  0.5,   nan},\n { -inf, 100.0}}");
  EXPECT_EQ(
      shown("nacre.tensor{1e-5, 2}, nacre.tensor{123456789.0}, nacre.tensor{1/3}, nacre.tensor(1/3), "
            "nacre.tensor(1/3, 'float64')"),
      "tensor float32(2,) {1e-05, 2e+00} | tensor float32(1,) {1.2346e+08} | tensor float32(1,) {0.3333} | tensor "
      "float32() 0.33333334 | tensor float64() 0.3333333333333333");
  EXPECT_EQ(shown("nacre.arange(8):reshape{2, 2, 2}"),
            "tensor int32(2, 2, 2)\n{{{0, 1},\n  {2, 3}},\n\n {{4, 5},\n  {6, 7}}}");
  EXPECT_EQ(
      shown("nacre.tensor{'a', 'it\\27[2J'}, nacre.tensor{true}, nacre.zeros{0, 1000000}, nacre.zeros{1000000000, 0}"),
      "tensor string(2,) {'a', 'it\\x1b[2J'} | tensor bool(1,) {true} | tensor float32(0, 1000000)\n{} | tensor "
      "float32(1000000000, 0)\n{}");
  EXPECT_EQ(shown("nacre.tensor{('ä'):rep(40)}"), "tensor string(1,) {'ääääääääääää…'}");
}

TEST_F(TensorsOfLua, LargeOnesArePrintedByTheirEdges) {
  EXPECT_EQ(shown("nacre.arange(1000):reshape{50, 20}"),
            "tensor int32(50, 20)\n{{  0,   1,   2, …,  17,  18,  19},\n { 20,  21,  22, …,  37,  38,  39},\n { 40,  "
            "41,  42, …,  57,  58,  "
            "59},\n …,\n {940, 941, 942, …, 957, 958, 959},\n {960, 961, 962, …, 977, 978, 979},\n {980, 981, 982, …, "
            "997, 998, 999}}");
  EXPECT_EQ(shown("nacre.arange(201)"), "tensor int32(201,)\n{  0,   1,   2, …, 198, 199, 200}");
  for (const char* shape : {"{1, 200}", "{7, 7, 7}", "{5, 5, 5, 5, 5, 5, 5, 5}", "{1000000}", "{3, 1, 400, 2}",
                            "{2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2}"}) {
    const std::string picture = shown(fmt::format("nacre.randn{} * 1000", shape));
    EXPECT_LT(picture.size(), 8000u) << shape;
    std::size_t columns = 0, widest = 0;
    for (const char c : picture) {
      columns = c == '\n' ? 0 : columns + ((static_cast<unsigned char>(c) & 0xc0) != 0x80);
      widest = std::max(widest, columns);
    }
    EXPECT_LE(widest, 80u) << picture;
  }
}

// --- elements -----------------------------------------------------------------------------------------------------

constexpr const char* matrix = "local t = nacre.tensor{{1, 2, 3}, {4, 5, 6}} ";

TEST_F(TensorsOfLua, HaveElementsCountedFromOne) {
  const auto of = [&](const std::string& key) { return shown("t[" + key + "]", matrix); };
  EXPECT_EQ(of("1"), "tensor int32(3,) {1, 2, 3}");
  EXPECT_EQ(of("-1"), "tensor int32(3,) {4, 5, 6}");
  EXPECT_EQ(of("2.0"), "tensor int32(3,) {4, 5, 6}");
  EXPECT_EQ(of("{2, 3}"), "tensor int32() 6");
  EXPECT_EQ(of("{{}, 2}"), "tensor int32(2,) {2, 5}");
  EXPECT_EQ(of("{1, {2, 3}}"), "tensor int32(2,) {2, 3}");
  EXPECT_EQ(of("{1, {2}}"), "tensor int32(1,) {2}");
  EXPECT_EQ(of("{1, {1, 3, 2}}"), "tensor int32(2,) {1, 3}");
  EXPECT_EQ(of("{1, {-1, 1, -1}}"), "tensor int32(3,) {3, 2, 1}");
  EXPECT_EQ(of("{1, {3, 1, -2}}"), "tensor int32(2,) {3, 1}");
  EXPECT_EQ(of("{1, {-2, -1}}"), "tensor int32(2,) {2, 3}");
  EXPECT_EQ(of("{1, {2, 1}}"), "tensor int32(0,) {}");
  EXPECT_EQ(of("{1, {4, 3}}"), "tensor int32(0,) {}");
  EXPECT_EQ(of("{1, {1, 0}}"), "tensor int32(0,) {}");
  EXPECT_EQ(of("{'...', 1}"), "tensor int32(2,) {1, 4}");
  EXPECT_EQ(of("{1, '...'}"), "tensor int32(3,) {1, 2, 3}");
  EXPECT_EQ(of("{}"), "tensor int32(2, 3)\n{{1, 2, 3},\n {4, 5, 6}}");
  EXPECT_EQ(of("nacre.newaxis"), "tensor int32(1, 2, 3)\n{{{1, 2, 3},\n  {4, 5, 6}}}");
  EXPECT_EQ(of("{1, nacre.newaxis, 2}"), "tensor int32(1,) {2}");
  EXPECT_EQ(shown("nacre.tensor{'a', 'b'}[2]:item(), nacre.tensor{{'a'}, {'b'}}[{{-1, 1, -1}, 1}]:totable()[1]"),
            "b | b");
}

TEST_F(TensorsOfLua, HaveElementsByTensors) {
  const auto of = [&](const std::string& key) { return shown("t[" + key + "]", matrix); };
  EXPECT_EQ(of("nacre.tensor{2, 1, -1}"), "tensor int32(3, 3)\n{{4, 5, 6},\n {1, 2, 3},\n {4, 5, 6}}");
  EXPECT_EQ(of("nacre.tensor(2)"), "tensor int32(3,) {4, 5, 6}");
  EXPECT_EQ(of("{1, nacre.tensor{{3}, {1}}}"), "tensor int32(2, 1)\n{{3},\n {1}}");
  EXPECT_EQ(of("{{}, nacre.tensor({3, 1}, 'uint8')}"), "tensor int32(2, 2)\n{{3, 1},\n {6, 4}}");
  EXPECT_EQ(of("{nacre.tensor{1, 2, 2}, nacre.tensor{3, 1, 2}}"), "tensor int32(3,) {3, 4, 5}");
  EXPECT_EQ(of("{nacre.tensor{{1}, {2}}, nacre.tensor{3, 1}}"), "tensor int32(2, 2)\n{{3, 1},\n {6, 4}}");
  EXPECT_EQ(of("t:greater(2)"), "tensor int32(4,) {3, 4, 5, 6}");
  EXPECT_EQ(of("nacre.tensor{false, true}"), "tensor int32(1, 3)\n{{4, 5, 6}}");
  EXPECT_EQ(of("{{}, nacre.tensor{true, false, true}}"), "tensor int32(2, 2)\n{{1, 3},\n {4, 6}}");
  EXPECT_EQ(of("nacre.tensor{false, false}"), "tensor int32(0, 3)\n{}");
}

TEST_F(TensorsOfLua, ElementsOutOfRangeAreNamedWithTheirAxis) {
  const auto of = [&](const std::string& key) { return refusal(matrix + ("\nreturn t[" + key + "]")); };
  const std::string hint = "\n  hint: indices count from 1, and from the end from -1";
  EXPECT_EQ(of("3"), "s.lua:2: index 3 is out of range for axis 0 of int32(2, 3), whose size is 2" + hint);
  EXPECT_EQ(of("0"), "s.lua:2: index 0 is out of range for axis 0 of int32(2, 3), whose size is 2" + hint);
  EXPECT_EQ(of("{1, -4}"), "s.lua:2: index -4 is out of range for axis 1 of int32(2, 3), whose size is 3" + hint);
  EXPECT_EQ(of("{{}, {2, 4}}"),
            "s.lua:2: range {2, 4} is out of range for axis 1 of int32(2, 3), whose size is 3" + hint);
  EXPECT_EQ(of("{{}, {0, 2}}"),
            "s.lua:2: range {0, 2} is out of range for axis 1 of int32(2, 3), whose size is 3" + hint);
  EXPECT_EQ(of("{{}, {3, 0, -1}}").find("s.lua:2: range {3, 0, -1} is out of range"), 0u);
  EXPECT_EQ(of("{{}, {1, 2, 0}}"), "s.lua:2: got a range whose step is 0");
  EXPECT_EQ(of("{1, 2, 3}"), "s.lua:2: got 3 indices for int32(2, 3), which has 2 axes");
  EXPECT_EQ(of("1.5"), "s.lua:2: got 1.5, wanted a whole number as an index");
  EXPECT_EQ(of("true").find("s.lua:2: got a boolean, wanted an index"), 0u);
  EXPECT_EQ(of("{a = 1}").find("s.lua:2: got the name 'a' in an index"), 0u);
  EXPECT_EQ(of("{{1, 2, 3, 4}}").find("s.lua:2: got a range of 4 numbers"), 0u);
  EXPECT_EQ(of("{'...', '...'}"), "s.lua:2: got \"...\" twice in one index");
  EXPECT_EQ(of("nacre.tensor{1, 3}"),
            "s.lua:2: index 3 in int32(2,) is out of range for axis 0 of int32(2, 3), whose size is 2" + hint);
  EXPECT_EQ(of("nacre.tensor{0}").find("s.lua:2: index 0 in int32(1,) is out of range"), 0u);
  EXPECT_EQ(of("nacre.tensor{1.0}"), "s.lua:2: got float32(1,) as an index, wanted whole numbers or booleans");
  EXPECT_EQ(of("nacre.tensor(true)"), "s.lua:2: got bool() as an index, wanted a boolean for each element");
  EXPECT_EQ(of("nacre.tensor{true}"),
            "s.lua:2: the boolean index is (1,), but axis 0 and after it int32(2, 3) is (2,)");
  EXPECT_EQ(of("{nacre.tensor{1}, {}, nacre.tensor{1}}").find("s.lua:2: got 3 indices"), 0u);
  EXPECT_EQ(refusal("return nacre.zeros{2, 2, 2}[{nacre.tensor{1}, {}, nacre.tensor{1}}]")
                .find("s.lua:1: an index takes one boolean tensor, or integer tensors side by side"),
            0u);
  EXPECT_EQ(refusal("return nacre.tensor(3)[1]"), "s.lua:1: got 1 index for int32(), which has 0 axes");
  EXPECT_EQ(refusal("nacre.ones{3}[{1 << 62}] = 1").find("s.lua:1: index 4611686018427387904 is out of range"), 0u);
  EXPECT_EQ(
      refusal("return nacre.ones{3}[{{math.mininteger, math.maxinteger, math.mininteger}}]").find("s.lua:1: range {"),
      0u);
}

TEST_F(TensorsOfLua, AreGoneOverRowByRow) {
  for (const char* loop : {"t:rows()", "ipairs(t)", "pairs(t)"})
    EXPECT_EQ(run(fmt::format(
                      "{} local seen = {{}} for i, row in {} do seen[#seen + 1] = {{i, row:totable()}} end return seen",
                      matrix, loop))
                  .text(),
              "[[1, [1, 2, 3]], [2, [4, 5, 6]]]")
        << loop;
  EXPECT_EQ(run("local n = 0 for i, x in ipairs(nacre.zeros{0}) do n = n + 1 end return n").text(), "0");
  EXPECT_EQ(run(std::string(matrix) + "return {select('#', table.unpack(t)), table.unpack(t)[1]:item()}").text(),
            "[2, 1]");
  EXPECT_NE(refusal("for i, row in nacre.tensor(1):rows() do end"), "");
}

// The same as nested tables have, for keys by chance.
TEST_F(TensorsOfLua, ElementsAreThoseOfTables) {
  run(R"(
    math.randomseed(5)
    local random = math.random
    -- Places along an axis of a size, and whether the axis goes.
    local function choose(size)
      local kind = random(5)
      if kind == 1 then return {}, nil end
      if kind == 2 then local i = random(size) return random(2) == 1 and i or i - size - 1, {i, gone = true} end
      local step = ({1, 2, 3, -1, -2})[random(5)]
      local first, last = random(size), random(size)
      local places = {}
      for i = first, last, step do places[#places + 1] = i end
      if kind == 3 and #places > 0 then return nacre.tensor(places), places end
      if random(2) == 1 then first = first - size - 1 end
      if random(2) == 1 then last = last - size - 1 end
      return {first, last, step}, places
    end
    local function pick(value, choices, axis)
      if axis > #choices then return value end
      local places = choices[axis]
      if places.gone then return pick(value[places[1]], choices, axis + 1) end
      local result = {}
      for _, place in ipairs(places) do result[#result + 1] = pick(value[place], choices, axis + 1) end
      return result
    end
    local function same(a, b)
      if type(a) ~= "table" then return a == b end
      if #a ~= #b then return false end
      for i = 1, #a do if not same(a[i], b[i]) then return false end end
      return true
    end
    local function set(value, choices, axis, number)
      local places = choices[axis]
      for _, place in ipairs(places) do
        if axis == #choices then value[place] = number else set(value[place], choices, axis + 1, number) end
      end
    end
    for round = 1, 600 do
      local shape = {random(4), random(4), random(4)}
      local t = nacre.arange(shape[1] * shape[2] * shape[3]):reshape(shape)
      local key, choices, tensors = {}, {}, 0
      for axis = 1, 3 do
        local entry, places
        repeat entry, places = choose(shape[axis]) until type(entry) ~= "userdata" or tensors == 0
        if type(entry) == "userdata" then tensors = tensors + 1 end
        key[axis] = entry
        if not places then places = {} for i = 1, shape[axis] do places[i] = i end end
        choices[axis] = places
      end
      local wanted = pick(t:totable(), choices, 1)
      assert(same(t[key]:totable(), wanted), round)
      local read = nacre.compile(function(x) return x[key] end)
      assert(same(read(t):totable(), wanted), round)
      local changed, other = t:totable(), t:clone()
      set(changed, choices, 1, -1)
      other[key] = -1
      assert(same(other:totable(), changed), round)
      local write = nacre.compile(function(x) x[key] = -1 return x end)
      assert(same(write(t):totable(), changed), round)
      assert(t:min():item() == 0)
    end)");
}

// --- assignment ---------------------------------------------------------------------------------------------------

TEST_F(TensorsOfLua, AreAssignedTo) {
  const auto after = [&](const std::string& assignment) {
    return run(matrix + assignment + " return t:totable()").text();
  };
  EXPECT_EQ(after("t[1] = 9"), "[[9, 9, 9], [4, 5, 6]]");
  EXPECT_EQ(after("t[1] = {7, 8, 9}"), "[[7, 8, 9], [4, 5, 6]]");
  EXPECT_EQ(after("t[{2, -1}] = 9"), "[[1, 2, 3], [4, 5, 9]]");
  EXPECT_EQ(after("t[{{}, {1, 3, 2}}] = {{7}, {8}}"), "[[7, 2, 7], [8, 5, 8]]");
  EXPECT_EQ(after("t[{{2, 1, -1}, 1}] = nacre.tensor{7, 8}"), "[[8, 2, 3], [7, 5, 6]]");
  EXPECT_EQ(after("t[{}] = 0"), "[[0, 0, 0], [0, 0, 0]]");
  EXPECT_EQ(after("t[t:greater(4)] = 0"), "[[1, 2, 3], [4, 0, 0]]");
  EXPECT_EQ(after("t[t:greater(4)] = {7, 8}"), "[[1, 2, 3], [4, 7, 8]]");
  EXPECT_EQ(after("t[nacre.tensor{2}] = t[1]"), "[[1, 2, 3], [1, 2, 3]]");
  EXPECT_EQ(after("t[{{}, nacre.tensor{1, 1}}] = {8, 9}"), "[[9, 2, 3], [9, 5, 6]]");
  EXPECT_EQ(after("t[{nacre.tensor{1, 2}, nacre.tensor{3, 1}}] = {7, 8}"), "[[1, 2, 7], [8, 5, 6]]");
  EXPECT_EQ(after("t[{1, {2, 1}}] = 9"), "[[1, 2, 3], [4, 5, 6]]");
  EXPECT_EQ(after("t[1] = t[2]; t[{{2, 2}}] = t[{{1, 1}}] * 2"), "[[4, 5, 6], [8, 10, 12]]");
  EXPECT_EQ(after("t[{}] = t"), "[[1, 2, 3], [4, 5, 6]]");
  EXPECT_EQ(after("t[1] = true"), "[[1, 1, 1], [4, 5, 6]]");
  EXPECT_EQ(after("t[1] = nacre.tensor({7}, 'int64')"), "[[7, 7, 7], [4, 5, 6]]");
  EXPECT_EQ(run("local t = nacre.zeros{2} t[1] = nacre.tensor(3) t[2] = 0.5 return {t.dtype, t:totable()}").text(),
            "['float32', [3, 0.5]]");
  EXPECT_EQ(run("local t = nacre.tensor{'a', 'b'} t[1] = 'c' t[{{2, 2}}] = {'d'} return t:totable()").text(),
            "['c', 'd']");
}

TEST_F(TensorsOfLua, AssignmentsChangeNoOtherTensor) {
  EXPECT_EQ(run(R"(
    local a = nacre.tensor{1, 2, 3, 4}
    local same, other, view, part, whole = a, a:clone(), a:reshape{2, 2}, a[{{1, 2}}], a[{}]
    local table_of = {a = a}
    a[1] = 9
    return {a:totable(), same[1]:item(), table_of.a[1]:item(), other[1]:item(), view[{1, 1}]:item(), part[1]:item(), whole[1]:item()})")
                .text(),
            "[[9, 2, 3, 4], 9, 9, 1, 1, 1, 1]");
  EXPECT_EQ(run("local w = nacre.Variable(nacre.tensor{1.0, 2.0}) local t = w.value t[1] = 9 return "
                "{w.value:totable(), t:totable()}")
                .text(),
            "[[1, 2], [9, 2]]");
  EXPECT_EQ(run("local f = nacre.compile(function(x) return x end) local a = nacre.zeros{2} local b = f(a) b[1] = 5 "
                "local c = f(a) "
                "return {a:totable(), b:totable(), c:totable()}")
                .text(),
            "[[0, 0], [5, 0], [0, 0]]");
  // What is differentiated keeps the numbers that it was computed from.
  EXPECT_EQ(run("local x = nacre.tensor{3.0} local y, back = nacre.vjp(function(x) local z = x:clone() local y = z * z "
                "z[1] = 0 return y end, x) "
                "y[1] = 7 x[1] = 100 return back():totable()")
                .text(),
            "[6]");
}

// In place: 4 MB are not copied for each number.
TEST_F(TensorsOfLua, AssignmentsAreMadeInPlace) {
  const auto begin = std::chrono::steady_clock::now();
  run("local t = nacre.zeros{1 << 20} for i = 1, 100000 do t[i] = i end assert(t:max():item() == 100000)");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST_F(TensorsOfLua, AssignmentsThatDoNotFitAreRefused) {
  const auto of = [&](const std::string& assignment) { return refusal(matrix + ("\n" + assignment)); };
  EXPECT_EQ(of("t[1] = {1, 2}"), "s.lua:2: cannot assign (2,) to elements (3,): the shapes do not fit");
  EXPECT_EQ(of("t[{1, 1}] = {1}"), "s.lua:2: cannot assign (1,) to elements (): the shapes do not fit");
  EXPECT_EQ(of("t[1] = 0.5").find("s.lua:2: the number 0.5 does not fit in int32"), 0u);
  EXPECT_EQ(of("t[1] = 1 << 40").find("s.lua:2: the number 1099511627776 does not fit in int32"), 0u);
  EXPECT_EQ(of("t[1] = nacre.tensor(0.5)"),
            "s.lua:2: cannot assign float32() to elements of int32(2, 3)\n  hint: value:cast(\"int32\") makes it fit");
  EXPECT_EQ(of("t[1] = nacre.tensor({1 << 40}, 'int64')"),
            "s.lua:2: cannot assign int64(1,) to elements of int32(2, 3): there are numbers that do not fit");
  EXPECT_EQ(of("t[1] = 'a'").find("s.lua:2: got 'a', wanted a number"), 0u);
  EXPECT_EQ(of("t[1] = print").find("s.lua:2: got a function, wanted a number, a table or a tensor to assign"), 0u);
  EXPECT_EQ(of("t[1] = nil").find("s.lua:2: got nil, wanted"), 0u);
  EXPECT_EQ(of("t[3] = 1").find("s.lua:2: index 3 is out of range for axis 0"), 0u);
  EXPECT_EQ(of("t.shape = 1").find("s.lua:2: tensor int32(2, 3)"), 0u);
  EXPECT_EQ(
      refusal("local w = nacre.Variable(1.0) w[1] = 2"),
      "s.lua:1: the elements of weight 'variable' float32() cannot be assigned to\n  hint: change a tensor, local t = "
      "weight.value, and assign it: weight:assign(t)");
  EXPECT_NE(refusal("nacre.Input{3}[1] = 2"), "");
}

// --- gradients and traces -----------------------------------------------------------------------------------------

// Gradients agree with differences, and traces with what is computed at once: values, gradients, gradients of
// gradients.
TEST_F(TensorsOfLua, GradientsFlowThroughElementsAndAssignments) {
  run(R"(
    nacre.set_seed(4)
    local x, y, i = nacre.randn{4, 5}, nacre.randn{5}, nacre.tensor{3, 1, 3}
    local rows, columns, positive = nacre.tensor{true, false, true, true}, nacre.tensor{true, false, true, true, false}, x:greater(0)
    local function close(a, b) return nacre.ops.allclose(a, b, 1e-4, 1e-5):item() end
    local function check(f)
      local line = debug.getinfo(2, "l").currentline
      local agrees, apart = nacre.check_grad(f, x, y)
      assert(agrees, "line " .. line .. ": " .. apart)
      local compiled = nacre.compile(f)
      assert(close(f(x, y), compiled(x, y)), line)
      local slope = nacre.grad(function(x, y) local z = f(x, y) return (z * z):sum() end, {1, 2})
      local at_once, traced = {slope(x, y)}, {nacre.compile(slope)(x, y)}
      assert(close(at_once[1], traced[1]) and close(at_once[2], traced[2]), line)
      local second = nacre.grad(function(x, y) local dx, dy = slope(x, y) return (dx * dx):sum() + (dy * dy * dy):sum() end, {1, 2})
      at_once, traced = {second(x, y)}, {nacre.compile(second)(x, y)}
      assert(close(at_once[1], traced[1]) and close(at_once[2], traced[2]), line)
    end
    check(function(x, y) return x[2] + y end)
    check(function(x, y) return x[{-1, 3}] * y[1] end)
    check(function(x, y) return x[{{2, 3}}] * y end)
    check(function(x, y) return x[{{1, 4, 2}, {5, 1, -2}}] * y[{{1, 3}}] end)
    check(function(x, y) return x[{nacre.newaxis, 2, nacre.newaxis}] * y end)
    check(function(x, y) return x[{"...", -1}]:sum() * y end)
    check(function(x, y) return x[{{3, 2}}]:sum() + x:sum() * y end)
    check(function(x, y) return x[i] * y end)
    check(function(x, y) return x[{{1, 2}, i}] * y[i] end)
    check(function(x, y) return x[{i, nacre.tensor{1, 5, -1}}] * y[i] end)
    check(function(x, y) return x[rows] * y end)
    check(function(x, y) return x[positive]:sum() * y end)
    check(function(x, y) return x[{{2, 3}, columns}] * y[columns] end)
    check(function(x, y) x = x:clone() x[2] = y return x * x end)
    check(function(x, y) x = x:clone() x[2] = 3 return x * x * y end)
    check(function(x, y) x = x:clone() x[{}] = y return x * x end)
    check(function(x, y) x = x:clone() x[{2, 3}] = y[1] return x * x end)
    check(function(x, y) x = x:clone() x[{{1, 4, 2}, {5, 1, -2}}] = y[{{1, 3}}] return x * x end)
    check(function(x, y) x = x:clone() x[i] = nacre.ops.stack{y, y * 2, y * 3} return x * x end)
    check(function(x, y) x = x:clone() x[{{}, i}] = y[{{1, 3}}] return x * x end)
    check(function(x, y) x = x:clone() x[{i, nacre.tensor{1, 5, -1}}] = y[{{1, 3}}] return x * x end)
    check(function(x, y) x = x:clone() x[rows] = y return x * x end)
    check(function(x, y) x = x:clone() x[positive] = y[1] return x * x end)
    check(function(x, y) x = x:clone() x[{nacre.newaxis, 2}] = y return x * x end)
    check(function(x, y) x = x:clone() x[1] = x[2] * x[1] x[1] = x[1] * y return x end)
    check(function(x, y)
      local out = nacre.zeros{3}
      out[1] = x:sum()
      out[2] = y:sum()
      out[3] = out[1] * out[2]
      return out
    end)
    local w = nacre.Variable(nacre.tensor{1.0, 2, 3})
    assert(nacre.grad(function() return w[2] * w[3] end, w)() == nacre.tensor{0, 3, 2})
    assert(nacre.compile(nacre.grad(function() return w[2] * w[3] end, w))() == nacre.tensor{0, 3, 2}))");
}

TEST_F(TensorsOfLua, TracedIndicesReadAndWrite) {
  run(R"(
    nacre.set_seed(4)
    local x, y, i = nacre.randn{4, 5}, nacre.randn{5}, nacre.tensor{3, 1, -1}
    local function same(f, ...)
      local at_once, traced = {f(...)}, {nacre.compile(f)(...)}
      for k = 1, #at_once do assert(at_once[k] == traced[k], debug.getinfo(2, "l").currentline .. "/" .. k) end
    end
    same(function(x, i) return x[i], x[{{}, i}], x[{2, i}], x[{{1, 3}, i}], x[{i, i}], x[{i, 2}], x[i[1]], x[{{}, i:cast("uint8"):clip(1, 5)}] end, x, i)
    same(function(x, i, y)
      x = x:clone()
      x[i] = y
      local columns, pairs_of, one = x:clone(), x:clone(), x:clone()
      columns[{{}, i}] = 7
      pairs_of[{i, i}] = y[{{1, 3}}]
      one[i[1]] = y
      return x, columns, pairs_of, one
    end, x, i, y)
    same(function(x, y)
      x = x:clone()
      x[x:greater(0)] = 0
      local rows = x:clone()
      rows[y:greater(0)[{{1, 4}}]] = y
      return x, rows
    end, x, y)
    local function f(x, i, y) x = x:clone() x[i] = y return (x * x * x):sum() end
    local a, b = nacre.compile(nacre.grad(f, {1, 3}))(x, i, y)
    local c, d = nacre.grad(f, {1, 3})(x, i, y)
    assert(nacre.ops.allclose(a, c):item() and nacre.ops.allclose(b, d):item())
    -- What is out of range is NaN when the function runs, and is not written.
    local far = nacre.compile(function(x, i) local y = x:clone() y[i] = 1 return x[i], y end)
    local read, written = far(nacre.zeros{2}, nacre.tensor{3, 0, 1})
    assert(read:isnan() == nacre.tensor{true, true, false} and written == nacre.tensor{1, 0})
    -- Loops over a traced tensor end.
    assert(nacre.compile(function(x) for k, row in ipairs(x) do x[k] = row * k end return x end)(nacre.ones{2, 1}) == nacre.tensor{{1}, {2}}))");
}

// Of equal places the last one stays, at once as compiled; gradients go to its value alone.
TEST_F(TensorsOfLua, TracedPlacesThatComeTwiceAreWrittenOnce) {
  run(R"(
    nacre.set_seed(5)
    local set = function(x, i, v) x = x:clone() x[i] = v return x end
    local compiled = nacre.compile(set)
    assert(compiled(nacre.zeros{3}, nacre.tensor{1, 1}, nacre.tensor(5.0)) == nacre.tensor{5, 0, 0})
    for _, dtype in ipairs{"bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64"} do
      local x, v = nacre.zeros({4}, dtype), nacre.tensor({0, 1, 1, 0, 1}, dtype)
      for _, places in ipairs{{1, 2, 3, 4, 1}, {2, 2, 2, 2, 2}, {-1, 4, 1, 1, 3}, {1, 1, 2, 2, 1}} do
        local i = nacre.tensor(places)
        local y = compiled(x, i, v)
        assert(y.dtype == dtype and y == set(x, i, v), dtype)
      end
    end
    assert(compiled(nacre.zeros({2}, "int64"), nacre.tensor{1}, nacre.tensor({1 << 53 | 1}, "int64"))[1]:item() == 1 << 53 | 1)
    assert(compiled(nacre.zeros{2}, nacre.zeros({0}, "int32"), nacre.tensor(1.0)) == nacre.zeros{2})
    local pairs_of = function(x, i, j, v) x = x:clone() x[{i, j}] = v return (x * x * x) end
    local x, i, j, v = nacre.randn{3, 4}, nacre.tensor{1, 3, 1, 1}, nacre.tensor{2, 4, 2, 1}, nacre.randn{4}
    assert(nacre.compile(pairs_of)(x, i, j, v) == pairs_of(x, i, j, v))
    local function agree(f, ...)
      local a, b = f(...)
      local c, d = nacre.compile(f)(...)
      assert(nacre.ops.allclose(a, c):item() and nacre.ops.allclose(b, d):item())
    end
    local slope = nacre.grad(function(x, i, j, v) return pairs_of(x, i, j, v):sum() end, {1, 4})
    agree(slope, x, i, j, v)
    agree(nacre.grad(function(x, i, j, v) local a, b = slope(x, i, j, v) return (a * a):sum() + (b * b):sum() end, {1, 4}), x, i, j, v)
    local rows = function(x, i, v) x = x:clone() x[{{}, i}] = v return (x ^ 3):sum() end
    agree(nacre.grad(rows, {1, 3}), x, nacre.tensor{4, 4, 2}, nacre.randn{3, 3}))");
}

TEST_F(TensorsOfLua, TracedPlacesOutOfRangeAreNoOtherPlaces) {
  run(R"(
    local x = nacre.tensor{{1.0, 2, 3}, {4, 5, 6}}
    local read = nacre.compile(function(x, i, j) return x[{i, j}] end)
    assert(read(x, nacre.tensor{1, 1, 1, 2, 0, 3, -3, 2}, nacre.tensor{0, 5, -4, 4, 3, 1, 1, -1}):isnan()
           == nacre.tensor{true, true, true, true, true, true, true, false})
    local one = nacre.compile(function(x, i) return x[i] end)
    assert(one(x[1], nacre.tensor{0, 4, -4, 99, -99, 2}):isnan() == nacre.tensor{true, true, true, true, true, false})
    for _, far in ipairs{(1 << 32) + 1, -(1 << 32) - 1, math.maxinteger, math.mininteger} do
      assert(one(x[1], nacre.tensor({far}, "int64")):isnan()[1]:item(), far)
    end
    assert(one(nacre.tensor{7, 8}, nacre.tensor{0, 3, -3, 2}) == nacre.tensor{0, 0, 0, 8})
    assert(one(nacre.arange(300), nacre.tensor({200, 255, 0}, "uint8")) == nacre.tensor{199, 254, 0})
    local write = nacre.compile(function(x, i, j) x[{i, j}] = 9 return x end)
    assert(write(x, nacre.tensor{1, 1, 2, 2}, nacre.tensor{0, 5, -4, 1}) == nacre.tensor{{1, 2, 3}, {9, 5, 6}}))");
}

TEST_F(TensorsOfLua, RangesOfOpenAxesAreThoseOfKnownOnes) {
  run(R"(
    local size = 4
    local x, open = nacre.arange(size):cast("float32"):reshape{1, size}, nacre.Input{nacre.null}
    for first = -size, size do
      for last = -size, size do
        for _, step in ipairs{1, 2, -1, -2, math.maxinteger, math.mininteger} do
          local key = {{}, {first, last, step}}
          local known, y = pcall(function() return x[key] end)
          local fits, z = pcall(function() return nacre.Model{inputs = open, outputs = open[key]}:predict(x) end)
          assert(known == fits and (not known or y == z), table.concat(key[2], " "))
          if known then assert(nacre.compile(function(x) return x[key] end)(x) == y) end
        end
      end
    end
    assert(nacre.compile(function(x) return x[{{2, 3, math.maxinteger}}] end)(nacre.tensor{1, 2, 3}) == nacre.tensor{2}))");
  EXPECT_EQ(
      refusal("return nacre.Input{nacre.null}[{{}, {0, 1}}]")
          .find("s.lua:1: range {0, 1} is out of range for axis 1 of symbol float32(None, None), whose size is open"),
      0u);
}

TEST_F(TensorsOfLua, TracesRefuseWhatTheyCannotRepeat) {
  const auto traced = [&](const std::string& body) {
    return refusal("local other = nacre.zeros{3}\nnacre.compile(function(x)\n" + body + "\nend)(nacre.ones{3})");
  };
  EXPECT_EQ(
      traced("return x[x:greater(0)]"),
      "s.lua:3: got a boolean index whose numbers are not known while the function is traced, nor how many are true\n"
      "  called at s.lua:2\n  hint: nacre.ops.where(mask, a, b) keeps the shape; x * mask:cast(x.dtype) makes the "
      "others 0");
  EXPECT_EQ(traced("x[x:greater(0)] = nacre.ones{2}").find("s.lua:3: cannot assign (2,) by a boolean index"), 0u);
  EXPECT_EQ(traced("return x[4]").find("s.lua:3: index 4 is out of range for axis 0 of float32(3,), whose size is 3"),
            0u);
  for (const char* value : {"x[1]", "1"})
    EXPECT_EQ(
        traced(fmt::format("other[1] = {} return other", value)),
        "s.lua:3: got an assignment to float32(3,), which was made outside of the function that is traced\n  called at "
        "s.lua:2\n  hint: the compiled function would not repeat it: change a copy, t:clone(), and return that");
  EXPECT_EQ(traced("local y = x * 2 return nacre.grad(function(z) y[1] = z[1] return z:sum() end)(x)")
                .find("s.lua:3: got an assignment to float32(3,), which was made outside"),
            0u);
  EXPECT_EQ(traced("other = other + x other[1] = 1 local t = other:clone() t[2] = x[1] return t"), "");
  EXPECT_EQ(run("local seen local f = nacre.compile(function(x) seen = x return x end) f(nacre.ones{2}) return "
                "(pcall(function() return seen[1] end))")
                .text(),
            "false");
}

TEST_F(TensorsOfLua, SymbolsHaveElementsToo) {
  EXPECT_EQ(shown("x[{{}, 1}], x[{{}, {2, 3}}], x[{{}, {}, -1}], x[{{1, 4}, {1, 5, 2}}], x[{'...', nacre.newaxis}]",
                  "local x = nacre.Input{5, 3}"),
            "symbol float32(None, 3) | symbol float32(None, 2, 3) | symbol float32(None, 5) | symbol float32(None, 3, "
            "3) | symbol "
            "float32(None, 5, 3, 1)");
  EXPECT_EQ(run("local x = nacre.Input{3} local m = nacre.Model{inputs = x, outputs = x[{{}, {-1, 1, -1}}]} return "
                "m:predict(nacre.tensor{{1.0, 2, 3}}):totable()")
                .text(),
            "[[3, 2, 1]]");
  EXPECT_EQ(refusal("return nacre.Input{5, 3}[{{}, 6}]")
                .find("s.lua:1: index 6 is out of range for axis 1 of symbol float32(None, 5, 3)"),
            0u);
  EXPECT_NE(refusal("return nacre.Input{5, 3}[nacre.tensor{1}]").find("nacre.ops.take"), std::string::npos);
}

// --- random numbers -----------------------------------------------------------------------------------------------

TEST_F(TensorsOfLua, TheSameSeedGivesTheSameNumbers) {
  run(R"(
    local function draws()
      local x = nacre.Input{3}
      local model = nacre.Sequential{nacre.Input{3}, nacre.layers.Dense{units = 2}, nacre.layers.Dropout{rate = 0.5}}
      model:compile{loss = "mse"}
      local before = model:predict(nacre.ones{1, 3})
      model:fit{x = nacre.ones{8, 3}, y = nacre.zeros{8, 2}, epochs = 2, verbose = false}
      local layer = nacre.layers.Dense{units = 2}
      local step = nacre.compile(function(x) return x + nacre.randn{3} end)
      return {nacre.randn{3}, nacre.rand{3}, nacre.random.randint({3}, 0, 100), nacre.random.permutation(5), before,
              model:predict(nacre.ones{1, 3}), layer(nacre.ones{1, 3}), step(nacre.zeros{3}), step(nacre.zeros{3})}
    end
    nacre.set_seed(7)
    local first = draws()
    local other = draws()
    nacre.set_seed(7)
    local again = draws()
    nacre.set_seed(8)
    local third = draws()
    for i = 1, #first do assert(first[i] == again[i], i) assert(first[i] ~= third[i], i) end
    assert(first[1] ~= other[1])
    assert(first[8] ~= first[9], "a compiled function draws anew at each run"))");
}

TEST_F(TensorsOfLua, DistributionsHaveTheirMoments) {
  run(R"(
    nacre.set_seed(1)
    local n, random = 200000, nacre.random
    local function near(value, wanted, apart) assert(math.abs(value - wanted) < apart, debug.getinfo(2, "l").currentline .. ": " .. value) end
    local function moments(t, mean, deviation)
      local line = debug.getinfo(2, "l").currentline
      t = t:cast("float32")
      local m, d = t:mean():item(), t:std():item()
      assert(math.abs(m - mean) < 0.02 * (1 + math.abs(mean)) and math.abs(d - deviation) < 0.02 * (1 + deviation), line .. ": " .. m .. " " .. d)
    end
    moments(random.normal({n}, 2, 3), 2, 3)
    moments(nacre.randn{n}, 0, 1)
    moments(nacre.rand{n}, 0.5, math.sqrt(1 / 12))
    moments(random.uniform({n}, -2, 4), 1, 6 * math.sqrt(1 / 12))
    moments(random.truncated_normal{n}, 0, 0.8796)
    moments(random.randint({n}, 0, 10), 4.5, math.sqrt(99 / 12))
    moments(random.randint({n}, -(1 << 30), 1 << 30) / (1 << 30), 0, 1 / math.sqrt(3))
    moments(random.randint({n}, 0, 1 << 40, "int64") / (1 << 40), 0.5, math.sqrt(1 / 12))
    moments(random.bernoulli(nacre.full({n}, 0.3)), 0.3, math.sqrt(0.21))
    moments(random.binomial({n}, 10, 0.3), 3, math.sqrt(2.1))
    moments(random.gamma({n}, 4), 4, 2)
    moments(random.gamma({n}, nacre.full({n}, 9.0)), 9, 3)
    moments(random.beta({n}, 2, 6), 0.25, math.sqrt(12 / 64 / 9))
    moments(random.dropout(nacre.ones{n}, 0.25), 1, math.sqrt(1 / 3))
    local classes = random.categorical(nacre.tensor{{math.log(0.5), math.log(0.3), math.log(0.2)}}, n)
    assert(classes.shape == {1, n} and classes.dtype == "int32")
    near(classes:equal(0):cast("float32"):mean():item(), 0.5, 0.01)
    near(classes:equal(2):cast("float32"):mean():item(), 0.2, 0.01)
    -- All orders are as likely.
    local counts = {}
    for i = 1, 3000 do local t = random.shuffle(nacre.arange(3)) local key = table.concat(t:totable()) counts[key] = (counts[key] or 0) + 1 end
    local orders = 0
    for _, count in pairs(counts) do orders = orders + 1 near(count, 500, 110) end
    assert(orders == 6)
    assert(random.shuffle(nacre.arange(6):reshape{2, 3}, 1):sort() == nacre.arange(6):reshape{2, 3})
    assert(random.permutation(100000):sort() == nacre.arange(100000))
    assert(random.dropout(nacre.ones{4, 5}, 0.5, {4, 1}):std(1):max():item() == 0)
    for _, dtype in ipairs{"float16", "bfloat16", "float64"} do assert(random.normal({2}, {dtype = dtype}).dtype == dtype) end
    assert(nacre.randn{2, 3, dtype = "float16"}.shape == {2, 3}))");
}

TEST_F(TensorsOfLua, RandomNumbersOfOneCallAreTheirOwn) {
  run(R"(
    local random = nacre.random
    assert(random.normal({3}, {seed = 5}) == random.normal({3}, {seed = 5}))
    assert(random.normal({3}, {seed = 5}) ~= random.normal({3}, {seed = 6}))
    nacre.set_seed(1)
    local a = nacre.randn{2}
    nacre.set_seed(1)
    random.normal({3}, {seed = 5})
    assert(a == nacre.randn{2}, "a seed of its own leaves the others as they are")
    -- In a trace each call differs, also in functions that are differentiated, and gradients see the same numbers.
    local f = nacre.compile(function(x)
      local function part(x) local r = nacre.randn{3} return (x * r):sum(), r end
      local y, slope, r = nacre.value_and_grad(part)(x)
      local z, other, s = nacre.value_and_grad(part)(x)
      return slope, r, other, s, nacre.randn{3}, random.normal({3}, {seed = 5}), random.normal({3}, {seed = 5})
    end)
    local slope, r, other, s, outside, own, again = f(nacre.ones{3})
    assert(slope == r and other == s and r ~= s and r ~= outside and s ~= outside and own == again)
    assert(own == random.normal({3}, {seed = 5}))
    local next_slope = f(nacre.ones{3})
    assert(next_slope ~= slope)
    -- Layers too.
    local dropout = nacre.layers.Dropout{rate = 0.5}
    local both = nacre.compile(function(x)
      local function part(x) return dropout(x, {training = true}):sum() end
      local a, b = nacre.grad(part)(x), nacre.grad(part)(x)
      return a, b
    end)
    local a, b = both(nacre.ones{100})
    assert(a ~= b))");
}

TEST_F(TensorsOfLua, RandomFunctionsRefuseWhatTheyCannotDraw) {
  EXPECT_EQ(refusal("nacre.random.normal()"), "s.lua:1: random.normal: the key 'shape' is missing (sizes)");
  EXPECT_EQ(refusal("nacre.random.uniform({2}, 0, 1, 'int32')"),
            "s.lua:1: random.uniform: got the dtype int32, wanted a floating one\n  hint: nacre.random.randint draws "
            "whole numbers");
  EXPECT_EQ(refusal("nacre.random.randint({2}, 5, 5)"),
            "s.lua:1: random.randint: got minval 5 and maxval 5, wanted them 1 to 2^40 apart");
  EXPECT_EQ(refusal("nacre.random.randint({2}, math.mininteger, math.maxinteger)")
                .find("s.lua:1: random.randint: got minval"),
            0u);
  EXPECT_EQ(refusal("nacre.random.randint({2}, 0, 300, 'uint8')"),
            "s.lua:1: random.randint: got minval 0 and maxval 300, which do not fit in uint8");
  EXPECT_EQ(refusal("nacre.random.categorical(3, 2)").find("s.lua:1: random.categorical: "), 0u);
  EXPECT_EQ(refusal("nacre.random.shuffle(nacre.ones{2}, 4)").find("s.lua:1: random.shuffle: axis 4"), 0u);
  EXPECT_EQ(refusal("nacre.random.gamma({2}, -1)"), "s.lua:1: random.gamma: got -1, wanted a number above 0");
  EXPECT_EQ(refusal("nacre.random.dropout(nacre.ones{2}, 2)").find("s.lua:1: random.dropout: 'rate': got 2"), 0u);
  EXPECT_EQ(refusal("nacre.randn{1 << 40}").find("s.lua:1: randn: a tensor float32(1099511627776,) is larger than"),
            0u);
  EXPECT_EQ(refusal("nacre.randn{-2}"), "s.lua:1: randn: got the size -2, wanted sizes of at least 0");
  EXPECT_EQ(refusal("nacre.random.norml{2}"), "s.lua:1: nacre.random has no 'norml'\n  hint: did you mean 'normal'?");
  EXPECT_NE(refusal("nacre.random.normal({2}, nacre.Input{2})"), "");
}

// --- files --------------------------------------------------------------------------------------------------------

TEST_F(TensorsOfLua, GoToArchivesAndBack) {
  run(R"(
    local path = ...
    local all = {numbers = nacre.tensor{{1.5, 2}}, flags = nacre.tensor{true, false}, bytes = nacre.tensor({1, 255}, "uint8"),
                 long = nacre.tensor({1 << 40}, "int64"), half = nacre.tensor({0.5}, "float16"), double = nacre.tensor({0.1}, "float64")}
    nacre.save_npz(path, all)
    local back = nacre.load_npz(path)
    local count = 0
    for name, tensor in pairs(back) do count = count + 1 assert(tensor == all[name] and tensor.dtype == all[name].dtype, name) end
    assert(count == 6 and nacre.load_npz(path, "long") == all.long)
    local names = nacre.npz_names(path)
    assert(#names == 6 and names[1] == "bytes"))",
      {path("t.npz")});
  EXPECT_EQ(read_npz(path("t.npz"), "numbers").at(0), 1.5);
  EXPECT_NE(refusal("nacre.load_npz(..., 'nmbers')", {path("t.npz")}).find("numbers"), std::string::npos);
}

TEST_F(TensorsOfLua, GoToHdf5AndBack) {
  run(R"(
    local path = ...
    local all = {numbers = nacre.tensor{{1.5, 2}}, texts = nacre.tensor{"a", "bc"}, group = {flags = nacre.tensor{true, false}, deep = {
                 bytes = nacre.tensor({1, 255}, "uint8"), half = nacre.tensor({0.5}, "float16"), scalar = nacre.tensor(3)}}, empty = {}}
    nacre.save_hdf5(path, all)
    local back = nacre.load_hdf5(path)
    assert(back.numbers == all.numbers and back.texts == all.texts and back.group.flags == all.group.flags)
    assert(back.group.flags.dtype == "bool" and back.group.deep.bytes.dtype == "uint8" and back.group.deep.half.dtype == "float16")
    assert(back.group.deep.scalar == nacre.tensor(3) and back.group.deep.scalar.ndim == 0 and next(back.empty) == nil)
    assert(nacre.load_hdf5(path, "group/deep/bytes") == all.group.deep.bytes)
    assert(nacre.load_hdf5(path, "group").deep.scalar:item() == 3)
    local names = nacre.hdf5_names(path)
    assert(#names == 6, #names)
    local listed = table.concat(names, " ")
    assert(listed:find("group/deep/bytes") and listed:find("texts")))",
      {path("t.h5")});
  EXPECT_EQ(hdf5::File::open(path("t.h5")).root().tensor("numbers").at(0), 1.5);
  EXPECT_NE(refusal("nacre.load_hdf5(..., 'nothing')", {path("t.h5")}).find("nothing"), std::string::npos);
}

TEST_F(TensorsOfLua, FilesAppearWholeOrNotAtAll) {
  for (const char* name : {"npy", "npz", "hdf5"}) {
    const std::string file = path(name);
    run(fmt::format("nacre.save_{}(..., {})", name,
                    std::string(name) == "npy" ? "nacre.ones{2}" : "{x = nacre.ones{2}}"),
        {file});
    std::ifstream in(file, std::ios::binary);
    const std::string before((std::istreambuf_iterator<char>(in)), {});
    EXPECT_NE(refusal(fmt::format("nacre.save_{}(..., {})", name,
                                  std::string(name) == "npy" ? "3" : "{a = nacre.zeros{2}, b = print}"),
                      {file}),
              "")
        << name;
    std::ifstream later(file, std::ios::binary);
    EXPECT_EQ(std::string((std::istreambuf_iterator<char>(later)), {}), before) << name;
    EXPECT_NE(refusal(fmt::format("nacre.save_{}('/nowhere/at/all', {{x = nacre.zeros{{2}}}})", name)), "") << name;
  }
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_.path())) ++files;
  EXPECT_EQ(files, 3u) << "nothing else is left";
}

TEST_F(TensorsOfLua, FilesAreMistrusted) {
  test::write_plainly(folder_ / "noise", std::string(1000, '\x07'));
  test::write_plainly(folder_ / "empty", "");
  run("nacre.save_hdf5(..., {x = nacre.ones{1000}})", {path("short")});
  std::filesystem::resize_file(folder_ / "short", 1200);
  for (const char* function : {"load_npy", "load_npz", "npz_names", "load_hdf5", "hdf5_names"})
    for (const char* file : {"noise", "empty", "nothing", "short"}) {
      const std::string message = refusal(fmt::format("nacre.{}(...)", function), {path(file)});
      EXPECT_NE(message.find(path(file)), std::string::npos) << function << " " << file << ": " << message;
      EXPECT_EQ(message.find("internal error"), std::string::npos) << message;
    }
  EXPECT_NE(refusal("nacre.save_hdf5(..., {['a/b'] = nacre.ones{1}})", {path("x")}).find("nested tables make groups"),
            std::string::npos);
  EXPECT_NE(refusal("local t = {} t.t = t nacre.save_hdf5(..., t)", {path("x")}).find("nested too deep"),
            std::string::npos);
  EXPECT_NE(refusal("nacre.save_hdf5(..., {x = nacre.tensor{{'a'}}})", {path("x")}).find("as a list"),
            std::string::npos);
  EXPECT_NE(refusal("nacre.save_npz(..., {nacre.ones{1}})", {path("x")}), "");
  EXPECT_NE(refusal("nacre.compile(function(x) nacre.save_npy('x', x) end)(nacre.ones{1})")
                .find("not known while it is traced"),
            std::string::npos);
}

// --- cost ---------------------------------------------------------------------------------------------------------

TEST_F(TensorsOfLua, TemporaryTensorsTakeLittleMemory) {
  run("a, b = nacre.tensor(1.5), nacre.rand{512, 512}");
  const std::size_t before = resident_memory();
  const std::size_t little = std::size_t{test::sanitized ? 400 : 100} << 20;  // a sanitizer keeps 256 MiB of what was freed
  for (const char* work : {"for i = 1, 300000 do local c = a + a end", "for i = 1, 3000 do local c = b + b end",
                           "for i = 1, 300000 do local c = b[{i % 512 + 1, 1}] end",
                           "for i = 1, 3000 do local c = b:clone() c[1] = i end"}) {
    run(work);
    EXPECT_LT(resident_memory(), before + little) << work;
  }
}

// What the sandbox allows is asked before anything is allocated.
TEST_F(TensorsOfLua, SandboxesBoundThem) {
  Engine sandbox({.sandbox = true});
  for (const char* call :
       {"nacre.full({1 << 20, 1 << 10}, 1)", "nacre.arange(1 << 31)", "nacre.eye(1 << 16)",
        "nacre.randn{1 << 20, 1 << 10}", "nacre.zeros{1 << 10}[nacre.zeros({1 << 20, 1 << 9}, 'uint8') + 1]",
        "nacre.zeros{1 << 20}[{nacre.ones({1 << 12}, 'int32'):reshape{1 << 12, 1} * 1}]:sum() .. 'x'"}) {
    const std::size_t before = resident_memory();
    const std::string message = test::message_of([&] { sandbox.run(fmt::format("return {}", call)); });
    EXPECT_NE(message, "") << call;
    EXPECT_LT(resident_memory(), before + (std::size_t{1100} << 20)) << call;
  }
  // Weights count as tensors do, and what is computed is bounded, in loops of graphs too.
  const char* layers =
      "local t = {} for i = 1, 40 do t[i] = nacre.layers.Dense{units = 10000} pcall(t[i], nacre.ones{1, 10000}) "
      "t[i](nacre.ones{1, 10000}) end";
  const std::size_t before = resident_memory();
  EXPECT_NE(test::message_of([&] { sandbox.run(layers); }).find("tensors take more than 2048 MiB"), std::string::npos);
  EXPECT_LT(resident_memory(), before + (std::size_t{3} << 30));
  scripting::Limits limits = scripting::script_limits;
  limits.work = 10'000'000'000;
  for (const char* work : {"local m = nacre.ones{1000, 1000} while true do m = m:matmul(m) * 0 end",
                           "nacre.while_loop(function() return true end, function(x) return x:matmul(x) * 0 end, "
                           "{nacre.ones{1000, 1000}})"}) {
    scripting::Sandbox bounded(limits);
    EXPECT_NE(test::message_of([&] { bounded.run(work, "=work"); }).find("too much is computed"), std::string::npos)
        << work;
  }
  EXPECT_NE(test::message_of([&] { sandbox.run("nacre.save_npy('x.npy', nacre.ones{1})"); }), "");
  EXPECT_EQ(sandbox.run("local t = nacre.random.normal{2, 3} t[1] = 5 return t[{1, 2}]:item()").text(), "5");
}

}  // namespace
}  // namespace nacre
