// The lines that were typed at the prompt, also in earlier sessions.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace nacre::cli {

// In $NACRE_HOME, else in nacre/ of $XDG_STATE_HOME, else in ~/.local/state/nacre; "" where there is no such folder to
// be had.
std::filesystem::path prompt_history_path();

// A text file of one line each, which several sessions may add to. Only its owner may read it. At most so many lines
// are kept, and longer ones are not.
class PromptHistory {
 public:
  static constexpr std::size_t most_lines = 2000, longest_line = 4096;

  explicit PromptHistory(std::filesystem::path file);  // "": the lines are kept for this session alone

  std::vector<std::string> lines() const;  // oldest first; throws Error when there is a file that cannot be read
  // Writes the file anew. Throws Error when that cannot be done.
  void add(const std::string& line);

 private:
  std::filesystem::path file_;
};

}  // namespace nacre::cli
