// Nodes of TensorFlow's graphs, which tf.keras before 2.4 wrote as layers (TensorFlowOpLayer), as calls of its functions.
#include <algorithm>
#include <array>
#include <iterator>

#include "api/vintage/tensorflow.h"
#include "formats/json.h"

namespace nacre::vintages {

namespace {

constexpr std::array<std::string_view, 3> x{"x"}, xy{"x", "y"}, features{"features"}, input{"input"};

struct GraphOp {
  std::string_view op, function;
  std::array<std::string_view, 3> inputs;
};
constexpr GraphOp graph_ops[] = {
    {"AddV2", "add", xy},
    {"Add", "add", xy},
    {"BiasAdd", "bias_add", {"value", "bias"}},
    {"Sub", "subtract", xy},
    {"Mul", "multiply", xy},
    {"RealDiv", "divide", xy},
    {"FloorDiv", "floordiv", xy},
    {"FloorMod", "floormod", xy},
    {"DivNoNan", "divide_no_nan", xy},
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
    {"Exp", "exp", x},
    {"Log", "log", x},
    {"Log1p", "log1p", x},
    {"Sin", "sin", x},
    {"Cos", "cos", x},
    {"Tanh", "tanh", x},
    {"Sigmoid", "sigmoid", x},
    {"Floor", "floor", x},
    {"Round", "round", x},
    {"Erf", "erf", x},
    {"Identity", "identity", input},
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
    {"ArgMax", "argmax", {"input", "axis"}},
    {"ArgMin", "argmin", {"input", "axis"}},
    {"Reshape", "reshape", {"tensor", "shape"}},
    {"Transpose", "transpose", {"a", "perm"}},
    {"ExpandDims", "expand_dims", {"input", "axis"}},
    {"Squeeze", "squeeze", input},
    {"Tile", "tile", {"input", "multiples"}},
    {"Pad", "pad", {"tensor", "paddings"}},
    {"GatherV2", "gather", {"params", "indices", "axis"}},
    {"Cast", "cast", x},
    {"MatMul", "matmul", {"a", "b"}},
    {"BatchMatMulV2", "matmul", {"a", "b"}},
    {"ZerosLike", "zeros_like", input},
    {"OnesLike", "ones_like", input},
    {"DepthToSpace", "depth_to_space", input},
    {"SpaceToDepth", "space_to_depth", input},
    {"ResizeBilinear", "resize", {"images", "size"}},
    {"ResizeNearestNeighbor", "resize", {"images", "size"}},
    {"Pack", "stack", {}},
    {"ConcatV2", "concat", {}},
};

// A value of an attribute: {"i": "2"}, {"b": true}, {"f": 0.2}, {"list": {"i": ["1"]}}, {"type": "DT_FLOAT"}.
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
  if (known->inputs[0].empty()) arguments.set("values", std::move(values));
  if (op == "Pack") arguments.set("axis", attribute(definition, "axis"));
  if (op == "Squeeze") arguments.set("axis", attribute(definition, "squeeze_dims"));
  if (op == "LeakyRelu") arguments.set("alpha", attribute(definition, "alpha"));
  if (op == "Cast") arguments.set("dtype", dtype_of(attribute(definition, "DstT")));
  if (op == "ResizeNearestNeighbor") arguments.set("method", "nearest");
  if (op == "DepthToSpace" || op == "SpaceToDepth") arguments.set("block_size", attribute(definition, "block_size"));
  if (known->function.starts_with("reduce_")) arguments.set("keepdims", attribute(definition, "keep_dims"));
  if (op.starts_with("Resize") && attribute(definition, "half_pixel_centers") != Tree(true))
    throw Error("{} without half_pixel_centers is not supported", op).usage();
  for (std::string_view turned : {"transpose_a", "transpose_b", "adj_x", "adj_y"})
    if (attribute(definition, turned) == Tree(true)) throw Error("{} with {} is not supported", op, turned).usage();
  return {std::string(known->function), std::move(arguments)};
}

}  // namespace nacre::vintages
