// A graph of ops: what models emit, passes rewrite and backends compile.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/core/tensor.h"
#include "backend/graph/op.h"
#include "backend/graph/variable.h"

namespace nacre {

// One output of a node; null when default-constructed. Cheap to copy; valid as long as its graph.
class Value {
 public:
  Value() = default;
  Value(const Node* node, int index) : node_(node), index_(index) {}

  explicit operator bool() const { return node_ != nullptr; }
  const Node& node() const { return *node_; }
  int index() const { return index_; }  // which of the node's outputs
  const Type& type() const;
  const Shape& shape() const;
  DType dtype() const;
  int uses() const;  // how many operands, graph outputs and updates refer to it
  Graph& graph() const;
  bool is(const Op& op) const;  // computed by that op
  bool operator==(const Value&) const = default;

 private:
  const Node* node_ = nullptr;
  int index_ = 0;
};

// An op applied to values. Made by Graph::add only; immutable.
class Node {
 public:
  const Op& op() const { return *op_; }
  bool is(const Op& op) const { return op_ == &op; }
  const Attributes& attributes() const { return attributes_; }
  template <class A>
  const A& attrs() const { return attributes_.as<A>(); }
  const Values& inputs() const { return inputs_; }
  Value in(int index) const { return inputs_[static_cast<std::size_t>(index)]; }
  const Types& types() const { return types_; }  // of the outputs
  Value out(int index = 0) const { return {this, index}; }
  int uses(int output) const { return uses_[static_cast<std::size_t>(output)]; }
  const std::string& label() const { return *label_; }  // the layer that emitted it: "layer 'fc1' (Dense)", or ""
  int id() const { return id_; }                         // position in its graph, from 0
  Graph& graph() const { return *graph_; }

 private:
  friend class Graph;
  const Op* op_ = nullptr;
  Attributes attributes_;
  Values inputs_;
  Types types_;
  std::vector<int> uses_;
  std::shared_ptr<const std::string> label_;
  int id_ = 0;
  Graph* graph_ = nullptr;
};

// Owns nodes in an order in which operands come before their users. A run of the graph reads its inputs and
// variables, computes the outputs, and then gives each updated variable its new value.
// Not synchronised; a graph is built by one thread and may then be read by many.
class Graph {
 public:
  Graph() = default;
  explicit Graph(std::string label) : label_(std::make_shared<const std::string>(std::move(label))) {}  // see Label
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  Value input(std::string name, Type type);  // fed at each run; names are unique
  Value variable(const VariableRef& variable);  // the value before the run; the same node each time
  Value latest(const VariableRef& variable);    // the pending update if there is one, else the value before the run
  Value constant(Tensor value);
  Value scalar(double value, DType dtype = DType::float32);

  // Applies an op: infers the output types and appends a node. An Error of the shape rule gains the present label.
  const Node& add(const Op& op, Attributes attributes, Values inputs);
  template <Described A>
  const Node& add(const OpDef<A>& op, A attributes, Values inputs) {
    return add(static_cast<const Op&>(op), Attributes(std::move(attributes)), std::move(inputs));
  }

  void output(std::string name, Value value);  // names are unique
  void update(const VariableRef& variable, Value value);  // replaces an earlier update

  struct NamedValue {
    std::string name;
    Value value;
  };
  struct Update {
    VariableRef variable;
    Value value;
  };
  std::vector<const Node*> nodes() const;  // operands first
  Value result(std::string_view output) const;  // the output of that name; throws InternalError when there is none
  const std::vector<NamedValue>& inputs() const { return inputs_; }
  const std::vector<NamedValue>& outputs() const { return outputs_; }
  const std::vector<Update>& updates() const { return updates_; }
  bool is_updated(const VariableRef& variable) const;
  const std::vector<std::pair<VariableRef, Value>>& variables() const { return variables_; }

  const std::string& label() const { return *label_; }  // that nodes get at present
  // While it lives, nodes carry this label; labels do not nest, the innermost wins.
  class Label {
   public:
    Label(Graph& graph, std::string text);
    ~Label() { graph_.label_ = std::move(before_); }
    Label(const Label&) = delete;
    Label& operator=(const Label&) = delete;

   private:
    Graph& graph_;
    std::shared_ptr<const std::string> before_;
  };

  // Copies a node of another graph with new operands, keeping its label; leaves are mapped by the caller.
  const Node& copy(const Node& node, Values inputs);

  std::string text() const;  // one line per node; see printer in graph.cpp
  void verify() const;       // throws InternalError when the graph breaks a promise made in this header

 private:
  const Node& append(const Op& op, Attributes attributes, Values inputs, Types types);

  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<NamedValue> inputs_, outputs_;
  std::vector<Update> updates_;
  std::vector<std::pair<VariableRef, Value>> variables_;
  std::shared_ptr<const std::string> label_ = std::make_shared<const std::string>();
};

// --- leaves -------------------------------------------------------------------------------------------------------

struct InputAttrs {
  std::string name;
  bool operator==(const InputAttrs&) const = default;
  static void describe(auto&& field) { field("name", &InputAttrs::name, "fed under this name"); }
};
struct VariableAttrs {
  VariableRef variable;
  bool operator==(const VariableAttrs&) const = default;
  static void describe(auto&& field) { field("variable", &VariableAttrs::variable, "read"); }
};
struct ConstantAttrs {
  Tensor value;
  bool operator==(const ConstantAttrs& other) const { return value.identical(other.value); }
  static void describe(auto&& field) { field("value", &ConstantAttrs::value, "elements"); }
};
std::string text_of(const VariableRef& variable);  // its path and address
std::string text_of(const Tensor& tensor);         // short tensors whole, others by hash
// A graph held by a node (the body of a scan, a fused group).
using Subgraph = std::shared_ptr<const Graph>;
std::string text_of(const Subgraph& graph);

namespace op {
Types infer_leaf_input(const InputAttrs&, const Types&);
Types infer_variable(const VariableAttrs&, const Types&);
Types infer_constant(const ConstantAttrs&, const Types&);
inline constexpr OpDef<InputAttrs> input{{.name = "input", .doc = "a value fed at each run", .kind = OpKind::leaf}, infer_leaf_input};
inline constexpr OpDef<VariableAttrs> variable{{.name = "variable", .doc = "the value before the run", .kind = OpKind::leaf}, infer_variable};
inline constexpr OpDef<ConstantAttrs> constant{{.name = "constant", .doc = "fixed elements", .kind = OpKind::leaf}, infer_constant};
}  // namespace op

// --- rewriting ----------------------------------------------------------------------------------------------------

// Copies graphs node by node: the common engine of passes, of inlining and of nested graphs. Values of the old graph
// are mapped to values of the new one; unmapped inputs and variables are created in the new graph when met.
class Rewriter {
 public:
  Rewriter(const Graph& from, Graph& to) : from_(from), to_(to), map_(from.nodes().size()) {}

  Value operator()(Value old) const;            // the new value of an old one; null stays null
  Values operator()(const Values& old) const;
  bool mapped(Value old) const;
  void set(Value old, Value replacement);       // all later users see the replacement
  void copy(const Node& node);                  // with mapped operands
  void finish();                                // outputs and updates
  Graph& to() { return to_; }

 private:
  const Graph& from_;
  Graph& to_;
  std::vector<Values> map_;
};

// Emits the nodes of `body` into `graph`, with `inputs` in the places of the body's inputs; returns its outputs. The body
// has no variables.
Values inline_graph(const Graph& body, Graph& graph, const Values& inputs);

// A new graph in which each node for which `rule(node, rewriter)` returns true has been replaced by the rule (which
// called rewriter.set for its used outputs), and every other node is copied.
template <class Rule>
std::unique_ptr<Graph> rewrite(const Graph& graph, Rule&& rule) {
  auto result = std::make_unique<Graph>();
  Rewriter rewriter(graph, *result);
  for (const Node* node : graph.nodes())
    if (!rule(*node, rewriter)) rewriter.copy(*node);
  rewriter.finish();
  return result;
}

}  // namespace nacre
