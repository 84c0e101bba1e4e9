#include "scripting/classes/function_text.h"

#include <cctype>

namespace nacre::scripting {

namespace {

struct Token {
  std::string_view text;  // of texts and comments only that it is one: "\""
  std::size_t begin, end;
  int line;
};

bool in_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Source: the Lua 5.4 reference manual, section 3.1.
class Tokens {
 public:
  explicit Tokens(std::string_view chunk) : chunk_(chunk) {
    while (at_ < chunk_.size()) next();
  }
  std::vector<Token> all;

 private:
  char ahead(std::size_t distance) const { return at_ + distance < chunk_.size() ? chunk_[at_ + distance] : '\0'; }

  // Goes over one character, counting lines: a carriage return and a line feed are one end of a line.
  void step() {
    const char c = chunk_[at_++];
    if (c != '\n' && c != '\r') return;
    ++line_;
    if (at_ < chunk_.size() && chunk_[at_] != c && (chunk_[at_] == '\n' || chunk_[at_] == '\r')) ++at_;
  }

  // The equals signs of an opening bracket [==[ here; -1: there is none.
  int bracket() const {
    if (ahead(0) != '[') return -1;
    int signs = 0;
    while (ahead(static_cast<std::size_t>(signs) + 1) == '=') ++signs;
    return ahead(static_cast<std::size_t>(signs) + 1) == '[' ? signs : -1;
  }
  void skip_bracketed(int signs) {
    const std::string closing = "]" + std::string(static_cast<std::size_t>(signs), '=') + "]";
    const std::size_t end = chunk_.find(closing, at_);
    while (at_ < std::min(end, chunk_.size())) step();
    if (end != std::string_view::npos) at_ += closing.size();
  }
  void skip_quoted(char quote) {
    ++at_;
    while (at_ < chunk_.size() && chunk_[at_] != quote) {
      if (chunk_[at_] == '\\') ++at_;
      if (at_ < chunk_.size()) step();
    }
    if (at_ < chunk_.size()) ++at_;
  }

  void next() {
    const char c = chunk_[at_];
    if (c == '-' && ahead(1) == '-') {
      at_ += 2;
      if (const int signs = bracket(); signs >= 0) return skip_bracketed(signs);
      while (at_ < chunk_.size() && chunk_[at_] != '\n' && chunk_[at_] != '\r') ++at_;
      return;
    }
    if (std::isspace(static_cast<unsigned char>(c))) return step();
    const std::size_t begin = at_;
    const int line = line_;
    if (const int signs = bracket(); signs >= 0) {
      skip_bracketed(signs);
    } else if (c == '"' || c == '\'') {
      skip_quoted(c);
    } else if (in_name(c)) {  // a name, or a number, whose letters are none
      while (at_ < chunk_.size() && in_name(chunk_[at_])) ++at_;
    } else {
      ++at_;
    }
    const bool quoted = c == '"' || c == '\'' || (c == '[' && at_ > begin + 1);
    all.push_back({quoted ? "\"" : chunk_.substr(begin, at_ - begin), begin, at_, line});
  }

  std::string_view chunk_;
  std::size_t at_ = 0;
  int line_ = 1;
};

// The token that ends the block which the one at `first` opens; the number of tokens when there is none.
std::size_t end_of_block(const std::vector<Token>& tokens, std::size_t first) {
  int depth = 0;
  for (std::size_t i = first; i < tokens.size(); ++i) {
    const std::string_view text = tokens[i].text;
    if (text == "function" || text == "do" || text == "if" || text == "repeat") ++depth;  // loops have a `do`
    if ((text == "end" || text == "until") && --depth == 0) return i;
  }
  return tokens.size();
}

FunctionText function_between(std::string_view chunk, const std::vector<Token>& tokens, std::size_t first,
                              std::size_t last) {
  FunctionText found;
  std::size_t parameters = first + 1;  // the opening parenthesis, after the name
  bool method = false;
  for (; parameters < last && tokens[parameters].text != "("; ++parameters) {
    method = method || tokens[parameters].text == ":";
    found.name = parameters == first + 1 ? std::string(tokens[parameters].text) : "";
  }
  if (parameters >= last) return {};
  const std::size_t after = tokens[parameters].end;
  const bool more = tokens[parameters + 1].text != ")";
  found.expression = std::string("function(") + (method ? more ? "self, " : "self" : "") +
                     std::string(chunk.substr(after, tokens[last].end - after));
  return found;
}

}  // namespace

std::vector<FunctionText> functions_at(std::string_view chunk, int first_line, int last_line) {
  const std::vector<Token> tokens = Tokens(chunk).all;
  std::vector<FunctionText> functions;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].line != first_line || tokens[i].text != "function") continue;
    const std::size_t end = end_of_block(tokens, i);
    if (end == tokens.size() || tokens[end].line != last_line) continue;
    if (FunctionText found = function_between(chunk, tokens, i, end); !found.expression.empty())
      functions.push_back(std::move(found));
  }
  return functions;
}

}  // namespace nacre::scripting
