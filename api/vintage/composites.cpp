// Functions of TensorFlow that become several of Keras's operations, or a layer.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <iterator>

#include "api/vintage/tensorflow.h"

namespace nacre::vintages {

namespace {

Tree fields_of_pairs(std::initializer_list<std::pair<std::string_view, Tree>> pairs) {
  Tree fields = Tree::mapping();
  for (const auto& [key, value] : pairs)
    if (!value.is_null()) fields.set(key, value);
  return fields;
}

Tree or_else(Tree value, Tree fallback) { return value.is_null() ? fallback : value; }

// [1, height, width, 1] as [height, width]; one or two numbers stay.
Tree of_plane(const Tree& tree) {
  if (tree.is_sequence() && tree.items().size() == 4) return Tree::Sequence{tree.items()[1], tree.items()[2]};
  return tree;
}

void want_channels_last(Arguments& in) {
  if (const Tree* format = in.find("data_format"); format && *format != Tree("NHWC") && *format != Tree("NWC"))
    throw Error("the data_format {} is not supported", format->text()).usage();
}

Tree padding_of(Arguments& in) {
  if (const Tree* padding = in.find("padding"); padding && !padding->is_string())
    throw Error("explicit paddings are not supported, got {}", padding->text()).usage();
  return in.lower_case("padding", "valid");
}

// A constant matrix with its axes exchanged; null for what is none.
Tree transposed_constant(const Tree& matrix) {
  if (!matrix.is_sequence() || matrix.items().empty() || !matrix.items()[0].is_sequence()) return {};
  Tree rows = Tree::sequence();
  for (std::size_t column = 0; column < matrix.items()[0].items().size(); ++column) {
    Tree row = Tree::sequence();
    for (const Tree& old : matrix.items()) {
      if (!old.is_sequence() || column >= old.items().size() || !old.items()[column].is_number()) return {};
      row.push(old.items()[column]);
    }
    rows.push(std::move(row));
  }
  return rows;
}

void matmul(Steps& steps, Arguments& in) {
  Tree operands[] = {in.tensor("a"), in.tensor("b")};
  const bool turned[] = {in.flag("transpose_a") != in.flag("adjoint_a"),
                         in.flag("transpose_b") != in.flag("adjoint_b")};
  for (std::size_t i = 0; i < 2; ++i)
    if (turned[i]) {
      const Tree constant = transposed_constant(operands[i]);
      operands[i] = !constant.is_null()
                        ? constant
                        : steps.operation("Swapaxes", {operands[i]}, fields_of_pairs({{"axis1", -2}, {"axis2", -1}}));
    }
  steps.operation("Matmul", {operands[0], operands[1]});
}

void matvec(Steps& steps, Arguments& in) {
  const Tree column = steps.operation("ExpandDims", {in.tensor("b")}, fields_of_pairs({{"axis", -1}}));
  const Tree product = steps.operation("Matmul", {in.tensor("a"), column});
  steps.operation("Squeeze", {product}, fields_of_pairs({{"axis", -1}}));
}

void matrix_transpose(Steps& steps, Arguments& in) {
  steps.operation("Swapaxes", {in.tensor("a")}, fields_of_pairs({{"axis1", -2}, {"axis2", -1}}));
}

void squared_difference(Steps& steps, Arguments& in) {
  steps.operation("Square", {steps.operation("Subtract", {in.tensor("x"), in.tensor("y")})});
}

void add_n(Steps& steps, Arguments& in) {
  const Tree list = in.tensor("inputs");
  if (list.items().empty()) throw Error("it adds up no tensors").usage();
  Tree sum = list.items()[0];
  if (list.items().size() == 1) sum = steps.operation("Copy", {sum});
  for (std::size_t i = 1; i < list.items().size(); ++i) sum = steps.operation("Add", {sum, list.items()[i]});
}

// x · rsqrt(max(Σ x², epsilon)); Keras compares the norm itself.
void l2_normalize(Steps& steps, Arguments& in) {
  const Tree axis = in.constant("axis"), epsilon = or_else(in.constant("epsilon"), 1e-12);
  Tree fields = fields_of_pairs({{"order", 2}, {"epsilon", std::sqrt(epsilon.as_number())}});
  fields.set("axis", axis);
  steps.operation("Normalize", {in.tensor("x")}, std::move(fields));
}

void norm(Steps& steps, Arguments& in) {
  Tree order = in.constant("ord");
  if (order == Tree("euclidean")) order = Tree();
  steps.operation("Norm", {in.tensor("tensor")},
                  fields_of_pairs({{"ord", order}, {"axis", in.constant("axis")}, {"keepdims", in.flag("keepdims")}}));
}

void pad(Steps& steps, Arguments& in) {
  const std::string mode = in.lower_case("mode", "constant");
  const Tree value = in.constant("constant_values");
  Tree::Sequence operands{in.tensor("tensor")};
  if (mode == "constant" && !value.is_null() && value.as_number() != 0) operands.push_back(value);
  steps.operation("Pad", std::move(operands),
                  fields_of_pairs({{"pad_width", in.constant("paddings")}, {"mode", mode}}));
}

// A size that is known only when the model runs is what is left; where the batch's is another such, the layer keeps it,
// which is right when the size is that of the tensor's own batch.
void reshape(Steps& steps, Arguments& in) {
  const Tree x = in.tensor("tensor"), shape = in.sizes("shape");
  if (shape.is_null())
    throw Error("its argument 'shape' is a tensor, wanted a constant or what is computed from tf.shape()").usage();
  const auto open = [](const Tree& size) { return !size.is_integer() || size.as_integer() == -1; };
  if (shape.is_sequence() && shape.items().size() > 1) {
    const Tree::Sequence& sizes = shape.items();
    const Tree* first = sizes[0].find("config");
    const Tree* axis = first ? first->find("axis") : nullptr;
    if (axis && *axis == Tree(0) && std::any_of(sizes.begin() + 1, sizes.end(), open)) {
      if (!in.same_batch(x, (*first)["of"]))
        throw Error("its shape begins with that of another tensor, which is not known to have the same batch").usage();
      steps.layer("Reshape", x, fields_of_pairs({{"target_shape", Tree::Sequence(sizes.begin() + 1, sizes.end())}}));
      return;
    }
  }
  steps.operation("Reshape", {x}, fields_of_pairs({{"newshape", shape}}));
}

void ensure_shape(Steps& steps, Arguments& in) {
  in.find("shape");
  steps.operation("Copy", {in.tensor("x")});
}

// The block [begin, begin + size); a size of -1 reaches to the end.
void slice(Steps& steps, Arguments& in) {
  const Tree begin = in.constant("begin"), size = in.constant("size");
  if (begin.items().size() != size.items().size())
    throw Error("got {} places to begin and {} sizes", begin.items().size(), size.items().size()).usage();
  Tree key = Tree::sequence();
  for (std::size_t i = 0; i < begin.items().size(); ++i) {
    const std::int64_t from = begin.items()[i].as_integer(), count = size.items()[i].as_integer();
    std::int64_t end = 0;
    if (from < 0 || count < -1 || __builtin_add_overflow(from, count, &end))
      throw Error("got a block of {} places from {} on", count, from).at(begin.items()[i].mark()).usage();
    key.push(count == -1 ? fmt::format("{}:", from) : fmt::format("{}:{}", from, end));
  }
  steps.operation("GetItem", {in.tensor("input_"), key});
}

// The diagonals from num_lower below to num_upper above the middle; a negative number means all.
void band_part(Steps& steps, Arguments& in) {
  const std::int64_t lower = in.constant("num_lower").as_integer(), upper = in.constant("num_upper").as_integer();
  Tree x = in.tensor("input");
  if (lower < 0 && upper < 0) x = steps.operation("Copy", {x});
  if (upper >= 0) x = steps.operation("Tril", {x}, fields_of_pairs({{"k", upper}}));
  if (lower >= 0) x = steps.operation("Triu", {x}, fields_of_pairs({{"k", -lower}}));
}

void diag_part(Steps& steps, Arguments& in) {
  steps.operation("Diagonal", {in.tensor("input")}, fields_of_pairs({{"axis1", -2}, {"axis2", -1}}));
}
void trace(Steps& steps, Arguments& in) {
  steps.operation("Trace", {in.tensor("x")}, fields_of_pairs({{"axis1", -2}, {"axis2", -1}}));
}

void pool(Steps& steps, Arguments& in, std::string_view operation) {
  want_channels_last(in);
  const Tree x = in.tensor("input"), size = of_plane(in.constant("ksize")), strides = of_plane(in.constant("strides"));
  steps.operation(
      operation, {x},
      fields_of_pairs({{"pool_size", size}, {"strides", or_else(strides, size)}, {"padding", padding_of(in)}}));
}
void max_pool(Steps& steps, Arguments& in) { pool(steps, in, "MaxPool"); }
void average_pool(Steps& steps, Arguments& in) { pool(steps, in, "AveragePool"); }

void convolution(Steps& steps, Arguments& in, std::string_view operation, std::string_view filters) {
  want_channels_last(in);
  const Tree x = in.tensor("input"), strides = or_else(of_plane(in.constant("strides")), 1),
             dilation = or_else(of_plane(in.constant("dilations")), 1);
  steps.operation(operation, {x, in.tensor(filters)},
                  fields_of_pairs({{"strides", strides}, {"padding", padding_of(in)}, {"dilation_rate", dilation}}));
}
void conv2d(Steps& steps, Arguments& in) { convolution(steps, in, "Conv", "filters"); }
void depthwise_conv2d(Steps& steps, Arguments& in) { convolution(steps, in, "DepthwiseConv", "filter"); }

// x / (bias + alpha · Σ x²)^beta over the channels nearby; Krizhevsky et al. (2012) as TensorFlow has it.
void local_response(Steps& steps, Arguments& in) {
  const Tree x = in.tensor("input");
  const std::int64_t radius = or_else(in.constant("depth_radius"), 5).as_integer();
  if (radius < 0 || radius > 64) throw Error("got depth_radius {}, wanted 0 to 64", radius).usage();
  const Tree square = steps.operation("Square", {x});
  Tree width = Tree::sequence(), sum;
  for (int axis = 0; axis < 4; ++axis)
    width.push(axis < 3 ? Tree(Tree::Sequence{0, 0}) : Tree(Tree::Sequence{radius, radius}));
  const Tree padded = steps.operation("Pad", {square}, fields_of_pairs({{"pad_width", width}, {"mode", "constant"}}));
  for (std::int64_t i = 0; i <= 2 * radius; ++i) {
    const std::string range = i == 2 * radius ? fmt::format("{}:", i) : fmt::format("{}:{}", i, i - 2 * radius);
    const Tree part = steps.operation("GetItem", {padded, Tree::Sequence{":", ":", ":", range}});
    sum = sum.is_null() ? part : steps.operation("Add", {sum, part});
  }
  const Tree scaled = steps.operation("Multiply", {sum, or_else(in.constant("alpha"), 1.0)});
  const Tree base = steps.operation("Add", {scaled, or_else(in.constant("bias"), 1.0)});
  steps.operation("Divide", {x, steps.operation("Power", {base, or_else(in.constant("beta"), 0.5)})});
}

void crelu(Steps& steps, Arguments& in) {
  const Tree x = in.tensor("features"), parts = Tree::Sequence{x, steps.operation("Negative", {x})};
  steps.operation(
      "Relu", {steps.operation("Concatenate", {parts}, fields_of_pairs({{"axis", or_else(in.constant("axis"), -1)}}))});
}

void dropout(Steps& steps, Arguments& in) {
  const Tree x = in.tensor("x"), rate = in.constant("rate");
  for (std::string_view silent : {"noise_shape", "seed"}) in.find(silent);
  steps.layer("Dropout", x, fields_of_pairs({{"rate", rate}}));
}

void flip_left_right(Steps& steps, Arguments& in) {
  steps.operation("Flip", {in.tensor("image")}, fields_of_pairs({{"axis", -2}}));
}
void flip_up_down(Steps& steps, Arguments& in) {
  steps.operation("Flip", {in.tensor("image")}, fields_of_pairs({{"axis", -3}}));
}
void grayscale_to_rgb(Steps& steps, Arguments& in) {
  steps.operation("Repeat", {in.tensor("images")}, fields_of_pairs({{"repeats", 3}, {"axis", -1}}));
}

// (x - mean) · factor + mean, the mean of each channel of each picture.
void adjust_contrast(Steps& steps, Arguments& in) {
  const Tree x = in.tensor("images");
  const Tree mean =
      steps.operation("Mean", {x}, fields_of_pairs({{"axis", Tree::Sequence{-3, -2}}, {"keepdims", true}}));
  const Tree scaled =
      steps.operation("Multiply", {steps.operation("Subtract", {x, mean}), in.constant("contrast_factor")});
  steps.operation("Add", {scaled, mean});
}

void extract_patches(Steps& steps, Arguments& in) {
  const Tree x = in.tensor("images"), size = of_plane(in.constant("sizes")), strides = of_plane(in.constant("strides")),
             rates = of_plane(in.constant("rates"));
  steps.operation(
      "ExtractPatches", {x},
      fields_of_pairs(
          {{"size", size}, {"strides", strides}, {"dilation_rate", or_else(rates, 1)}, {"padding", padding_of(in)}}));
}

void resize(Steps& steps, Arguments& in) {
  const Tree x = in.tensor("images"), size = in.sizes("size");
  if (!size.is_sequence())
    throw Error("its argument 'size' is a tensor, wanted a constant or what is computed from tf.shape()").usage();
  steps.operation("Resize", {x},
                  fields_of_pairs({{"size", size},
                                   {"interpolation", in.lower_case("method", "bilinear")},
                                   {"antialias", in.flag("antialias")}}));
}

void einsum(Steps& steps, Arguments& in) {
  Tree::Sequence operands = in.tensor("inputs").items();
  steps.operation("Einsum", std::move(operands), fields_of_pairs({{"subscripts", in.constant("equation")}}));
}

// Positive numbers alone: where y is 0 the product is 0, whatever x.
void multiply_no_nan(Steps& steps, Arguments& in) {
  const Tree y = in.tensor("y"), product = steps.operation("Multiply", {in.tensor("x"), y});
  steps.operation("Where", {steps.operation("Equal", {y, 0.0}), 0.0, product});
}

constexpr Composite composites[] = {
    {"matmul", "a", matmul},
    {"matvec", "a", matvec},
    {"matrix_transpose", "a", matrix_transpose},
    {"squared_difference", "x", squared_difference},
    {"multiply_no_nan", "x", multiply_no_nan},
    {"add_n", "inputs", add_n, true},
    {"accumulate_n", "inputs", add_n, true},
    {"l2_normalize", "x", l2_normalize},
    {"norm", "tensor", norm},
    {"pad", "tensor", pad},
    {"reshape", "tensor", reshape},
    {"ensure_shape", "x", ensure_shape},
    {"slice", "input_", slice},
    {"band_part", "input", band_part},
    {"diag_part", "input", diag_part},
    {"trace", "x", trace},
    {"max_pool", "input", max_pool},
    {"max_pool2d", "input", max_pool},
    {"avg_pool", "input", average_pool},
    {"avg_pool2d", "input", average_pool},
    {"conv2d", "input", conv2d},
    {"depthwise_conv2d", "input", depthwise_conv2d},
    {"local_response_normalization", "input", local_response},
    {"lrn", "input", local_response},
    {"crelu", "features", crelu},
    {"dropout", "x", dropout},
    {"flip_left_right", "image", flip_left_right},
    {"flip_up_down", "image", flip_up_down},
    {"grayscale_to_rgb", "images", grayscale_to_rgb},
    {"adjust_contrast", "images", adjust_contrast},
    {"extract_patches", "images", extract_patches},
    {"resize", "images", resize},
    {"einsum", "inputs", einsum, true},
};

}  // namespace

const Composite* find_composite(std::string_view name) {
  const auto found = std::find_if(std::begin(composites), std::end(composites),
                                  [&](const Composite& each) { return each.name == name; });
  return found == std::end(composites) ? nullptr : found;
}

// --- arguments
// ---------------------------------------------------------------------------------------------------------

const Tree* Arguments::find(std::string_view name) {
  used_.push_back(name);
  const Tree* value = arguments_.find(name);
  return value && !value->is_null() ? value : nullptr;
}

Tree Arguments::tensor(std::string_view name) {
  const Tree* value = find(name);
  if (!value) throw Error("the argument '{}' is missing", name).usage();
  if (holds_tensor(*value) && is_operand(*value) && !sizes_.of(*value).is_null() &&
      (*value).items()[0] != Tree("_CONSTANT_VALUE"))
    throw Error("computing with the shape of a tensor as numbers is not supported").usage();
  return operand(*value);
}

Tree Arguments::constant(std::string_view name) {
  const Tree* value = find(name);
  if (!value) return {};
  const Tree plain = operand(*value);
  if (holds_tensor(*value) && !(is_operand(*value) && value->items()[0] == Tree("_CONSTANT_VALUE"))) {
    Tree sizes = sizes_.of(*value);
    if (sizes.is_null()) throw Error("its argument '{}' is a tensor, wanted a constant", name).usage();
    return sizes;
  }
  return plain;
}

bool Arguments::flag(std::string_view name) {
  const Tree value = constant(name);
  return !value.is_null() && value.as_bool();
}

std::string Arguments::lower_case(std::string_view name, std::string_view fallback) {
  const Tree value = constant(name);
  std::string text = value.is_null() ? std::string(fallback) : value.as_string();
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

Tree Arguments::sizes(std::string_view name) {
  const Tree* value = find(name);
  return value ? sizes_.of(*value) : Tree();
}

void Arguments::refuse_others(std::string_view function) const {
  constexpr std::string_view silent[] = {"name",        "preserve_aspect_ratio", "validate_shape",
                                         "a_is_sparse", "b_is_sparse",           "output_type"};
  for (const auto& [name, value, mark] : arguments_.entries()) {
    const bool known = std::find(used_.begin(), used_.end(), name) != used_.end() ||
                       std::find(std::begin(silent), std::end(silent), name) != std::end(silent);
    if (!known && !value.is_null() && value != Tree(false))
      throw Error("the argument {} = {} of the TensorFlow function '{}' is not supported", name, value.text(), function)
          .usage();
  }
}

// --- steps
// -------------------------------------------------------------------------------------------------------------

Tree Steps::add(std::string class_name, Tree::Sequence operands, Tree fields) {
  const std::string name = fmt::format("{}_operand{}", name_, entries_.size());
  Tree entry, call;
  fields.set("name", name);
  entry.set("class_name", std::move(class_name));
  entry.set("config", std::move(fields));
  call.set("args", Tree(std::move(operands)));
  call.set("kwargs", Tree::mapping());
  entries_.push_back(functional_entry(std::move(entry), name, Tree::Sequence{std::move(call)}));
  return operand(Tree::Sequence{name, 0, 0});
}

Tree Steps::operation(std::string_view operation, Tree::Sequence operands, Tree fields) {
  return add(fmt::format("ops.{}", operation), std::move(operands), std::move(fields));
}

Tree Steps::layer(std::string_view class_name, Tree operand, Tree fields) {
  fields.set("trainable", true);  // tells a layer from the operation of its name
  return add(std::string(class_name), {std::move(operand)}, std::move(fields));
}

std::vector<Tree> Steps::entries() && {
  Tree& last = entries_.back();
  last.set("name", name_);
  last.find("config")->set("name", name_);
  return std::move(entries_);
}

}  // namespace nacre::vintages
