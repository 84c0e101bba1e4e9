#include "backend/graph/passes/early_updates.h"

#include <algorithm>
#include <utility>

#include "backend/graph/ops/all_reduce.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/passes/readers.h"

namespace nacre {

namespace {

// Nodes in the order of the graph, but updates and exchanges, and what is computed element by element for them alone,
// as soon as what they wait for is there. An exchange has time until the next one begins: what reads its results waits
// for that too, unless the next one waits for it.
class Order {
 public:
  explicit Order(const Graph& graph)
      : graph_(graph), readers_(graph), missing_(graph.nodes().size()), waiting_(graph.nodes().size()) {
    std::vector<char> updates(missing_.size(), 0), shown = updates, moves = updates, exchanged = updates;
    for (const auto& [variable, value] : graph.updates()) updates[index(value.node())] = 1;
    for (const auto& [name, value] : graph.outputs()) shown[index(value.node())] = 1;
    const auto moves_along = [&](const Node& node) {
      const auto& readers = readers_.of(node);
      return node.op().kind == OpKind::elementwise && !shown[index(node)] && !readers.empty() &&
             std::ranges::all_of(readers, [&](const Node* reader) { return moves[index(*reader)] != 0; });
    };
    const std::vector<const Node*> nodes = graph.nodes();
    for (auto it = nodes.rbegin(); it != nodes.rend(); ++it) {
      const Node& node = **it;
      exchanged[index(node)] =
          node.is(op::all_reduce) ||
          std::ranges::any_of(readers_.of(node), [&](const Node* reader) { return exchanged[index(*reader)] != 0; });
      if (node.inputs().empty() || (!updates[index(node)] && !node.is(op::all_reduce) && !moves_along(node))) continue;
      moves[index(node)] = 1;
      for (Value operand : node.inputs()) {
        if (!comes_on_demand(operand.node())) wait(node, operand.node());
        if (operand.is(op::all_reduce) && !exchanged[index(node)]) wait_for_the_next(node, operand.node());
        if (updates[index(node)] && is_replaced(operand)) wait_for_readers(node, operand.node());
      }
      if (missing_[index(node)] == 0) ready_.push_back(&node);
    }
  }

  template <class Emit>
  void each(Emit&& emit) {
    std::vector<char> emitted(missing_.size(), 0);
    const auto emit_once = [&](const Node& node) {
      if (std::exchange(emitted[index(node)], 1)) return;
      for (Value operand : node.inputs())
        if (comes_on_demand(operand.node()) && !std::exchange(emitted[index(operand.node())], 1)) emit(operand.node());
      emit(node);
      for (const Node* moved : waiting_[index(node)])
        if (--missing_[index(*moved)] == 0) ready_.push_back(moved);
    };
    const auto emit_ready = [&] {
      while (!ready_.empty()) {
        const Node& node = *ready_.back();
        ready_.pop_back();
        emit_once(node);
      }
    };
    emit_ready();
    for (const Node* node : graph_.nodes()) {
      emit_once(*node);
      emit_ready();
    }
  }

 private:
  // Variables and constants. The order of inputs is that in which they are given.
  static bool comes_on_demand(const Node& node) { return node.inputs().empty() && !node.is(op::input); }

  static std::size_t index(const Node& node) { return static_cast<std::size_t>(node.id()); }

  void wait(const Node& update, const Node& before) {
    ++missing_[index(update)];
    waiting_[index(before)].push_back(&update);
  }

  void wait_for_the_next(const Node& node, const Node& exchange) {
    for (const Node* reader : readers_.of(exchange))
      if (reader->is(op::all_reduce)) wait(node, *reader);
  }

  bool is_replaced(Value value) const {
    return value.is(op::variable) && graph_.is_updated(value.node().attrs<VariableAttrs>().variable);
  }

  // Those of views and casts too, which kernels may make anew from the variable.
  void wait_for_readers(const Node& update, const Node& of) {
    for (const Node* reader : readers_.of(of)) {
      if (reader == &update) continue;
      wait(update, *reader);
      if (reader->is(op::cast) || reader->is(op::reshape)) wait_for_readers(update, *reader);
    }
  }

  const Graph& graph_;
  Readers readers_;
  std::vector<const Node*> ready_;
  std::vector<int> missing_;                       // nodes that one which moves waits for
  std::vector<std::vector<const Node*>> waiting_;  // those that wait for a node, once for each reason
};

}  // namespace

std::unique_ptr<Graph> early_updates(const Graph& graph, const Backend&) {
  auto result = std::make_unique<Graph>();
  Rewriter rewriter(graph, *result);
  Order(graph).each([&](const Node& node) { rewriter.copy(node); });
  rewriter.finish();
  return result;
}

}  // namespace nacre
