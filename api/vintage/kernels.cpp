#include "api/vintage/kernels.h"

#include <algorithm>
#include <iterator>

#include "api/vintage/arrays.h"

namespace nacre::vintages {

namespace {

using Arrays = std::vector<NamedTensor>;

struct Saved {
  const Layer& layer;
  Arrays arrays;
  const Vintage& vintage;
  bool channels_first() const {
    const Tree config = layer.config_tree(Style::full);
    const Tree* format = config.find("data_format");
    return format && *format == Tree("channels_first");
  }
  Tensor& kernel() { return arrays.at(0).tensor; }
};

constexpr int conv1d_of_keras_1_0[] = {2, 3, 1, 0};   // (filters, channels, length, 1)
constexpr int channels_first_2d[] = {2, 3, 1, 0};     // (filters, channels, rows, columns)
constexpr int channels_first_3d[] = {2, 3, 4, 1, 0};  // (filters, channels, …)
constexpr int transposed_2d[] = {0, 1, 3, 2};         // (rows, columns, channels, filters) of a transposed convolution
constexpr int transposed_channels_first_2d[] = {2, 3, 0, 1};
constexpr int last_first_2d[] = {3, 2, 0, 1};

// --- gates -----------------------------------------------------------------------------------------------------------

// Keras 1 saved kernel, recurrent kernel and bias of one gate after another; `order`: the gates of the file in the order
// of the present kernel.
void join_gates(Arrays& arrays, std::span<const std::size_t> order) {
  Arrays joined;
  for (std::size_t part = 0; part < 3; ++part) {
    std::vector<Tensor> gates;
    for (std::size_t gate : order) gates.push_back(arrays[3 * gate + part].tensor);
    joined.push_back({arrays[part].name, arrays::joined(gates)});
  }
  arrays = std::move(joined);
}

// cuDNN holds a gate's kernel (inputs, units) as (units, inputs), in memory of the shape that Keras gave it.
Tensor from_cudnn(const Tensor& kernel, std::int64_t gates, bool recurrent) {
  constexpr int swapped[] = {1, 0};
  std::vector<Tensor> parts = arrays::split(kernel, gates);
  for (Tensor& part : parts)
    part = arrays::transposed(recurrent ? part : part.reshaped({part.shape()[1], part.shape()[0]}), swapped);
  return arrays::joined(parts);
}

// Whether a bias has one part for the inputs and another for the state, flat as cuDNN has it.
bool is_of_cudnn(const Arrays& arrays, std::int64_t gates) {
  return arrays.size() == 3 && arrays[0].tensor.shape().rank() == 2 && arrays[1].tensor.shape().rank() == 2 && arrays[2].tensor.shape() == Shape{2 * gates * arrays[1].tensor.shape()[0]};
}

void lstm(Saved& saved) {
  Arrays& arrays = saved.arrays;
  constexpr std::size_t gates[] = {0, 2, 1, 3};  // i, c, f, o in the file
  if (arrays.size() == 12) return join_gates(arrays, gates);
  if (!is_of_cudnn(arrays, 4)) return;
  const std::vector<Tensor> biases = arrays::split(arrays[2].tensor, 2);
  arrays[0].tensor = from_cudnn(arrays[0].tensor, 4, false);
  arrays[1].tensor = from_cudnn(arrays[1].tensor, 4, true);
  arrays[2].tensor = arrays::added(biases[0], biases[1]);
}

void gru(Saved& saved) {
  Arrays& arrays = saved.arrays;
  constexpr std::size_t gates[] = {0, 1, 2};
  if (arrays.size() == 9) return join_gates(arrays, gates);
  if (!is_of_cudnn(arrays, 3)) return;
  const std::int64_t width = 3 * arrays[1].tensor.shape()[0];
  arrays[0].tensor = from_cudnn(arrays[0].tensor, 3, false);
  arrays[1].tensor = from_cudnn(arrays[1].tensor, 3, true);
  arrays[2].tensor = arrays[2].tensor.reshaped({2, width});
}

// --- kernels of convolutions -----------------------------------------------------------------------------------------

// Theano convolves; the others, and nacre, correlate.
void turn(Saved& saved, Tensor& kernel) {
  if (saved.vintage.backend == "theano") kernel = arrays::reversed(kernel, kernel.shape().rank() - 2);
}

void conv1d(Saved& saved) {
  Tensor& kernel = saved.kernel();
  // Keras 1 computed it as a convolution of a picture of width 1.
  if (kernel.shape().rank() == 4) {
    const std::int64_t length = saved.layer.own_weights().at(0).variable->shape()[0], filters = saved.layer.own_weights().at(0).variable->shape()[2];
    if (kernel.shape()[0] != length || kernel.shape()[1] != 1 || kernel.shape()[3] != filters) kernel = arrays::transposed(kernel, conv1d_of_keras_1_0);
    kernel = kernel.reshaped({kernel.shape()[0], kernel.shape()[2], kernel.shape()[3]});
  }
  turn(saved, kernel);
}

void conv2d(Saved& saved) {
  Tensor& kernel = saved.kernel();
  if (saved.vintage.major == 1 && saved.channels_first()) kernel = arrays::transposed(kernel, channels_first_2d);
  turn(saved, kernel);
}

void conv3d(Saved& saved) {
  Tensor& kernel = saved.kernel();
  if (saved.vintage.major == 1 && saved.channels_first()) kernel = arrays::transposed(kernel, channels_first_3d);
  turn(saved, kernel);
}

void conv2d_transpose(Saved& saved) {
  Tensor& kernel = saved.kernel();
  if (saved.vintage.major == 1) kernel = saved.channels_first() ? arrays::transposed(kernel, transposed_channels_first_2d) : arrays::transposed(kernel, transposed_2d);
  turn(saved, kernel);
}

void separable_conv2d(Saved& saved) {
  if (saved.vintage.major == 1 && saved.channels_first())
    for (std::size_t i = 0; i < 2 && i < saved.arrays.size(); ++i)
      saved.arrays[i].tensor = arrays::transposed(saved.arrays[i].tensor, channels_first_2d);
}

void conv_lstm2d(Saved& saved) {
  constexpr std::size_t gates[] = {0, 2, 1, 3};
  if (saved.arrays.size() == 12) {
    if (saved.channels_first())
      for (std::size_t i = 0; i < 12; ++i)
        if (i % 3 != 2) saved.arrays[i].tensor = arrays::transposed(saved.arrays[i].tensor, channels_first_2d);
    join_gates(saved.arrays, gates);
  }
  for (std::size_t i = 0; i < 2 && i < saved.arrays.size(); ++i) turn(saved, saved.arrays[i].tensor);
}

// A kernel that fits only with its axes in the other order, which is how Keras reads files of the Theano era.
void other_order(Saved& saved) {
  const std::vector<Weight>& own = saved.layer.own_weights();
  if (own.empty() || saved.arrays.empty()) return;
  Tensor& kernel = saved.kernel();
  if (kernel.shape().rank() != 4 || kernel.shape() == own[0].variable->shape()) return;
  if (Tensor other = arrays::transposed(kernel, last_first_2d); other.shape() == own[0].variable->shape()) kernel = std::move(other);
}

// --- the rest --------------------------------------------------------------------------------------------------------

// Before Keras 1.2: kernel, bias, kernel and bias of the carry.
void highway(Saved& saved) {
  if (saved.arrays.size() == 4 && saved.arrays[1].tensor.shape().rank() == 1) std::swap(saved.arrays[1], saved.arrays[2]);
}

// tf.keras counts the samples that it has seen.
void normalization(Saved& saved) {
  if (saved.arrays.size() == saved.layer.weights().size() + 1) saved.arrays.pop_back();
}

// Its moving averages, which it never read.
void batch_normalization_keras1(Saved& saved) {
  if (saved.arrays.size() == 4) saved.arrays.resize(2);
}

struct Rule {
  std::string_view class_name;
  void (*apply)(Saved& saved);
};

constexpr Rule rules[] = {
    {"LSTM", lstm},
    {"LSTMCell", lstm},
    {"GRU", gru},
    {"GRUCell", gru},
    {"ConvLSTM2D", conv_lstm2d},
    {"Conv1D", conv1d},
    {"Conv2D", conv2d},
    {"Conv3D", conv3d},
    {"Conv2DTranspose", conv2d_transpose},
    {"SeparableConv2D", separable_conv2d},
    {"Normalization", normalization},
    {"Highway", highway},
    {"BatchNormalizationKeras1", batch_normalization_keras1},
};

const Rule* rule_of(const Layer& layer) {
  const auto found = std::find_if(std::begin(rules), std::end(rules), [&](const Rule& rule) { return rule.class_name == layer.class_name(); });
  return found == std::end(rules) ? nullptr : found;
}

}  // namespace

bool has_rule(const Layer& layer) { return rule_of(layer) != nullptr; }

std::vector<NamedTensor> modern_arrays(const Layer& layer, std::vector<NamedTensor> saved, const Vintage& vintage) {
  const Rule* rule = rule_of(layer);
  if (vintage.major >= 3 || !rule || saved.empty()) return saved;
  for (const NamedTensor& each : saved)
    if (each.tensor.dtype() == DType::string) refuse_texts();
  Saved work{layer, std::move(saved), vintage};
  rule->apply(work);
  if (rule->class_name.starts_with("Conv") && work.arrays.size() <= 2) other_order(work);
  return std::move(work.arrays);
}

}  // namespace nacre::vintages
