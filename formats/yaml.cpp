#include "formats/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <sstream>
#include <unordered_set>

#include "backend/core/unicode.h"
#include "formats/file.h"
#include "formats/scalar.h"

namespace nacre {

namespace {

constexpr std::uint64_t largest_file = 64 << 20;
constexpr std::size_t deepest = 128;
constexpr std::size_t most_values = 2'000'000;  // after aliases are expanded; 64 bytes of text count as one more

// What a value costs towards most_values.
std::size_t weight_of(const Tree& tree) {
  std::size_t weight = 1;
  if (tree.is_string()) weight += tree.as_string().size() / 64;
  if (tree.is_sequence())
    for (const Tree& item : tree.items()) weight += weight_of(item);
  if (tree.is_mapping())
    for (const Tree::Entry& entry : tree.entries()) weight += weight_of(entry.value) + entry.key.size() / 64;
  return weight;
}

// Builds the tree from the parser's events.
class Builder : public YAML::EventHandler {
 public:
  explicit Builder(const std::string& file) : file_(file) {}

  Tree take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (wants_key()) return key("null", mark, false);
    add(Tree().at(place(mark)), 1, anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) fail(mark, "the alias stands inside the value that it names");
    if (wants_key()) {
      if (!found->second.value.is_string()) fail(mark, "a key must be a single word or text");
      return key(found->second.value.as_string(), mark, false);
    }
    count(found->second.weight, place(mark));
    add(found->second.value, 0, 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& text) override {
    if (wants_key()) {
      if (anchor) anchors_.insert_or_assign(anchor, Anchored{Tree(text), 1});
      return key(text, mark, tag == "?");
    }
    add(scalar(mark, tag, text).at(place(mark)), 1 + text.size() / 64, anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    start(Tree::sequence(), mark, tag, "tag:yaml.org,2002:seq", anchor);
  }
  void OnSequenceEnd() override { finish(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    start(Tree::mapping(), mark, tag, "tag:yaml.org,2002:map", anchor);
  }
  void OnMapEnd() override { finish(); }

 private:
  struct Open {
    Tree container;
    YAML::anchor_t anchor = 0;
    std::optional<Tree::Entry> pending;      // the key whose value comes next
    bool merging = false;                    // that key is <<
    std::unordered_set<std::string> keys{};
    std::vector<Tree> merged{};              // what << names, in order
  };
  struct Anchored {
    Tree value;
    std::size_t weight;
  };

  Mark place(const YAML::Mark& mark) const { return {file_, mark.line + 1, mark.column + 1}; }

  [[noreturn]] void fail(const YAML::Mark& mark, std::string message) const {
    throw Error(std::move(message)).at(place(mark)).usage();
  }

  void count(std::size_t weight, const Mark& mark) {
    values_ += weight;
    if (values_ > most_values) throw Error("the document is too large once its aliases are expanded").at(mark).usage();
  }

  bool wants_key() const { return !open_.empty() && open_.back().container.is_mapping() && !open_.back().pending; }

  void key(const std::string& text, const YAML::Mark& mark, bool plain) {
    count(1 + text.size() / 64, place(mark));
    Open& open = open_.back();
    open.merging = plain && text == "<<";
    open.pending = Tree::Entry{text, {}, place(mark)};
    if (open.merging || open.keys.insert(text).second) return;
    Error error("the key '{}' stands here twice", text);
    for (const Tree::Entry& entry : open.container.entries())
      if (entry.key == text) error.hint(fmt::format("the first is at line {}", entry.mark.line));
    throw std::move(error).at(place(mark)).usage();
  }

  Tree scalar(const YAML::Mark& mark, const std::string& tag, const std::string& text) const {
    if (tag == "?" || tag.empty()) return plain_scalar(text);
    constexpr std::string_view core = "tag:yaml.org,2002:";
    const std::string_view type = std::string_view(tag).starts_with(core) ? std::string_view(tag).substr(core.size()) : "";
    if (tag == "!" || type == "str") return text;
    Tree value = plain_scalar(text);
    if (type == "float" && value.is_integer()) value = value.as_number();
    if ((type == "int" && value.is_integer()) || (type == "float" && value.is_number()) || (type == "bool" && value.is_bool()) ||
        (type == "null" && value.is_null()))
      return value;
    if (type == "int" || type == "float" || type == "bool" || type == "null") fail(mark, fmt::format("'{}' is no {}", text, type));
    throw Error("the tag '{}' is not known", tag).at(place(mark)).hint("put the value in quotes if it begins with '!'").usage();
  }

  void add(Tree value, std::size_t weight, YAML::anchor_t anchor) {
    count(weight, value.mark());
    if (anchor) anchors_.insert_or_assign(anchor, Anchored{value, weight_of(value)});
    if (open_.empty()) {
      root_ = std::move(value);
      return;
    }
    Open& open = open_.back();
    if (open.container.is_sequence()) return open.container.push(std::move(value));
    if (open.merging) {
      merge(open, std::move(value));
    } else {
      open.pending->value = std::move(value);
      open.container.entries().push_back(std::move(*open.pending));
    }
    open.pending.reset();
  }

  void merge(Open& open, Tree value) const {
    const auto check = [&](const Tree& source) {
      if (!source.is_mapping()) throw Error("<< wants a mapping or a list of mappings, got {}", source.text()).at(open.pending->mark).usage();
    };
    if (!value.is_sequence()) {
      check(value);
      open.merged.push_back(std::move(value));
      return;
    }
    for (Tree& item : value.items()) {
      check(item);
      open.merged.push_back(std::move(item));
    }
  }

  void start(Tree container, const YAML::Mark& mark, const std::string& tag, std::string_view core_tag, YAML::anchor_t anchor) {
    if (wants_key()) throw Error("a key must be a single word or text, not a list or mapping").at(place(mark)).hint("a text that begins with '{' or '[' needs quotes").usage();
    if (tag != "?" && !tag.empty() && tag != "!" && tag != core_tag) fail(mark, fmt::format("the tag '{}' is not known", tag));
    if (open_.size() >= deepest) fail(mark, fmt::format("nested deeper than {} levels", deepest));
    count(1, place(mark));
    open_.push_back({std::move(container).at(place(mark)), anchor});
  }

  void finish() {
    Open done = std::move(open_.back());
    open_.pop_back();
    for (Tree& source : done.merged)  // what stands in the mapping itself wins, then the first source
      for (Tree::Entry& entry : source.entries())
        if (done.keys.insert(entry.key).second) done.container.entries().push_back(std::move(entry));
    add(std::move(done.container), 0, done.anchor);
  }

  const std::string& file_;
  Tree root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  std::size_t values_ = 0;
};

// The parser ends at the first byte that is no text; such bytes are errors before it sees them.
void check_text(std::string_view text, const std::string& file) {
  int line = 1;
  std::size_t line_start = 0;
  const auto fail = [&](std::size_t position, std::string message, std::string hint) {
    throw Error(std::move(message)).at({file, line, static_cast<int>(position - line_start) + 1}).hint(std::move(hint)).usage();
  };
  const std::size_t valid = valid_utf8(text);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (i == valid) fail(i, "the text is not UTF-8", "save the file with the encoding UTF-8");
    if (byte == '\n') ++line, line_start = i + 1;
    else if ((byte < 0x20 && byte != '\t' && byte != '\r') || byte == 0x7f)
      fail(i, fmt::format("the byte {:#04x} may not stand in YAML", byte), "is this a text file?");
  }
}

std::string hint_for(std::string_view message, std::string_view text, const Mark& mark) {
  std::string_view line = text;
  for (int skipped = 1; skipped < mark.line; ++skipped) {
    const std::size_t end = line.find('\n');
    if (end == std::string_view::npos) break;
    line.remove_prefix(end + 1);
  }
  line = line.substr(0, line.find('\n'));
  if (line.substr(0, line.find_first_not_of(" \t")).find('\t') != std::string_view::npos)
    return "indent with spaces: YAML does not allow tabs there";
  if (message.find("map value") != std::string_view::npos)
    return "a text that holds ': ' needs quotes; keys of one mapping stand in one column";
  if (message.find("flow") != std::string_view::npos) return "a bracket or brace is not closed";
  if (message.find("end of map") != std::string_view::npos || message.find("end of sequence") != std::string_view::npos)
    return "check the indentation: what belongs together stands in one column";
  if (message.find("unknown token") != std::string_view::npos) return "a text that begins with @, ` or % needs quotes";
  return {};
}

}  // namespace

Tree parse_yaml(std::string_view text, const std::string& file) {
  if (text.size() > largest_file) throw Error("the YAML is larger than {} MiB", largest_file >> 20).at({file}).usage();
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  check_text(text, file);
  std::istringstream stream{std::string(text)};
  Builder builder(file);
  try {
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return Tree().at({file, 1, 1});
    Tree tree = builder.take();
    Builder rest(file);
    if (parser.HandleNextDocument(rest)) {
      Error error("there is a second document");
      const Tree second = rest.take();
      error.at(second.mark() ? second.mark() : Mark{file});
      throw std::move(error).hint("one file holds one document: remove the line '---'").usage();
    }
    return tree;
  } catch (const YAML::Exception& problem) {
    Mark mark{file};
    if (!problem.mark.is_null()) mark = {file, problem.mark.line + 1, problem.mark.column + 1};
    Error error("not valid YAML: {}", problem.msg);
    if (std::string hint = hint_for(problem.msg, text, mark); !hint.empty()) error.hint(std::move(hint));
    throw std::move(error).at(std::move(mark)).usage();
  }
}

Tree load_yaml(const std::filesystem::path& path) { return parse_yaml(read_file(path, largest_file), path.string()); }

// --- writing -----------------------------------------------------------------------------------------------------

namespace {

constexpr std::size_t widest = 100;  // columns that a value on one line may reach

bool is_container(const Tree& tree) { return tree.is_sequence() || tree.is_mapping(); }
bool is_empty(const Tree& tree) { return tree.is_sequence() ? tree.items().empty() : tree.entries().empty(); }

// Readers of YAML 1.1 take these for booleans.
bool old_boolean(std::string_view text) {
  constexpr std::array<std::string_view, 6> words{"y", "n", "yes", "no", "on", "off"};
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return std::find(words.begin(), words.end(), lower) != words.end();
}

bool all_printable(std::string_view text, bool newlines) {
  for (std::size_t position = 0; position < text.size();)
    if (const char32_t c = next_utf8(text, position); !printable(c) && !(newlines && (c == '\n' || c == '\t'))) return false;
  return true;
}

// Whether a text may stand without quotes as far as the syntax goes.
bool plain_syntax(std::string_view text, bool flow) {
  if (text.empty() || text.front() == ' ' || text.back() == ' ' || text.back() == ':') return false;
  if (std::string_view("-?:,[]{}#&*!|>'\"%@`=").find(text.front()) != std::string_view::npos) return false;
  if (text.find_first_of(flow ? "{}[],:?" : "{}[]") != std::string_view::npos) return false;
  if (text.find(": ") != std::string_view::npos || text.find(" #") != std::string_view::npos) return false;
  return text.find("...") != 0 && all_printable(text, false);
}

std::string in_quotes(std::string_view text) {
  if (text.find_first_of("\\\"") != std::string_view::npos && all_printable(text, false)) {
    std::string result = "'";
    for (const char c : text) result += c == '\'' ? std::string("''") : std::string(1, c);
    return result + "'";
  }
  std::string result = "\"";
  for (std::size_t position = 0; position < text.size();) {
    const char32_t c = next_utf8(text, position);
    if (c == '"' || c == '\\') (result += '\\') += static_cast<char>(c);
    else if (c == '\n') result += "\\n";
    else if (c == '\t') result += "\\t";
    else if (c == '\r') result += "\\r";
    else if (printable(c)) append_utf8(result, c);
    else if (c <= 0xff) result += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    else if (c <= 0xffff) result += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else result += fmt::format("\\U{:08x}", static_cast<unsigned>(c));
  }
  return result + "\"";
}

void check_utf8(const std::string& text) {
  if (valid_utf8(text) < text.size()) throw Error("a text that is not UTF-8 cannot be written as YAML");
}

std::string key_text(const std::string& key, bool flow) {
  check_utf8(key);
  return plain_syntax(key, flow) && !plain_scalar(key).is_null() && key != "<<" ? key : in_quotes(key);
}

std::string scalar_text(const Tree& tree, bool flow) {
  if (tree.is_null()) return "null";
  if (tree.is_bool()) return tree.as_bool() ? "true" : "false";
  if (tree.is_integer()) return std::to_string(tree.as_integer());
  if (tree.is_number()) {
    const double value = tree.as_number();
    if (std::isnan(value)) return ".nan";
    if (std::isinf(value)) return value < 0 ? "-.inf" : ".inf";
    std::string text = real_text(value);  // YAML 1.1 takes 1e-07 for a text, 1.0e-07 for a number
    if (const std::size_t exponent = text.find('e'); exponent != std::string::npos && text.find('.') == std::string::npos)
      text.insert(exponent, ".0");
    return text;
  }
  const std::string& text = tree.as_string();
  check_utf8(text);
  return plain_syntax(text, flow) && plain_scalar(text).is_string() && !old_boolean(text) ? text : in_quotes(text);
}

// The value on one line, or nothing when it is too long for `room` or holds what reads better in a block: a list of
// mappings, deep nesting.
std::optional<std::string> one_line(const Tree& tree, std::size_t room, int depth = 0, bool in_list = false) {
  std::string text;
  if (tree.is_sequence()) {
    text = "[";
    for (const Tree& item : tree.items()) {
      const auto part = one_line(item, room, depth + 1, true);
      if (!part) return {};
      text += (text.size() > 1 ? ", " : "") + *part;
      if (text.size() > room) return {};
    }
    text += "]";
  } else if (tree.is_mapping()) {
    if (!is_empty(tree) && (in_list || depth > 2)) return {};
    text = "{";
    for (const Tree::Entry& entry : tree.entries()) {
      const auto part = one_line(entry.value, room, depth + 1);
      if (!part) return {};
      text += (text.size() > 1 ? ", " : "") + key_text(entry.key, true) + ": " + *part;
      if (text.size() > room) return {};
    }
    text += "}";
  } else {
    text = scalar_text(tree, true);
    if (tree.is_string() && tree.as_string().find('\n') != std::string::npos) return {};
  }
  if (text.size() > room) return {};
  return text;
}

// Whether a text of several lines can stand as they are, after '|'.
bool literal(const std::string& text) {
  if (text.find('\n') == std::string::npos || !all_printable(text, true)) return false;
  if (text.find_first_of(" \n\t") == 0 || text.ends_with("\n\n")) return false;
  return text.find(" \n") == std::string::npos && text.find("\t\n") == std::string::npos && text.find("\n\t") == std::string::npos &&
         text.back() != ' ' && text.back() != '\t';
}

class Writer {
 public:
  std::string take() { return std::move(out_); }

  // Writes a container line by line, `indent` spaces deep. The first line goes on where the writer stands when
  // `continued`, as after "- ".
  void block(const Tree& tree, std::size_t indent, std::size_t level, bool continued = false) {
    const auto start = [&] {
      if (!std::exchange(continued, false)) out_.append(indent, ' ');
    };
    if (tree.is_sequence()) {
      for (const Tree& item : tree.items()) {
        start();
        out_ += "- ";
        if (is_container(item) && !is_empty(item) && !fits(item, indent + 2)) block(item, indent + 2, level + 1, true);
        else value(item, indent + 2);
      }
      return;
    }
    for (const Tree::Entry& entry : tree.entries()) {
      start();
      const std::string key = key_text(entry.key, false);
      out_ += key + ":";
      // A section of the document stays open to reading and editing line by line unless it is flat.
      const bool section = level == 0 && entry.value.is_mapping() &&
                           std::any_of(entry.value.entries().begin(), entry.value.entries().end(),
                                       [](const Tree::Entry& each) { return is_container(each.value) && !is_empty(each.value); });
      if (is_container(entry.value) && !is_empty(entry.value) && (section || !one_line(entry.value, room(indent + key.size() + 2)))) {
        out_ += "\n";
        block(entry.value, indent + 2, level + 1);
      } else {
        out_ += " ";
        value(entry.value, indent + 2);
      }
    }
  }

  // Writes what fits on the line, and the line's end.
  void value(const Tree& tree, std::size_t indent) {
    if (tree.is_string() && literal(tree.as_string())) {
      const std::string& text = tree.as_string();
      out_ += text.back() == '\n' ? "|\n" : "|-\n";
      for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        if (end > begin) out_.append(std::max<std::size_t>(indent, 2), ' ').append(text, begin, end - begin);
        out_ += "\n";
        begin = end + 1;
      }
      return;
    }
    out_ += is_container(tree) ? *one_line(tree, std::string::npos) : scalar_text(tree, false);
    out_ += "\n";
  }

 private:
  static std::size_t room(std::size_t column) { return column + 20 < widest ? widest - column : 20; }

  // An item of a list on one line: a mapping of one key stands as `- Dense: {units: 10}`, which the block form does.
  static bool fits(const Tree& item, std::size_t column) {
    if (item.is_mapping() && item.entries().size() == 1) return false;
    return one_line(item, room(column)).has_value();
  }

  std::string out_;
};

}  // namespace

std::string write_yaml(const Tree& tree) {
  Writer writer;
  if (is_container(tree) && !is_empty(tree)) writer.block(tree, 0, 0);
  else writer.value(tree, 0);
  return writer.take();
}

}  // namespace nacre
