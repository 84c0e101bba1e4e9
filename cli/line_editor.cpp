#include "cli/line_editor.h"

#include <fmt/core.h>
#include <histedit.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <csignal>
#include <cstdio>

#include "backend/core/error.h"
#include "cli/terminal.h"
#include "formats/shared_library.h"

namespace nacre::cli {

namespace {

constexpr const char* indentation = "  ";  // by Tab, where there is nothing to complete
constexpr int most_remembered = 2000;      // lines

constexpr std::pair<const char*, const char*> key_commands[] = {
    {"^I", "nacre-complete"},          {"^C", "nacre-drop"},
    {"^Z", "nacre-suspend"},           {"^R", "em-inc-search-prev"},
    {"\\e[3~", "ed-delete-next-char"}, {"\\e[1~", "ed-move-to-beg"},
    {"\\e[4~", "ed-move-to-end"},      {"\\e[1;5C", "em-next-word"},
    {"\\e[1;5D", "ed-prev-word"}};

struct Library {
  SharedLibrary library{"lines cannot be edited", {"libedit.so.2", "libedit.so.0", "libedit.3.dylib"}};
  decltype(&el_init) init = library["el_init"];
  decltype(&el_end) end = library["el_end"];
  decltype(&el_set) set = library["el_set"];
  decltype(&el_get) get = library["el_get"];
  decltype(&el_gets) gets = library["el_gets"];
  decltype(&el_line) line = library["el_line"];
  decltype(&el_cursor) cursor = library["el_cursor"];
  decltype(&el_insertstr) insertstr = library["el_insertstr"];
  decltype(&history_init) make_history = library["history_init"];
  decltype(&history_end) end_history = library["history_end"];
  decltype(&history) call_history = library["history"];
};

const Library& library() {
  static const Library functions;
  return functions;
}

struct Closer {
  void operator()(EditLine* editor) const { library().end(editor); }
  void operator()(History* history) const { library().end_history(history); }
};

std::string common_beginning(const std::vector<std::string>& names) {
  std::string common = names.front();
  for (const std::string& name : names)
    common.resize(static_cast<std::size_t>(std::mismatch(common.begin(), common.end(), name.begin(), name.end()).first -
                                           common.begin()));
  return common;
}

// libedit reads and shows characters by the locale's rules; a machine without a locale has UTF-8 nevertheless.
void choose_characters() {
  if (std::setlocale(LC_CTYPE, "") && MB_CUR_MAX > 1) return;
  std::setlocale(LC_CTYPE, "C.UTF-8");
}

}  // namespace

struct LineEditor::Implementation {
  Completer completer;
  std::string prompt{};
  bool dropped = false;
  std::unique_ptr<History, Closer> history{library().make_history()};
  std::unique_ptr<EditLine, Closer> editor{library().init("nacre", stdin, stdout, stderr)};

  static Implementation& of(EditLine* editor) {
    Implementation* self = nullptr;
    library().get(editor, EL_CLIENTDATA, &self);
    return *self;
  }

  // A key's function: what libedit does after it.
  template <unsigned char (Implementation::*key)()>
  static unsigned char pressed(EditLine* editor, int) noexcept {
    try {
      return (of(editor).*key)();
    } catch (...) {
      return CC_ERROR;  // it beeps
    }
  }

  unsigned char complete() {
    const LineInfo* line = library().line(editor.get());
    const std::string_view before(line->buffer, static_cast<std::size_t>(line->cursor - line->buffer));
    if (before.find_first_not_of(" \t") == before.npos || typed_ahead())  // pasted text may have tabs
      return library().insertstr(editor.get(), indentation) == 0 ? CC_REFRESH : CC_ERROR;
    const scripting::Completion completion = completer(before);
    if (completion.names.empty()) return CC_ERROR;
    const std::string more = common_beginning(completion.names).substr(completion.typed);
    if (!more.empty()) return library().insertstr(editor.get(), more.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
    if (completion.names.size() == 1) return CC_ERROR;
    const int rows = terminal_height(STDOUT_FILENO) - 2;
    std::fputs(("\n" + name_columns(completion.names, terminal_width(STDOUT_FILENO), rows)).c_str(), stdout);
    return CC_REDISPLAY;
  }

  unsigned char drop() {
    const LineInfo* line = library().line(editor.get());
    library().cursor(editor.get(), static_cast<int>(line->lastchar - line->cursor));
    library().set(editor.get(), EL_REFRESH);
    std::fputs("^C\n", stdout);
    dropped = true;
    return CC_NEWLINE;
  }

  unsigned char suspend() {
    ::raise(SIGTSTP);
    return CC_REDISPLAY;
  }
};

LineEditor::LineEditor(Completer completer) {
  choose_characters();
  implementation_ = std::make_unique<Implementation>(Implementation{.completer = std::move(completer)});
  EditLine* const editor = implementation_->editor.get();
  if (!editor || !implementation_->history) throw Error("the terminal cannot be used for typing lines");
  const auto set = library().set;
  HistEvent event{};
  library().call_history(implementation_->history.get(), &event, H_SETSIZE, most_remembered);
  library().call_history(implementation_->history.get(), &event, H_SETUNIQUE, 1);
  set(editor, EL_CLIENTDATA, implementation_.get());
  set(editor, EL_SIGNAL, 1);  // it leaves the terminal in order when it is suspended or ended
  set(editor, EL_HIST, library().call_history, implementation_->history.get());
  set(
      editor, EL_PROMPT_ESC, +[](EditLine* own) { return Implementation::of(own).prompt.data(); }, prompt_escape);
  set(editor, EL_EDITOR, "emacs");
  set(editor, EL_ADDFN, "nacre-complete", "completes a name", Implementation::pressed<&Implementation::complete>);
  set(editor, EL_ADDFN, "nacre-drop", "drops the line", Implementation::pressed<&Implementation::drop>);
  set(editor, EL_ADDFN, "nacre-suspend", "stops the program", Implementation::pressed<&Implementation::suspend>);
  for (const auto& [keys, command] : key_commands) set(editor, EL_BIND, keys, command, nullptr);
  set(editor, EL_SETTY, "-d", "-isig", nullptr);  // while a line is edited Ctrl-C and Ctrl-Z are keys and no signals
}

LineEditor::~LineEditor() = default;

LineEditor::Line LineEditor::read(const std::string& prompt) {
  implementation_->prompt = prompt;
  implementation_->dropped = false;
  int size = 0;
  const char* const text = library().gets(implementation_->editor.get(), &size);
  if (implementation_->dropped) return {End::dropped, text ? std::string(text, static_cast<std::size_t>(size)) : ""};
  if (!text || size <= 0) return {End::closed};
  std::string line(text, static_cast<std::size_t>(size));
  if (line.ends_with('\n')) line.pop_back();
  return {End::entered, std::move(line)};
}

void LineEditor::remember(const std::string& line) {
  HistEvent event{};
  library().call_history(implementation_->history.get(), &event, H_ENTER, line.c_str());
}

bool LineEditor::typed_ahead() {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  return ::poll(&input, 1, 0) == 1 && (input.revents & POLLIN);
}

std::string name_columns(const std::vector<std::string>& names, int width, int most_rows) {
  std::size_t widest = 0;
  for (const std::string& name : names) widest = std::max(widest, name.size());
  const std::size_t across = std::max<std::size_t>(1, (static_cast<std::size_t>(width) + 1) / (widest + 2));
  const std::size_t rows = (names.size() + across - 1) / across;
  const std::size_t shown = std::min(rows, static_cast<std::size_t>(std::max(most_rows, 1)));
  std::string text;
  std::size_t count = 0;
  for (std::size_t row = 0; row < shown; ++row) {
    std::string line;
    for (std::size_t i = row; i < names.size(); i += rows, ++count) line += fmt::format("{:{}}", names[i], widest + 2);
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return count < names.size() ? text + fmt::format("… and {} more\n", names.size() - count) : text;
}

}  // namespace nacre::cli
