// Calls of TensorFlow's functions on tensors, which tf.keras writes as layers of their own: TFOpLambda and SlicingOpLambda
// (from 2.4 on) name the function and have its arguments in the call. Here they become Keras 3's operations.
#include <algorithm>
#include <array>
#include <iterator>

#include "api/vintage/tensorflow.h"

namespace nacre::vintages {

namespace {

// --- the functions ---------------------------------------------------------------------------------------------------

struct Function {
  std::string_view name;                      // TensorFlow's
  std::string_view operation;                 // Keras's
  std::array<std::string_view, 3> operands{};  // TensorFlow's names of what the operation is called with, in its order
  std::array<Rename, 3> fields{};             // other arguments, and the fields of the operation that they are
};

constexpr std::array<std::string_view, 3> x{"x"}, xy{"x", "y"}, yx{"y", "x"}, features{"features"}, input{"input"}, input_tensor{"input_tensor"};
constexpr std::array<Rename, 3> reduced{{{"axis", "axis"}, {"keepdims", "keepdims"}}}, along{{{"axis", "axis"}}};

constexpr Function functions[] = {
    {"add", "Add", xy},
    {"radd", "Add", yx},
    {"subtract", "Subtract", xy},
    {"sub", "Subtract", xy},
    {"rsub", "Subtract", yx},
    {"multiply", "Multiply", xy},
    {"mul", "Multiply", xy},
    {"rmul", "Multiply", yx},
    {"divide", "Divide", xy},
    {"truediv", "Divide", xy},
    {"rtruediv", "Divide", yx},
    {"realdiv", "Divide", xy},
    {"divide_no_nan", "DivideNoNan", xy},
    {"floordiv", "FloorDivide", xy},
    {"floormod", "Mod", xy},
    {"mod", "Mod", xy},
    {"pow", "Power", xy},
    {"rpow", "Power", yx},
    {"maximum", "Maximum", xy},
    {"minimum", "Minimum", xy},
    {"atan2", "Arctan2", yx},
    {"logaddexp", "Logaddexp", xy},
    {"equal", "Equal", xy},
    {"not_equal", "NotEqual", xy},
    {"less", "Less", xy},
    {"less_equal", "LessEqual", xy},
    {"greater", "Greater", xy},
    {"greater_equal", "GreaterEqual", xy},
    {"logical_and", "LogicalAnd", xy},
    {"logical_or", "LogicalOr", xy},
    {"logical_xor", "LogicalXor", xy},
    {"logical_not", "LogicalNot", x},
    {"is_nan", "Isnan", x},
    {"is_inf", "Isinf", x},
    {"is_finite", "Isfinite", x},
    {"bias_add", "Add", {"value", "bias"}},
    {"where", "Where", {"condition", "x", "y"}},
    {"where_v2", "Where", {"condition", "x", "y"}},
    {"select", "Where", {"condition", "x", "y"}},
    {"tensordot", "Tensordot", {"a", "b"}, {{{"axes", "axes"}}}},
    {"cross", "Cross", {"a", "b"}},
    {"negative", "Negative", x},
    {"neg", "Negative", x},
    {"abs", "Absolute", x},
    {"sign", "Sign", x},
    {"square", "Square", x},
    {"sqrt", "Sqrt", x},
    {"rsqrt", "Rsqrt", x},
    {"reciprocal", "Reciprocal", x},
    {"exp", "Exp", x},
    {"expm1", "Expm1", x},
    {"log", "Log", x},
    {"log1p", "Log1p", x},
    {"sin", "Sin", x},
    {"cos", "Cos", x},
    {"tan", "Tan", x},
    {"asin", "Arcsin", x},
    {"acos", "Arccos", x},
    {"atan", "Arctan", x},
    {"sinh", "Sinh", x},
    {"cosh", "Cosh", x},
    {"tanh", "Tanh", x},
    {"asinh", "Arcsinh", x},
    {"acosh", "Arccosh", x},
    {"atanh", "Arctanh", x},
    {"log_sigmoid", "LogSigmoid", x},
    {"sigmoid", "Sigmoid", x},
    {"floor", "Floor", x},
    {"ceil", "Ceil", x},
    {"round", "Round", x},
    {"rint", "Round", x},
    {"erf", "Erf", x},
    {"erfc", "Erfc", x},
    {"erfinv", "Erfinv", x},
    {"identity", "Copy", input},
    {"stop_gradient", "StopGradient", input},
    {"relu", "Relu", features},
    {"relu6", "Relu6", features},
    {"elu", "Elu", features},
    {"selu", "Selu", features},
    {"gelu", "Gelu", features, {{{"approximate", "approximate"}}}},
    {"silu", "Silu", features},
    {"swish", "Silu", features},
    {"softplus", "Softplus", features},
    {"softsign", "Softsign", features},
    {"leaky_relu", "LeakyRelu", features, {{{"alpha", "negative_slope"}}}},
    {"softmax", "Softmax", {"logits"}, along},
    {"log_softmax", "LogSoftmax", {"logits"}, along},
    {"reduce_sum", "Sum", input_tensor, reduced},
    {"reduce_mean", "Mean", input_tensor, reduced},
    {"reduce_max", "Max", input_tensor, reduced},
    {"reduce_min", "Min", input_tensor, reduced},
    {"reduce_prod", "Prod", input_tensor, reduced},
    {"reduce_any", "Any", input_tensor, reduced},
    {"reduce_all", "All", input_tensor, reduced},
    {"reduce_std", "Std", input_tensor, reduced},
    {"reduce_variance", "Var", input_tensor, reduced},
    {"reduce_logsumexp", "Logsumexp", input_tensor, reduced},
    {"reduce_euclidean_norm", "Norm", input_tensor, reduced},
    {"moments", "Moments", x, {{{"axes", "axes"}, {"keepdims", "keepdims"}}}},
    {"cumsum", "Cumsum", x, along},
    {"cumprod", "Cumprod", x, along},
    {"sort", "Sort", {"values"}, along},
    {"argsort", "Argsort", {"values"}, along},
    {"top_k", "TopK", input, {{{"k", "k"}, {"sorted", "sorted"}}}},
    {"argmax", "Argmax", input, along},
    {"argmin", "Argmin", input, along},
    {"concat", "Concatenate", {"values"}, along},
    {"stack", "Stack", {"values"}, along},
    {"unstack", "Unstack", {"value"}, {{{"num", "num"}, {"axis", "axis"}}}},
    {"split", "Split", {"value"}, {{{"num_or_size_splits", "indices_or_sections"}, {"axis", "axis"}}}},
    {"transpose", "Transpose", {"a"}, {{{"perm", "axes"}}}},
    {"expand_dims", "ExpandDims", input, along},
    {"squeeze", "Squeeze", input, along},
    {"broadcast_to", "BroadcastTo", input, {{{"shape", "shape"}}}},
    {"tile", "Tile", input, {{{"multiples", "repeats"}}}},
    {"repeat", "Repeat", input, {{{"repeats", "repeats"}, {"axis", "axis"}}}},
    {"roll", "Roll", input, {{{"shift", "shift"}, {"axis", "axis"}}}},
    {"reverse", "Flip", {"tensor"}, along},
    {"gather", "Take", {"params", "indices"}, along},
    {"one_hot", "OneHot", {"indices"}, {{{"depth", "num_classes"}, {"axis", "axis"}, {"dtype", "dtype"}}}},
    {"cast", "Cast", x, {{{"dtype", "dtype"}}}},
    {"clip_by_value", "Clip", {"t"}, {{{"clip_value_min", "x_min"}, {"clip_value_max", "x_max"}}}},
    {"zeros_like", "ZerosLike", input, {{{"dtype", "dtype"}}}},
    {"ones_like", "OnesLike", input, {{{"dtype", "dtype"}}}},
    {"rgb_to_grayscale", "RGBToGrayscale", {"images"}},
    {"rgb_to_hsv", "RGBToHSV", {"images"}},
    {"hsv_to_rgb", "HSVToRGB", {"images"}},
    {"adjust_brightness", "Add", {"image", "delta"}},
    {"depth_to_space", "DepthToSpace", input, {{{"block_size", "block_size"}}}},
    {"space_to_depth", "SpaceToDepth", input, {{{"block_size", "block_size"}}}},
    {"getitem", "GetItem", {"tensor", "slice_spec"}},
};

// The defaults of TensorFlow that are not Keras's.
constexpr struct Default {
  std::string_view function, field;
  std::int64_t value;
} defaults[] = {{"concat", "axis", 0}, {"stack", "axis", 0}, {"unstack", "axis", 0}, {"split", "axis", 0},
                {"gather", "axis", 0}, {"argmax", "axis", 0}, {"argmin", "axis", 0}, {"cumsum", "axis", 0},
                {"cumprod", "axis", 0}, {"top_k", "k", 1}};

// Arguments that say nothing about the result.
constexpr std::string_view silent[] = {"name", "out_type", "output_type", "preserve_aspect_ratio", "validate_indices", "on_value", "off_value",
                                       "data_format", "batch_dims", "exclusive", "reverse", "beta", "num"};

const Function& function_named(const std::string& whole) {
  const std::string name = whole.substr(whole.rfind('.') + 1);  // "math.add", "__operators__.add"
  const auto found = std::find_if(std::begin(functions), std::end(functions), [&](const Function& function) { return function.name == name; });
  if (found == std::end(functions)) throw Error("the TensorFlow function '{}' is not supported", whole).usage();
  return *found;
}

// --- arguments -------------------------------------------------------------------------------------------------------

// {start, stop, step} as "start:stop:step"; a list of slices, integers, null and an ellipsis.
Tree slice_key(const Tree& tree) {
  if (tree.is_mapping() && tree.find("class_name")) return "...";
  if (tree.is_mapping()) {
    const auto number = [&](std::string_view key) {
      const Tree* value = tree.find(key);
      if (value && value->is_sequence()) throw Error("a slice up to a tensor is not supported").usage();
      return value && !value->is_null() ? std::to_string(value->as_integer()) : std::string();
    };
    return number("start") + ":" + number("stop") + ":" + number("step");
  }
  if (!tree.is_sequence()) return tree;
  if (holds_tensor(tree)) throw Error("an index that is a tensor is not supported").usage();
  Tree list = Tree::sequence();
  for (const Tree& item : tree.items()) list.push(slice_key(item));
  return list;
}

// The sizes of the parts as the places between them.
Tree places_between(const Tree& sizes) {
  if (!sizes.is_sequence()) return sizes;
  Tree places = Tree::sequence();
  std::int64_t place = 0;
  for (std::size_t i = 0; i + 1 < sizes.items().size(); ++i) places.push(place += sizes.items()[i].as_integer());
  return places;
}

// The value of a field, where TensorFlow spells it in another way.
Tree field_value(const Function& function, std::string_view field, const Tree& value) {
  if (function.name == "split" && field == "indices_or_sections") return places_between(value);
  return value;
}

// {x: first argument, y: …}: a call of a TFOpLambda, whose first argument, alone or a list of tensors, carries the others.
Tree arguments_of(std::string_view first, bool takes_list, const Tree& node) {
  if (!node.is_sequence() || node.items().empty()) throw Error("wanted a call, got {}", node.text()).at(node.mark()).usage();
  const Tree& head = is_operand(node) ? node : node.items()[0];
  Tree arguments = is_operand(head) && head.items().size() > 3 ? head.items()[3] : Tree::mapping();
  arguments.set(first, is_operand(node) || takes_list ? node : head);
  return arguments;
}
// The first argument's name: the only one that the mapping does not have, in the order of the function's own arguments.
std::string_view first_argument(const Function& function) {
  if (function.operands == yx) return function.name == "atan2" ? "y" : "x";
  return function.operands[0];
}

Tree named_operation(std::string_view operation, std::string name, Tree fields, Tree calls) {
  Tree layer;
  fields.set("name", name);
  layer.set("class_name", fmt::format("ops.{}", operation));
  layer.set("config", std::move(fields));
  return functional_entry(std::move(layer), std::move(name), std::move(calls));
}

// One call of an operation, from TensorFlow's arguments by their names.
struct Call {
  Tree operands = Tree::sequence(), fields = Tree::mapping();
};

Call call_of(const Function& function, const Tree& given, const Sizes& sizes) {
  Call call;
  Arguments arguments(given, sizes);
  for (std::string_view name : function.operands) {
    const Tree* value = name.empty() ? nullptr : arguments.find(name);
    if (!value) break;
    call.operands.push(name == "slice_spec" ? slice_key(*value) : arguments.tensor(name));
  }
  for (const auto& [name, field] : function.fields) {
    if (name.empty()) continue;
    const Tree value = arguments.constant(name);
    if (!value.is_null()) call.fields.set(field, field_value(function, field, value));
  }
  for (const auto& [name, field, value] : defaults)
    if (name == function.name && !call.fields.find(field)) call.fields.set(field, value);
  // What has another value than the one that means nothing changes the result.
  for (const auto& [name, value, mark] : given.entries()) {
    const bool nothing = value == Tree(0) || value == Tree(1) || value == Tree(0.0) || value == Tree(1.0) || (name == "data_format" && value == Tree("NHWC"));
    if (nothing && std::find(std::begin(silent), std::end(silent), name) != std::end(silent)) arguments.find(name);
  }
  arguments.refuse_others(function.name);
  return call;
}

// Of a function that is one operation, which may be called several times.
std::vector<Tree> single_operation(const Function& function, const std::string& name, const std::vector<Tree>& nodes, const Sizes& sizes) {
  Tree fields, calls = Tree::sequence();
  for (const Tree& arguments : nodes) {
    Call call = call_of(function, arguments, sizes);
    if (calls.items().empty()) fields = call.fields;
    else if (!(fields == call.fields)) throw Error("it is called with different arguments").usage();
    Tree written;
    written.set("args", std::move(call.operands));
    written.set("kwargs", Tree::mapping());
    calls.push(std::move(written));
  }
  return {named_operation(function.operation, name, std::move(fields), std::move(calls))};
}

std::vector<Tree> composite_operation(const Composite& composite, const std::string& name, const std::vector<Tree>& nodes, const Sizes& sizes) {
  if (nodes.size() != 1) throw Error("it is called {} times", nodes.size()).usage();
  Steps steps(name);
  Arguments arguments(nodes.front(), sizes);
  composite.write(steps, arguments);
  arguments.refuse_others(composite.name);
  return std::move(steps).entries();
}

}  // namespace

bool is_operand(const Tree& tree) {
  return tree.is_sequence() && tree.items().size() >= 3 && tree.items()[0].is_string() && tree.items()[1].is_integer() &&
         (tree.items()[2].is_integer() || tree.items()[0] == Tree("_CONSTANT_VALUE"));
}

bool is_tensorflow_operation(const Tree& layer) {
  constexpr std::string_view classes[] = {"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod", "InstanceMethod", "InstanceProperty"};
  return std::any_of(std::begin(classes), std::end(classes), [&](std::string_view name) { return layer["class_name"] == Tree(name); });
}

bool holds_tensor(const Tree& tree) {
  if (tree.is_sequence()) return is_operand(tree) || std::any_of(tree.items().begin(), tree.items().end(), holds_tensor);
  return false;
}

Tree operand(const Tree& tree) {
  if (is_operand(tree)) {
    const Tree::Sequence& items = tree.items();
    if (items[0] == Tree("_CONSTANT_VALUE")) return items[2];
    Tree tensor, config;
    config.set("keras_history", Tree::Sequence{items[0], items[1], items[2]});
    tensor.set("class_name", "__keras_tensor__");
    tensor.set("config", std::move(config));
    return tensor;
  }
  if (!tree.is_sequence()) return tree;
  Tree list = Tree::sequence();
  for (const Tree& item : tree.items()) list.push(operand(item));
  return list;
}

std::vector<Tree> modern_operation(const Tree& entry, const Sizes& sizes) {
  try {
    if (sizes.computes(entry)) return {};
    const Tree& config = entry["config"];
    const std::string name = entry["name"].as_string();
    const Tree* function = config.find("function");
    const bool in_graph = entry["class_name"] == Tree("TensorFlowOpLayer");
    if (!in_graph && !function) throw Error("what it reads of a tensor is not supported").usage();
    std::vector<Tree> nodes;
    std::string whole = in_graph ? "" : function->as_string();
    for (const Tree& node : entry["inbound_nodes"].items()) {
      if (!in_graph) {
        nodes.push_back(node);
        continue;
      }
      GraphCall call = graph_call(config, node);
      whole = call.function;
      nodes.push_back(std::move(call.arguments));
    }
    if (nodes.empty()) throw Error("it is never called").usage();
    const std::string last = whole.substr(whole.rfind('.') + 1);  // "math.add", "__operators__.add"
    if (const Composite* composite = find_composite(last)) {
      if (!in_graph) nodes.front() = arguments_of(composite->first, composite->takes_list, nodes.front());
      return composite_operation(*composite, name, nodes, sizes);
    }
    const Function& plain = function_named(whole);
    if (!in_graph)
      for (Tree& node : nodes) node = arguments_of(first_argument(plain), plain.operands[0] == "values", node);
    return single_operation(plain, name, nodes, sizes);
  } catch (Error& error) {
    error.about(label_of(entry));
    throw;
  }
}

}  // namespace nacre::vintages
