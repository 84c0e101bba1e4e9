#include <algorithm>

#include "api/train/name_pattern.h"
#include "api/vintage/float_weights.h"
#include "api/vintage/parts.h"
#include "formats/config.h"
#include "layers/float8.h"

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
  const bool quantised = from != std::string::npos &&
                         std::ranges::any_of(modes, [&](std::string_view mode) { return text.starts_with(mode); });
  return Tree(quantised ? text.substr(from + 6) : text).at(policy.mark());
}

bool is_float8(const Tree& policy) {
  const Tree* config = policy.find("config");
  const Tree* mode = config ? config->find("mode") : nullptr;
  return mode ? *mode == Tree("float8") : policy.is_string() && policy.as_string().starts_with("float8");
}

// As a layer of the class can have it: those that it changes keep float8.
Tree usable_policy(const Tree& policy, std::string_view class_name) {
  return is_float8(policy) && takes_float8(class_name) ? policy : without_quantisation(policy);
}

// --- maps of policies ------------------------------------------------------------------------------------------------

// A layer that another makes, of which the config of the other says nothing.
struct HiddenLayer {
  std::string_view class_name, name;
};
constexpr HiddenLayer hidden_layers[] = {
    {"MultiHeadAttention", "query"},
    {"MultiHeadAttention", "key"},
    {"MultiHeadAttention", "value"},
    {"MultiHeadAttention", "gate"},
    {"MultiHeadAttention", "attention_output"},
    {"GroupQueryAttention", "query"},
    {"GroupQueryAttention", "key"},
    {"GroupQueryAttention", "value"},
    {"GroupQueryAttention", "gate"},
    {"GroupQueryAttention", "attention_output"},
    {"LSTM", "lstm_cell"},
    {"GRU", "gru_cell"},
    {"SimpleRNN", "simple_rnn_cell"},
    {"ConvLSTM1D", "conv_lstm_cell"},
    {"ConvLSTM2D", "conv_lstm_cell"},
    {"ConvLSTM3D", "conv_lstm_cell"},
};

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
    fallback_ = fallback && !fallback->is_null() ? *fallback : Tree("float32");
    if (const Tree* map = config.find("policy_map"); map && !map->is_null())
      for (const Tree::Entry& entry : map->entries()) policies_.emplace_back(entry.key, entry.value);
  }

  Tree at(const std::string& path) const {
    for (const auto& [key, policy] : policies_)
      if (key == path) return policy;
    const Tree* found = nullptr;
    for (const auto& [key, policy] : policies_) {
      if (!NamePattern(key).matches(path)) continue;
      if (found) throw Error("several keys of its DTypePolicyMap match its path '{}'", path).usage();
      found = &policy;
    }
    return found ? *found : fallback_;
  }

 private:
  std::vector<std::pair<std::string, Tree>> policies_;
  Tree fallback_;
};

Tree policy_from_map(const Tree& policy, const std::string& class_name, const std::string& path) {
  const PolicyMap map(policy);
  const Tree own = usable_policy(map.at(path), class_name);
  for (const HiddenLayer& hidden : hidden_layers) {
    if (hidden.class_name != class_name) continue;
    const std::string below = fmt::format("{}/{}", path, hidden.name);
    const Tree found = map.at(below);
    if (const Tree other = is_float8(own) ? found : without_quantisation(found); !(other == own))
      throw Error(
          "its DTypePolicyMap gives '{}' the policy {} and the layer itself {}, which is not supported within one "
          "layer",
          below, other.text(), own.text())
          .at(policy.mark())
          .usage();
  }
  return own;
}

// --- layers ----------------------------------------------------------------------------------------------------------

constexpr std::string_view keys_of_lora[] = {"lora_rank", "lora_alpha", "lora_enabled"};
constexpr std::string_view keys_of_quantisation[] = {"quantization_config", "gptq_unpacked_column_size"};

void modernize_layer(Tree& layer, Tree& config, const std::string& path, Notes& notes) {
  if (const Tree* rank = config.find("lora_rank"); rank && !rank->is_null())
    notes.push_back(
        fmt::format("{}: its LoRA of rank {} is merged into its weights, which train as a whole from here on",
                    label_of(layer), rank->text()));
  erase_keys(config, keys_of_lora);
  const std::string class_name = layer["class_name"].is_string() ? layer["class_name"].as_string() : "";
  if (can_be_quantized(class_name)) erase_keys(config, keys_of_quantisation);
  if (Tree* dtype = config.find("dtype"); dtype && !dtype->is_null())
    *dtype = is_policy_map(*dtype) ? policy_from_map(*dtype, class_name, path) : usable_policy(*dtype, class_name);
}

// `scope`: the path of the layer around it, as Keras makes paths: a functional model adds nothing to those of its
// layers.
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
