// Activations, initializers, regularizers and constraints inside the configs of layers.
#include "api/vintage/parts.h"
#include "layers/activation.h"
#include "layers/initializer.h"
#include "layers/regularizer.h"

namespace nacre::vintages {

namespace {

// --- names ---------------------------------------------------------------------------------------------------------

struct Alias {
  std::string_view old, present;
};

// Functions of TensorFlow, of keras_applications and of other packages, under the names that files have for them.
constexpr Alias activations[] = {
    {"relu_v2", "relu"},          {"sigmoid_v2", "sigmoid"}, {"softmax_v2", "softmax"},     {"log_softmax_v2", "log_softmax"},
    {"leaky_relu_v2", "leaky_relu"}, {"crelu_v2", "crelu"},  {"hswish", "hard_silu"},       {"h_swish", "hard_silu"},
    {"Hswish", "hard_silu"},      {"HardSwish", "hard_silu"}, {"hsigmoid", "hard_sigmoid"}, {"swish1", "silu"},
    {"swish_activation", "silu"}, {"Swish", "silu"},         {"swish_fn", "silu"},          {"Mish", "mish"},
    {"Relu", "relu"},             {"Relu6", "relu6"},        {"ReLU6", "relu6"},            {"relu_6", "relu6"},
    {"identity", "linear"},       {"gelu_new", "gelu"},
};
constexpr Alias initializers[] = {
    {"uniform", "RandomUniform"}, {"normal", "RandomNormal"}, {"zero", "Zeros"}, {"one", "Ones"}, {"svd", "Orthogonal"},
};
constexpr Alias regularizers[] = {
    {"WeightRegularizer", "L1L2"}, {"L1L2Regularizer", "L1L2"}, {"ActivityRegularizer", "L1L2"}, {"l1l2", "L1L2"},
};
constexpr Alias constraints[] = {
    {"maxnorm", "MaxNorm"}, {"nonneg", "NonNeg"}, {"unitnorm", "UnitNorm"}, {"minmaxnorm", "MinMaxNorm"},
};

std::string present_name(std::string name, std::span<const Alias> aliases) {
  for (const auto& [old, present] : aliases)
    if (name == old) return std::string(present);
  return name;
}

// Without the package that it is from ("Addons>", "tf.nn.") and the version: TensorFlow 1 had two of some classes.
std::string plain_name(std::string name) {
  for (std::string_view prefix : {"Custom>", "Addons>", "builtins>"})
    if (name.starts_with(prefix)) name.erase(0, prefix.size());
  if (const std::size_t dot = name.rfind('.'); dot != std::string::npos) name.erase(0, dot + 1);
  if (name.ends_with("V1") || name.ends_with("V2")) name.erase(name.size() - 2);
  return name;
}

// --- kinds of objects ----------------------------------------------------------------------------------------------

// An object as {class_name, config}, with the older spellings: a bare name; Keras 1's {name: "L1L2Regularizer", l1: …};
// and {class_name: "function", config: name}.
Tree uniform_spelling(const Tree& object, std::span<const Alias> aliases) {
  std::string name;
  Tree config = Tree::mapping(), result;
  if (object.is_string()) {
    name = object.as_string();
  } else if (const Tree* class_name = object.find("class_name")) {
    const Tree* inner = object.find("config");
    name = class_name->as_string();
    if (name == "function" && inner && inner->is_string()) name = inner->as_string();
    else if (inner && inner->is_mapping()) config = *inner;
  } else if (const Tree* own_name = object.find("name")) {
    name = own_name->as_string();
    config = object;
    config.erase("name");
  } else {
    return object;
  }
  result.set("class_name", present_name(plain_name(std::move(name)), aliases));
  result.set("config", std::move(config));
  return std::move(result).at(object.mark());
}

Tree modern_initializer(const Tree& object) {
  Tree present = uniform_spelling(object, initializers);
  if (Tree* config = present.find("config")) {
    config->erase("dtype");
    config->erase("verify_shape");
    if (Tree* distribution = config->find("distribution"); distribution && *distribution == Tree("normal")) *distribution = "truncated_normal";
  }
  return present;
}

Tree modern_regularizer(const Tree& object) { return uniform_spelling(object, regularizers); }

Tree modern_constraint(const Tree& object) {
  constexpr Rename renames[] = {{"m", "max_value"}};
  Tree present = uniform_spelling(object, constraints);
  if (Tree* config = present.find("config")) rename_keys(*config, renames);
  return present;
}

// Keras's own hard_sigmoid was, before Keras 3, clip(x/5 + 1/2, 0, 1); that of other packages always was today's.
Tree modern_activation(const Tree& object) {
  Tree present = uniform_spelling(object, {});
  Tree* config = present.find("config");
  if (!config) return present;
  constexpr Rename leaky[] = {{"alpha", "negative_slope"}};
  Tree& name = *present.find("class_name");
  name = name == Tree("hard_sigmoid") ? "hard_sigmoid_keras2" : present_name(name.as_string(), activations);
  if (name == Tree("LeakyReLU")) rename_keys(*config, leaky);
  return config->entries().empty() ? Tree(name) : present;
}

template <class Base>
bool known(const Tree& object) {
  const Tree* name = object.find("class_name");
  return !name || registry<Base>().find(name->as_string());
}

}  // namespace

void modernize_objects(Tree& layer, Notes& notes) {
  Tree* config = layer.find("config");
  if (!config || !config->is_mapping()) return;
  std::vector<std::string> unknown;
  for (auto& [key, value, mark] : config->entries()) {
    if (value.is_null()) continue;
    if (key == "activation" || key == "recurrent_activation") {
      value = modern_activation(value);
    } else if (key.ends_with("_initializer")) {
      // The weights come from the file, so what nobody knows is as good as the default.
      value = modern_initializer(value);
      if (!known<Initializer>(value)) unknown.push_back(key);
    } else if (key.ends_with("_regularizer")) {
      value = modern_regularizer(value);
      if (!known<Regularizer>(value)) unknown.push_back(key);
    } else if (key.ends_with("_constraint")) {
      value = modern_constraint(value);
      if (!known<WeightConstraint>(value)) unknown.push_back(key);
    }
  }
  for (const std::string& key : unknown) {
    notes.push_back(fmt::format("{}: the {} '{}' is unknown and left out; it matters in training alone", label_of(layer), key,
                                (*config)[key]["class_name"].as_string()));
    config->erase(key);
  }
}

}  // namespace nacre::vintages
