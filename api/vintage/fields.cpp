// Keys that several classes share, renamed by Keras 2, and keys that say nothing any more.
#include "api/vintage/parts.h"

namespace nacre::vintages {

namespace {

// None of the names on the left is a key of any present layer.
constexpr Rename renames[] = {
    {"nb_filter", "filters"},
    {"filter_length", "kernel_size"},
    {"subsample", "strides"},
    {"subsample_length", "strides"},
    {"stride", "strides"},
    {"pool_length", "pool_size"},
    {"border_mode", "padding"},
    {"dim_ordering", "data_format"},
    {"atrous_rate", "dilation_rate"},
    {"init", "kernel_initializer"},
    {"inner_init", "recurrent_initializer"},
    {"gamma_init", "gamma_initializer"},
    {"beta_init", "beta_initializer"},
    {"inner_activation", "recurrent_activation"},
    {"W_regularizer", "kernel_regularizer"},
    {"U_regularizer", "recurrent_regularizer"},
    {"b_regularizer", "bias_regularizer"},
    {"W_constraint", "kernel_constraint"},
    {"U_constraint", "recurrent_constraint"},
    {"b_constraint", "bias_constraint"},
    {"bias", "use_bias"},
    {"p", "rate"},
    {"sigma", "stddev"},
    {"dropout_W", "dropout"},
    {"dropout_U", "recurrent_dropout"},
};

// The shape of the input stands in an InputLayer; how a sequence is computed is the backend's business; `dynamic` says
// whether Python code runs, which the class tells.
constexpr std::string_view obsolete[] = {"batch_input_shape", "input_shape",       "input_dtype", "input_length",
                                         "consume_less",      "forget_bias_init",  "dynamic",     "weights",
                                         "trainable_weights", "batch_size",        "autocast",    "cache_enabled",
                                         "truncate_gradient"};

// Keras 1 numbers the axes of a kernel: nb_row and nb_col, or kernel_dim1 to kernel_dim3.
void join_kernel_sizes(Tree& config, std::span<const std::string_view> axes) {
  if (!config.find(axes.front())) return;
  Tree sizes = Tree::sequence();
  for (std::string_view axis : axes) sizes.push(config[axis]);
  erase_keys(config, axes);
  config.set("kernel_size", std::move(sizes));
}

}  // namespace

void rename_keys(Tree& config, std::span<const Rename> renames) {
  for (const auto& [from, to] : renames) {
    Tree* value = config.find(from);
    if (!value) continue;
    if (!config.find(to)) config.set(to, std::move(*value));
    config.erase(from);
  }
}

void erase_keys(Tree& config, std::span<const std::string_view> keys) {
  for (std::string_view key : keys) config.erase(key);
}

void modernize_fields(Tree& layer) {
  Tree* config = layer.find("config");
  if (!config || !config->is_mapping()) return;
  constexpr std::string_view plane[] = {"nb_row", "nb_col"}, space[] = {"kernel_dim1", "kernel_dim2", "kernel_dim3"};
  join_kernel_sizes(*config, plane);
  join_kernel_sizes(*config, space);
  rename_keys(*config, renames);
  erase_keys(*config, obsolete);
  const std::string& class_name = layer["class_name"].as_string();
  if (!class_name.starts_with("LocallyConnected")) config->erase("implementation");  // there it says how weights are stored
  if (class_name != "Embedding") {  // which has them still, as the sizes of its table
    constexpr Rename units[] = {{"output_dim", "units"}};
    rename_keys(*config, units);
    config->erase("input_dim");
  }
  if (Tree* format = config->find("data_format")) {
    if (*format == Tree("tf")) *format = "channels_last";
    else if (*format == Tree("th")) *format = "channels_first";
    else if (format->is_null() || *format == Tree("default")) config->erase("data_format");
  }
  if (Tree* order = config->find("time_major"); order && *order == Tree(false)) config->erase("time_major");
  // Strides that are not given are the size of the window, which is the default too.
  if (Tree* strides = config->find("strides"); strides && strides->is_null()) config->erase("strides");
  // The dtype of a layer is a policy: of floating numbers, and of none where it was left open.
  if (Tree* dtype = config->find("dtype"); dtype && class_name != "InputLayer") {
    const Tree* policy = dtype->is_mapping() ? dtype->find("config") : nullptr;
    const Tree* name = policy ? policy->find("name") : dtype;
    const bool floating = name && name->is_string() && name->as_string().find("float") != std::string::npos;
    if (floating && *name != Tree("float")) *dtype = Tree(*name);
    else config->erase("dtype");
  }
}

}  // namespace nacre::vintages
