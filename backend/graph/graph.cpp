#include "backend/graph/graph.h"

#include <algorithm>
#include <set>

#include "backend/core/random.h"

namespace nacre {

const Type& Value::type() const { return node_->types()[static_cast<std::size_t>(index_)]; }
const Shape& Value::shape() const { return type().shape; }
DType Value::dtype() const { return type().dtype; }
int Value::uses() const { return node_->uses(index_); }
Graph& Value::graph() const { return node_->graph(); }
bool Value::is(const Op& op) const { return node_ && node_->is(op); }

namespace op {
// Leaves get their types from Graph, which has the input's type at hand.
Types infer_leaf_input(const InputAttrs&, const Types& types) { return types; }
Types infer_variable(const VariableAttrs& p, const Types&) { return {p.variable->type()}; }
Types infer_constant(const ConstantAttrs& p, const Types&) { return {p.value.type()}; }
}  // namespace op

std::string text_of(const VariableRef& variable) {
  return fmt::format("{}@{}", variable->path(), static_cast<const void*>(variable.get()));
}

std::string text_of(const Tensor& tensor) {
  if (tensor.size() <= 8) {
    std::string text;
    for (std::int64_t i = 0; i < tensor.size(); ++i) text += fmt::format("{}{}", i ? ", " : "", tensor.at(i));
    return tensor.type().text() + "[" + text + "]";
  }
  const std::string_view bytes(static_cast<const char*>(tensor.raw()), tensor.bytes());
  return fmt::format("{}[#{:016x}]", tensor.type(), hash_text(bytes));
}

std::string text_of(const Subgraph& graph) { return fmt::format("graph@{}", static_cast<const void*>(graph.get())); }

Graph::Label::Label(Graph& graph, std::string text)
    : graph_(graph), before_(std::exchange(graph.label_, std::make_shared<const std::string>(std::move(text)))) {}

const Node& Graph::append(const Op& op, Attributes attributes, Values inputs, Types types) {
  for (Value value : inputs) {
    ensure(static_cast<bool>(value) && &value.graph() == this, "op '{}' got an operand of another graph", op.name);
    ++nodes_[static_cast<std::size_t>(value.node().id())]->uses_[static_cast<std::size_t>(value.index())];
  }
  auto node = std::make_unique<Node>();
  node->op_ = &op;
  node->attributes_ = std::move(attributes);
  node->inputs_ = std::move(inputs);
  node->uses_.assign(types.size(), 0);
  node->types_ = std::move(types);
  node->label_ = label_;
  node->id_ = static_cast<int>(nodes_.size());
  node->graph_ = this;
  return *nodes_.emplace_back(std::move(node));
}

const Node& Graph::add(const Op& op, Attributes attributes, Values inputs) {
  Types types;
  for (Value value : inputs) {
    ensure(static_cast<bool>(value), "op '{}' got a null operand", op.name);
    types.push_back(value.type());
  }
  try {
    for (const Type& type : types)
      need(type.dtype != DType::string || op.kind == OpKind::host, "got texts {}, wanted numbers", type.shape);
    types = op.infer_erased(op, attributes, types);
  } catch (Error& error) {
    if (!label_->empty()) error.about(*label_);
    else error.about(std::string(op.name));
    throw;
  }
  return append(op, std::move(attributes), std::move(inputs), std::move(types));
}

Value Graph::input(std::string name, Type type) {
  for (const NamedValue& present : inputs_) ensure(present.name != name, "two graph inputs are called '{}'", name);
  const Value value = append(op::input, Attributes(InputAttrs{name}), {}, {std::move(type)}).out();
  inputs_.push_back({std::move(name), value});
  return value;
}

Value Graph::variable(const VariableRef& variable) {
  for (const auto& [present, value] : variables_)
    if (present == variable) return value;
  const Value value = append(op::variable, Attributes(VariableAttrs{variable}), {}, {variable->type()}).out();
  variables_.emplace_back(variable, value);
  return value;
}

Value Graph::latest(const VariableRef& variable) {
  for (const Update& update : updates_)
    if (update.variable == variable) return update.value;
  return this->variable(variable);
}

Value Graph::constant(Tensor value) {
  ensure(value.dtype() != DType::string, "a graph got constant texts");
  Type type = value.type();
  return append(op::constant, Attributes(ConstantAttrs{std::move(value)}), {}, {std::move(type)}).out();
}

Value Graph::scalar(double value, DType dtype) { return constant(Tensor::scalar(value).cast(dtype)); }

void Graph::output(std::string name, Value value) {
  for (const NamedValue& present : outputs_) ensure(present.name != name, "two graph outputs are called '{}'", name);
  ensure(value && &value.graph() == this, "output '{}' is a value of another graph", name);
  ++nodes_[static_cast<std::size_t>(value.node().id())]->uses_[static_cast<std::size_t>(value.index())];
  outputs_.push_back({std::move(name), value});
}

bool Graph::is_updated(const VariableRef& variable) const {
  return std::ranges::find(updates_, variable, &Update::variable) != updates_.end();
}

void Graph::update(const VariableRef& variable, Value value) {
  ensure(value && &value.graph() == this, "the update of '{}' is a value of another graph", variable->path());
  ensure(value.type() == variable->type(), "the update of '{}' is {}, the variable {}", variable->path(), value.type(),
         variable->type());
  this->variable(variable);
  auto uses = [&](Value v) -> int& { return nodes_[static_cast<std::size_t>(v.node().id())]->uses_[static_cast<std::size_t>(v.index())]; };
  ++uses(value);
  for (Update& update : updates_)
    if (update.variable == variable) {
      --uses(update.value);
      update.value = value;
      return;
    }
  updates_.push_back({variable, value});
}

std::vector<const Node*> Graph::nodes() const {
  std::vector<const Node*> nodes;
  nodes.reserve(nodes_.size());
  for (const auto& node : nodes_) nodes.push_back(node.get());
  return nodes;
}

Value Graph::result(std::string_view output) const {
  for (const auto& [name, value] : outputs_)
    if (name == output) return value;
  throw InternalError("the graph has no output '{}'", output);
}

const Node& Graph::copy(const Node& node, Values inputs) {
  const auto before = std::exchange(label_, node.label_);
  const Node& copied = add(node.op(), node.attributes(), std::move(inputs));
  label_ = before;
  return copied;
}

std::string Graph::text() const {
  // %3 = conv{…}(%0, %1)  float32(8, 26, 26, 32)  layer 'conv1' (Conv2D)
  auto name = [](Value value) {
    return value.node().types().size() > 1 ? fmt::format("%{}.{}", value.node().id(), value.index())
                                           : fmt::format("%{}", value.node().id());
  };
  std::string text;
  for (const auto& node : nodes_) {
    std::string operands, types;
    for (Value value : node->inputs()) operands += (operands.empty() ? "" : ", ") + name(value);
    for (const Type& type : node->types()) types += (types.empty() ? "" : ", ") + type.text();
    std::string attributes = node->attributes().text();
    if (attributes == "{}") attributes.clear();
    text += fmt::format("%{} = {}{}({})  {}{}{}\n", node->id(), node->op().name, attributes, operands, types,
                        node->label().empty() ? "" : "  ", node->label());
  }
  for (const auto& [output, value] : outputs_) text += fmt::format("output {} = {}\n", output, name(value));
  for (const auto& [variable, value] : updates_) text += fmt::format("update {} = {}\n", variable->path(), name(value));
  return text;
}

void Graph::verify() const {
  std::vector<std::vector<int>> uses;
  auto use = [&](Value value, std::string_view by) {
    ensure(value && &value.graph() == this, "'{}' uses a value of another graph", by);
    const auto id = static_cast<std::size_t>(value.node().id());
    ensure(id < uses.size(), "'{}' uses a value that comes after it", by);
    ensure(value.index() >= 0 && value.index() < static_cast<int>(uses[id].size()), "'{}' uses output {} of '{}'", by,
           value.index(), value.node().op().name);
    ++uses[id][static_cast<std::size_t>(value.index())];
  };
  for (const auto& node : nodes_) {
    ensure(node->id() == static_cast<int>(uses.size()), "node {} stands at place {}", node->id(), uses.size());
    Types types;
    for (Value value : node->inputs()) {
      use(value, node->op().name);
      types.push_back(value.type());
    }
    if (node->op().kind != OpKind::leaf) {
      const Types inferred = node->op().infer_erased(node->op(), node->attributes(), types);
      ensure(inferred == node->types(), "'{}' does not have the types that its rule gives", node->op().name);
    }
    uses.emplace_back(node->types().size(), 0);
  }
  std::set<const Variable*> updated;
  for (const auto& [name, value] : outputs_) use(value, name);
  for (const auto& [variable, value] : updates_) {
    use(value, variable->path());
    ensure(value.type() == variable->type(), "the update of '{}' has another type", variable->path());
    ensure(updated.insert(variable.get()).second, "'{}' is updated twice", variable->path());
  }
  for (const auto& node : nodes_)
    ensure(node->uses_ == uses[static_cast<std::size_t>(node->id())], "the uses of node {} were miscounted", node->id());
}

Value Rewriter::operator()(Value old) const {
  if (!old) return {};
  const Values& outputs = map_[static_cast<std::size_t>(old.node().id())];
  const auto index = static_cast<std::size_t>(old.index());
  ensure(index < outputs.size() && outputs[index], "'{}' was replaced without a value for output {}", old.node().op().name,
         old.index());
  return outputs[index];
}

Values Rewriter::operator()(const Values& old) const {
  Values values;
  for (Value value : old) values.push_back((*this)(value));
  return values;
}

bool Rewriter::mapped(Value old) const {
  const Values& outputs = map_[static_cast<std::size_t>(old.node().id())];
  const auto index = static_cast<std::size_t>(old.index());
  return index < outputs.size() && outputs[index];
}

void Rewriter::set(Value old, Value replacement) {
  Values& outputs = map_[static_cast<std::size_t>(old.node().id())];
  outputs.resize(std::max(outputs.size(), old.node().types().size()));
  outputs[static_cast<std::size_t>(old.index())] = replacement;
}

void Rewriter::copy(const Node& node) {
  if (node.is(op::input)) {
    if (!mapped(node.out())) set(node.out(), to_.input(node.attrs<InputAttrs>().name, node.types()[0]));
  } else if (node.is(op::variable)) {
    if (!mapped(node.out())) set(node.out(), to_.variable(node.attrs<VariableAttrs>().variable));
  } else {
    const Node& copied = to_.copy(node, (*this)(node.inputs()));
    for (int i = 0; i < static_cast<int>(node.types().size()); ++i) set(node.out(i), copied.out(i));
  }
}

void Rewriter::finish() {
  for (const auto& [name, value] : from_.outputs()) to_.output(name, (*this)(value));
  for (const auto& [variable, value] : from_.updates()) to_.update(variable, (*this)(value));
}

Values inline_graph(const Graph& body, Graph& graph, const Values& inputs) {
  ensure(inputs.size() == body.inputs().size(), "{} values for the {} inputs of a body", inputs.size(), body.inputs().size());
  ensure(body.variables().empty() && body.updates().empty(), "a body has variables");
  Rewriter rewriter(body, graph);
  for (std::size_t i = 0; i < inputs.size(); ++i) rewriter.set(body.inputs()[i].value, inputs[i]);
  for (const Node* node : body.nodes())
    if (!node->is(op::input)) rewriter.copy(*node);
  Values outputs;
  for (const auto& [name, value] : body.outputs()) outputs.push_back(rewriter(value));
  return outputs;
}

}  // namespace nacre
