// The prompt of `nacre lua`, typed at through a pseudo-terminal.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>

#include "cli/line_editor.h"
#include "formats/file.h"
#include "tests/support/paths.h"

namespace nacre::test {
namespace {

constexpr double patience = 60;  // seconds
constexpr std::string_view first = "nacre> ", further = "  ...> ";

// A terminal of 80 columns at which nacre runs.
class Terminal {
 public:
  Terminal(std::vector<std::string> words, const std::filesystem::path& home, bool colours = false) {
    winsize size{.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
    process_ = ::forkpty(&descriptor_, nullptr, nullptr, &size);
    if (process_ != 0) return;
    ::setenv("TERM", "xterm", 1);
    ::setenv("NACRE_HOME", home.c_str(), 1);
    ::setenv("HOME", home.c_str(), 1);  // no .editrc of the tester's
    colours ? ::unsetenv("NO_COLOR") : ::setenv("NO_COLOR", "1", 1);
    std::vector<char*> arguments{const_cast<char*>(NACRE_BINARY)};
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ::execv(NACRE_BINARY, arguments.data());
    ::_exit(127);
  }
  ~Terminal() {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      ::waitpid(process_, nullptr, 0);
    }
    ::close(descriptor_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(std::string_view text) { ASSERT_EQ(::write(descriptor_, text.data(), text.size()), ssize_t(text.size())); }
  // What is written up to this text, and with it; after a prompt, once a line can be edited.
  std::string until(std::string_view text) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(patience);
    for (;;) {
      if (const std::size_t found = written_.find(text); found != std::string::npos) {
        const std::string before = written_.substr(0, found + text.size());
        written_.erase(0, before.size());
        if (text.ends_with("> ")) wait(false);
        return before;
      }
      if (std::chrono::steady_clock::now() > end || !read_more()) {
        ADD_FAILURE() << "'" << text << "' was not written, but:\n" << written_;
        return "";
      }
    }
  }
  // Types a line and gives what comes up to the next prompt.
  std::string answer(std::string_view line, std::string_view prompt = first) {
    type(std::string(line) + "\n");
    until("\r\n");  // of the line itself
    return until(prompt);
  }
  // Until it is at work, or a line is being edited: then Ctrl-C is no signal.
  void wait(bool at_work) const {
    for (int i = 0; i < 10000; ++i, ::usleep(1000)) {
      termios settings{};
      if (::tcgetattr(descriptor_, &settings) == 0 && ((settings.c_lflag & ISIG) != 0) == at_work) return;
    }
    ADD_FAILURE() << "it is " << (at_work ? "not " : "") << "at work for too long";
  }
  int exit_code() {
    while (read_more()) {
    }
    int status = 0;
    ::waitpid(process_, &status, 0);
    process_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  void signal(int number) const { ::kill(process_, number); }

 private:
  bool read_more() {
    pollfd input{descriptor_, POLLIN, 0};
    if (::poll(&input, 1, 1000) == 0) return true;
    char bytes[4096];
    const ssize_t count = ::read(descriptor_, bytes, sizeof bytes);
    if (count <= 0) return false;
    written_.append(bytes, static_cast<std::size_t>(count));
    return true;
  }

  int descriptor_ = -1;
  pid_t process_ = -1;
  std::string written_;
};

class PromptVerb : public testing::Test {
 protected:
  TemporaryFolder home_;
};

TEST_F(PromptVerb, ShowsValuesAndErrorsAndLeavesWithControlD) {
  Terminal terminal({"lua"}, home_.path());
  EXPECT_EQ(terminal.until(first).find("nacre 0."), 0u);
  EXPECT_EQ(terminal.answer("1 + 1"), "2\r\nnacre> ");
  EXPECT_EQ(terminal.answer("print('ü')"), "ü\r\nnacre> ");
  EXPECT_EQ(terminal.answer("{1, a = _}"), "{1, a = 2}\r\nnacre> ");
  EXPECT_EQ(terminal.answer("nacre.layers.Dense{unit = 3}"),
            "prompt:1: layer 'dense' (Dense): unknown key 'unit'\r\n  hint: did you mean 'units'?\r\nnacre> ");
  terminal.type("\x04");
  EXPECT_EQ(terminal.exit_code(), 0);
}

TEST_F(PromptVerb, OptionsAndScriptsAreAsEver) {
  Terminal threads({"lua", "--threads", "1"}, home_.path());
  threads.until(first);
  write_plainly(home_ / "s.lua", "print('a script') os.exit(4)");
  Terminal script({"lua", (home_ / "s.lua").string()}, home_.path());
  script.until("a script");
  EXPECT_EQ(script.exit_code(), 4);
  Terminal input({"lua", "-"}, home_.path());
  input.type("print('read', ...)\n\x04");
  input.until("read\r\n");
  EXPECT_EQ(input.exit_code(), 0);
}

TEST_F(PromptVerb, TabCompletes) {
  Terminal terminal({"lua"}, home_.path());
  terminal.until(first);
  terminal.type("t = nacre.zer");
  terminal.until("nacre.zer");
  terminal.type("\t");
  terminal.until("os");
  EXPECT_EQ(terminal.answer("{2, 3}"), "nacre> ");
  terminal.type("t.sh");
  terminal.until("t.sh");
  terminal.type("\t");
  terminal.until("ape");
  EXPECT_EQ(terminal.answer(""), "(2, 3)\r\nnacre> ");
  terminal.type("nacre.ops.soft");
  terminal.until("nacre.ops.soft");
  terminal.type("\t");
  const std::string list = terminal.until(first);
  EXPECT_NE(list.find("\r\nsoft_shrink  softmax      softplus     softsign\r\n"), std::string::npos) << list;
  terminal.type("\x03");
  terminal.until("^C\r\nnacre> ");
  terminal.type("nacre.ops.");
  terminal.until("ops.");
  terminal.type("\t");
  const std::string all = terminal.until(first);
  EXPECT_NE(all.find("… and "), std::string::npos) << all;
  EXPECT_LE(std::count(all.begin(), all.end(), '\n'), 24);
}

TEST_F(PromptVerb, AnUnfinishedFunctionIsContinuedOrDropped) {
  Terminal terminal({"lua"}, home_.path());
  terminal.until(first);
  EXPECT_EQ(terminal.answer("function f(x)", further), "  ...> ");
  EXPECT_EQ(terminal.answer("return x + 1", further), "  ...> ");
  EXPECT_EQ(terminal.answer("end"), "nacre> ");
  EXPECT_EQ(terminal.answer("f(2)"), "3\r\nnacre> ");
  EXPECT_EQ(terminal.answer("function g(", further), "  ...> ");
  EXPECT_EQ(terminal.answer(""), "nacre> ") << "an empty line drops it";
  EXPECT_EQ(terminal.answer("g"), "nil\r\nnacre> ");
  EXPECT_EQ(terminal.answer("g = {", further), "  ...> ");
  terminal.type("1,");
  terminal.until("1,");
  terminal.type("\x03");
  terminal.until("^C\r\nnacre> ");
  EXPECT_EQ(terminal.answer("g"), "nil\r\nnacre> ") << "so does Ctrl-C";
  terminal.type("function h()\n\n\treturn\t1\n\nend\nh()\n");
  terminal.until("1\r\nnacre> ");  // pasted empty lines and tabs belong to it
}

TEST_F(PromptVerb, ControlCReturnsToThePrompt) {
  Terminal terminal({"lua"}, home_.path());
  terminal.until(first);
  terminal.type("\x03");
  terminal.until("^C\r\nexit() or Ctrl-D leaves\r\nnacre> ");
  terminal.type("x = 1 +");
  terminal.until("x = 1 +");
  terminal.type("\x03");
  terminal.until("^C\r\nnacre> ");  // only an empty line says how to leave
  for (const char* work :
       {"while true do end", "while true do pcall(function() while true do end end) end",
        "m = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}} m:compile{loss = 'mse'} "
        "m:fit(nacre.ones{64, 2}, nacre.ones{64, 1}, {epochs = 1 << 40, verbose = false})"}) {
    terminal.type(std::string(work) + "\n");
    terminal.wait(true);
    ::usleep(200'000);
    terminal.type("\x03");
    terminal.until("\r\nprompt:1: interrupted\r\nnacre> ");
    EXPECT_EQ(terminal.answer("(function() for i = 1, 10000 do end return 1 end)()"), "1\r\nnacre> ");
  }
}

TEST_F(PromptVerb, WhatDoesNotHeedControlCIsEndedByTheThird) {
  Terminal terminal({"lua"}, home_.path());
  terminal.until(first);
  terminal.type("string.find(string.rep('a', 40), string.rep('a-', 40) .. 'b')\n");
  terminal.wait(true);
  ::usleep(200'000);
  terminal.type("\x03");
  terminal.until("^C");
  ::usleep(200'000);  // two at once are one
  terminal.type("\x03");
  terminal.until("still at work: Ctrl-C once more ends nacre");
  terminal.type("\x03");
  EXPECT_EQ(terminal.exit_code(), 128 + SIGINT);
}

TEST_F(PromptVerb, IsLeftWithACode) {
  for (const auto& [line, code] :
       {std::pair("exit()", 0), {"quit", 0}, {"exit(3)", 3}, {"os.exit(5)", 5}, {"os.exit(true, true)", 0}}) {
    Terminal terminal({"lua"}, home_.path());
    terminal.until(first);
    terminal.type(std::string(line) + "\n");
    EXPECT_EQ(terminal.exit_code(), code) << line;
  }
  Terminal terminal({"lua"}, home_.path());
  terminal.until(first);
  terminal.signal(SIGTERM);
  EXPECT_EQ(terminal.exit_code(), 128 + SIGTERM);
}

TEST_F(PromptVerb, RemembersLinesOfEarlierSessions) {
  {
    Terminal terminal({"lua"}, home_.path());
    terminal.until(first);
    terminal.answer("x = 'ünï'");
    terminal.answer("#x");
    terminal.type("\x04");
    EXPECT_EQ(terminal.exit_code(), 0);
  }
  EXPECT_EQ(read_file(home_ / "lua_history"), "x = 'ünï'\n#x\n");
  Terminal terminal({"lua"}, home_.path());
  terminal.until(first);
  terminal.type("\x1b[A");
  terminal.until("#x");
  terminal.type("\x1b[A");
  terminal.until("'ünï'");
  EXPECT_EQ(terminal.answer(""), "nacre> ");
  EXPECT_EQ(terminal.answer("#x"), "5\r\nnacre> ");
}

TEST_F(PromptVerb, AHistoryThatCannotBeKeptIsSaidOnce) {
  write_plainly(home_ / "file", "");
  Terminal terminal({"lua"}, home_ / "file");
  terminal.until(first);
  EXPECT_NE(terminal.answer("1").find("the lines are not kept for the next time: "), std::string::npos);
  EXPECT_EQ(terminal.answer("2"), "2\r\nnacre> ");
}

TEST_F(PromptVerb, ColoursAreForTerminalsThatHaveThem) {
  Terminal terminal({"lua"}, home_.path(), true);
  terminal.until("\x1b[1mnacre>\x1b[0m ");
  terminal.type("error('mine', 0)\n");
  terminal.until("\x1b[31mmine\x1b[0m\r\n");
}

TEST(NameColumns, GoDownAndAcross) {
  EXPECT_EQ(cli::name_columns({"a", "bb", "ccc", "d", "e"}, 10, 20), "a    d\nbb   e\nccc\n");
  EXPECT_EQ(cli::name_columns({"a", "bb", "ccc", "d", "e"}, 10, 2), "a    d\nbb   e\n… and 1 more\n");
  EXPECT_EQ(cli::name_columns({"wider_than_that", "a"}, 10, 20), "wider_than_that\na\n");
}

}  // namespace
}  // namespace nacre::test
