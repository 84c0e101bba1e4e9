#include "backend/core/error.h"

#include <algorithm>
#include <cctype>
#include <numeric>

#include "backend/core/unicode.h"

namespace nacre {

std::string Mark::text() const {
  if (line <= 0) return file;
  const std::string& name = file.empty() ? "<text>" : file;
  return column > 0 ? fmt::format("{}:{}:{}", name, line, column) : fmt::format("{}:{}", name, line);
}

Error::Error(std::string message) : message_(std::move(message)) { compose(); }

Error& Error::at(Mark mark) & {
  if (!mark_) mark_ = std::move(mark);
  compose();
  return *this;
}

Error& Error::about(std::string subject) & {
  if (subject_.empty()) subject_ = std::move(subject);
  compose();
  return *this;
}

Error& Error::within(std::string scope) & {
  scopes_.push_back(std::move(scope));
  compose();
  return *this;
}

Error& Error::hint(std::string hint) & {
  if (hint_.empty()) hint_ = std::move(hint);
  compose();
  return *this;
}

Error& Error::usage() & {
  kind_ = Kind::usage;
  return *this;
}

std::string Error::line() const {
  std::string line;
  if (mark_) line += mark_.text() + ": ";
  if (!subject_.empty()) line += subject_ + ": ";
  return line + message_;
}

void Error::compose() {
  text_ = escaped(line());
  for (const std::string& scope : scopes_) text_ += "\n  " + escaped(scope);
  if (!hint_.empty()) text_ += "\n  hint: " + escaped(hint_);
}

InternalError::InternalError(std::string_view message)
    : text_(fmt::format("internal error: {}\n  hint: this is a defect of nacre, please report it", escaped(message))) {}

namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  auto same = [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  };
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (same(a[i - 1], b[j - 1]) ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

// Whether all of the word's parts stand in the candidate: "sparse_crossentropy", "sparse_categorical_crossentropy".
bool has_parts(std::string_view word, std::string_view candidate) {
  bool several = false;
  for (std::size_t begin = 0; begin <= word.size();) {
    const std::size_t end = std::min(word.find('_', begin), word.size());
    if (end == begin || candidate.find(word.substr(begin, end - begin)) == std::string_view::npos) return false;
    several = several || end < word.size();
    begin = end + 1;
  }
  return several;
}

}  // namespace

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
  if (word.size() > 256) return {};
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(1, word.size() * 2 / 5) + 1;
  for (std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) best = candidate, best_distance = distance;
  }
  if (best.empty() || best_distance > 2)
    for (std::string_view candidate : candidates)
      if (has_parts(word, candidate)) return candidate;
  return best;
}

std::string suggestion(std::string_view word, const std::vector<std::string_view>& candidates) {
  if (const std::string_view best = nearest(word, candidates); !best.empty())
    return fmt::format("did you mean '{}'?", best);
  std::string text = "known: ";
  for (std::size_t i = 0; i < candidates.size() && i < 12; ++i) text += (i ? ", " : "") + std::string(candidates[i]);
  if (candidates.size() > 12) text += ", …";
  return text;
}

}  // namespace nacre
