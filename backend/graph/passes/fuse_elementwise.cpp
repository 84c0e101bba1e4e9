#include "backend/graph/passes/fuse_elementwise.h"

#include <algorithm>
#include <map>

#include "backend/graph/ops/fused.h"
#include "backend/graph/ops/random.h"
#include "backend/graph/passes/fixed.h"

namespace nacre {

namespace {

constexpr std::size_t most_members = 48;  // keeps the number of tiles that a kernel holds at once bounded
constexpr int none = -1;

std::size_t id(const Node& node) { return static_cast<std::size_t>(node.id()); }
bool is_number(Value value) { return value.is(op::constant) && value.shape().elements() == 1; }

// Which nodes are joined: groups grow along edges as long as nothing outside a group lies between its members.
class Grouping {
 public:
  Grouping(const Graph& graph, const Backend& backend)
      : nodes_(graph.nodes()), fixed_(fixed_nodes(graph)), group_of_(nodes_.size(), none), visited_(nodes_.size(), 0) {
    for (const Node* node : nodes_) {
      if (!fusible(*node, backend)) continue;
      group_of_[id(*node)] = static_cast<int>(members_.size());
      members_.push_back({node});
      for (Value value : node->inputs()) try_join(*node, value.node());
    }
  }

  // The members of the node's group in their order, or none when it stands alone.
  const std::vector<const Node*>& members(const Node& node) const {
    static const std::vector<const Node*> alone;
    const int group = group_of_[id(node)];
    return group == none || members_[static_cast<std::size_t>(group)].size() < 2
               ? alone
               : members_[static_cast<std::size_t>(group)];
  }
  bool together(const Node& a, const Node& b) const {
    return group_of_[id(a)] != none && group_of_[id(a)] == group_of_[id(b)];
  }

 private:
  static bool fusible(const Node& node, const Backend& backend) {
    if (node.op().kind != OpKind::elementwise && !node.is(op::random_uniform)) return false;
    if (node.types().size() != 1 || !node.types()[0].shape.known() || node.types()[0].shape.elements() == 0)
      return false;
    const KernelRow* row = backend.row(node);
    return row && row->fuses && row->fuses(node);
  }

  void try_join(const Node& node, const Node& operand) {
    const int into = group_of_[id(operand)], from = group_of_[id(node)];
    if (into == none || into == from || operand.types()[0].shape != node.types()[0].shape ||
        fixed_[id(operand)] != fixed_[id(node)])
      return;
    auto& target = members_[static_cast<std::size_t>(into)];
    auto& source = members_[static_cast<std::size_t>(from)];
    if (target.size() + source.size() > most_members || lies_between(into, from)) return;
    for (const Node* member : source) group_of_[id(*member)] = into;
    target.insert(target.end(), source.begin(), source.end());
    std::sort(target.begin(), target.end(), [](const Node* a, const Node* b) { return a->id() < b->id(); });
    source.clear();
  }

  // Whether some node outside depends on one of the groups while one of the groups depends on it.
  bool lies_between(int a, int b) {
    ++round_;
    std::vector<const Node*> open;
    const auto inside = [&](const Node& node) {
      return group_of_[id(node)] != none && (group_of_[id(node)] == a || group_of_[id(node)] == b);
    };
    const auto visit_operands = [&](const Node& node) {
      for (Value value : node.inputs()) {
        const Node& operand = value.node();
        if (visited_[id(operand)] == round_) continue;
        visited_[id(operand)] = round_;
        open.push_back(&operand);
      }
    };
    for (const int group : {a, b})
      for (const Node* member : members_[static_cast<std::size_t>(group)])
        for (Value value : member->inputs())
          if (const Node& operand = value.node(); !inside(operand) && visited_[id(operand)] != round_) {
            visited_[id(operand)] = round_;
            open.push_back(&operand);
          }
    while (!open.empty()) {
      const Node& node = *open.back();
      open.pop_back();
      if (inside(node)) return true;
      const int group = group_of_[id(node)];
      if (group == none) visit_operands(node);
      else
        for (const Node* member : members_[static_cast<std::size_t>(group)]) visit_operands(*member);
    }
    return false;
  }

  std::vector<const Node*> nodes_;
  std::vector<char> fixed_;
  std::vector<int> group_of_;  // by node id
  std::vector<int> visited_;   // the round in which lies_between met the node
  int round_ = 0;
  std::vector<std::vector<const Node*>> members_;
};

// Emits nodes and groups, operands first.
class Emitter {
 public:
  Emitter(const Graph& graph, const Grouping& grouping, Graph& result)
      : graph_(graph),
        grouping_(grouping),
        rewriter_(graph, result),
        used_outside_(graph.nodes().size(), 0),
        done_(graph.nodes().size(), 0) {
    for (const Node* node : graph.nodes())
      for (Value value : node->inputs())
        if (!grouping.together(*node, value.node())) used_outside_[id(value.node())] = 1;
    for (const auto& [name, value] : graph.outputs()) used_outside_[id(value.node())] = 1;
    for (const auto& [variable, value] : graph.updates()) used_outside_[id(value.node())] = 1;
  }

  void run() {
    for (const Node* node : graph_.nodes())
      if (node->is(op::input)) emit(*node);
    for (const Node* node : graph_.nodes()) {
      const auto& members = grouping_.members(*node);
      // A group comes where its last member was, if it is not needed before.
      if (members.empty() || members.back() == node) emit(*node);
    }
    rewriter_.finish();
  }

 private:
  void emit(const Node& node) {
    if (done_[id(node)]) return;
    const auto& members = grouping_.members(node);
    if (members.empty()) {
      done_[id(node)] = 1;
      for (Value value : node.inputs()) emit(value.node());
      rewriter_.copy(node);
      return;
    }
    for (const Node* member : members) done_[id(*member)] = 1;
    for (const Node* member : members)
      for (Value value : member->inputs())
        if (!grouping_.together(*member, value.node())) emit(value.node());
    emit_group(members);
  }

  void emit_group(const std::vector<const Node*>& members) {
    auto body = std::make_shared<Graph>();
    Values operands, results;  // of the old graph
    std::map<std::pair<int, int>, Value> inner;
    const auto inside = [&](Value value) {
      Value& mapped = inner[{value.node().id(), value.index()}];
      if (!mapped && is_number(value)) mapped = body->constant(value.node().attrs<ConstantAttrs>().value);
      if (!mapped) {
        mapped = body->input(std::to_string(operands.size()), value.type());
        operands.push_back(value);
      }
      return mapped;
    };
    for (const Node* member : members) {
      Values in;
      for (Value value : member->inputs()) in.push_back(inside(value));
      inner[{member->id(), 0}] = body->copy(*member, std::move(in)).out();
      if (used_outside_[id(*member)]) results.push_back(member->out());
    }
    for (std::size_t i = 0; i < results.size(); ++i) body->output(std::to_string(i), inside(results[i]));
    const Graph::Label label(rewriter_.to(), members.back()->label());
    const Node& fused = rewriter_.to().add(op::fused, FusedAttrs{std::move(body)}, rewriter_(operands));
    for (std::size_t i = 0; i < results.size(); ++i) rewriter_.set(results[i], fused.out(static_cast<int>(i)));
  }

  const Graph& graph_;
  const Grouping& grouping_;
  Rewriter rewriter_;
  std::vector<char> used_outside_, done_;  // by node id
};

}  // namespace

std::unique_ptr<Graph> fuse_elementwise(const Graph& graph, const Backend& backend) {
  auto result = std::make_unique<Graph>();
  const Grouping grouping(graph, backend);
  Emitter(graph, grouping, *result).run();
  return result;
}

}  // namespace nacre
