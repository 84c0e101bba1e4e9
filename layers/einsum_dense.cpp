#include "layers/einsum_dense.h"

#include <algorithm>

#include "backend/graph/ops/elementwise.h"
#include "layers/einsum.h"
#include "layers/emit.h"
#include "layers/float8.h"

namespace nacre {

namespace {

// "input,kernel->result", where input and result may both begin or both end with "...".
struct KernelEquation {
  std::string input, kernel, result;  // letters
  enum { none, before, after } ellipsis = none;

  static KernelEquation parse(std::string_view text) {
    const auto refuse = [&]() -> Error {
      return Error("got the equation '{}', wanted the form 'X,Y->Z', '...X,Y->...Z' or 'X...,Y->Z...'", text).usage();
    };
    const std::size_t comma = text.find(','), arrow = text.find("->");
    if (comma == std::string_view::npos || arrow == std::string_view::npos || arrow < comma) throw refuse();
    KernelEquation equation;
    const auto side = [&](std::string_view axes) {
      auto place = axes.starts_with("...") ? before : axes.ends_with("...") ? after : none;
      if (place == before) axes.remove_prefix(3);
      if (place == after) axes.remove_suffix(3);
      return std::pair(std::string(axes), place);
    };
    const auto [input, input_place] = side(text.substr(0, comma));
    const auto [result, result_place] = side(text.substr(arrow + 2));
    equation = {input, std::string(text.substr(comma + 1, arrow - comma - 1)), result, input_place};
    const auto letters = [](const std::string& axes) {
      return !axes.empty() && std::all_of(axes.begin(), axes.end(),
                                          [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
    };
    if (input_place != result_place || !letters(input) || !letters(equation.kernel) || !letters(result)) throw refuse();
    return equation;
  }
};

// The initializer with the axes of the kernel that count as inputs and outputs, where it asks for them.
Ref<Initializer> with_axes(const Ref<Initializer>& initializer, const Tree& inputs, const Tree& outputs) {
  if (!initializer) return initializer;
  Tree tree = write_object<Initializer>(*initializer, Style::keras);
  Tree& config = *tree.find("config");
  const Tree *input_axes = config.find("input_axes"), *output_axes = config.find("output_axes");
  if (!input_axes || !output_axes || (!input_axes->is_null() && !output_axes->is_null())) return initializer;
  config.set("input_axes", inputs);
  config.set("output_axes", outputs);
  return read_object<Initializer>(tree);
}

class EinsumDenseLayer final : public ConfiguredLayer<EinsumDenseConfig> {
 public:
  explicit EinsumDenseLayer(EinsumDenseConfig config = {}, LayerOptions options = {})
      : ConfiguredLayer(std::move(config), std::move(options)), equation_(KernelEquation::parse(config_.equation)) {}

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    const int letters = static_cast<int>(equation_.input.size()), rank = inputs[0].rank();
    if (built()) emit::want_rank(inputs[0], built_shapes()[0].rank());
    else if (equation_.ellipsis == KernelEquation::none) emit::want_rank(inputs[0], letters);
    else emit::want_rank_at_least(inputs[0], letters);
    const int first = equation_.ellipsis == KernelEquation::before ? rank - letters : 0;
    if (kernel_)
      for (int i = 0; i < letters; ++i)
        if (const std::size_t axis = equation_.kernel.find(equation_.input[static_cast<std::size_t>(i)]);
            axis != std::string::npos)
          emit::want_size(inputs[0], first + i, kernel_->shape()[static_cast<int>(axis)]);
  }
  void build(const std::vector<Shape>& inputs) override {
    const auto& [input_axes, kernel_axes, result_axes, ellipsis] = equation_;
    const Shape& input = inputs[0];
    const int elided = input.rank() - static_cast<int>(input_axes.size());
    const int shift = ellipsis == KernelEquation::before ? elided : 0;
    const Shape result = result_shape(input, elided);
    const auto size_of_letter = [&](char letter) {
      const std::size_t in_result = result_axes.find(letter), in_input = input_axes.find(letter);
      const std::int64_t size = in_result == std::string::npos ? unknown : result[static_cast<int>(in_result) + shift];
      if (in_input == std::string::npos) return size;
      const std::int64_t given = input[static_cast<int>(in_input) + shift];
      need(same(size, given), "got input {} for the equation '{}' with output_shape {}: the axis '{}' differs", input,
           config_.equation, config_.output_shape, letter);
      return size == unknown ? given : size;
    };

    Shape kernel_shape;
    Tree inputs_of_kernel = Tree::sequence(), outputs_of_kernel = Tree::sequence();
    for (std::size_t axis = 0; axis < kernel_axes.size(); ++axis) {
      const char letter = kernel_axes[axis];
      const bool in_result = result_axes.find(letter) != std::string::npos;
      need(in_result || input_axes.find(letter) != std::string::npos,
           "the equation '{}' has an axis '{}' of the kernel that neither input nor result have", config_.equation,
           letter);
      (in_result ? outputs_of_kernel : inputs_of_kernel).push(static_cast<std::int64_t>(axis));
      kernel_shape.append(size_of_letter(letter));
    }
    if (dtype().is_float8()) float8_.emplace(dtype(), std::bind_front(&EinsumDenseLayer::add_weight, this));
    kernel_ = add_weight("kernel", kernel_shape,
                         with_axes(config_.kernel_initializer, inputs_of_kernel, outputs_of_kernel),
                         {.regularizer = config_.kernel_regularizer, .constraint = config_.kernel_constraint});

    if (config_.bias_axes)
      bias_ = add_weight("bias", bias_shape(size_of_letter, elided), config_.bias_initializer,
                         {.regularizer = config_.bias_regularizer, .constraint = config_.bias_constraint});
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const auto product = [this](Value x, Value kernel) { return emit::einsum(config_.equation, {x, kernel}); };
    const Value x = arguments.inputs[0], kernel = value(context, kernel_);
    Value y = float8_ ? (*float8_)(context.graph(), x, kernel, product) : product(x, kernel);
    if (bias_) y = y + (float8_ ? Float8Product::bias(value(context, bias_)) : value(context, bias_));
    return {activated(y, config_.activation)};
  }

 private:
  // The sizes of the axes that the bias has, of those of the result from the first of them on; 1 for the others.
  template <class SizeOfLetter>
  Shape bias_shape(const SizeOfLetter& size_of_letter, int elided) const {
    const std::string& result_axes = equation_.result;
    const std::size_t first = result_axes.find_first_of(*config_.bias_axes);
    need(first != std::string::npos && config_.bias_axes->find_first_not_of(result_axes) == std::string::npos,
         "got bias_axes '{}' for the equation '{}', wanted letters of its result", *config_.bias_axes,
         config_.equation);
    Shape shape;
    for (std::size_t axis = first; axis < result_axes.size(); ++axis)
      shape.append(config_.bias_axes->find(result_axes[axis]) == std::string::npos ? 1
                                                                                   : size_of_letter(result_axes[axis]));
    if (equation_.ellipsis == KernelEquation::after)
      for (int i = 0; i < elided; ++i) shape.append(1);
    return shape;
  }
  // The batch, the axes behind "..." and those that the config gives, in the order of the result.
  Shape result_shape(const Shape& input, int elided) const {
    Shape result{input[0]};
    if (equation_.ellipsis == KernelEquation::before)
      for (int axis = 1; axis < elided; ++axis) result.append(input[axis]);
    result = result + config_.output_shape;
    if (equation_.ellipsis == KernelEquation::after) result = result + input.from(input.rank() - elided);
    const int wanted = static_cast<int>(equation_.result.size()) +
                       (equation_.ellipsis == KernelEquation::none ? 0 : elided);
    need(result.rank() == wanted, "got output_shape {} for the equation '{}' and input {}, wanted {} axes",
         config_.output_shape, config_.equation, input, config_.output_shape.rank() + wanted - result.rank());
    return result;
  }

  KernelEquation equation_;
  VariableRef kernel_, bias_;
  std::optional<Float8Product> float8_;
};

}  // namespace

LayerRef EinsumDense(EinsumDenseConfig config, LayerOptions options) {
  return std::make_shared<EinsumDenseLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> einsum_dense_layers() { return {layer_info<EinsumDenseLayer>()}; }

}  // namespace nacre
