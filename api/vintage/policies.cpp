#include <algorithm>
#include <optional>

#include "api/vintage/float_weights.h"
#include "api/vintage/parts.h"
#include "formats/config.h"

namespace nacre::vintages {

namespace {

// --- one policy ------------------------------------------------------------------------------------------------------

constexpr std::string_view modes[] = {"int8", "int4", "float8", "gptq", "awq"};

// The policy without its quantisation, as a name: that of "int4/128_from_mixed_bfloat16", or of {class_name:
// QuantizedDTypePolicy, config: {mode, source_name}}, is the source's. A null stands for the global policy of whoever
// reads it, which is float32 where nobody set another. What is none of these comes back as it is.
Tree without_quantisation(const Tree& policy) {
  const Tree* name = &policy;
  if (const Tree* config = policy.find("config")) {
    name = config->find(config->find("mode") ? "source_name" : "name");
    if (!name) return policy;
  }
  if (name->is_null()) return "float32";
  if (!name->is_string()) return policy;
  const std::string& text = name->as_string();
  const std::size_t from = text.find("_from_");
  const bool quantised = from != std::string::npos && std::ranges::any_of(modes, [&](std::string_view mode) { return text.starts_with(mode); });
  return Tree(quantised ? text.substr(from + 6) : text).at(policy.mark());
}

// --- patterns --------------------------------------------------------------------------------------------------------

// A regular expression of single characters in a row, each of which may be repeated: "encoder/.*", "dense_[0-9]+".
class Pattern {
 public:
  explicit Pattern(std::string_view text) {
    while (!text.empty()) {
      Piece piece;
      const auto take = [&] {
        if (text.empty()) throw Error("ends too early");
        const char c = text.front();
        text.remove_prefix(1);
        return c;
      };
      const char first = take();
      if (first == '.') piece.any = true;
      else if (first == '[') {
        if (text.starts_with('^')) piece.negated = take() == '^';
        do {
          char low = take(), high = low;
          if (low == '\\') low = high = plain(take());
          if (text.size() > 1 && text[0] == '-' && text[1] != ']') {
            take();
            high = take();
            if (high == '\\') high = plain(take());
          }
          piece.ranges.emplace_back(low, high);
        } while (!text.starts_with(']'));
        take();
      } else if (first == '\\') piece.ranges = escaped(take());
      else if (std::string_view("(){}|^$*+?").find(first) != std::string_view::npos) throw Error("has '{}'", first);
      else piece.ranges.emplace_back(first, first);
      if (text.starts_with('*') || text.starts_with('+') || text.starts_with('?')) {
        const char repeat = take();
        piece.optional = repeat != '+', piece.repeated = repeat != '?';
      }
      if (text.starts_with('?')) text.remove_prefix(1);  // a lazy one, which matches the same
      pieces_.push_back(std::move(piece));
    }
  }

  bool matches(std::string_view text) const {
    std::vector<char> reached(text.size() + 1, 0);  // at which places the pieces so far may end
    reached[0] = 1;
    for (const Piece& piece : pieces_) {
      std::vector<char> next(text.size() + 1, 0);
      for (std::size_t i = 0; i <= text.size(); ++i) {
        if (reached[i] && piece.optional) next[i] = 1;
        const bool from_here = reached[i] || (piece.repeated && next[i]);
        if (i < text.size() && from_here && piece.holds(text[i])) next[i + 1] = 1;
      }
      reached = std::move(next);
    }
    return reached.back() != 0;
  }

 private:
  using Ranges = std::vector<std::pair<char, char>>;
  struct Piece {
    bool any = false, negated = false, optional = false, repeated = false;
    Ranges ranges;
    bool holds(char c) const {
      if (any) return c != '\n';
      return negated != std::ranges::any_of(ranges, [&](const auto& range) { return range.first <= c && c <= range.second; });
    }
  };
  static char plain(char c) {
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) throw Error("has '\\{}'", c);
    return c;
  }
  static Ranges escaped(char c) {
    if (c == 'd') return {{'0', '9'}};
    if (c == 'w') return {{'0', '9'}, {'a', 'z'}, {'A', 'Z'}, {'_', '_'}};
    return {{plain(c), c}};
  }

  std::vector<Piece> pieces_;
};

bool matches(const std::string& key, const std::string& path) {
  try {
    return Pattern(key).matches(path);
  } catch (const Error& error) {
    throw Error("the key '{}' of its DTypePolicyMap is a regular expression that {}, which is not supported", key, error.message())
        .hint("plain characters, '.', '[…]' and '\\d', with '*', '+' and '?' behind them, are")
        .usage();
  }
}

// --- maps of policies ------------------------------------------------------------------------------------------------

// Layers that make others which their config does not hold, and what those are called.
constexpr std::string_view composites[] = {"MultiHeadAttention", "GroupQueryAttention", "GroupedQueryAttention", "TransformerEncoder", "TransformerDecoder", "LSTM",
                                           "GRU", "SimpleRNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"};
constexpr std::string_view parts_of_composites[] = {"query", "key", "value", "gate", "attention_output", "self_attention_layer/query", "cross_attention_layer/query",
                                                    "lstm_cell", "gru_cell", "simple_rnn_cell", "conv_lstm_cell"};

bool is_policy_map(const Tree& policy) {
  const Tree* class_name = policy.find("class_name");
  return class_name && *class_name == Tree("DTypePolicyMap");
}

// {default_policy, policy_map: {path or pattern: policy}}. Source: keras/src/dtype_policies/dtype_policy_map.py.
class PolicyMap {
 public:
  explicit PolicyMap(const Tree& policy) {
    const Tree& config = policy["config"];
    const Tree* fallback = config.find("default_policy");
    fallback_ = without_quantisation(fallback ? *fallback : Tree());
    if (const Tree* map = config.find("policy_map"); map && !map->is_null())
      for (const Tree::Entry& entry : map->entries()) policies_.emplace_back(entry.key, without_quantisation(entry.value));
  }

  Tree at(const std::string& path) const {
    for (const auto& [key, policy] : policies_)
      if (key == path) return policy;
    const Tree* found = nullptr;
    for (const auto& [key, policy] : policies_) {
      if (!matches(key, path)) continue;
      if (found) throw Error("several keys of its DTypePolicyMap match its path '{}'", path).usage();
      found = &policy;
    }
    return found ? *found : fallback_;
  }

  // A path below this one that has another policy; "" when there is none that could be told.
  std::string other_below(const std::string& path) const {
    const Tree own = at(path);
    for (const auto& [key, policy] : policies_)
      if (key.starts_with(path + "/") && !(policy == own)) return key;
    for (std::string_view part : parts_of_composites)
      if (const std::string below = fmt::format("{}/{}", path, part); !(at(below) == own)) return below;
    return "";
  }

 private:
  std::vector<std::pair<std::string, Tree>> policies_;
  Tree fallback_;
};

Tree policy_from_map(const Tree& policy, const std::string& class_name, const std::string& path) {
  const PolicyMap map(policy);
  if (std::ranges::find(composites, class_name) != std::end(composites))
    if (const std::string below = map.other_below(path); !below.empty())
      throw Error("its DTypePolicyMap gives '{}' the policy {} and the layer itself {}, which is not supported within one layer", below, map.at(below).text(), map.at(path).text())
          .at(policy.mark())
          .usage();
  return map.at(path);
}

// --- layers ----------------------------------------------------------------------------------------------------------

constexpr std::string_view keys_of_lora[] = {"lora_rank", "lora_alpha", "lora_enabled"};
constexpr std::string_view keys_of_quantisation[] = {"quantization_config", "gptq_unpacked_column_size"};

void modernize_layer(Tree& layer, Tree& config, const std::string& path, Notes& notes) {
  if (const Tree* rank = config.find("lora_rank"); rank && !rank->is_null())
    notes.push_back(fmt::format("{}: its LoRA of rank {} is merged into its weights, which train as a whole from here on", label_of(layer), rank->text()));
  erase_keys(config, keys_of_lora);
  const std::string class_name = layer["class_name"].is_string() ? layer["class_name"].as_string() : "";
  if (can_be_quantized(class_name)) erase_keys(config, keys_of_quantisation);
  if (Tree* dtype = config.find("dtype"); dtype && !dtype->is_null())
    *dtype = is_policy_map(*dtype) ? policy_from_map(*dtype, class_name, path) : without_quantisation(*dtype);
}

// `scope`: the path of the layer around it, as Keras makes paths: a functional model adds nothing to those of its layers.
void modernize(Tree& tree, const std::string& scope, Notes& notes) {
  if (tree.is_sequence())
    for (Tree& item : tree.items()) modernize(item, scope, notes);
  if (!tree.is_mapping()) return;
  Tree* config = tree.find("config");
  const Tree* class_name = tree.find("class_name");
  std::string within = scope;
  if (class_name && config && config->is_mapping()) {
    const Tree* name = config->find("name");
    const std::string own = name && name->is_string() ? name->as_string() : "";
    const std::string path = scope.empty() || own.empty() ? scope + own : scope + "/" + own;
    try {
      modernize_layer(tree, *config, path, notes);
    } catch (Error& error) {
      error.about(label_of(tree));
      throw;
    }
    within = *class_name == Tree("Functional") || *class_name == Tree("Model") ? "" : path;
  }
  for (Tree::Entry& entry : tree.entries()) modernize(entry.value, within, notes);
}

}  // namespace

void modernize_policies(Tree& layer, Notes& notes) { modernize(layer, "", notes); }

}  // namespace nacre::vintages
