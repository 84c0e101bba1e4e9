#include "api/experiment/block.h"

#include <algorithm>
#include <cctype>

#include "formats/config.h"
#include "formats/yaml.h"
#include "layers/lambda.h"
#include "layers/operations.h"

namespace nacre {

namespace {

constexpr int deepest_nesting = 32;
constexpr std::size_t most_lines = 100'000;
constexpr std::int64_t most_repetitions = 10'000;

bool contains(std::span<const std::string_view> words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Whether a key beside `from` is an argument of the operation's call: a constant, or {tensor: 1} for the second input.
bool is_argument(const OperationArguments& arguments, std::string_view key) {
  return std::any_of(arguments.begin(), arguments.end(), [&](const OperationArgument& argument) {
    return argument.name == key || argument.kind == OperationArgument::Kind::keywords;
  });
}

// Whether a text, or one in a list, has an expression that uses a variable.
bool mentions(const Tree& text, std::string_view variable) {
  if (text.is_sequence()) return std::ranges::any_of(text.items(), [&](const Tree& item) { return mentions(item, variable); });
  if (!text.is_string() || !has_expression(text.as_string())) return false;
  const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  const std::string_view whole = text.as_string();
  for (std::size_t at = whole.find(variable); at != std::string_view::npos; at = whole.find(variable, at + 1)) {
    const std::size_t end = at + variable.size();
    if ((at == 0 || !is_word(whole[at - 1])) && (end == whole.size() || !is_word(whole[end]))) return true;
  }
  return false;
}

// What a name or a list of names holds.
Tree::Sequence names_of(const Tree& tree) { return tree.is_sequence() ? tree.items() : Tree::Sequence{tree}; }

// "name:1" → "name", ":1"
std::pair<std::string_view, std::string_view> split_output(std::string_view reference) {
  const std::size_t colon = reference.rfind(':');
  if (colon == std::string_view::npos) return {reference, {}};
  return {reference.substr(0, colon), reference.substr(colon)};
}

struct Definition {
  BlockSignature signature;
  const Tree* body;
};

// The names that lines of one body see, and where the next line continues.
struct Scope {
  std::map<std::string, std::string, std::less<>> names;  // → line name, perhaps with ":output"
  std::vector<std::string> previous;
  std::string prefix;
  Variables variables;
};

class Expansion {
 public:
  Expansion(const Tree& blocks) {
    if (blocks.is_null()) return;
    for (const Tree::Entry& entry : blocks.entries()) {
      Definition definition{parse_signature(entry.key, entry.mark), &entry.value};
      if (!entry.value.is_sequence())
        throw Error("block '{}': wanted a list of layers, got {}", definition.signature.name, entry.value.text()).at(entry.mark).usage();
      std::string name = definition.signature.name;
      if (!blocks_.emplace(std::move(name), std::move(definition)).second)
        throw Error("two blocks are called '{}'", parse_signature(entry.key, entry.mark).name).at(entry.mark).usage();
    }
  }

  void body(const Tree& lines, Scope& scope, int depth) {
    if (depth > deepest_nesting)
      throw Error("blocks are nested more than {} deep", deepest_nesting).at(lines.mark()).hint("does a block use itself?").usage();
    for (const Tree& line : lines.items()) {
      const ObjectSpelling spelling = object_spelling(line, "layer");
      repeat(spelling.name, spelling.config, spelling.mark, scope, depth);
    }
  }

  ExpandedModel take() { return std::move(model_); }

 private:
  void repeat(const std::string& head, const Tree& fields, const Mark& mark, Scope& scope, int depth) {
    std::int64_t count = 1;
    const Tree* repeat = fields.find("repeat");
    if (repeat) {
      count = substitute(*repeat, scope.variables).as_integer();
      if (count < 0 || count > most_repetitions)
        throw Error("got {} repetitions, wanted 0 to {}", count, most_repetitions).at(repeat->mark()).about(fmt::format("'{}'", head)).usage();
    }
    for (std::int64_t index = 0; index < count; ++index) {
      if (model_.lines.size() >= most_lines) throw Error("the model has more than {} layers", most_lines).at(mark).usage();
      Scope inner = scope;  // for the variables alone; names and position are scope's
      if (repeat) inner.variables["index"] = index;
      one(head, fields, mark, scope, inner.variables, repeat ? std::optional(index) : std::nullopt, depth);
    }
  }

  void one(const std::string& head, const Tree& fields, const Mark& mark, Scope& scope, const Variables& variables,
           std::optional<std::int64_t> index, int depth) {
    const bool nested = head == "model";
    const OperationArguments* operation = operation_arguments(head);
    LayerLine line;
    line.mark = mark;
    line.from = scope.previous;
    bool used = true, explicit_from = false, names_itself = false;
    std::string given_name;
    Tree config = Tree::mapping().at(mark);
    static const Tree::Mapping none;
    for (const Tree::Entry& entry : fields.is_null() ? none : fields.entries()) {
      const std::string_view key = entry.key;
      if (key == "repeat") continue;
      if (key == "from") {
        if (index && *index > 0 && !mentions(entry.value, "index")) continue;  // where the repetition before ended
        line.from = resolved(substitute(entry.value, variables), scope);
        explicit_from = explicit_from || line.from != scope.previous;
      } else if (key == "name") {
        given_name = substitute(entry.value, variables).as_string();
        names_itself = mentions(entry.value, "index");
      } else if (key == "when") {
        used = substitute(entry.value, variables).as_bool();
      } else if (operation && is_argument(*operation, key)) {
        line.options.set(key, substitute(entry.value, variables));
      } else if (contains(value_arguments, key)) {
        line.named_inputs[entry.key] = resolved(substitute(entry.value, variables), scope);
      } else if (std::ranges::find(option_arguments, key, &OptionArgument::name) != option_arguments.end()) {
        line.options.set(key, substitute(entry.value, variables));
      } else if (nested) {
        config.entries().push_back(entry);
      } else {
        config.entries().push_back({entry.key, substitute(entry.value, variables), entry.mark});
      }
    }
    const bool from_root = given_name.size() > 1 && given_name.front() == '/';
    if (from_root) given_name.erase(0, 1);
    const std::string prefix = from_root ? "" : scope.prefix;
    std::string local_name = given_name;
    if (!given_name.empty() && index && !names_itself) given_name += fmt::format("_{}", *index);

    if (!used) {
      const bool continues = scope.previous.size() == 1 && std::ranges::find(line.from, scope.previous.front()) != line.from.end();
      if (line.from.size() > 1 && continues) line.from = scope.previous;
      if (line.from.size() != 1)
        throw Error("'{}' is left out by `when`, but has {} inputs to stand for", head, line.from.size()).at(mark).usage();
      if (!local_name.empty()) name_in(scope, local_name, line.from.front(), mark);
      scope.previous = line.from;
      return;
    }
    model_.branches = model_.branches || explicit_from || line.from.size() > 1 || !line.named_inputs.empty() ||
                      !line.options.is_null();
    std::string result;
    if (const auto block = blocks_.find(head); block != blocks_.end()) {
      if (!line.named_inputs.empty() || !line.options.is_null())
        throw Error("'{}' is a block: arguments of a call go to the layers in it", head).at(mark).usage();
      const std::string& base = block->second.signature.name;
      line.name = given_name.empty() ? scope.prefix + numbered(base, block_counts_) : prefix + given_name;
      result = instance(block->second, config, line, variables, depth);
    } else {
      line.named = !given_name.empty();
      std::string_view plain = std::string_view(head).substr(operation ? head.find('.') + 1 : 0);
      if (const Tree* chosen = config.find("class"); head == lua_class_name && chosen && chosen->is_string()) plain = chosen->as_string();
      line.name = unique(line.named ? prefix + given_name : numbered(snake_case(plain), counts_), mark);
      if (head == "share") {
        const Tree& layer = config["layer"];
        line.shares = split_output(resolved(layer, scope).front()).first;
        config.erase("layer");
        if (!config.entries().empty())
          throw Error("unknown key '{}'", config.entries().front().key).at(config.entries().front().mark).about("'share'").usage();
      } else {
        line.class_name = head;
        if (head == "Input" || head == "InputLayer") line.from.clear();
      }
      if (nested) line.variables = variables;
      line.config = std::move(config);
      result = line.name;
      model_.lines.push_back(std::move(line));
    }
    if (!local_name.empty()) {
      if (given_name != local_name) {
        scope.names.erase(local_name);  // the name alone is that of the last repetition
        name_in(scope, given_name, result, mark);
      }
      name_in(scope, local_name, result, mark);
    }
    scope.previous = {result};
    model_.last = result;
  }

  std::string instance(const Definition& block, const Tree& arguments, const LayerLine& line, const Variables& variables, int depth) {
    Scope scope;
    scope.variables = variables;
    std::vector<std::string_view> known;
    for (const auto& argument : block.signature.arguments) known.push_back(argument.name);
    for (const Tree::Entry& entry : arguments.entries())
      if (std::find(known.begin(), known.end(), entry.key) == known.end())
        throw Error("unknown argument '{}' of block '{}'", entry.key, block.signature.name)
            .at(entry.mark)
            .hint(suggestion(entry.key, known))
            .usage();
    for (const auto& argument : block.signature.arguments) {
      if (const Tree* given = arguments.find(argument.name)) scope.variables[argument.name] = *given;
      else if (argument.required)
        throw Error("argument '{}' of block '{}' is missing", argument.name, block.signature.text()).at(line.mark).usage();
      else scope.variables[argument.name] = substitute(parse_yaml(argument.standard, line.mark.file), scope.variables);
    }
    scope.prefix = line.name + "_";
    scope.previous = line.from;
    if (line.from.size() == 1) scope.names["input"] = line.from.front();
    else
      for (std::size_t i = 0; i < line.from.size(); ++i) scope.names[fmt::format("input{}", i + 1)] = line.from[i];
    within([&] { return fmt::format("in block '{}' used at {}", block.signature.name, line.mark.text()); },
           [&] { body(*block.body, scope, depth + 1); });
    if (scope.previous.size() != 1)
      throw Error("block '{}' has no layers to give a result", block.signature.name).at(line.mark).usage();
    model_.aliases[line.name] = scope.previous.front();
    return scope.previous.front();
  }

  std::vector<std::string> resolved(const Tree& reference, const Scope& scope) const {
    std::vector<std::string> result;
    for (const Tree& item : names_of(reference)) {
      const auto [name, output] = split_output(item.as_string());
      const auto found = scope.names.find(name);
      if (found == scope.names.end()) {
        std::vector<std::string_view> known;
        for (const auto& [candidate, target] : scope.names) known.push_back(candidate);
        throw Error("there is no layer '{}' before this line", name).at(item.mark()).hint(suggestion(name, known)).usage();
      }
      result.push_back(found->second + std::string(output));
    }
    return result;
  }

  void name_in(Scope& scope, const std::string& name, const std::string& target, const Mark& mark) {
    if (name.find_first_of("/:.") != std::string::npos || name.empty())
      throw Error("'{}' cannot be a name", name).at(mark).hint("names hold no '/', ':' or '.'").usage();
    if (!scope.names.emplace(name, target).second) throw Error("two layers are called '{}'", name).at(mark).usage();
    if (scope.prefix.empty()) model_.aliases[name] = target;
  }

  // "conv2d", then "conv2d_1", …: Keras's way to name what has no name. A block that is called like a layer takes none of its
  // numbers.
  static std::string numbered(const std::string& base, std::map<std::string, int>& counts) {
    const int count = counts[base]++;
    return count ? fmt::format("{}_{}", base, count) : base;
  }

  std::string unique(std::string name, const Mark& mark) {
    if (!taken_.insert({name, mark}).second)
      throw Error("two layers are called '{}'", name).at(mark).hint(fmt::format("the other is at {}", taken_[name].text())).usage();
    return name;
  }

  std::map<std::string, Definition, std::less<>> blocks_;
  std::map<std::string, int> counts_, block_counts_;
  std::map<std::string, Mark> taken_;
  ExpandedModel model_;
};

}  // namespace

std::string BlockSignature::text() const {
  std::string text = name + "(";
  for (std::size_t i = 0; i < arguments.size(); ++i)
    text += (i ? ", " : "") + arguments[i].name + (arguments[i].required ? "" : "=" + arguments[i].standard);
  return text + ")";
}

BlockSignature parse_signature(std::string_view text, const Mark& mark) {
  BlockSignature signature;
  const std::size_t open = text.find('(');
  signature.name = trimmed(text.substr(0, open));
  const auto wrong = [&] {
    return Error("cannot read the block's head '{}'", text).at(mark).hint("write it like residual(filters, strides=1)").usage();
  };
  if (signature.name.empty() || signature.name == "input") throw wrong();
  if (open == std::string_view::npos) return signature;
  if (trimmed(text).back() != ')') throw wrong();
  std::string_view inside = trimmed(text.substr(open + 1, text.rfind(')') - open - 1));
  while (!inside.empty()) {
    // Up to the next comma that no bracket holds.
    std::size_t end = 0;
    for (int depth = 0; end < inside.size() && !(depth == 0 && inside[end] == ','); ++end)
      depth += (inside[end] == '[' || inside[end] == '{' || inside[end] == '(') - (inside[end] == ']' || inside[end] == '}' || inside[end] == ')');
    const std::string_view item = inside.substr(0, end);
    inside = end < inside.size() ? trimmed(inside.substr(end + 1)) : std::string_view();
    const std::size_t equals = item.find('=');
    BlockSignature::Argument argument{std::string(trimmed(item.substr(0, equals))), "", equals == std::string_view::npos};
    if (!argument.required) argument.standard = trimmed(item.substr(equals + 1));
    const auto taken = [&](const auto& other) { return other.name == argument.name; };
    if (argument.name.empty() || std::any_of(signature.arguments.begin(), signature.arguments.end(), taken)) throw wrong();
    signature.arguments.push_back(std::move(argument));
  }
  return signature;
}

ExpandedModel expand_blocks(const Tree& lines, const Tree& blocks, const std::vector<std::string>& inputs,
                            const Variables& variables) {
  Expansion expansion(blocks);
  Scope scope;
  scope.variables = variables;
  for (const std::string& input : inputs) scope.names[input] = input;
  if (!inputs.empty()) scope.previous = {inputs.front()};
  expansion.body(lines, scope, 0);
  return expansion.take();
}

}  // namespace nacre
