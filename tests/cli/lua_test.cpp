// nacre lua: how scripts are run, and what comes of their errors.
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/cli/run_nacre.h"
#include "tests/support/paths.h"

namespace nacre::test {
namespace {

class LuaVerb : public testing::Test {
 protected:
  Outcome script(const std::string& source, std::vector<std::string> words = {}) {
    write_plainly(folder_ / "s.lua", source);
    words.insert(words.begin(), {"lua", "s.lua"});
    return run_nacre(words, folder_.path());
  }
  TemporaryFolder folder_;
};

TEST_F(LuaVerb, ScriptsSeeTheirArguments) {
  const Outcome outcome =
      script("#!/usr/bin/env -S nacre lua\nprint(arg[-2], arg[-1], arg[0], arg[1], #arg, ...)", {"--device", "x", "-"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "nacre\tlua\ts.lua\t--device\t3\t--device\tx\t-\n");
}

TEST_F(LuaVerb, RunsStandardInputWithoutAScript) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"lua"}, std::vector<std::string>{"lua", "-", "a"}}) {
    const Outcome outcome = run_nacre(words, folder_.path(), "print(arg[0], ...)\nerror('mine')");
    EXPECT_EQ(outcome.status, 1);
    EXPECT_EQ(outcome.out, words.size() > 1 ? "-\ta\n" : "-\n");
    EXPECT_EQ(outcome.err, "stdin:2: mine\n");
  }
}

TEST_F(LuaVerb, ExitCodesTellMistakesFromFailures) {
  EXPECT_EQ(script("local x = 1").status, 0);
  const Outcome mistake = script("\nnacre.layers.Dense{unit = 3}");
  EXPECT_EQ(mistake.status, 2);
  EXPECT_EQ(mistake.err, "s.lua:2: layer 'dense' (Dense): unknown key 'unit'\n  hint: did you mean 'units'?\n");
  const Outcome failure = script("error(nil)");
  EXPECT_EQ(failure.status, 1);
  EXPECT_EQ(failure.err, "s.lua:1: the script raised an error that is no text (nil)\n");
  const Outcome syntax = script("local = 3");
  EXPECT_EQ(syntax.status, 2);
  EXPECT_EQ(syntax.err, "s.lua:1: <name> expected near '='\n");
  EXPECT_EQ(script("os.exit(7)").status, 7);
  EXPECT_EQ(script("os.exit(true, true)").status, 0) << "Lua is closed from within";
  EXPECT_EQ(script("local t = nacre.ones{3} os.exit(false, true)").status, 1);
  EXPECT_EQ(script("\27Lua").status, 2) << "binary chunks are no scripts";
  const Outcome option = run_nacre({"lua", "--thread", "2", "x.lua"}, folder_.path());
  EXPECT_EQ(option.status, 2);
  EXPECT_EQ(option.err, "unknown option '--thread'\n  hint: did you mean '--threads'?\n");
  const Outcome absent = run_nacre({"lua", "none.lua"}, folder_.path());
  EXPECT_EQ(absent.status, 2);
  EXPECT_EQ(absent.err.find("none.lua: cannot be opened: "), 0u) << absent.err;
}

TEST_F(LuaVerb, FileErrorsNameTheLineThatAskedForTheFile) {
  const Outcome outcome = script("\nnacre.load('none.keras')");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_NE(outcome.err.find("called at s.lua:2"), std::string::npos) << outcome.err;
}

TEST_F(LuaVerb, ControlCStopsScriptsAndTraining) {
  for (const char* work :
       {"while true do pcall(function() while true do end end) end",
        "local m = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}} m:compile{loss = 'mse'} "
        "m:fit(nacre.ones{64, 2}, nacre.ones{64, 1}, {epochs = 1 << 40, verbose = false})"}) {
    std::filesystem::remove(folder_ / "begun");
    write_plainly(folder_ / "s.lua", std::string("io.open('begun', 'w'):close() ") + work);
    RunningNacre running({"lua", "s.lua"}, folder_.path());
    ASSERT_TRUE(RunningNacre::appears(folder_ / "begun", 60));
    running.signal(SIGINT);
    const Outcome outcome = running.wait();
    EXPECT_EQ(outcome.status, 1);
    EXPECT_NE(outcome.err.find("interrupted"), std::string::npos) << outcome.err;
  }
}

}  // namespace
}  // namespace nacre::test
