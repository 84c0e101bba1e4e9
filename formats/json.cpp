// The parser is our own: the usual libraries know neither Python's NaN and Infinity nor the place of each value.
#include "formats/json.h"

#include <cmath>
#include <limits>
#include <unordered_set>

#include "backend/core/unicode.h"
#include "formats/file.h"
#include "formats/scalar.h"

namespace nacre {

namespace {

constexpr std::uint64_t largest_file = 1 << 30;
constexpr int deepest = 512;

class Parser {
 public:
  Parser(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  Tree document() {
    if (text_.starts_with("\xef\xbb\xbf")) position_ = line_start_ = 3;
    if (const std::size_t valid = valid_utf8(text_); valid < text_.size()) {
      move_to(valid);
      fail("the text is not UTF-8");
    }
    skip_space();
    Tree tree = value(0);
    skip_space();
    if (position_ < text_.size()) fail("there is more after the value: {}", here());
    return tree;
  }

 private:
  Mark mark() const { return {file_, line_, static_cast<int>(position_ - line_start_) + 1}; }

  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error("not valid JSON: {}", fmt::format(format, std::forward<Args>(args)...)).at(mark()).usage();
  }

  // What stands at the present position, for messages.
  std::string here() const {
    if (position_ >= text_.size()) return "the end";
    std::size_t end = position_;
    next_utf8(text_, end);
    const std::string_view character = text_.substr(position_, end - position_);
    return static_cast<unsigned char>(character[0]) < 0x20 ? fmt::format("the byte {:#04x}", character[0]) : fmt::format("'{}'", character);
  }

  void move_to(std::size_t position) {
    for (; position_ < position; ++position_)
      if (text_[position_] == '\n') ++line_, line_start_ = position_ + 1;
  }

  void skip_space() {
    for (; position_ < text_.size(); ++position_) {
      const char c = text_[position_];
      if (c == '\n') ++line_, line_start_ = position_ + 1;
      else if (c != ' ' && c != '\t' && c != '\r') return;
    }
  }

  bool take(char wanted) {
    if (position_ >= text_.size() || text_[position_] != wanted) return false;
    ++position_;
    return true;
  }

  bool take(std::string_view word) {
    if (!text_.substr(position_).starts_with(word)) return false;
    position_ += word.size();
    return true;
  }

  Tree value(int depth) {
    if (depth > deepest) fail("nested deeper than {} levels", deepest);
    const Mark start = mark();
    const char c = position_ < text_.size() ? text_[position_] : '\0';
    if (c == '{') return object(depth).at(start);
    if (c == '[') return array(depth).at(start);
    if (c == '"') return Tree(string()).at(start);
    if (take("true")) return Tree(true).at(start);
    if (take("false")) return Tree(false).at(start);
    if (take("null")) return Tree().at(start);
    if (take("NaN")) return Tree(std::numeric_limits<double>::quiet_NaN()).at(start);
    if (take("Infinity")) return Tree(std::numeric_limits<double>::infinity()).at(start);
    if (take("-Infinity")) return Tree(-std::numeric_limits<double>::infinity()).at(start);
    return number().at(start);
  }

  Tree number() {
    const std::size_t end = std::min(text_.find_first_not_of("+-.0123456789eE", position_), text_.size());
    const std::string_view digits = text_.substr(position_, end - position_);
    if (digits.empty()) fail("a value is wanted, got {}", here());
    const std::size_t first = digits[0] == '-' ? 1 : 0;
    const bool leading_zero = digits.size() > first + 1 && digits[first] == '0' && digits[first + 1] >= '0' && digits[first + 1] <= '9';
    Tree result = leading_zero ? Tree() : decimal_number(digits);
    if (result.is_null()) fail("'{}' is no number", digits.substr(0, 40));
    position_ = end;
    return result;
  }

  Tree array(int depth) {
    Tree result = Tree::sequence();
    ++position_;
    skip_space();
    if (take(']')) return result;
    while (true) {
      skip_space();
      result.push(value(depth + 1));
      skip_space();
      if (take(']')) return result;
      if (!take(',')) fail("',' or ']' is wanted, got {}", here());
    }
  }

  Tree object(int depth) {
    Tree result = Tree::mapping();
    std::unordered_set<std::string> keys;
    ++position_;
    skip_space();
    if (take('}')) return result;
    while (true) {
      skip_space();
      const Mark start = mark();
      if (position_ >= text_.size() || text_[position_] != '"') fail("a key in double quotes is wanted, got {}", here());
      std::string key = string();
      if (!keys.insert(key).second) throw Error("the key '{}' stands here twice", key).at(start).usage();
      skip_space();
      if (!take(':')) fail("':' is wanted, got {}", here());
      skip_space();
      Tree item = value(depth + 1);
      result.entries().push_back({std::move(key), std::move(item), start});
      skip_space();
      if (take('}')) return result;
      if (!take(',')) fail("',' or '}}' is wanted, got {}", here());
    }
  }

  std::string string() {
    const Mark start = mark();
    ++position_;
    std::string result;
    while (true) {
      const std::size_t end = position_;
      std::size_t stop = end;
      while (stop < text_.size() && text_[stop] != '"' && text_[stop] != '\\' && static_cast<unsigned char>(text_[stop]) >= 0x20) ++stop;
      result.append(text_, end, stop - end);
      position_ = stop;
      if (stop == text_.size()) throw Error("not valid JSON: the text that begins here has no end").at(start).usage();
      if (take('"')) return result;
      if (!take('\\')) fail("{} may not stand in a text", here());
      escape(result);
    }
  }

  void escape(std::string& result) {
    const char c = position_ < text_.size() ? text_[position_] : '\0';
    constexpr std::string_view names = "\"\\/bfnrt", values = "\"\\/\b\f\n\r\t";
    if (const std::size_t index = names.find(c); c != '\0' && index != std::string_view::npos) {
      ++position_;
      result += values[index];
      return;
    }
    if (c != 'u') fail("'\\' may not stand before {}", here());
    ++position_;
    char32_t code_point = four_digits();
    if (code_point >= 0xd800 && code_point < 0xdc00) {  // the first half of a pair
      const std::size_t after = position_;
      char32_t low = 0;
      if (take("\\u")) low = four_digits();
      if (low >= 0xdc00 && low < 0xe000) {
        code_point = 0x10000 + ((code_point - 0xd800) << 10) + (low - 0xdc00);
      } else {
        position_ = after;
        code_point = 0xfffd;
      }
    } else if (code_point >= 0xdc00 && code_point < 0xe000) {
      code_point = 0xfffd;
    }
    append_utf8(result, code_point);
  }

  char32_t four_digits() {
    char32_t code_point = 0;
    for (int i = 0; i < 4; ++i, ++position_) {
      const char c = position_ < text_.size() ? text_[position_] : '\0';
      if (c >= '0' && c <= '9') code_point = code_point * 16 + static_cast<char32_t>(c - '0');
      else if (c >= 'a' && c <= 'f') code_point = code_point * 16 + static_cast<char32_t>(c - 'a' + 10);
      else if (c >= 'A' && c <= 'F') code_point = code_point * 16 + static_cast<char32_t>(c - 'A' + 10);
      else fail("four hexadecimal digits are wanted after '\\u', got {}", here());
    }
    return code_point;
  }

  std::string_view text_;
  const std::string& file_;
  std::size_t position_ = 0, line_start_ = 0;
  int line_ = 1;
};

class Writer {
 public:
  Writer(int indent, NotFinite not_finite) : indent_(indent), not_finite_(not_finite) {}
  std::string take() { return std::move(out_); }

  void value(const Tree& tree, int level = 0) {
    if (tree.is_sequence()) {
      list('[', ']', tree.items(), level, [&](const Tree& item) { value(item, level + 1); });
    } else if (tree.is_mapping()) {
      list('{', '}', tree.entries(), level, [&](const Tree::Entry& entry) {
        string(entry.key);
        out_ += ": ";
        value(entry.value, level + 1);
      });
    } else if (tree.is_null()) {
      out_ += "null";
    } else if (tree.is_bool()) {
      out_ += tree.as_bool() ? "true" : "false";
    } else if (tree.is_integer()) {
      out_ += std::to_string(tree.as_integer());
    } else if (tree.is_number()) {
      const double number = tree.as_number();
      if (!std::isfinite(number) && not_finite_ == NotFinite::null) out_ += "null";
      else if (std::isnan(number)) out_ += "NaN";
      else if (std::isinf(number)) out_ += number < 0 ? "-Infinity" : "Infinity";
      else out_ += real_text(number);
    } else {
      string(tree.as_string());
    }
  }

 private:
  template <class Items, class WriteItem>
  void list(char open, char close, const Items& items, int level, WriteItem write_item) {
    out_ += open;
    bool first = true;
    for (const auto& item : items) {
      if (!first) out_ += indent_ ? "," : ", ";
      first = false;
      new_line(level + 1);
      write_item(item);
    }
    if (!first) new_line(level);
    out_ += close;
  }

  void new_line(int level) {
    if (indent_) out_.append("\n").append(static_cast<std::size_t>(indent_ * level), ' ');
  }

  void string(std::string_view text) {
    out_ += '"';
    std::size_t valid = valid_utf8(text);
    for (std::size_t position = 0; position < text.size();) {
      char32_t c = 0xfffd;
      if (position < valid) {
        c = next_utf8(text, position);
      } else {
        ++position;
        valid = position + valid_utf8(text.substr(position));
      }
      constexpr std::string_view values = "\"\\\b\f\n\r\t", names = "\"\\bfnrt";
      if (const std::size_t index = c < 0x80 ? values.find(static_cast<char>(c)) : std::string_view::npos; index != std::string_view::npos)
        (out_ += '\\') += names[index];
      else if (c >= 0x20 && c < 0x7f) out_ += static_cast<char>(c);
      else if (c < 0x10000) out_ += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
      else out_ += fmt::format("\\u{:04x}\\u{:04x}", static_cast<unsigned>(0xd800 + ((c - 0x10000) >> 10)), static_cast<unsigned>(0xdc00 + (c & 0x3ff)));
    }
    out_ += '"';
  }

  int indent_;
  NotFinite not_finite_;
  std::string out_;
};

}  // namespace

Tree parse_json(std::string_view text, const std::string& file) { return Parser(text, file).document(); }

Tree load_json(const std::filesystem::path& path) { return parse_json(read_file(path, largest_file), path.string()); }

std::string write_json(const Tree& tree, int indent, NotFinite not_finite) {
  Writer writer(indent, not_finite);
  writer.value(tree);
  return writer.take();
}

}  // namespace nacre
