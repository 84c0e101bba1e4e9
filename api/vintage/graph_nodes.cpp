// Nodes of TensorFlow's graphs, which tf.keras before 2.4 wrote as layers (TensorFlowOpLayer), as calls of its functions.
#include <algorithm>
#include <array>
#include <iterator>

#include "api/vintage/tensorflow.h"
#include "formats/base64.h"
#include "formats/json.h"

namespace nacre::vintages {

namespace {

constexpr std::array<std::string_view, 4> x{"x"}, xy{"x", "y"}, features{"features"}, input{"input"};

struct GraphOp {
  std::string_view op, function;
  std::array<std::string_view, 4> inputs;  // none: they are one list
};
constexpr GraphOp graph_ops[] = {
    {"AddV2", "add", xy},
    {"Add", "add", xy},
    {"AddN", "add_n", {}},
    {"BiasAdd", "bias_add", {"value", "bias"}},
    {"Sub", "subtract", xy},
    {"Mul", "multiply", xy},
    {"RealDiv", "divide", xy},
    {"FloorDiv", "floordiv", xy},
    {"FloorMod", "floormod", xy},
    {"DivNoNan", "divide_no_nan", xy},
    {"MulNoNan", "multiply_no_nan", xy},
    {"Atan2", "atan2", {"y", "x"}},
    {"Pow", "pow", xy},
    {"Maximum", "maximum", xy},
    {"Minimum", "minimum", xy},
    {"SquaredDifference", "squared_difference", xy},
    {"Equal", "equal", xy},
    {"NotEqual", "not_equal", xy},
    {"Less", "less", xy},
    {"LessEqual", "less_equal", xy},
    {"Greater", "greater", xy},
    {"GreaterEqual", "greater_equal", xy},
    {"LogicalAnd", "logical_and", xy},
    {"LogicalOr", "logical_or", xy},
    {"LogicalNot", "logical_not", x},
    {"Select", "where", {"condition", "x", "y"}},
    {"SelectV2", "where", {"condition", "x", "y"}},
    {"Neg", "negative", x},
    {"Abs", "abs", x},
    {"Sign", "sign", x},
    {"Square", "square", x},
    {"Sqrt", "sqrt", x},
    {"Rsqrt", "rsqrt", x},
    {"Reciprocal", "reciprocal", x},
    {"Inv", "reciprocal", x},
    {"Exp", "exp", x},
    {"Expm1", "expm1", x},
    {"Log", "log", x},
    {"Log1p", "log1p", x},
    {"Sin", "sin", x},
    {"Cos", "cos", x},
    {"Tan", "tan", x},
    {"Asin", "asin", x},
    {"Acos", "acos", x},
    {"Atan", "atan", x},
    {"Sinh", "sinh", x},
    {"Cosh", "cosh", x},
    {"Tanh", "tanh", x},
    {"Asinh", "asinh", x},
    {"Acosh", "acosh", x},
    {"Atanh", "atanh", x},
    {"Sigmoid", "sigmoid", x},
    {"Floor", "floor", x},
    {"Ceil", "ceil", x},
    {"Round", "round", x},
    {"Rint", "rint", x},
    {"Erf", "erf", x},
    {"Erfc", "erfc", x},
    {"IsNan", "is_nan", x},
    {"IsInf", "is_inf", x},
    {"IsFinite", "is_finite", x},
    {"Identity", "identity", input},
    {"Snapshot", "identity", input},
    {"StopGradient", "stop_gradient", input},
    {"Relu", "relu", features},
    {"Relu6", "relu6", features},
    {"Elu", "elu", features},
    {"Selu", "selu", features},
    {"Softplus", "softplus", features},
    {"Softsign", "softsign", features},
    {"LeakyRelu", "leaky_relu", features},
    {"Softmax", "softmax", {"logits"}},
    {"LogSoftmax", "log_softmax", {"logits"}},
    {"Sum", "reduce_sum", {"input_tensor", "axis"}},
    {"Mean", "reduce_mean", {"input_tensor", "axis"}},
    {"Max", "reduce_max", {"input_tensor", "axis"}},
    {"Min", "reduce_min", {"input_tensor", "axis"}},
    {"Prod", "reduce_prod", {"input_tensor", "axis"}},
    {"Any", "reduce_any", {"input_tensor", "axis"}},
    {"All", "reduce_all", {"input_tensor", "axis"}},
    {"EuclideanNorm", "reduce_euclidean_norm", {"input_tensor", "axis"}},
    {"Cumsum", "cumsum", {"x", "axis"}},
    {"Cumprod", "cumprod", {"x", "axis"}},
    {"TopKV2", "top_k", {"input", "k"}},
    {"ClipByValue", "clip_by_value", {"t", "clip_value_min", "clip_value_max"}},
    {"ArgMax", "argmax", {"input", "axis"}},
    {"ArgMin", "argmin", {"input", "axis"}},
    {"Reshape", "reshape", {"tensor", "shape"}},
    {"Transpose", "transpose", {"a", "perm"}},
    {"ExpandDims", "expand_dims", {"input", "axis"}},
    {"Squeeze", "squeeze", input},
    {"Tile", "tile", {"input", "multiples"}},
    {"Pad", "pad", {"tensor", "paddings"}},
    {"PadV2", "pad", {"tensor", "paddings", "constant_values"}},
    {"MirrorPad", "pad", {"tensor", "paddings"}},
    {"BroadcastTo", "broadcast_to", {"input", "shape"}},
    {"ReverseV2", "reverse", {"tensor", "axis"}},
    {"Roll", "roll", {"input", "shift", "axis"}},
    {"Slice", "slice", {"input_", "begin", "size"}},
    {"StridedSlice", "getitem", {"tensor", "begin", "end", "strides"}},
    {"Split", "split", {"axis", "value"}},
    {"SplitV", "split", {"value", "num_or_size_splits", "axis"}},
    {"Unpack", "unstack", {"value"}},
    {"Shape", "shape", input},
    {"OneHot", "one_hot", {"indices", "depth", "on_value", "off_value"}},
    {"Gather", "gather", {"params", "indices"}},
    {"GatherV2", "gather", {"params", "indices", "axis"}},
    {"Cast", "cast", x},
    {"MatMul", "matmul", {"a", "b"}},
    {"BatchMatMul", "matmul", {"a", "b"}},
    {"BatchMatMulV2", "matmul", {"a", "b"}},
    {"Einsum", "einsum", {}},
    {"MaxPool", "max_pool", input},
    {"AvgPool", "avg_pool", input},
    {"Conv2D", "conv2d", {"input", "filters"}},
    {"DepthwiseConv2dNative", "depthwise_conv2d", {"input", "filter"}},
    {"LRN", "lrn", input},
    {"ZerosLike", "zeros_like", input},
    {"OnesLike", "ones_like", input},
    {"DepthToSpace", "depth_to_space", input},
    {"SpaceToDepth", "space_to_depth", input},
    {"ResizeBilinear", "resize", {"images", "size"}},
    {"ResizeNearestNeighbor", "resize", {"images", "size"}},
    {"Pack", "stack", {}},
    {"ConcatV2", "concat", {}},
};

// A value of an attribute, bytes in base 64: {"i": "2"}, {"b": true}, {"f": 0.2}, {"s": "U0FNRQ=="}, {"list": {"i": ["1"]}}, {"type": "DT_FLOAT"}.
Tree attribute(const Tree& node, std::string_view name) {
  const Tree* all = node.find("attr");
  const Tree* value = all ? all->find(name) : nullptr;
  if (!value || !value->is_mapping()) return {};
  const auto number = [](const Tree& tree) { return tree.is_string() ? parse_json(tree.as_string()) : tree; };
  if (const Tree* list = value->find("list")) {
    Tree numbers = Tree::sequence();
    if (const Tree* integers = list->find("i"))
      for (const Tree& item : integers->items()) numbers.push(number(item));
    return numbers;
  }
  if (const Tree* integer = value->find("i")) return number(*integer);
  if (const Tree* bytes = value->find("s"); bytes && bytes->is_string()) return from_base64(bytes->as_string());
  for (std::string_view kind : {"b", "f", "type"})
    if (const Tree* present = value->find(kind)) return *present;
  return {};
}

Tree dtype_of(const Tree& type) {
  constexpr Rename types[] = {{"DT_FLOAT", "float32"}, {"DT_DOUBLE", "float64"}, {"DT_HALF", "float16"},  {"DT_INT32", "int32"},
                              {"DT_INT64", "int64"},   {"DT_BOOL", "bool"},      {"DT_UINT8", "uint8"}};
  for (const auto& [name, present] : types)
    if (type == Tree(name)) return present;
  throw Error("the dtype {} is not supported", type.text()).usage();
}

// x[begin:end:strides] in the form of a SlicingOpLambda; bit i of a mask is about part i. Source: tf.strided_slice.
Tree slice_spec(const Tree& arguments, const Tree& definition) {
  const auto mask = [&](std::string_view name) {
    const Tree value = attribute(definition, name);
    return value.is_null() ? std::int64_t{0} : value.as_integer();
  };
  const std::int64_t begin_mask = mask("begin_mask"), end_mask = mask("end_mask"), ellipsis = mask("ellipsis_mask"), added = mask("new_axis_mask"), dropped = mask("shrink_axis_mask");
  const Tree &begin = arguments["begin"], &end = arguments["end"], &strides = arguments["strides"];
  for (const Tree* each : {&begin, &end, &strides})
    if (!each->is_sequence() || holds_tensor(*each) || each->items().size() != begin.items().size() || each->items().size() > 32)
      throw Error("a slice up to a tensor is not supported").usage();
  Tree key = Tree::sequence();
  for (std::size_t i = 0; i < begin.items().size(); ++i) {
    const auto set = [&](std::int64_t bits) { return (bits >> i & 1) != 0; };
    Tree part;
    if (set(ellipsis)) {
      part.set("class_name", "__ellipsis__");
    } else if (set(dropped)) {
      part = begin.items()[i];
    } else if (!set(added)) {
      part.set("start", set(begin_mask) ? Tree() : begin.items()[i]);
      part.set("stop", set(end_mask) ? Tree() : end.items()[i]);
      part.set("step", strides.items()[i]);
    }
    key.push(std::move(part));
  }
  return key;
}

}  // namespace

GraphCall graph_call(const Tree& config, const Tree& node) {
  const Tree& written = config["node_def"];
  const Tree definition = written.is_string() ? parse_json(written.as_string()) : written;
  const std::string op = definition["op"].as_string();
  const auto known = std::find_if(std::begin(graph_ops), std::end(graph_ops), [&](const GraphOp& each) { return each.op == op; });
  if (known == std::end(graph_ops)) throw Error("TensorFlow's operation '{}' is not supported", op).usage();

  const Tree* constants = config.find("constants");
  const Tree::Sequence tensors = is_operand(node) ? Tree::Sequence{node} : node.items();
  const std::size_t count = tensors.size() + (constants && constants->is_mapping() ? constants->entries().size() : 0);
  Tree arguments = Tree::mapping(), values = Tree::sequence();
  auto tensor = tensors.begin();
  for (std::size_t i = 0; i < count; ++i) {
    const Tree* constant = constants ? constants->find(std::to_string(i)) : nullptr;
    if (!constant && tensor == tensors.end()) throw Error("its node has fewer inputs than its constants count").usage();
    Tree value = constant ? *constant : *tensor++;
    if (known->inputs[0].empty()) values.push(std::move(value));
    else if (i < known->inputs.size() && !known->inputs[i].empty()) arguments.set(known->inputs[i], std::move(value));
  }
  if (op == "ConcatV2") {
    if (values.items().empty()) throw Error("its node has no inputs").usage();
    arguments.set("axis", values.items().back());
    values.items().pop_back();
  }
  if (known->inputs[0].empty()) arguments.set(op == "AddN" || op == "Einsum" ? "inputs" : "values", std::move(values));
  const auto take_attribute = [&](std::string_view name, std::string_view argument) {
    if (Tree value = attribute(definition, name); !value.is_null()) arguments.set(argument, std::move(value));
  };
  if (op == "StridedSlice") {
    Tree key = slice_spec(arguments, definition);
    for (std::string_view part : {"begin", "end", "strides"}) arguments.erase(part);
    arguments.set("slice_spec", std::move(key));
  }
  if (op == "Pack" || op == "Unpack" || op == "OneHot") take_attribute("axis", "axis");
  if (op == "Unpack") take_attribute("num", "num");
  if (op == "Split") take_attribute("num_split", "num_or_size_splits");
  if (op == "Squeeze") {
    take_attribute("squeeze_dims", "axis");
    if (const Tree* axes = arguments.find("axis"); axes && axes->items().empty()) arguments.erase("axis");
  }
  if (op == "LeakyRelu") take_attribute("alpha", "alpha");
  if (op == "Cast") arguments.set("dtype", dtype_of(attribute(definition, "DstT")));
  if (op == "ResizeNearestNeighbor") arguments.set("method", "nearest");
  if (op == "DepthToSpace" || op == "SpaceToDepth") take_attribute("block_size", "block_size");
  if (op == "MirrorPad") take_attribute("mode", "mode");
  if (op == "Einsum") take_attribute("equation", "equation");
  if (op == "Cumsum" || op == "Cumprod")
    for (std::string_view name : {"exclusive", "reverse"}) take_attribute(name, name);
  if (op == "LRN")
    for (std::string_view name : {"depth_radius", "bias", "alpha", "beta"}) take_attribute(name, name);
  if (op.ends_with("Pool") || op == "Conv2D" || op == "DepthwiseConv2dNative" || op == "DepthToSpace" || op == "SpaceToDepth")
    for (std::string_view name : {"ksize", "strides", "padding", "data_format", "dilations"}) take_attribute(name, name);
  if (known->function.starts_with("reduce_")) take_attribute("keep_dims", "keepdims");
  if (op.starts_with("Resize") && attribute(definition, "half_pixel_centers") != Tree(true))
    throw Error("{} without half_pixel_centers is not supported", op).usage();
  for (const auto& [turned, argument] : {Rename{"transpose_a", "transpose_a"}, {"transpose_b", "transpose_b"}, {"adj_x", "transpose_a"}, {"adj_y", "transpose_b"}})
    if (attribute(definition, turned) == Tree(true)) arguments.set(argument, true);
  return {std::string(known->function), std::move(arguments)};
}

}  // namespace nacre::vintages
