// The prompt's language side: chunks, what is shown of values, completion, help.
#include "scripting/prompt/prompt.h"

#include <gtest/gtest.h>

#include <atomic>
#include <sstream>
#include <thread>

#include "tests/support/paths.h"

namespace nacre {
namespace {

class Prompts : public testing::Test {
 protected:
  std::string run(const std::string& chunk, int width = 80) { return prompt_.run(chunk, width); }
  std::string refusal(const std::string& chunk) {
    return test::message_of([&] { run(chunk); });
  }
  std::string completed(const std::string& text) {
    const scripting::Completion completion = prompt_.complete(text);
    std::string names;
    for (const std::string& name : completion.names) names += (names.empty() ? "" : " ") + name;
    return names;
  }
  std::string help(const std::string& argument) {
    testing::internal::CaptureStdout();
    run("help(" + argument + ")");
    return testing::internal::GetCapturedStdout();
  }

  std::atomic<bool> stop_{false};
  Engine engine_{{.stop = &stop_}};
  Prompt prompt_{engine_};
};

// --- chunks -------------------------------------------------------------------------------------------------------

TEST_F(Prompts, ExpressionsShowTheirValuesAndStatementsNothing) {
  EXPECT_EQ(run("1 + 1"), "2");
  EXPECT_EQ(run("x = 3"), "");
  EXPECT_EQ(run("x"), "3");
  EXPECT_EQ(run("x, 'a', nil, 2.0"), "3, \"a\", nil, 2.0");
  EXPECT_EQ(run("nothing"), "nil");
  EXPECT_EQ(run("return nothing"), "");
  EXPECT_EQ(run("return 5"), "5");
  EXPECT_EQ(run("(function() end)()"), "") << "no value is not nil";
  EXPECT_EQ(run("1, nil"), "1") << "what follows the last value is left out";
  EXPECT_EQ(run("local y = 1"), "");
  EXPECT_EQ(run("  -- a comment"), "");
  EXPECT_EQ(run("x; -- and a comment"), "3");
  EXPECT_EQ(run("1,\n2"), "1, 2");
}

TEST_F(Prompts, TheLastValueIsKept) {
  run("6 * 7");
  run("x = 1");
  run("nil");
  EXPECT_EQ(run("_"), "42");
  run("setmetatable(_G, {__newindex = function() error('strict') end}) _ = nil");
  EXPECT_EQ(run("43"), "43");
  EXPECT_EQ(run("_"), "43") << "whatever the globals' metatable says";
}

TEST_F(Prompts, WhatEndsTooEarlyWantsMore) {
  for (const char* chunk : {"function f()", "for i = 1, 3 do\nprint(i)", "x = {1,", "{1, 2,", "f(", "1 +", "x =",
                            "if x then", "[[text", "--[[ comment", "x = function() return 1", "return", "local"}) {
    const bool whole = std::string_view(chunk) == "return";
    EXPECT_EQ(prompt_.wants_more(chunk), !whole) << chunk;
  }
  for (const char* chunk : {"1", "x = 1", "", "  ", "x y", "1 2", "end", ")", "'text", "x = = 1", "f() end", "\"a\nb\"",
                            "goto nowhere", "-- comment"})
    EXPECT_FALSE(prompt_.wants_more(chunk)) << chunk;
}

TEST_F(Prompts, MistakesAreThoseOfTheReadingThatWentFurther) {
  EXPECT_EQ(refusal("x + * 2"), "prompt:1: unexpected symbol near '*'");
  EXPECT_EQ(refusal("y = 3 + * 2"), "prompt:1: unexpected symbol near '*'");
  EXPECT_EQ(refusal("if x the"), "prompt:1: 'then' expected near 'the'");
  EXPECT_EQ(refusal("local = 3"), "prompt:1: <name> expected near '='");
}

TEST_F(Prompts, ErrorsHaveTheirPlaceAndHint) {
  run("function f()\n  error('mine')\nend\nfunction g()\n\n  f()\nend");
  EXPECT_EQ(refusal("g()"), "prompt:2: mine\n  called at prompt:6");
  EXPECT_EQ(refusal("error(nil)"), "prompt:1: the script raised an error that is no text (nil)");
  EXPECT_EQ(refusal("nacre.layers.Dense{unit = 3}"),
            "prompt:1: layer 'dense' (Dense): unknown key 'unit'\n  hint: did you mean 'units'?");
  EXPECT_EQ(run("1"), "1") << "it goes on";
}

TEST_F(Prompts, AnInterruptedChunkLeavesTheNextAlone) {
  run("made = coroutine.wrap(function() while true do coroutine.yield(1) end end) made()");
  for (const char* chunk : {"while true do end", "while true do pcall(function() while true do end end) end",
                            "coroutine.wrap(function() while true do end end)()"}) {
    std::thread interruption([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      stop_ = true;
    });
    const std::string text = refusal(chunk);
    interruption.join();
    EXPECT_NE(text.find("interrupted"), std::string::npos) << text;
    stop_ = false;
    EXPECT_EQ(run("(function() local n = 0 for i = 1, 100000 do n = n + 1 end return n end)()"), "100000");
    EXPECT_EQ(run("debug.gethook() ~= nil, select(3, debug.gethook())"), "true, 1000") << "and at full speed";
    EXPECT_EQ(run("made()"), "1");
  }
}

TEST_F(Prompts, TrainingIsInterrupted) {
  run("m = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}} m:compile{loss = 'mse'}");
  std::thread interruption([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    stop_ = true;
  });
  EXPECT_EQ(refusal("m:fit(nacre.ones{64, 2}, nacre.ones{64, 1}, {epochs = 1 << 40, verbose = false})"),
            "prompt:1: interrupted");
  interruption.join();
  stop_ = false;
  EXPECT_NE(run("m:fit(nacre.ones{64, 2}, nacre.ones{64, 1}, {verbose = false})").find("loss = "), std::string::npos);
}

TEST_F(Prompts, ExitIsAskedForByManyWords) {
  EXPECT_FALSE(prompt_.exit_code());
  EXPECT_EQ(run("exit(3) error('not reached')"), "");
  EXPECT_EQ(prompt_.exit_code(), 3);
  for (const char* chunk : {"exit", "quit()", " quit ", "exit(true)", "pcall(exit)", "(function() exit() end)()"}) {
    Engine engine;
    Prompt prompt(engine);
    prompt.run(chunk);
    EXPECT_EQ(prompt.exit_code(), 0) << chunk;
  }
  Engine engine;
  Prompt prompt(engine);
  EXPECT_EQ(prompt.run("exit = 4"), "");
  EXPECT_EQ(prompt.run("exit"), "4");
  EXPECT_FALSE(prompt.exit_code()) << "the name is the user's own now";
}

// --- values -------------------------------------------------------------------------------------------------------

TEST_F(Prompts, ValuesAreReadable) {
  EXPECT_EQ(run("'a\"b\\\\c\\n\\27[2Jü'"), R"("a\"b\\c\n\x1b[2Jü")");
  EXPECT_EQ(run("2^53, 1/0, -1/0, 1e100, -0.0, math.mininteger"),
            "9.007199254741e+15, inf, -inf, 1e+100, -0.0, -9223372036854775808");
  EXPECT_EQ(run("{}"), "{}");
  EXPECT_EQ(run("{1, 'a', {true}, x = 1, ['end'] = 2, ['a b'] = 3, [10] = 4, [2.5] = 5, [false] = 6}", 100),
            R"({1, "a", {true}, [2.5] = 5, [10] = 4, ["a b"] = 3, ["end"] = 2, x = 1, [false] = 6})");
  EXPECT_EQ(run("t = {}; t.a = t; t.b = {t}; u = {}; t.c = {u, u}; return t"),
            "{a = <cycle>, b = {<cycle>}, c = {{}, {}}}");
  EXPECT_EQ(run("{{{{{{}}}}}}, {{{{1}}}}"), "{{{{{…}}}}}, {{{{1}}}}");
  EXPECT_EQ(run("setmetatable({}, {__tostring = function() return 'mine' end})"), "mine");
  EXPECT_EQ(run("{setmetatable({}, {__tostring = function() error('mine', 0) end})}"),
            "{<table whose __tostring failed: mine>}");
  EXPECT_EQ(run("nacre.null, {nacre.null}"), "nacre.null, {nacre.null}");
  EXPECT_EQ(run("nacre.layers.Dense"), "function nacre.layers.Dense");
  EXPECT_EQ(run("{nacre.ops}"), "{nacre.ops}");
}

TEST_F(Prompts, LongValuesAreShortened) {
  const std::string list = run("(function() local t = {} for i = 1, 1000 do t[i] = i end return t end)()");
  EXPECT_TRUE(list.ends_with("99, 100,\n  … 900 more\n}") || list.ends_with("99, 100, … 900 more\n}")) << list;
  const std::string names = run("(function() local t = {1} for i = 1, 1000 do t['k' .. i] = i end return t end)()");
  EXPECT_NE(names.find("k1 = 1,"), std::string::npos);
  EXPECT_NE(names.find("… 901 more"), std::string::npos) << names;
  EXPECT_LT(run("string.rep('ü', 1000000)").size(), 11000u);
  EXPECT_NE(run("string.rep('ü', 1000000)").find("… (2000000 bytes)"), std::string::npos);
  const std::string wide = run(
      "(function(f) return f(f, 0) end)(function(f, d) local t = {} if d < 4 then for i = 1, 20 do t[i] = f(f, d + 1) "
      "end end return t end)");
  EXPECT_LT(wide.size(), 30000u);
  EXPECT_LT(run("table.unpack({}, 1, 100000)").size(), 1000u);
}

TEST_F(Prompts, LinesAreBrokenToTheWidth) {
  EXPECT_EQ(run("{alpha = {1, 2, 3}, beta = 'text', gamma = {delta = true}}", 40),
            "{\n  alpha = {1, 2, 3},\n  beta = \"text\",\n  gamma = {delta = true}\n}");
  EXPECT_EQ(run("{100, 200, 300, 400, 500, 600}", 20), "{\n  100, 200, 300,\n  400, 500, 600\n}");
  EXPECT_EQ(run("'a long text', 'another'", 20), "\"a long text\"\n\"another\"");
  for (int width : {20, 33, 80}) {
    std::istringstream lines(
        run("(function() local t = {} for i = 1, 60 do t[i] = i * 37 end return {t, x = t} end)()", width));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(static_cast<int>(line.size()), width) << line;
  }
}

TEST_F(Prompts, ReadingATableSurvivesScriptsThatChangeIt) {
  EXPECT_EQ(
      run("t = {} for i = 1, 50 do t['k' .. i] = setmetatable({}, {__tostring = function() for k in pairs(t) do t[k] "
          "= nil end t.new = 1 collectgarbage() return 'x' end}) end return t")
          .find("__tostring failed"),
      std::string::npos);
  EXPECT_EQ(run("t"), "{new = 1}");
  EXPECT_EQ(
      run("t = {} for i = 1, 60 do t[i] = setmetatable({}, {__tostring = function() t = nil collectgarbage() return "
          "'x' end}) end return t",
          400)
          .substr(0, 7),
      "{x, x, ");
}

TEST_F(Prompts, TensorsAndModelsAreShownAsTheyAre) {
  EXPECT_EQ(run("nacre.tensor{{1, 2}, {3, 4}}"), "tensor int32(2, 2)\n{{1, 2},\n {3, 4}}");
  const std::string model = run("nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 2}}");
  EXPECT_NE(model.find("dense (Dense)"), std::string::npos) << model;
  EXPECT_NE(model.find("Total params: 10"), std::string::npos) << model;
  EXPECT_EQ(run("{_}"), "{model 'sequential' (Sequential)}");
}

// --- completion ---------------------------------------------------------------------------------------------------

TEST_F(Prompts, NamesAreCompleted) {
  EXPECT_EQ(completed("nac"), "nacre");
  EXPECT_EQ(completed("x = nac"), "nacre");
  EXPECT_EQ(completed("func"), "function");
  EXPECT_EQ(completed("print(tos"), "tostring");
  EXPECT_EQ(completed("nacre.Seq"), "Sequential");
  EXPECT_EQ(
      completed("nacre.layers.Con"),
      "Concatenate ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D "
      "Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D");
  EXPECT_EQ(completed("nacre.ops.softp"), "softplus");
  EXPECT_EQ(completed("nacre.optimizers.AdamW"), "AdamW");
  EXPECT_EQ(completed("nacre.data.dig"), "digits");
  EXPECT_EQ(completed("string.format(math.hu"), "huge");
  EXPECT_EQ(prompt_.complete("nacre.Seq").typed, 3u);
  EXPECT_EQ(completed("nacre.layers[").find("object of"), std::string::npos);
  EXPECT_EQ(completed("nacre.layers.object"), "");
}

TEST_F(Prompts, MembersAreCompleted) {
  run("model = nacre.Sequential{nacre.Input{4}, nacre.layers.Dense{units = 2}} t = nacre.zeros{2} s = 'text'");
  run("own = setmetatable({list = {t}, name = 1, run = print}, {__index = {inherited = print}})");
  EXPECT_EQ(completed("model:fi"), "fit");
  EXPECT_EQ(completed("t.sh"), "shape");
  EXPECT_EQ(completed("t:ite"), "item");
  EXPECT_EQ(completed("t:sh"), "") << "no method";
  EXPECT_EQ(completed("t.item"), "item");
  EXPECT_EQ(completed("model.layers[1].cl"), "class_name");
  EXPECT_EQ(completed("model.layers[2].cl"), "") << "there is none";
  EXPECT_EQ(completed("own.list[1].sh"), "shape");
  EXPECT_EQ(completed("own[\"list\"][1].sh"), "shape");
  EXPECT_EQ(completed("own:"), "inherited run");
  EXPECT_EQ(completed("own."), "inherited list name run");
  EXPECT_EQ(completed("s:up"), "upper");
  EXPECT_EQ(completed("print(s:up"), "upper");
  run("x = nacre.Input{3} y = nacre.layers.Dense{units = 2}(x)");
  EXPECT_EQ(completed("y:softp"), "softplus");
  EXPECT_EQ(completed("y.dty"), "dtype");
}

TEST_F(Prompts, KeysOfClassesAreCompleted) {
  EXPECT_EQ(completed("nacre.layers.Dense{un"), "units = ");
  EXPECT_EQ(completed("nacre.layers.Dense{units = 3, use"), "use_bias = ");
  EXPECT_EQ(completed("nacre.layers.Dense{\n  units = 3,\n  act"), "activation =  activity_regularizer = ");
  EXPECT_EQ(completed("nacre.optimizers.SGD({mom"), "momentum = ");
  EXPECT_EQ(completed("m:compile{optimizer = nacre.optimizers.SGD{mom"), "momentum = ");
  EXPECT_EQ(completed("nacre.layers.Dense{units = nac"), "nacre");
  run("m = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}}");
  EXPECT_EQ(completed("m:compile{opt"), "optimizer = ");
  EXPECT_EQ(completed("m:fit{ep"), "epochs = ");
  EXPECT_EQ(completed("m:fit(nacre.ones{1, 2}, y, {epochs = 3, val"),
            "validation_batch_size =  validation_data =  validation_freq =  validation_split =  validation_steps = ");
  EXPECT_EQ(completed("m:fit(nacre.ones{ep"), "");
}

TEST_F(Prompts, CompletionRunsNoScript) {
  run("calls = 0 function count() calls = calls + 1 return {field = {}} end");
  run("lazy = setmetatable({}, {__index = count, __pairs = count, __len = count, __call = count})");
  for (const char* text : {"lazy.", "lazy.fie", "lazy.field.", "lazy:x", "lazy().", "count().fi", "_G.lazy.x."})
    EXPECT_EQ(completed(text), "") << text;
  EXPECT_EQ(run("calls"), "0");
}

TEST_F(Prompts, NothingIsCompletedWhereNothingCanBe) {
  run("t = {field = 1} loop = {} loop.__index = loop setmetatable(loop, loop)");
  for (const char* text :
       {"'nac",        "\"nac",    "'it\\'s nac", "[[nac",       "[==[ ]] nac", "-- nac", "--[[\nnac",   "1.",
        "t..fie",      "nothing.", "f().",        "t.field.",    "t.none.x",    "1x",     "t:field",     "::t",
        "nacre.none.", "t[",       "t[1",         "loop.none.x", "t[1].",       "t[t].",  "nacre.null.", "nil."})
    if (std::string_view(text) == "t[") EXPECT_NE(completed(text), "") << text;
    else EXPECT_EQ(completed(text), "") << text;
  EXPECT_EQ(completed("x = [[text]] .. nac"), "nacre");
  EXPECT_EQ(completed("x = 'a' -- text\nnac"), "nacre");
  EXPECT_EQ(completed("x = 'it\\'s' .. nac"), "nacre");
}

// --- help ---------------------------------------------------------------------------------------------------------

TEST_F(Prompts, HelpTellsWhatIsKnown) {
  EXPECT_NE(help("").find("exit() or Ctrl-D leaves"), std::string::npos);
  const std::string dense = help("nacre.layers.Dense");
  EXPECT_EQ(dense.find("nacre.layers.Dense{…}\nactivation(x · kernel + bias) over the last axis.\n"), 0u) << dense;
  EXPECT_NE(dense.find("  units                 size of the last axis; required\n"), std::string::npos) << dense;
  EXPECT_NE(dense.find("As all of its kind it also takes name, trainable, dtype.\n"), std::string::npos) << dense;
  EXPECT_EQ(help("'Dense'"), dense);
  EXPECT_EQ(help("'nacre.layers.Dense'"), dense);
  EXPECT_EQ(help("nacre.ops.sum").find("nacre.ops.sum(x, axis, keepdims)\n"), 0u);
  const std::string relu = help("'relu'");
  EXPECT_NE(relu.find("nacre.activations.relu"), std::string::npos) << relu;
  EXPECT_NE(relu.find("nacre.ops.relu(x)"), std::string::npos) << relu;
  EXPECT_NE(help("nacre.schedules").find("ExponentialDecay"), std::string::npos);
  EXPECT_NE(help("nacre.zeros{2}").find("  shape, dtype"), std::string::npos);
  EXPECT_NE(help("nacre.Sequential{nacre.Input{1}}").find(" fit,"), std::string::npos);
  EXPECT_EQ(help("function() end"), "a function of prompt, line 1\n");
  EXPECT_NE(help("print").find("a function of which"), std::string::npos);
  EXPECT_EQ(help("nacre.zeros").find("nacre.zeros"), 0u) << help("nacre.zeros");
  EXPECT_EQ(help("'nacre.zeros'"), help("nacre.zeros"));
  EXPECT_EQ(help("'zeros'").find("\nnacre.zeros("), help("'zeros'").rfind("\nnacre.zeros(")) << "once";
  EXPECT_NE(help("'fit'").find("model:fit"), std::string::npos);
  EXPECT_NE(help("'model.fit'").find("  epochs "), std::string::npos) << help("'model.fit'");
  EXPECT_NE(help("nacre.ops.relu").find("\n  ops.relu("), std::string::npos) << help("nacre.ops.relu");
  EXPECT_EQ(help("nacre.ops.swish"), help("nacre.ops.silu"));
  EXPECT_EQ(help("nacre.zeros{1}.item").find("tensor:item"), 0u) << help("nacre.zeros{1}.item");
  EXPECT_NE(help("'tensor.shape'").find("tensor.shape"), std::string::npos);
  EXPECT_EQ(help("3"), "a number\n");
  EXPECT_EQ(refusal("help('Dens')"), "prompt:1: nothing is known of 'Dens'\n  hint: did you mean 'Dense'?");
  testing::internal::CaptureStdout();
  EXPECT_EQ(run("help"), "");
  EXPECT_NE(testing::internal::GetCapturedStdout().find("Tab completes"), std::string::npos);
}

TEST_F(Prompts, HelpOfEverythingFitsEightyColumns) {
  testing::internal::CaptureStdout();
  run("help()");
  for (const char* space : {"activations", "callbacks", "constraints", "data", "initializers", "layers", "losses",
                            "metrics", "ops", "optimizers", "regularizers", "schedules"}) {
    run(std::string("help('") + space + "')");
    for (const std::string& name : prompt_.complete(std::string("nacre.") + space + ".").names)
      run("help(nacre." + std::string(space) + "." + name + ")");
  }
  std::istringstream lines(testing::internal::GetCapturedStdout());
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const auto columns = std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; });
    EXPECT_LE(columns, 80) << line;
  }
  EXPECT_GT(count, 2000);
}

}  // namespace
}  // namespace nacre
