#include "backend/graph/passes/fuse_elementwise.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/fused.h"
#include "backend/graph/ops/random.h"
#include "backend/graph/passes/fixed.h"

namespace nacre {

namespace {

constexpr std::size_t most_members = 48;  // keeps the number of tiles that a kernel holds at once bounded
constexpr int none = -1;
constexpr std::size_t most_nodes = 64;  // with those that are computed again

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
  // The number of the node's group, which may be one of its own, or none.
  int group(const Node& node) const { return group_of_[id(node)]; }
  int groups() const { return static_cast<int>(members_.size()); }
  const std::vector<const Node*>& members(int group) const { return members_[static_cast<std::size_t>(group)]; }
  bool fixed(const Node& node) const { return fixed_[id(node)]; }
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

// What groups compute again instead of reading it: results of another group that only this one reads, when what they
// are made of is in memory anyway and takes less of it. Gradients read many values of the forward pass that are a few
// instructions away from its operands; they would be written, kept and read again, which costs more.
class Recomputing {
 public:
  Recomputing(const Graph& graph, const Grouping& grouping)
      : grouping_(grouping), readers_(graph.nodes().size()), anchored_(graph.nodes().size(), 0) {
    again_.resize(static_cast<std::size_t>(grouping.groups()));
    for (const Node* node : graph.nodes()) {
      const int group = grouping.members(*node).empty() ? none : grouping.group(*node);
      if (group == none) anchored_[id(*node)] = 1;
      for (Value value : node->inputs()) {
        if (group == none) anchored_[id(value.node())] = 1;
        else if (!grouping.together(*node, value.node())) readers_[id(value.node())].insert(group);
      }
    }
    for (const auto& [name, value] : graph.outputs()) anchored_[id(value.node())] = 1;
    for (const auto& [variable, value] : graph.updates()) anchored_[id(value.node())] = 1;
    for (int group = 0; group < grouping.groups(); ++group)
      if (grouping.members(group).size() > 1) decide(group);
  }

  // Whether the group computes the node, which is another one's, again.
  bool again(int group, const Node& node) const {
    return group != none && again_[static_cast<std::size_t>(group)].contains(&node);
  }

 private:
  struct ById {
    bool operator()(const Node* a, const Node* b) const { return a->id() < b->id(); }
  };
  using Nodes = std::set<const Node*, ById>;

  // In instructions on numbers in the nearest cache, or none for what is always kept.
  static int cost(const Node& node) {
    if (node.is(op::random_uniform) || node.is(op::sin) || node.is(op::cos) || node.is(op::power) ||
        node.is(op::modulo))
      return none;
    if (node.is(op::exp) || node.is(op::expm1) || node.is(op::log) || node.is(op::log1p) || node.is(op::tanh) ||
        node.is(op::sigmoid) || node.is(op::erf))
      return 6;
    return node.is(op::divide) || node.is(op::sqrt) || node.is(op::rsqrt) || node.is(op::reciprocal) ? 3 : 1;
  }
  static std::int64_t bytes(const Nodes& nodes) {
    std::int64_t sum = 0;
    for (const Node* node : nodes) sum += static_cast<std::int64_t>(node->types()[0].bytes());
    return sum;
  }

  void decide(int group) {
    Nodes operands, saved;
    for (const Node* member : grouping_.members(group))
      for (Value value : member->inputs())
        if (!grouping_.together(*member, value.node())) operands.insert(&value.node());
    const Node& like = *grouping_.members(group).front();
    for (const Node* node : operands)
      if (readers_[id(*node)].size() == 1 && can_repeat(*node, like)) saved.insert(node);

    // What cannot be traced to operands stays one itself, and then others may be traced to it.
    Nodes chain, leaves;
    for (bool stable = false; !stable;) {
      stable = true;
      chain.clear();
      leaves.clear();
      Nodes kept;
      std::set_difference(operands.begin(), operands.end(), saved.begin(), saved.end(), std::inserter(kept, kept.end()),
                          ById());
      for (const Node* node : saved) {
        Nodes nodes, ends;
        if (trace(*node, like, kept, nodes, ends)) {
          chain.insert(nodes.begin(), nodes.end());
          leaves.insert(ends.begin(), ends.end());
          continue;
        }
        saved.erase(node);
        stable = false;
        break;
      }
    }
    std::int64_t work = 0;
    for (const Node* node : chain) work += cost(*node);
    // Writing and reading four bytes takes as long as some nine instructions; see bench_elementwise.
    constexpr std::int64_t worth = 6;
    const std::int64_t elements = like.types()[0].shape.elements();
    if (bytes(saved) <= bytes(leaves) || work * elements > worth * bytes(saved) / 4 ||
        grouping_.members(group).size() + chain.size() > most_nodes)
      return;
    again_[static_cast<std::size_t>(group)] = std::move(chain);
  }

  bool can_repeat(const Node& node, const Node& like) const {
    return !anchored_[id(node)] && cost(node) != none && node.types()[0].shape == like.types()[0].shape &&
           grouping_.fixed(node) == grouping_.fixed(like);
  }

  // The nodes that lead from values in memory to `node`, and those values that the group has not read so far.
  bool trace(const Node& node, const Node& like, const Nodes& kept, Nodes& chain, Nodes& leaves) const {
    if (!chain.insert(&node).second) return true;
    if (chain.size() > most_nodes) return false;
    for (Value value : node.inputs()) {
      const Node& operand = value.node();
      if (is_number(value) || kept.contains(&operand)) continue;
      if (can_repeat(operand, like)) {
        if (!trace(operand, like, kept, chain, leaves)) return false;
      } else if (anchored_[id(operand)] && operand.types().size() == 1 && !operand.is(op::variable)) {
        leaves.insert(&operand);
      } else {
        return false;
      }
    }
    return true;
  }

  const Grouping& grouping_;
  std::vector<std::set<int>> readers_;  // by node id: other groups
  std::vector<char> anchored_;          // by node id: in memory whatever groups do
  std::vector<Nodes> again_;            // by group
};

// Emits nodes and groups, operands first.
class Emitter {
 public:
  Emitter(const Graph& graph, const Grouping& grouping, Graph& result)
      : graph_(graph),
        grouping_(grouping),
        recomputing_(graph, grouping),
        rewriter_(graph, result),
        used_outside_(graph.nodes().size(), 0),
        done_(graph.nodes().size(), 0) {
    for (const Node* node : graph.nodes())
      for (Value value : node->inputs())
        if (!grouping.together(*node, value.node()) && !recomputing_.again(grouping.group(*node), value.node()))
          used_outside_[id(value.node())] = 1;
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
    // Members that only others need, which compute them again, are left out.
    const int group = grouping_.group(*members.front());
    const auto inside = [&](auto& self, Value value) -> Value {
      const Node& node = value.node();
      Value& mapped = inner[{node.id(), value.index()}];
      if (mapped) return mapped;
      if (is_number(value)) {
        mapped = body->constant(node.attrs<ConstantAttrs>().value);
      } else if (grouping_.together(node, *members.front()) || recomputing_.again(group, node)) {
        Values in;
        for (Value operand : node.inputs()) in.push_back(self(self, operand));
        mapped = body->copy(node, std::move(in)).out();
      } else {
        mapped = body->input(std::to_string(operands.size()), value.type());
        operands.push_back(value);
      }
      return mapped;
    };
    for (const Node* member : members) {
      if (!used_outside_[id(*member)]) continue;
      inside(inside, member->out());
      results.push_back(member->out());
    }
    if (results.empty()) return;  // others compute all of them again
    for (std::size_t i = 0; i < results.size(); ++i)
      body->output(std::to_string(i), inner[{results[i].node().id(), 0}]);
    const Graph::Label label(rewriter_.to(), members.back()->label());
    const Node& fused = rewriter_.to().add(op::fused, FusedAttrs{std::move(body)}, rewriter_(operands));
    for (std::size_t i = 0; i < results.size(); ++i) rewriter_.set(results[i], fused.out(static_cast<int>(i)));
  }

  const Graph& graph_;
  const Grouping& grouping_;
  const Recomputing recomputing_;
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
