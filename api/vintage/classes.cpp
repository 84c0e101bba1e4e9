// Classes of layers that have another name today, or whose config changed its meaning.
#include <algorithm>
#include <iterator>

#include "api/vintage/parts.h"

namespace nacre::vintages {

namespace {

struct ClassName {
  std::string_view old, present;
};

constexpr ClassName names[] = {
    {"Model", "Functional"},
    {"Convolution1D", "Conv1D"},
    {"Convolution2D", "Conv2D"},
    {"Convolution3D", "Conv3D"},
    {"AtrousConvolution1D", "Conv1D"},
    {"AtrousConvolution2D", "Conv2D"},
    {"AtrousConv1D", "Conv1D"},
    {"AtrousConv2D", "Conv2D"},
    {"Deconvolution2D", "Conv2DTranspose"},
    {"Deconv2D", "Conv2DTranspose"},
    {"Convolution2DTranspose", "Conv2DTranspose"},
    {"Deconvolution3D", "Conv3DTranspose"},
    {"Deconv3D", "Conv3DTranspose"},
    {"Convolution3DTranspose", "Conv3DTranspose"},
    {"SeparableConvolution1D", "SeparableConv1D"},
    {"SeparableConvolution2D", "SeparableConv2D"},
    {"DepthwiseConvolution2D", "DepthwiseConv2D"},
    {"CuDNNLSTM", "LSTM"},
    {"CuDNNGRU", "GRU"},
    {"SyncBatchNormalization", "BatchNormalization"},
    {"FixedDropout", "Dropout"},  // of the package efficientnet
    {"Input", "InputLayer"},
};

// --- classes whose configs changed -------------------------------------------------------------------------------------

void input_layer(Tree& config) {
  constexpr Rename renames[] = {{"batch_input_shape", "batch_shape"}, {"input_dtype", "dtype"}};
  constexpr std::string_view nothing[] = {"trainable", "ragged_rank", "type_spec"};
  rename_keys(config, renames);
  erase_keys(config, nothing);
  Tree* dtype = config.find("dtype");
  if (dtype && *dtype == Tree("float")) *dtype = "float32";
  if (dtype && dtype->is_null()) config.erase("dtype");
}

void embedding(Tree& config) {
  constexpr Rename renames[] = {{"init", "embeddings_initializer"}, {"W_regularizer", "embeddings_regularizer"}, {"W_constraint", "embeddings_constraint"}};
  constexpr std::string_view nothing[] = {"dropout", "sparse"};
  rename_keys(config, renames);
  erase_keys(config, nothing);
}

// Of tf.keras, which has the axis in a list and had a choice of kernels.
void batch_normalization(Tree& config) {
  constexpr std::string_view nothing[] = {"fused", "virtual_batch_size", "adjustment", "mode"};
  erase_keys(config, nothing);
  if (const Tree* momentum = config.find("renorm_momentum"); momentum && momentum->is_null()) config.erase("renorm_momentum");
  if (Tree* axis = config.find("axis"); axis && axis->is_sequence() && axis->items().size() == 1) *axis = Tree(axis->items()[0]);
  constexpr Rename initial[] = {{"beta_init", "beta_initializer"}, {"gamma_init", "gamma_initializer"}};
  rename_keys(config, initial);
}

// Keras 1 had three modes, of which 0 is the present layer.
void other_batch_normalization(Tree& layer) {
  Tree& config = *layer.find("config");
  if (config["mode"].as_integer() != 1 && config["mode"].as_integer() != 2) throw Error("unknown mode {}", config["mode"].text()).at(config["mode"].mark()).usage();
  layer.set("class_name", "BatchNormalizationKeras1");
  config.erase("momentum");
}

// tf.keras derives it from Conv2D, whose kernel it does not have.
void depthwise_conv(Tree& config) {
  constexpr Rename renames[] = {{"init", "depthwise_initializer"}, {"W_regularizer", "depthwise_regularizer"}, {"W_constraint", "depthwise_constraint"}};
  constexpr std::string_view nothing[] = {"filters", "groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"};
  rename_keys(config, renames);
  erase_keys(config, nothing);
}

void separable_conv(Tree& config) {
  constexpr Rename renames[] = {{"init", "depthwise_initializer"}};
  constexpr std::string_view nothing[] = {"groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"};
  if (const Tree* initial = config.find("init")) config.set("pointwise_initializer", Tree(*initial));
  rename_keys(config, renames);
  erase_keys(config, nothing);
}

void conv_transpose(Tree& config) {
  constexpr std::string_view nothing[] = {"output_shape", "groups"};
  erase_keys(config, nothing);
}

void leaky_relu(Tree& config) {
  constexpr Rename renames[] = {{"alpha", "negative_slope"}};
  rename_keys(config, renames);
}

void srelu(Tree& config) {
  constexpr Rename renames[] = {{"t_left_init", "t_left_initializer"}, {"a_left_init", "a_left_initializer"}, {"t_right_init", "t_right_initializer"}, {"a_right_init", "a_right_initializer"}};
  rename_keys(config, renames);
}

void parametric_softplus(Tree& config) {
  constexpr Rename renames[] = {{"alpha_init", "alpha"}, {"beta_init", "beta"}};
  rename_keys(config, renames);
}

// Sets how far the carry is open at first, which the weights have long told.
void highway(Tree& config) { config.erase("transform_bias"); }

void prelu(Tree& config) {
  constexpr Rename renames[] = {{"init", "alpha_initializer"}};
  rename_keys(config, renames);
}

// Without a limit is written as null, and so is a slope of 0 in some versions.
void relu(Tree& config) {
  for (std::string_view key : {"negative_slope", "threshold"})
    if (const Tree* value = config.find(key); value && value->is_null()) config.erase(key);
}

void spatial_dropout(Tree& config) {
  constexpr std::string_view nothing[] = {"noise_shape"};
  erase_keys(config, nothing);
}

void upsampling1d(Tree& config) {
  constexpr Rename renames[] = {{"length", "size"}};
  rename_keys(config, renames);
}

// Keras 1: 1; [1, 2]; four numbers, or a mapping of sides.
void zero_padding(Tree& config) {
  Tree* padding = config.find("padding");
  if (!padding) return;
  const auto side = [&](std::string_view key) {
    const Tree* value = padding->find(key);
    return value ? *value : Tree(0);
  };
  const auto pair = [](Tree before, Tree after) { return Tree(Tree::Sequence{std::move(before), std::move(after)}); };
  if (padding->is_mapping() && (padding->find("left_pad") || padding->find("right_pad")) && !padding->find("top_pad") && !padding->find("bottom_pad"))
    *padding = pair(side("left_pad"), side("right_pad"));
  else if (padding->is_mapping())
    *padding = Tree::Sequence{pair(side("top_pad"), side("bottom_pad")), pair(side("left_pad"), side("right_pad"))};
  else if (padding->is_sequence() && padding->items().size() == 4) {
    const Tree::Sequence sides = padding->items();
    *padding = Tree::Sequence{pair(sides[0], sides[1]), pair(sides[2], sides[3])};
  }
}

void recurrent(Tree& config) {
  if (const Tree* bias = config.find("forget_bias_init"); bias && *bias == Tree("one")) config.set("unit_forget_bias", true);
  constexpr std::string_view nothing[] = {"num_constants", "input_spec", "reverse_state_order"};
  erase_keys(config, nothing);
}

// Before Keras 2.1.5 there was but one kind of GRU.
void gru(Tree& config) {
  recurrent(config);
  if (!config.find("reset_after")) config.set("reset_after", false);
}

void cudnn_gru(Tree& config) { config.set("reset_after", true); }

void attention(Tree& config) {
  constexpr std::string_view shapes[] = {"query_shape", "key_shape", "value_shape"};
  erase_keys(config, shapes);
  if (const Tree* causal = config.find("causal"); causal && *causal == Tree(false)) config.erase("causal");
}

void category_encoding(Tree& config) {
  constexpr Rename renames[] = {{"max_tokens", "num_tokens"}};
  rename_keys(config, renames);
  if (Tree* mode = config.find("output_mode"); mode && *mode == Tree("binary")) *mode = "multi_hot";
}

// A function by its name; code is refused where the field is read.
void lambda(Tree& config) {
  for (std::string_view key : {"function_type", "module", "output_shape_type", "output_shape_module"}) config.erase(key);
  if (const Tree* shape = config.find("output_shape"); shape && !shape->is_sequence()) config.erase("output_shape");
}

// Keras 1's Dense over the steps of a sequence.
void time_distributed_dense(Tree& layer) {
  Tree inner, wrapper, config = *layer.find("config");
  for (std::string_view key : {"name", "trainable", "batch_input_shape", "input_dtype"})
    if (const Tree* value = config.find(key)) wrapper.set(key, Tree(*value));
  inner.set("class_name", "Dense");
  inner.set("config", std::move(config));
  wrapper.set("layer", std::move(inner));
  layer.set("class_name", "TimeDistributed");
  layer.set("config", std::move(wrapper));
}

// Classes that people wrote for one function, which has one definition whoever writes it, and no parameters.
constexpr ClassName function_layers[] = {
    {"Swish", "silu"},        {"SiLU", "silu"},     {"Mish", "mish"},         {"HSwish", "hard_silu"}, {"Hswish", "hard_silu"},
    {"HardSwish", "hard_silu"}, {"ReLU6", "relu6"},  {"Relu6", "relu6"},       {"Layer", "linear"},
};

void function_layer(Tree& layer, std::string_view activation) {
  constexpr std::string_view usual[] = {"name", "trainable", "dtype", "batch_input_shape", "input_shape", "input_dtype", "dynamic", "cache_enabled"};
  Tree& config = *layer.find("config");
  for (const auto& [key, value, mark] : config.entries()) {
    const bool plain = std::find(std::begin(usual), std::end(usual), key) != std::end(usual) || (key == "beta" && value.is_number() && value.as_number() == 1);
    if (!plain) throw Error("it is a class of somebody's Python program with a '{}', which nacre does not know", key).at(mark).usage();
  }
  config.erase("beta");
  config.set("activation", activation);
  layer.set("class_name", "Activation");
}

struct ClassRule {
  std::string_view name;
  void (*apply)(Tree& config);
};

// By the old name, where it tells more than the present one.
constexpr ClassRule rules[] = {
    {"CuDNNGRU", cudnn_gru},
    {"InputLayer", input_layer},
    {"Embedding", embedding},
    {"BatchNormalization", batch_normalization},
    {"DepthwiseConv1D", depthwise_conv},
    {"DepthwiseConv2D", depthwise_conv},
    {"SeparableConv1D", separable_conv},
    {"SeparableConv2D", separable_conv},
    {"Conv1DTranspose", conv_transpose},
    {"Conv2DTranspose", conv_transpose},
    {"Conv3DTranspose", conv_transpose},
    {"LeakyReLU", leaky_relu},
    {"PReLU", prelu},
    {"SReLU", srelu},
    {"ParametricSoftplus", parametric_softplus},
    {"Highway", highway},
    {"ReLU", relu},
    {"SpatialDropout1D", spatial_dropout},
    {"SpatialDropout2D", spatial_dropout},
    {"SpatialDropout3D", spatial_dropout},
    {"UpSampling1D", upsampling1d},
    {"ZeroPadding1D", zero_padding},
    {"ZeroPadding2D", zero_padding},
    {"SimpleRNN", recurrent},
    {"LSTM", recurrent},
    {"GRU", gru},
    {"GRUCell", gru},
    {"RNN", recurrent},
    {"StackedRNNCells", recurrent},
    {"Bidirectional", recurrent},
    {"Attention", attention},
    {"AdditiveAttention", attention},
    {"MultiHeadAttention", attention},
    {"CategoryEncoding", category_encoding},
    {"Lambda", lambda},
};

// Where libraries register layers that are known here; "Custom" is what those have that name no package.
constexpr std::string_view packages[] = {"Custom", "Addons", "Vision", "builtins", "keras_nlp", "keras_hub", "keras_cv"};

}  // namespace

void modernize_class(Tree& layer) {
  Tree& class_name = *layer.find("class_name");
  std::string name = class_name.as_string();
  if (const std::size_t end = name.rfind('>'); end != std::string::npos) {
    // A class of somebody's own may have the name of one of Keras.
    if (std::ranges::find(packages, std::string_view(name).substr(0, end)) == std::end(packages)) return;
    name.erase(0, end + 1);
  }
  if (name.ends_with("V1") || name.ends_with("V2")) name.erase(name.size() - 2);  // TensorFlow 1 had two of some
  const auto renamed = std::find_if(std::begin(names), std::end(names), [&](const ClassName& each) { return each.old == name; });
  const std::string present(renamed == std::end(names) ? std::string_view(name) : renamed->present);
  class_name = Tree(present).at(class_name.mark());
  layer.erase("module");
  layer.erase("registered_name");
  layer.erase("build_config");
  Tree* config = layer.find("config");
  if (!config || !config->is_mapping()) return;
  if (name == "TimeDistributedDense") return time_distributed_dense(layer);
  if (const Tree* mode = config->find("mode"); present == "BatchNormalization" && mode && mode->is_integer() && mode->as_integer() != 0)
    return other_batch_normalization(layer);
  if (const auto function = std::find_if(std::begin(function_layers), std::end(function_layers), [&](const ClassName& each) { return each.old == name; });
      function != std::end(function_layers))
    return function_layer(layer, function->present);
  for (const ClassRule& rule : rules)
    if (rule.name == name || rule.name == present) return rule.apply(*config);
}

}  // namespace nacre::vintages
