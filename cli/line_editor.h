// Lines typed at a terminal: editing, history and completion by libedit, which is loaded by the first who needs it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "scripting/prompt/completion.h"

namespace nacre::cli {

// Stands around what of a prompt takes no column: colours.
inline constexpr char prompt_escape = '\1';

class LineEditor {
 public:
  // Of the line up to the cursor. An exception means that nothing is known.
  using Completer = std::function<scripting::Completion(std::string_view line)>;

  // On standard input and output. Throws Error when the library is missing.
  explicit LineEditor(Completer completer);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  enum class End {
    entered,
    dropped,  // by Ctrl-C
    closed,   // by Ctrl-D, or the terminal is gone
  };
  struct Line {
    End end;
    std::string text{};
  };
  Line read(const std::string& prompt);
  void remember(const std::string& line);  // for the arrow keys

  // Whether more was typed, or pasted, already.
  static bool typed_ahead();

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

// Names in columns, top to bottom, within `width`; those beyond so many rows are counted.
std::string name_columns(const std::vector<std::string>& names, int width, int most_rows);

}  // namespace nacre::cli
