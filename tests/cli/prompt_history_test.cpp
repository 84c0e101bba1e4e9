#include "cli/prompt_history.h"

#include <gtest/gtest.h>

#include "formats/file.h"
#include "tests/support/paths.h"

namespace nacre::cli {
namespace {

namespace fs = std::filesystem;
using Lines = std::vector<std::string>;

class PromptHistories : public testing::Test {
 protected:
  test::TemporaryFolder folder_;
  fs::path file_ = folder_ / "state/nacre/lua_history";
};

TEST_F(PromptHistories, LinesLastBeyondASession) {
  EXPECT_EQ(PromptHistory(file_).lines(), Lines());
  PromptHistory(file_).add("x = 1");
  PromptHistory(file_).add("print('ü')");
  PromptHistory(file_).add("print('ü')");
  EXPECT_EQ(PromptHistory(file_).lines(), (Lines{"x = 1", "print('ü')"})) << "a line is not kept twice in a row";
  EXPECT_EQ(read_file(file_), "x = 1\nprint('ü')\n");
  EXPECT_EQ(fs::status(file_).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(PromptHistories, SessionsSideBySideKeepEachOthersLines) {
  PromptHistory one(file_), other(file_);
  one.add("one");
  other.add("other");
  one.add("one more");
  EXPECT_EQ(other.lines(), (Lines{"one", "other", "one more"}));
}

TEST_F(PromptHistories, IsBounded) {
  fs::create_directories(file_.parent_path());
  std::string text;
  for (std::size_t i = 0; i < PromptHistory::most_lines + 10; ++i) text += std::to_string(i) + "\n";
  test::write_plainly(file_, text + std::string(PromptHistory::longest_line + 1, 'x') + "\n\x1b[2J\n\xff\n\nlast");
  PromptHistory history(file_);
  Lines lines = history.lines();
  EXPECT_EQ(lines.size(), PromptHistory::most_lines);
  EXPECT_EQ(lines.back(), "last") << "and what is no line that was typed is left out";
  history.add(std::string(PromptHistory::longest_line + 1, 'y'));
  history.add("a\nb");
  history.add("");
  EXPECT_EQ(history.lines(), lines);
  history.add("new");
  EXPECT_EQ(history.lines().size(), PromptHistory::most_lines);
  EXPECT_EQ(history.lines().back(), "new");
}

TEST_F(PromptHistories, WithoutAFileNothingIsKept) {
  PromptHistory history("");
  history.add("x");
  EXPECT_EQ(history.lines(), Lines());
}

TEST_F(PromptHistories, AFileThatCannotBeWrittenIsSaid) {
  test::write_plainly(folder_ / "state", "a file where a folder should be");
  EXPECT_NE(test::message_of([&] { PromptHistory(file_).add("x"); }), "");
}

TEST_F(PromptHistories, LiesWhereTheEnvironmentSays) {
  const auto path_with = [](const char* nacre, const char* state, const char* home) {
    for (const auto& [name, value] : {std::pair("NACRE_HOME", nacre), {"XDG_STATE_HOME", state}, {"HOME", home}})
      value ? ::setenv(name, value, 1) : ::unsetenv(name);
    return prompt_history_path();
  };
  const std::string home = std::getenv("HOME") ? std::getenv("HOME") : "/";
  EXPECT_EQ(path_with("/n", "/s", "/h"), "/n/lua_history");
  EXPECT_EQ(path_with(nullptr, "/s", "/h"), "/s/nacre/lua_history");
  EXPECT_EQ(path_with(nullptr, "s", "/h"), "/h/.local/state/nacre/lua_history") << "a relative one does not count";
  EXPECT_EQ(path_with("", nullptr, "/h"), "/h/.local/state/nacre/lua_history");
  EXPECT_EQ(path_with(nullptr, nullptr, nullptr), "");
  ::setenv("HOME", home.c_str(), 1);
}

}  // namespace
}  // namespace nacre::cli
