#include "backend/cudnn/group_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/core/random.h"
#include "backend/cudnn/source.h"
#include "backend/graph/ops/bitwise.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/random.h"
#include "backend/reference/kernel.h"

namespace nacre::gpu {

RowLists lists_of(const Node& sum) { return {sum.types()[0].shape[0], sum.in(0).type()}; }

std::vector<const Node*> row_sums(const Graph& body) {
  std::vector<const Node*> found;
  std::ranges::copy_if(body.nodes(), std::back_inserter(found),
                       [](const Node* node) { return node->is(op::scatter_add); });
  return found;
}

std::size_t input_index(const Graph& body, Value value) {
  const auto found = std::ranges::find(body.inputs(), value, &Graph::NamedValue::value);
  ensure(found != body.inputs().end(), "a sum of rows in a group wants operands of the group");
  return static_cast<std::size_t>(found - body.inputs().begin());
}

namespace {

struct Formula {
  const Op* op;
  std::string_view text;  // of {0}, {1}, {2}
};
constexpr Formula formulas[] = {
    {&op::negate, "-{0}"},
    {&op::abs, "({0} < 0 ? -{0} : {0})"},
    {&op::sign, "sign_of({0})"},
    {&op::exp, "exp({0})"},
    {&op::expm1, "expm1({0})"},
    {&op::log, "log({0})"},
    {&op::log1p, "log1p({0})"},
    {&op::sqrt, "sqrt({0})"},
    {&op::rsqrt, "1 / sqrt({0})"},
    {&op::square, "{0} * {0}"},
    {&op::reciprocal, "1 / {0}"},
    {&op::sin, "sin({0})"},
    {&op::cos, "cos({0})"},
    {&op::tanh, "tanh({0})"},
    {&op::sigmoid, "1 / (1 + exp(-{0}))"},
    {&op::relu, "({0} <= 0 ? 0 : {0})"},
    {&op::erf, "erf({0})"},
    {&op::floor, "floor({0})"},
    {&op::ceil, "ceil({0})"},
    {&op::round, "rint({0})"},
    {&op::logical_not, "{0} == 0"},
    {&op::is_finite, "({0} - {0} == 0)"},
    {&op::add, "{0} + {1}"},
    {&op::subtract, "{0} - {1}"},
    {&op::multiply, "{0} * {1}"},
    {&op::divide, "{0} / {1}"},
    {&op::power, "raised({0}, {1})"},
    {&op::maximum, "larger({0}, {1})"},
    {&op::minimum, "smaller({0}, {1})"},
    {&op::modulo, "floor_modulo({0}, {1})"},
    {&op::equal, "{0} == {1}"},
    {&op::not_equal, "{0} != {1}"},
    {&op::less, "{0} < {1}"},
    {&op::less_equal, "{0} <= {1}"},
    {&op::greater, "{0} > {1}"},
    {&op::greater_equal, "{0} >= {1}"},
    {&op::logical_and, "{0} != 0 && {1} != 0"},
    {&op::logical_or, "{0} != 0 || {1} != 0"},
    {&op::select, "{0} ? {1} : {2}"},
    {&op::stop_gradient, "{0}"},
    {&op::bitwise_and, "{0} & {1}"},
    {&op::bitwise_or, "{0} | {1}"},
    {&op::bitwise_xor, "{0} ^ {1}"},
    {&op::shift_left, "shifted_left({0}, {1})"},
    {&op::shift_right, "shifted_right({0}, {1})"},
    {&op::gcd, "common_divisor({0}, {1})"},
    {&op::lcm, "common_multiple({0}, {1})"},
};

const Formula* formula_of(const Node& node) {
  const auto found = std::ranges::find_if(formulas, [&](const Formula& formula) { return node.is(*formula.op); });
  return found == std::end(formulas) ? nullptr : found;
}

// A value rounded, or cut, to what its element type holds.
std::string narrowed(DType dtype, std::string_view value) {
  switch (dtype) {
    case DType::boolean: return fmt::format("({} != 0)", value);
    case DType::uint8:
    case DType::int32: return fmt::format("(integer)({})({})", memory_type(dtype), value);
    case DType::float16: return fmt::format("from_half(to_half((float)({})))", value);
    case DType::bfloat16: return fmt::format("from_brain(to_brain((float)({})))", value);
    default: return fmt::format("({})({})", compute_type(dtype), value);
  }
}

bool is_short_integer(DType dtype) { return dtype == DType::int32 || dtype == DType::uint8; }

class Body {
 public:
  Body(const Graph& graph, const Shape& space, std::int64_t most_lanes)
      : graph_(graph),
        space_(space),
        lanes_(lanes_of(graph, space, most_lanes)),
        names_(graph.nodes().size()),
        next_list_(graph.inputs().size()) {
    for (std::size_t k = 0; k < graph.inputs().size(); ++k) {
      const Value value = graph.inputs()[k].value;
      if (is_read(value)) declare(value.node(), operand(k));
    }
    for (const Node* node : graph.nodes())
      if (!node->is(op::input)) add(*node);
    for (std::size_t k = 0; k < graph.outputs().size(); ++k) {
      const Value value = graph.outputs()[k].value;
      const std::string type = pack_of(value.dtype());
      before_ += fmt::format("    {} q{};\n", type, k);
      text_ += fmt::format("    {}\n", store(value.dtype(), fmt::format("q{}.at", k), "lane", name(value)));
      after_ += fmt::format("    (({0}*)out{1})[at] = q{1};\n", type, k);
    }
  }
  std::int64_t packs() const { return space_.elements() / lanes_; }
  std::string text() const {
    return fmt::format(
        "{0}#pragma unroll\n    for (int lane = 0; lane < {1}; ++lane) {{\n    const decltype(at) i = at * {1} + "
        "lane;\n{2}    }}\n{3}",
        before_, lanes_, text_, after_);
  }

 private:
  // random_uniform looks at the shape of its last operand alone, and sums of rows read elsewhere than at `i`.
  static bool is_read(Value value) {
    if (value.uses() == 0) return false;
    for (const Node* node : value.graph().nodes())
      for (std::size_t i = 0; i < node->inputs().size(); ++i)
        if (node->inputs()[i] == value && !(node->is(op::random_uniform) && i == 2) && !node->is(op::scatter_add))
          return true;
    return std::ranges::any_of(value.graph().outputs(), [&](const auto& output) { return output.value == value; });
  }
  static std::int64_t lanes_of(const Graph& graph, const Shape& space, std::int64_t most) {
    if (!row_sums(graph).empty()) return 1;
    const std::int64_t count = space.elements();
    std::size_t bytes = 1;
    for (const auto& values : {graph.inputs(), graph.outputs()})
      for (const auto& [name, value] : values)
        if (value.shape().elements() == count) bytes = std::max(bytes, size_of(value.dtype()));
    std::int64_t lanes = std::min<std::int64_t>(most, 16 / static_cast<std::int64_t>(bytes));
    while (count % lanes != 0) lanes /= 2;
    return lanes;
  }
  std::string pack_of(DType dtype) const { return fmt::format("pack<{}, {}>", memory_type(dtype), lanes_); }
  std::string operand(std::size_t k) {
    const Type& type = graph_.inputs()[k].value.type();
    if (type.shape.elements() != space_.elements())
      return load(type.dtype, fmt::format("in{}", k),
                  offset("i", space_, reference::broadcast_strides(type.shape, space_)));
    before_ += fmt::format("    const {0} p{1} = ((const {0}*)in{1})[at];\n", pack_of(type.dtype), k);
    return load(type.dtype, fmt::format("p{}.at", k), "lane");
  }
  std::string& name(Value value) { return names_[static_cast<std::size_t>(value.node().id())]; }
  void declare(const Node& node, std::string_view value) {
    names_[static_cast<std::size_t>(node.id())] = fmt::format("v{}", node.id());
    text_ += fmt::format("    const {} v{} = {};\n", compute_type(node.types()[0].dtype), node.id(), value);
  }

  void add_row_sum(const Node& node) {
    const DType dtype = node.types()[0].dtype;
    const std::string total = fmt::format("total{}", node.id());
    const std::int64_t width = node.types()[0].shape.from(1).elements();
    const std::string update =
        load(dtype, fmt::format("in{}", input_index(graph_, node.in(1))), fmt::format("update * {0} + i % {0}", width));
    text_ += fmt::format("    {} {} = 0;\n    {}\n", compute_type(dtype), total,
                         lists_of(node).each(fmt::format("in{}", next_list_++), fmt::format("i / {}", width),
                                             fmt::format("{} += {};", total, update)));
    declare(node, narrowed(dtype, total));
  }

  void add(const Node& node) {
    const DType dtype = node.types()[0].dtype;
    if (node.is(op::constant)) {
      names_[static_cast<std::size_t>(node.id())] = literal(dtype, node.attrs<ConstantAttrs>().value.item());
    } else if (node.is(op::random_uniform)) {
      const auto& p = node.attrs<RandomAttrs>();
      const std::uint64_t stream = RandomKey::of(0, p.path, static_cast<std::uint32_t>(p.call)).stream;
      declare(node, fmt::format("uniform({}, {}ull, {}, i)", name(node.in(0)), stream, name(node.in(1))));
    } else if (node.is(op::scatter_add)) {
      add_row_sum(node);
    } else if (node.is(op::cast)) {
      declare(node, narrowed(dtype, name(node.in(0))));
    } else {
      std::vector<std::string> operands;
      for (Value value : node.inputs()) operands.push_back(name(value));
      operands.resize(3);
      const std::string value =
          fmt::format(fmt::runtime(formula_of(node)->text), operands[0], operands[1], operands[2]);
      declare(node, is_short_integer(dtype) ? narrowed(dtype, value) : value);
    }
  }

  const Graph& graph_;
  const Shape& space_;
  std::int64_t lanes_;  // elements of a pack
  std::vector<std::string> names_;
  std::size_t next_list_;  // operand
  std::string before_, text_, after_;
};

}  // namespace

bool has_formula(const Node& node) { return formula_of(node) != nullptr; }

GroupText group_text(const Graph& graph, const Shape& space, std::int64_t most_lanes) {
  const Body body(graph, space, most_lanes);
  return {body.packs(), body.text()};
}

}  // namespace nacre::gpu
