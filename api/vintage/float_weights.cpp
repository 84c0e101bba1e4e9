#include "api/vintage/float_weights.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "api/keras/places.h"
#include "api/vintage/arrays.h"

namespace nacre::vintages {

namespace {

using Names = std::vector<std::string_view>;

constexpr std::string_view quantizable[] = {"Dense", "EinsumDense", "Embedding", "ReversibleEmbedding"};
constexpr std::string_view scale_names[] = {"kernel_scale",
                                            "embeddings_scale"};  // one of which every quantised layer has
constexpr std::string_view first_of_lora[] = {"lora_kernel_a", "lora_embeddings_a"};

// "dense/kernel:0" → "dense", "kernel"
std::pair<std::string, std::string> split_path(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  name = name.substr(0, name.find(':'));
  return {slash == std::string::npos ? "" : path.substr(0, slash), std::move(name)};
}

bool is_among(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool is_integer(const Tensor& tensor) {
  return tensor.dtype() == DType::uint8 || tensor.dtype() == DType::int32 || tensor.dtype() == DType::int64;
}

std::vector<std::int64_t> integers_of(const Tensor& tensor) {
  const Tensor wide = tensor.cast(DType::int64);
  return {wide.data<std::int64_t>().begin(), wide.data<std::int64_t>().end()};
}

// A matrix that was quantised.
struct Matrix {
  std::int64_t rows, columns;
  bool packed = false;       // two numbers of four bits in a byte, the earlier in its lower half
  bool packed_down = false;  // of two rows, else of two columns
  bool has_signs = true;
  bool by_row = false;  // each row has scales, for groups of columns; else each column, for groups of rows
  Shape packed_shape() const { return packed_down ? Shape{(rows + 1) / 2, columns} : Shape{rows, (columns + 1) / 2}; }
};

class Decoder {
 public:
  Decoder(const Layer& layer, std::map<std::string, Tensor> arrays) : layer_(layer), arrays_(std::move(arrays)) {}

  FloatWeights decode() {
    FloatWeights result{.quantized = std::ranges::any_of(
                            scale_names, [&](std::string_view name) { return find(std::string(name)) != nullptr; })};
    for (const VariableRef& variable : own_variables(layer_)) {
      const std::string name = split_path(variable->path()).second;
      if (variable->overwritten()) {  // of a float8 layer, which keeps what it has
        result.values.push_back(get(name));
        result.quantized = false;
        continue;
      }
      result.values.push_back(with_lora(name, variable->shape(), weight(name, variable->shape())));
    }
    return result;
  }

 private:
  const Tensor* find(const std::string& name) const {
    const auto found = arrays_.find(name);
    return found == arrays_.end() ? nullptr : &found->second;
  }
  const Tensor& get(const std::string& name) const {
    const Tensor* found = find(name);
    if (!found) throw Error("the file has no '{}' for it", name);
    return *found;
  }
  const Tensor& get(const std::string& name, const Shape& shape) const {
    const Tensor& found = get(name);
    if (found.shape() != shape) throw Error("the file's '{}' is {}, wanted {}", name, found.shape(), shape);
    return found;
  }

  Tensor weight(const std::string& name, const Shape& shape) const {
    if (name == "kernel" && find("quantized_kernel")) return transposed_kernel(shape);
    const Tensor& saved = get(name);
    if (!is_integer(saved) || name == "bias" || !can_be_quantized(layer_.class_name())) return saved;
    if (shape.rank() == 2 && layer_.class_name() != "EinsumDense") {
      Matrix matrix{.rows = shape[0],
                    .columns = shape[1],
                    .packed_down = name == "reverse_embeddings",
                    .by_row = name == "embeddings"};
      matrix.packed = is_packed(name, saved, shape, matrix);
      return dequantized(name, saved, matrix);
    }
    // The kernel of an EinsumDense: int8 in its own shape, else as the matrix of summed and other axes.
    const auto [summed, kept] = axes_of_kernel();
    Matrix matrix{.rows = sizes_of(shape, summed).elements(), .columns = sizes_of(shape, kept).elements()};
    if (Shape{matrix.rows, matrix.columns}.elements() != shape.elements())
      throw Error("its kernel has an axis twice, which no quantised one has");
    if (!is_packed(name, saved, shape, matrix)) return scaled_by_axes(name, saved, kept);
    matrix.packed = true;
    return dequantized(name, saved, matrix).reshaped(shape);
  }

  // GPTQ and AWQ keep the transposed kernel, without signs.
  Tensor transposed_kernel(const Shape& shape) const {
    constexpr int swapped[] = {1, 0};
    const Tensor& saved = get("quantized_kernel");
    const Tensor& groups = get("g_idx");
    const std::int64_t count = shape.elements(), inputs = groups.size();
    if (inputs == 0 || count % inputs != 0)
      throw Error("the file's 'g_idx' is {}, which does not fit a kernel of {}", groups.shape(), shape);
    Matrix matrix{.rows = count / inputs, .columns = inputs, .packed_down = true, .has_signs = false, .by_row = true};
    matrix.packed = is_packed("kernel", saved, {matrix.rows, matrix.columns}, matrix);
    Tensor kernel = arrays::transposed(dequantized("kernel", saved, matrix), swapped);
    if (find("awq_scales")) {
      const std::vector<double> scales = get("awq_scales", {inputs}).to_doubles();
      const std::span<float> values = kernel.writable<float>();
      const auto outputs = static_cast<std::size_t>(matrix.rows);
      for (std::size_t i = 0; i < values.size(); ++i) values[i] /= static_cast<float>(scales[i / outputs]);
    }
    return kernel.reshaped(shape);
  }

  // Told by the shapes. A single row or column has the same shape in both forms, but there the upper halves of packed
  // bytes are empty, and numbers of eight bits with signs reach 127 or have no zero points.
  bool is_packed(const std::string& name, const Tensor& saved, const Shape& whole, const Matrix& matrix) const {
    const Shape packed = matrix.packed_shape();
    if (saved.shape() != whole && saved.shape() != packed)
      throw Error("the file's '{}' is {}, wanted {} as bytes, or {} with two numbers in a byte", name, saved.shape(),
                  whole, packed);
    if (whole != packed) return saved.shape() == packed;
    if (matrix.has_signs && find(name + "_zero")) return true;
    return std::ranges::all_of(integers_of(saved), [](std::int64_t value) { return value >= 0 && value < 16; });
  }

  Tensor dequantized(const std::string& name, const Tensor& saved, const Matrix& matrix) const {
    const auto [rows, columns, packed, packed_down, has_signs, by_row] = matrix;
    const std::int64_t scaled = by_row ? rows : columns, grouped = by_row ? columns : rows;
    const Tensor& scale = get(name + "_scale");
    std::int64_t groups = 1;
    std::vector<double> zeros;
    std::vector<std::int64_t> group_of(static_cast<std::size_t>(grouped));
    const bool has_zeros = find(name + "_zero") || scale.shape().rank() == 2;
    if (has_zeros) {
      if (scale.shape().rank() == 2) groups = scale.shape()[by_row ? 1 : 0];
      const Shape shape = by_row ? Shape{scaled, groups} : Shape{groups, scaled};
      get(name + "_scale", shape);
      zeros = get(name + "_zero", shape).to_doubles();
      group_of = group_indices(grouped, groups);
    } else {
      get(name + "_scale", {scaled});
    }
    const std::vector<double> scales = scale.to_doubles();
    const Tensor wide = saved.cast(DType::int32);
    const std::span<const std::int32_t> bytes = wide.data<std::int32_t>();
    const auto number = [&](std::int64_t row, std::int64_t column) -> std::int32_t {
      if (!packed) return bytes[static_cast<std::size_t>(row * columns + column)];
      const std::int64_t place = packed_down ? row / 2 * columns + column : row * ((columns + 1) / 2) + column / 2;
      const bool upper = (packed_down ? row : column) % 2 != 0;
      const std::int32_t half = (bytes[static_cast<std::size_t>(place)] >> (upper ? 4 : 0)) & 15;
      return has_signs ? (half ^ 8) - 8 : half;
    };
    Tensor result = Tensor::uninitialised({DType::float32, {rows, columns}});
    float* to = result.writable<float>().data();
    for (std::int64_t row = 0; row < rows; ++row)
      for (std::int64_t column = 0; column < columns; ++column) {
        const std::int64_t own = by_row ? row : column,
                           group = group_of[static_cast<std::size_t>(by_row ? column : row)];
        const auto i = static_cast<std::size_t>(by_row ? own * groups + group : group * scaled + own);
        const auto value = static_cast<float>(number(row, column)), factor = static_cast<float>(scales[i]);
        *to++ = has_zeros ? (value - static_cast<float>(zeros[i])) * factor : value / factor;
      }
    return result;
  }

  std::vector<std::int64_t> group_indices(std::int64_t count, std::int64_t groups) const {
    std::vector<std::int64_t> indices;
    for (const double index : get("g_idx", {count}).to_doubles()) {
      if (!(index >= 0 && index < static_cast<double>(groups)))
        throw Error("the file's 'g_idx' has the group {}, there are {}", index, groups);
      indices.push_back(static_cast<std::int64_t>(index));
    }
    return indices;
  }

  // --- EinsumDense -------------------------------------------------------------------------------------------------

  struct KernelAxes {
    std::vector<int> summed, kept;  // the latter in the order of the result
  };
  KernelAxes axes_of_kernel() const {
    const std::string equation = layer_.config_tree(Style::full)["equation"].as_string();
    const std::size_t comma = equation.find(','), arrow = equation.find("->");
    const std::string kernel = equation.substr(comma + 1, arrow - comma - 1), result = equation.substr(arrow + 2);
    KernelAxes axes;
    for (std::size_t i = 0; i < kernel.size(); ++i)
      if (result.find(kernel[i]) == std::string::npos) axes.summed.push_back(static_cast<int>(i));
    for (const char letter : result)
      if (const std::size_t i = kernel.find(letter); i != std::string::npos) axes.kept.push_back(static_cast<int>(i));
    return axes;
  }
  static Shape sizes_of(const Shape& shape, const std::vector<int>& axes) {
    Shape sizes;
    for (int axis : axes) sizes.append(shape[axis]);
    return sizes;
  }

  // int8: each place in the kept axes has a scale. In the file those lie in the order of the result, with axes of size
  // 1 for all others.
  Tensor scaled_by_axes(const std::string& name, const Tensor& saved, const std::vector<int>& kept) const {
    const Tensor& scale = get(name + "_scale");
    const auto without_ones = [](std::vector<std::int64_t> sizes) {
      std::erase(sizes, 1);
      return sizes;
    };
    const Shape sizes = sizes_of(saved.shape(), kept);
    if (without_ones(scale.shape().sizes()) != without_ones(sizes.sizes()))
      throw Error("the file's '{}_scale' is {}, wanted {} and axes of size 1", name, scale.shape(), sizes);
    const std::vector<std::int64_t> from = row_major_strides(sizes), strides = row_major_strides(saved.shape());
    const std::vector<double> scales = scale.to_doubles();
    const Tensor wide = saved.cast(DType::int32);
    const std::span<const std::int32_t> bytes = wide.data<std::int32_t>();
    Tensor result = Tensor::uninitialised({DType::float32, saved.shape()});
    const std::span<float> values = result.writable<float>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::int64_t place = 0;
      for (std::size_t k = 0; k < kept.size(); ++k)
        place += static_cast<std::int64_t>(i) / strides[static_cast<std::size_t>(kept[k])] % sizes.sizes()[k] * from[k];
      values[i] = static_cast<float>(bytes[i]) / static_cast<float>(scales[static_cast<std::size_t>(place)]);
    }
    return result;
  }

  // --- LoRA --------------------------------------------------------------------------------------------------------

  // weight + a · b, of matrices that scale_loras() prepared
  Tensor with_lora(const std::string& name, const Shape& shape, Tensor weight) const {
    if (shape.rank() == 0 || (!find("lora_" + name + "_a") && !find("lora_" + name + "_b"))) return weight;
    const Tensor& first = get("lora_" + name + "_a");
    const std::int64_t rank = first.shape().rank() == 0 ? 0 : first.shape()[-1], columns = shape[-1];
    get("lora_" + name + "_a", shape.first(shape.rank() - 1) + Shape{rank});
    const std::vector<double> a = first.to_doubles(), b = get("lora_" + name + "_b", {rank, columns}).to_doubles();
    if (weight.shape() != shape) throw Error("the file's '{}' is {}, wanted {}", name, weight.shape(), shape);
    Tensor sum = weight.cast(DType::float32);
    const std::span<float> values = sum.writable<float>();
    const auto width = static_cast<std::size_t>(columns), inner = static_cast<std::size_t>(rank);
    std::vector<double> row(width);
    for (std::size_t i = 0; i * width < values.size(); ++i) {
      std::ranges::fill(row, 0.0);
      for (std::size_t k = 0; k < inner; ++k)
        for (std::size_t j = 0; j < width; ++j) row[j] += a[i * inner + k] * b[k * width + j];
      for (std::size_t j = 0; j < width; ++j) values[i * width + j] += static_cast<float>(row[j]);
    }
    return sum;
  }

  const Layer& layer_;
  std::map<std::string, Tensor> arrays_;
};

// --- names for the arrays of a tree of weights -----------------------------------------------------------------------

// The lists of variables that a quantised layer of the class may have, of which the number tells which one it is; none
// where the arrays are those of an ordinary one.
std::vector<Names> lists_of(const Layer& layer, const std::vector<Tensor>& saved) {
  const std::vector<VariableRef> all = own_variables(layer);
  const auto own = static_cast<std::size_t>(std::ranges::count(all, false, &Variable::overwritten));
  const std::string_view class_name = layer.class_name();
  if (!can_be_quantized(class_name) || saved.empty()) return {};
  const bool integers = is_integer(saved[0]);
  const auto bytes_without_signs = std::ranges::count(saved, DType::uint8, &Tensor::dtype);
  if (class_name.ends_with("Embedding")) {
    if (!integers) return {};
    if (own == 1)
      return {{"embeddings", "embeddings_scale"}, {"embeddings", "embeddings_scale", "embeddings_zero", "g_idx"}};
    return {{"embeddings", "embeddings_scale", "reverse_embeddings", "reverse_embeddings_scale"},
            {"embeddings", "embeddings_scale", "embeddings_zero", "g_idx", "reverse_embeddings",
             "reverse_embeddings_scale", "reverse_embeddings_zero"}};
  }
  const auto with_bias = [&](Names names, std::ptrdiff_t place) {
    if (own > 1) names.insert(names.begin() + place, "bias");
    return names;
  };
  if (bytes_without_signs == 1)
    throw Error("the file has no zero points for its weights of GPTQ or AWQ")
        .hint("Keras 3.15 leaves them out of .keras and .weights.h5 files, and cannot read those; .h5 files have them");
  if (bytes_without_signs > 1)
    return {with_bias({"quantized_kernel", "kernel_scale", "kernel_zero", "g_idx"}, 0),
            with_bias({"quantized_kernel", "kernel_scale", "kernel_zero", "awq_scales", "g_idx"}, 0)};
  if (integers)
    return {with_bias({"kernel", "kernel_scale"}, 1), with_bias({"kernel", "kernel_scale", "kernel_zero", "g_idx"}, 1)};
  if (saved.size() != own + 6 || all.size() == saved.size()) return {};  // float8
  return {with_bias({"kernel", "inputs_scale", "inputs_amax_history", "kernel_scale", "kernel_amax_history",
                     "outputs_grad_scale", "outputs_grad_amax_history"},
                    1)};
}

// What the LoRAs of a config are multiplied with, alpha / rank, by the names of their layers.
void find_loras(const Tree& tree, std::map<std::string, double>& factors) {
  if (tree.is_sequence())
    for (const Tree& item : tree.items()) find_loras(item, factors);
  if (!tree.is_mapping()) return;
  const Tree *rank = tree.find("lora_rank"), *alpha = tree.find("lora_alpha"), *name = tree.find("name");
  if (rank && rank->is_number() && rank->as_number() > 0 && name && name->is_string()) {
    const double factor = alpha && alpha->is_number() ? alpha->as_number() / rank->as_number() : 1;
    const auto [known, is_new] = factors.emplace(name->as_string(), factor);
    if (!is_new && known->second != factor)
      throw Error("several layers are called '{}', whose LoRAs differ in lora_alpha / lora_rank: {} and {}",
                  name->as_string(), known->second, factor);
  }
  for (const Tree::Entry& entry : tree.entries()) find_loras(entry.value, factors);
}

}  // namespace

bool can_be_quantized(std::string_view class_name) { return is_among(quantizable, class_name); }

FloatWeights float_weights(const Layer& layer, const std::vector<Tensor>& saved) {
  const std::vector<Names> lists = lists_of(layer, saved);
  if (lists.empty()) return {.values = saved};
  for (const Names& names : lists) {
    if (names.size() != saved.size()) continue;
    std::map<std::string, Tensor> arrays;
    for (std::size_t i = 0; i < names.size(); ++i) arrays.emplace(names[i], saved[i]);
    return Decoder(layer, std::move(arrays)).decode();
  }
  std::string wanted;
  for (const Names& names : lists) {
    wanted += fmt::format("{}{} (", wanted.empty() ? "" : " or ", names.size());
    for (std::size_t i = 0; i < names.size(); ++i) wanted += fmt::format("{}{}", i == 0 ? "" : ", ", names[i]);
    wanted += ')';
  }
  throw Error("the file has {} arrays for its quantised weights, wanted {}", saved.size(), wanted);
}

bool holds_more_than_weights(const std::vector<NamedTensor>& saved) {
  return std::ranges::any_of(saved, [](const NamedTensor& each) {
    const std::string name = split_path(each.name).second;
    return is_among(scale_names, name) || is_among(first_of_lora, name);
  });
}

FloatWeights float_weights(const Layer& layer, const std::vector<NamedTensor>& saved) {
  std::map<std::string, Tensor> arrays;
  for (const NamedTensor& each : saved) {
    std::string name = split_path(each.name).second;
    if (name == "kernel" && each.tensor.dtype() == DType::uint8) name = "quantized_kernel";
    if (name == "zero_point") name = "kernel_zero";  // so an EinsumDense of GPTQ or AWQ calls it
    if (!arrays.emplace(name, each.tensor).second) throw Error("the file has two weights '{}' for it", name);
  }
  return Decoder(layer, std::move(arrays)).decode();
}

void scale_loras(std::vector<LayerWeights>& layers, const Tree& model_config, Notes& notes) {
  std::map<std::string, double> factors;
  for (LayerWeights& layer : layers)
    for (NamedTensor& weight : layer.weights) {
      const auto [path, name] = split_path(weight.name);
      if (!is_among(first_of_lora, name) || !is_floating(weight.tensor.dtype())) continue;
      if (factors.empty()) find_loras(model_config, factors);
      const auto known = factors.find(path.substr(path.rfind('/') + 1));
      if (known == factors.end()) {
        notes.push_back(
            fmt::format("layer '{}': the file does not say the lora_alpha of its LoRA, which is merged as one whose "
                        "lora_alpha is its rank",
                        path));
        continue;
      }
      weight.tensor = weight.tensor.cast(DType::float32);
      for (float& value : weight.tensor.writable<float>()) value = static_cast<float>(value * known->second);
    }
}

std::vector<std::string> quantized_layers(const std::vector<LayerWeights>& layers, const Layer& model) {
  std::vector<std::string> paths;
  const std::vector<Weight> weights = model.weights();
  const auto is_kept = [&](const std::string& path) {
    return std::ranges::any_of(weights, [&](const Weight& weight) {
      return weight.variable->overwritten() && path.ends_with(split_path(weight.variable->path()).first);
    });
  };
  for (const LayerWeights& layer : layers)
    for (const NamedTensor& weight : layer.weights)
      if (auto [path, name] = split_path(weight.name); is_among(scale_names, name) && !is_kept(path))
        paths.push_back(std::move(path));
  return paths;
}

}  // namespace nacre::vintages
