#include "cli/prompt_history.h"

#include <cstdlib>

#include "backend/core/unicode.h"
#include "formats/file.h"

namespace nacre::cli {

namespace fs = std::filesystem;

namespace {

fs::path folder_named(const char* variable) {
  const char* value = std::getenv(variable);
  return value && *value ? fs::path(value) : fs::path();
}

}  // namespace

fs::path prompt_history_path() {
  constexpr const char* name = "lua_history";
  if (const fs::path home = folder_named("NACRE_HOME"); !home.empty()) return home / name;
  if (const fs::path state = folder_named("XDG_STATE_HOME"); state.is_absolute()) return state / "nacre" / name;
  if (const fs::path home = folder_named("HOME"); !home.empty()) return home / ".local/state/nacre" / name;
  return {};
}

PromptHistory::PromptHistory(fs::path file) : file_(std::move(file)) {}

std::vector<std::string> PromptHistory::lines() const {
  std::vector<std::string> lines;
  std::error_code ignored;
  if (file_.empty() || !fs::exists(file_, ignored)) return lines;
  const std::string text = read_file(file_, 2 * most_lines * (longest_line + 1));
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (!line.empty() && line.size() <= longest_line && escaped(line) == line) lines.push_back(std::move(line));
    begin = end + 1;
  }
  if (lines.size() > most_lines) lines.erase(lines.begin(), lines.end() - most_lines);
  return lines;
}

void PromptHistory::add(const std::string& line) {
  if (file_.empty() || line.empty() || line.size() > longest_line || escaped(line) != line) return;
  std::vector<std::string> all = lines();
  if (!all.empty() && all.back() == line) return;
  all.push_back(line);
  std::string text;
  for (std::size_t i = all.size() > most_lines ? 1 : 0; i < all.size(); ++i) text += all[i] + "\n";
  make_folder(file_.parent_path());
  AtomicFile file(file_);
  fs::permissions(file.temporary(), fs::perms::owner_read | fs::perms::owner_write);
  file.write(text);
  file.commit();
}

}  // namespace nacre::cli
