#include "cli/prompt.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>

#include "api/version.h"
#include "backend/core/error.h"
#include "cli/interrupt.h"
#include "cli/line_editor.h"
#include "cli/prompt_history.h"
#include "cli/terminal.h"
#include "scripting/prompt/prompt.h"

namespace nacre::cli {

namespace {

constexpr std::string_view bold = "\x1b[1m", red = "\x1b[31m", plain = "\x1b[0m";

// The history of the editor and its file. What cannot be kept is said once.
class Remembered {
 public:
  explicit Remembered(LineEditor& editor) : editor_(editor), history_(prompt_history_path()) {
    attempt([&] {
      for (const std::string& line : history_.lines()) editor_.remember(line);
    });
  }
  void add(const std::string& line) {
    editor_.remember(line);
    attempt([&] { history_.add(line); });
  }

 private:
  template <class Work>
  void attempt(const Work& work) {
    if (failed_) return;
    try {
      work();
    } catch (const std::exception&) {
      failed_ = true;
      std::fprintf(stderr, "the lines are not kept for the next time: %s\n", failure_text().c_str());
    }
  }

  LineEditor& editor_;
  PromptHistory history_;
  bool failed_ = false;
};

std::string prompt_text(std::string_view text) {
  if (!shows_colours(STDOUT_FILENO)) return fmt::format("{} ", text);
  return fmt::format("{0}{1}{0}{2}{0}{3}{0} ", prompt_escape, bold, text, plain);
}

void show_failure(bool interrupted) {
  const bool coloured = shows_colours(STDERR_FILENO);
  if (interrupted) std::puts("");  // after the terminal's ^C
  std::fflush(stdout);
  std::fputs(fmt::format("{}{}{}\n", coloured ? red : "", failure_text(), coloured ? plain : "").c_str(), stderr);
}

void run_chunk(Prompt& prompt, Interrupt& interrupt, const std::string& chunk) {
  interrupt.reset();
  try {
    const std::string text = prompt.run(chunk, terminal_width(STDOUT_FILENO));
    if (!text.empty()) std::fputs((text + (text.ends_with('\n') ? "" : "\n")).c_str(), stdout);
  } catch (...) {
    show_failure(*interrupt.flag());
  }
  std::fflush(stdout);
}

}  // namespace

int run_prompt(bool sandbox) {
  Interrupt interrupt(Interrupt::Within::prompt);
  Engine engine({.sandbox = sandbox, .stop = interrupt.flag()});
  Prompt prompt(engine);
  std::string chunk;
  LineEditor editor([&](std::string_view line) { return prompt.complete(chunk + std::string(line)); });
  Remembered history(editor);
  const std::string first = prompt_text("nacre>"), further = prompt_text("  ...>");
  fmt::print("nacre {}, Lua 5.4: help() tells more, exit() or Ctrl-D leaves\n", version());
  std::fflush(stdout);
  for (;;) {
    const LineEditor::Line line = editor.read(chunk.empty() ? first : further);
    if (line.end == LineEditor::End::closed) break;
    const bool blank = line.text.find_first_not_of(" \t") == std::string::npos;
    if (line.end == LineEditor::End::dropped) {
      if (blank && chunk.empty()) std::puts("exit() or Ctrl-D leaves");
      chunk.clear();
      continue;
    }
    if (blank) {
      if (chunk.empty() || !LineEditor::typed_ahead()) chunk.clear();  // what is pasted may have empty lines
      else chunk += line.text + "\n";
      continue;
    }
    history.add(line.text);
    chunk += line.text;
    if (prompt.wants_more(chunk)) {
      chunk += "\n";
      continue;
    }
    run_chunk(prompt, interrupt, chunk);
    chunk.clear();
    if (const auto code = prompt.exit_code()) return *code;
  }
  std::puts("");
  return 0;
}

}  // namespace nacre::cli
