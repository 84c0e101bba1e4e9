#include "backend/graph/passes/recompute.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "backend/graph/flops.h"
#include "backend/graph/ops/all_reduce.h"
#include "backend/graph/ops/conv.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/order.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/passes/pipeline.h"

namespace nacre {

namespace {

constexpr int never = -1;

std::size_t id(const Node& node) { return static_cast<std::size_t>(node.id()); }

std::size_t bytes_of(const Type& type) { return type.shape.known() ? type.bytes() : 0; }
std::size_t bytes_of(const Node& node) {
  std::size_t bytes = 0;
  for (const Type& type : node.types()) bytes += bytes_of(type);
  return bytes;
}

bool is_product(const Node& node) { return node.is(op::matmul) || node.is(op::conv); }

// --- how much lives at a time -------------------------------------------------------------------------------------

// Results that are their first operand's memory.
bool is_view(const Node& node) { return node.is(op::after) || node.is(op::reshape) || node.is(op::reshape_like); }

// The largest sum of the values that live at a time; leaves are not counted, nor are outputs and new values of variables,
// which have memory of their own.
std::size_t most_living(const Graph& graph) {
  const std::vector<const Node*> nodes = graph.nodes();
  std::vector<int> last(nodes.size(), never), owner(nodes.size());
  std::vector<char> counted(nodes.size(), 0);
  for (const Node* node : nodes) {
    owner[id(*node)] = is_view(*node) ? owner[id(node->in(0).node())] : node->id();
    counted[id(*node)] = node->op().kind != OpKind::leaf && !is_view(*node);
    last[id(*node)] = node->id();
    for (Value value : node->inputs()) last[static_cast<std::size_t>(owner[id(value.node())])] = node->id();
  }
  for (const auto& [name, value] : graph.outputs()) counted[static_cast<std::size_t>(owner[id(value.node())])] = 0;
  for (const auto& [variable, value] : graph.updates()) counted[static_cast<std::size_t>(owner[id(value.node())])] = 0;
  std::vector<std::size_t> ending(nodes.size(), 0);  // bytes, by the node that needs them last
  std::size_t living = 0, most = 0;
  for (const Node* node : nodes) {
    if (counted[id(*node)]) {
      living += bytes_of(*node);
      ending[static_cast<std::size_t>(last[id(*node)])] += bytes_of(*node);
    }
    most = std::max(most, living);
    living -= ending[id(*node)];
  }
  return most;
}

// --- what a graph's backward pass reads ---------------------------------------------------------------------------

class Passes {
 public:
  explicit Passes(const Graph& graph) : graph_(graph), nodes_(graph.nodes()) {
    const auto first = std::ranges::find_if(nodes_, [](const Node* node) { return node->is(op::after); });
    end_ = static_cast<int>(first - nodes_.begin());
    depends_.assign(nodes_.size(), 0);
    last_forward_.assign(nodes_.size(), never);
    wanted_.resize(nodes_.size());
    for (const Node* node : nodes_) {
      wanted_[id(*node)].assign(node->types().size(), 0);
      // What depends on variables alone is no activation.
      depends_[id(*node)] = node->is(op::input);
      for (Value value : node->inputs()) {
        depends_[id(*node)] = depends_[id(*node)] || depends_[id(value.node())];
        if (forward(*node)) last_forward_[id(value.node())] = node->id();
        else if (repeatable(value.node()) && !std::exchange(wanted_[id(value.node())][static_cast<std::size_t>(value.index())], 1))
          wanted_bytes_ += bytes_of(value.type());
      }
    }
  }

  const Graph& graph() const { return graph_; }
  const std::vector<const Node*>& nodes() const { return nodes_; }
  int end() const { return end_; }  // of the forward pass; the number of nodes when there is no backward pass
  bool forward(const Node& node) const { return node.id() < end_; }
  // An activation of the forward pass.
  bool repeatable(const Node& node) const {
    return forward(node) && depends_[id(node)] && node.op().kind != OpKind::leaf;
  }
  bool wanted(Value value) const { return wanted_[id(value.node())][static_cast<std::size_t>(value.index())]; }
  std::size_t wanted_bytes() const { return wanted_bytes_; }
  // Too little to be worth an operation.
  bool small(const Type& type) const { return bytes_of(type) <= wanted_bytes_ / 4096; }
  int last_forward(const Node& node) const { return last_forward_[id(node)]; }  // use

 private:
  const Graph& graph_;
  std::vector<const Node*> nodes_;
  std::vector<char> depends_;                // by node id
  std::vector<std::vector<char>> wanted_;    // by node id and result
  std::vector<int> last_forward_;            // by node id
  int end_ = 0;
  std::size_t wanted_bytes_ = 0;
};

// Where the forward pass is cut: node ids at which pieces begin, ascending.
using Cuts = std::vector<int>;

// Pieces whose wanted values take about so many bytes, cut where the least crosses.
Cuts cuts_for(const Passes& passes, std::size_t budget) {
  const auto count = static_cast<std::size_t>(passes.end());
  std::vector<std::size_t> crossing(count + 1, 0), sum(count + 1, 0);  // before each node
  std::vector<std::size_t> ends(count + 1, 0);
  std::size_t alive = 0;
  for (std::size_t at = 0; at < count; ++at) {
    crossing[at] = alive;
    const Node& node = *passes.nodes()[at];
    sum[at + 1] = sum[at];
    for (int i = 0; i < static_cast<int>(node.types().size()); ++i)
      if (passes.wanted(node.out(i))) sum[at + 1] += bytes_of(node.out(i).type());
    if (passes.repeatable(node) && passes.last_forward(node) != never) {
      alive += bytes_of(node);
      ends[static_cast<std::size_t>(passes.last_forward(node))] += bytes_of(node);
    }
    alive -= ends[at];
  }
  Cuts cuts;
  std::size_t begin = 0;
  for (std::size_t at = 1; at < count; ++at) {
    if (sum[at] - sum[begin] <= budget) continue;
    std::size_t best = at;
    for (std::size_t place = at; place > begin && sum[place] - sum[begin] >= budget / 2; --place)
      if (crossing[place] < crossing[best]) best = place;
    cuts.push_back(static_cast<int>(best));
    begin = at = best;
  }
  return cuts;
}

// --- the graph in which pieces are computed again -----------------------------------------------------------------

class Repeating {
 public:
  Repeating(const Passes& passes, const Cuts& cuts, bool keep_products)
      : passes_(passes), result_(std::make_unique<Graph>()), rewriter_(passes.graph(), *result_) {
    const std::size_t count = passes.nodes().size();
    piece_.assign(count, never);
    copies_.resize(count);
    held_.resize(count);
    backward_.assign(count, 0);
    done_.assign(cuts.size(), 0);
    for (const Node* node : passes.nodes()) {
      if (!passes.repeatable(*node) || node->is(op::all_reduce) || (keep_products && is_product(*node))) continue;
      const auto next = std::ranges::upper_bound(cuts, node->id());
      if (next == cuts.end() || passes.last_forward(*node) >= *next) continue;
      piece_[id(*node)] = static_cast<int>(next - cuts.begin());
    }
    find_needed();
  }

  std::unique_ptr<Graph> run() {
    for (const Node* node : passes_.nodes()) {
      if (passes_.forward(*node) || node->op().kind == OpKind::leaf) {
        rewriter_.copy(*node);
        continue;
      }
      backward_[id(*node)] = node->id() == passes_.end();
      for (Value value : node->inputs())
        backward_[id(*node)] = backward_[id(*node)] || backward_[id(value.node())];
      for (Value value : node->inputs())
        if (copied(value)) repeat(piece_[id(value.node())], *node);
      Values inputs;
      for (Value value : node->inputs()) inputs.push_back(copy_of(value));
      const Node& emitted = result_->copy(*node, std::move(inputs));
      for (int i = 0; i < static_cast<int>(node->types().size()); ++i) rewriter_.set(node->out(i), emitted.out(i));
      if (backward_[id(*node)]) latest_ = emitted.out();
    }
    rewriter_.finish();
    return std::move(result_);
  }

  // Of what is computed again.
  std::int64_t flops() const {
    std::int64_t sum = 0;
    for (const Node* node : passes_.nodes())
      if (needed_[id(*node)]) sum += flops_of(*node);
    return sum;
  }

 private:
  // Whether others than the forward pass itself read a copy of the value.
  bool copied(Value value) const { return piece_[id(value.node())] != never && !passes_.small(value.type()); }

  // Of each piece: what the backward pass reads, and what that is computed from.
  void find_needed() {
    needed_.assign(passes_.nodes().size(), 0);
    for (int at = passes_.end() - 1; at >= 0; --at) {
      const Node& node = *passes_.nodes()[static_cast<std::size_t>(at)];
      for (int i = 0; i < static_cast<int>(node.types().size()); ++i)
        if (copied(node.out(i)) && passes_.wanted(node.out(i))) needed_[id(node)] = 1;
      if (!needed_[id(node)]) continue;
      for (Value value : node.inputs())
        if (copied(value)) needed_[id(value.node())] = 1;
    }
  }

  Value copy_of(Value value) const {
    return copied(value) ? copies_[id(value.node())].at(static_cast<std::size_t>(value.index())) : rewriter_(value);
  }

  // What a copy reads that is no copy: leaves as they are, activations once `earlier` is there.
  Value held(Value value, Value earlier, int piece) {
    if (!passes_.repeatable(value.node()) && !value.is(op::input)) return rewriter_(value);
    for (const auto& [index, by, found] : held_[id(value.node())])
      if (index == value.index() && by == piece) return found;
    const Value found = ops::after(rewriter_(value), earlier);
    held_[id(value.node())].push_back({value.index(), piece, found});
    return found;
  }

  void repeat(int piece, const Node& reader) {
    if (std::exchange(done_[static_cast<std::size_t>(piece)], 1)) return;
    Value earlier = latest_;
    for (Value value : reader.inputs())
      if (backward_[id(value.node())]) earlier = rewriter_(value);
    for (const Node* node : passes_.nodes()) {
      if (piece_[id(*node)] != piece || !needed_[id(*node)]) continue;
      Values inputs;
      for (Value value : node->inputs())
        inputs.push_back(copied(value) ? copy_of(value) : held(value, earlier, piece));
      const Node& emitted = result_->copy(*node, std::move(inputs));
      for (int i = 0; i < static_cast<int>(node->types().size()); ++i) copies_[id(*node)].push_back(emitted.out(i));
    }
  }

  struct Held {
    int index, piece;
    Value value;
  };
  const Passes& passes_;
  std::unique_ptr<Graph> result_;
  Rewriter rewriter_;
  std::vector<int> piece_;         // by node id: whose copy the backward pass reads; never: the value itself
  std::vector<char> needed_, backward_, done_;  // by node id, by node id: depends on the backward pass, by piece
  std::vector<Values> copies_;                  // by node id
  std::vector<std::vector<Held>> held_;         // by node id
  Value latest_;                                // of the backward pass
};

}  // namespace

std::unique_ptr<Graph> recompute(const Graph& graph, const Backend& backend) {
  std::unique_ptr<Graph> best = run_passes(graph, backend, {});
  const Passes passes(graph);
  struct Choice {
    std::unique_ptr<Graph> graph;
    std::size_t living;
    std::int64_t flops;
  };
  std::vector<Choice> choices;
  std::size_t least = most_living(graph);
  const std::size_t at_first = least;
  Cuts before;
  for (std::size_t budget = passes.wanted_bytes(); budget > passes.wanted_bytes() / 64; budget -= budget / 4) {
    const Cuts cuts = cuts_for(passes, budget);
    if (cuts.empty() || cuts == before) continue;
    before = cuts;
    for (const bool keep_products : {false, true}) {
      Repeating repeating(passes, cuts, keep_products);
      const std::int64_t flops = repeating.flops();
      std::unique_ptr<Graph> repeated = repeating.run();
      const std::size_t living = most_living(*repeated);
      least = std::min(least, living);
      choices.push_back({std::move(repeated), living, flops});
    }
  }
  const std::size_t enough = least + least / 20;
  if (enough >= at_first) return best;
  std::int64_t fewest = std::numeric_limits<std::int64_t>::max();
  for (Choice& choice : choices) {
    if (choice.living > enough || choice.flops >= fewest) continue;
    fewest = choice.flops;
    best = std::move(choice.graph);
  }
  return best;
}

}  // namespace nacre
