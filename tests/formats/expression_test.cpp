#include "formats/expression.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "formats/yaml.h"
#include "tests/support/paths.h"

namespace nacre {
namespace {

using test::message_of;

const Variables variables{{"filters", 32}, {"rate", 0.5}, {"name", "stem"}, {"shape", Tree::Sequence{28, 28, 1}},
                          {"flag", true}, {"nothing", {}}, {"block", Tree::Mapping{{"depth", 3, {}}}}};

Tree value(std::string_view text) { return evaluate(text, variables); }
std::string error_of(std::string_view text) {
  return message_of([&] { evaluate(text, variables); });
}

TEST(Expression, ComputesWithKinds) {
  EXPECT_EQ(value("2 * filters"), Tree(64));
  EXPECT_TRUE(value("2 * filters").is_integer());
  EXPECT_FALSE(value("filters / 2").is_integer());
  EXPECT_EQ(value("filters / 2").as_integer(), 16);
  EXPECT_TRUE(value("filters // 3").is_integer());
  EXPECT_EQ(value("1/255").as_number(), 1.0 / 255);
  EXPECT_EQ(value("2^10").as_integer(), 1024);
  EXPECT_EQ(value("name .. '_' .. filters").as_string(), "stem_32");
  EXPECT_EQ(value("flag and 'yes' or 'no'").as_string(), "yes");
  EXPECT_EQ(value("filters > 16"), Tree(true));
  EXPECT_TRUE(value("nothing").is_null());
  EXPECT_EQ(value("shape[1] * shape[2]"), Tree(784));
  EXPECT_EQ(value("#shape"), Tree(3));
  EXPECT_EQ(value("block.depth + 1"), Tree(4));
  EXPECT_EQ(value("shape").text(), "[28, 28, 1]");
  EXPECT_EQ(value("{filters, 2 * filters, {rate}}").text(), "[32, 64, [0.5]]");
  EXPECT_EQ(value("{b = 1, a = {c = 2}}").text(), "{a: {c: 2}, b: 1}");
  EXPECT_EQ(value("{}").text(), "[]");
  EXPECT_EQ(value("(function() local s = 0; for i = 1, 10 do s = s + i end; return s end)()"), Tree(55));
}

TEST(Expression, HasMathAndALittleText) {
  EXPECT_EQ(value("math.floor(7 / 2)"), Tree(3));
  EXPECT_EQ(value("floor(7 / 2) + ceil(0.5) + min(1, 2) + max(1, 2) + abs(-1)"), Tree(8));
  EXPECT_EQ(value("round(2.5)"), Tree(3));
  EXPECT_NEAR(value("sqrt(2) * pi + exp(log(2))").as_number(), 6.442882938158366, 1e-12);
  EXPECT_EQ(value("string.format('%03d', 7)").as_string(), "007");
  EXPECT_EQ(value("name:upper()").as_string(), "STEM");
  EXPECT_EQ(value("type(filters)").as_string(), "number");
  EXPECT_EQ(value("math.type(filters)").as_string(), "integer");
  EXPECT_EQ(value("tostring(filters)").as_string(), "32");
}

TEST(Expression, ReachesNothingElse) {
  for (const char* text : {"os.exit(1)", "io.open('/etc/passwd')", "require('os')", "load('return 1')()", "dofile('x')", "debug.getinfo(1)",
                           "package.path", "coroutine.wrap(print)", "_G.x", "print(1)", "pcall(error)", "error('x')", "setmetatable({}, {})",
                           "getmetatable('')", "collectgarbage()", "rawset({}, 1, 1)", "utf8.char(1)", "table.concat({})"})
    EXPECT_NE(error_of(text).find("unknown name"), std::string::npos) << text << ": " << error_of(text);
  for (const char* text : {"('x'):rep(10)", "string.rep('x', 10)", "('x'):dump()", "string.find('x', 'x')", "name:gsub('x', 'y')", "math.random(3)"})
    EXPECT_NE(error_of(text).find("nil value"), std::string::npos) << text << ": " << error_of(text);
}

TEST(Expression, BoundsStepsAndMemory) {
  EXPECT_EQ(error_of("(function() while true do end end)()"),
            "in '(function() while true do end end)()': the expression takes too many steps\n  hint: does a loop in it never end?");
  EXPECT_NE(error_of("(function() local s = 'x'; while true do s = s .. s end end)()").find("a text grows too long"), std::string::npos);
  EXPECT_NE(error_of("(function() local t = {}; for i = 1, 1e6 do t[i] = {} end end)()").find("needs too much memory"), std::string::npos);
  EXPECT_EQ(value("#(function() local s = 'x'; for i = 1, 15 do s = s .. s end; return s end)()"), Tree(1 << 15));
  const Variables large{{"list", Tree::Sequence(10'000, Tree(1))}, {"text", std::string(100'000, 'x')}};
  EXPECT_NE(message_of([&] { evaluate("(function() for i = 1, 1000 do local l = list end end)()", large); }).find("too many steps"), std::string::npos);
  EXPECT_NE(message_of([&] { evaluate("text", large); }).find("a text grows too long"), std::string::npos);
  EXPECT_NE(error_of("(function() local t = {}; for i = 1, 1e9 do t[i] = i end end)()"), "");
  EXPECT_NE(error_of("(function() local t = {}; t[1] = t; return t end)()").find("refers to itself"), std::string::npos);
  EXPECT_NE(error_of("(function() local t = {}; for i = 1, 60 do t = {t, t} end; return t end)()").find("too large"), std::string::npos);
  EXPECT_NE(error_of("(function() local function f() return 1 + f() end; return f() end)()"), "");
  EXPECT_NE(error_of(std::string(10'000, '(') + "1" + std::string(10'000, ')')), "");
  EXPECT_NE(error_of(std::string(100'000, '1')).find("too long"), std::string::npos);
  EXPECT_EQ(value("1"), Tree(1));
}

TEST(Expression, SaysWhatIsWrong) {
  EXPECT_EQ(error_of("2 * filtres"), "in '2 * filtres': unknown name 'filtres'\n  hint: did you mean 'filters'?");
  EXPECT_EQ(error_of("flor(2)"), "in 'flor(2)': unknown name 'flor'\n  hint: did you mean 'floor'?");
  EXPECT_EQ(error_of("q"), "in 'q': unknown name 'q'\n  hint: known: block, filters, flag, name, nothing, rate, shape");
  EXPECT_EQ(message_of([] { evaluate("q"); }), "in 'q': unknown name 'q'");
  EXPECT_EQ(error_of("2 *"), "in '2 *': unexpected symbol near <eof>");
  EXPECT_EQ(error_of("1 2"), "in '1 2': <eof> expected near '2'");
  EXPECT_EQ(error_of("name + 1"), "in 'name + 1': attempt to add a 'string' with a 'number'");
  EXPECT_EQ(error_of("nothing.x"), "in 'nothing.x': attempt to index a nil value (global 'nothing')");
  EXPECT_EQ(error_of(" "), "in ' ': the expression is empty");
  EXPECT_EQ(error_of("1, 2"), "in '1, 2': one value is wanted, not 2");
  EXPECT_EQ(error_of("floor"), "in 'floor': the result is a function, wanted a number, a text, a list or a mapping");
  EXPECT_EQ(error_of("{1, x = 2}"), "in '{1, x = 2}': the result is a table that is neither a list nor a mapping");
}

TEST(Expression, SubstitutesTyped) {
  const Tree tree = parse_yaml(
      "- Conv2D: {filters: \"${2 * filters}\", name: \"${name}_${filters / 2}\", strides: \"${ {1, 2} }\"}\n"
      "- \"${rate}\"\n"
      "- \"rate ${rate}, ${flag}, ${shape}, ${string.format('%s}', name)}\"\n"
      "- \"$${not} this, but ${1 + 1}\"\n"
      "- plain\n",
      "x.yaml");
  const Tree result = substitute(tree, variables);
  const Tree& conv = result.items()[0]["Conv2D"];
  EXPECT_TRUE(conv["filters"].is_integer());
  EXPECT_EQ(conv["filters"].as_integer(), 64);
  EXPECT_EQ(conv["filters"].mark(), (Mark{"x.yaml", 1, 21}));
  EXPECT_EQ(conv["name"].as_string(), "stem_16");
  EXPECT_EQ(conv["strides"].text(), "[1, 2]");
  EXPECT_EQ(conv["strides"].items()[1].mark(), conv["strides"].mark());
  EXPECT_EQ(result.items()[1], Tree(0.5));
  EXPECT_EQ(result.items()[2].as_string(), "rate 0.5, true, [28, 28, 1], stem}");
  EXPECT_EQ(result.items()[3].as_string(), "${not} this, but 2");
  EXPECT_EQ(result.items()[4].as_string(), "plain");
  EXPECT_EQ(substitute(parse_yaml("{\"conv_${filters}\": 1}"), variables).text(), "{conv_32: 1}");
}

TEST(Expression, SubstitutesTheEnvironment) {
  ::setenv("NACRE_TEST_VALUE", "12", 1);
  EXPECT_TRUE(substitute(Tree("${env:NACRE_TEST_VALUE}")).is_integer());
  EXPECT_EQ(substitute(Tree("runs/${ env:NACRE_TEST_VALUE }/x")).as_string(), "runs/12/x");
  ::unsetenv("NACRE_TEST_VALUE");
  const Tree text = Tree("${env:NACRE_TEST_VALUE}").at({"x.yaml", 3, 4});
  EXPECT_EQ(message_of([&] { substitute(text); }),
            "x.yaml:3:4: in 'env:NACRE_TEST_VALUE': the environment variable 'NACRE_TEST_VALUE' is not set\n"
            "  hint: set it: NACRE_TEST_VALUE=… nacre …");
}

TEST(Expression, SaysWhereItStands) {
  const Tree tree = parse_yaml("model:\n  - Dense: {units: \"${unit}\"}\n", "x.yaml");
  EXPECT_EQ(message_of([&] { substitute(tree, {{"units", 3}}); }), "x.yaml:2:20: in 'unit': unknown name 'unit'\n  hint: did you mean 'units'?");
  EXPECT_EQ(message_of([&] { substitute(Tree("a ${1").at({"x.yaml", 1, 1})); }),
            "x.yaml:1:1: the expression in 'a ${1' has no end\n  hint: write $${ where ${ is meant as it stands");
}

}  // namespace
}  // namespace nacre
