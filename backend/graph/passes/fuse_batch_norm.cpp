#include "backend/graph/passes/fuse_batch_norm.h"

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/normalization.h"
#include "backend/graph/passes/number.h"

namespace nacre {

namespace {

// The node that alone reads the first result of another.
class Readers {
 public:
  explicit Readers(const Graph& graph) : readers_(graph.nodes().size(), nullptr) {
    for (const Node* node : graph.nodes())
      for (Value value : node->inputs())
        if (value.index() == 0 && value.uses() == 1) readers_[static_cast<std::size_t>(value.node().id())] = node;
  }
  // Null when there are several readers, or none within the graph.
  const Node* of(const Node& node) const { return readers_[static_cast<std::size_t>(node.id())]; }

 private:
  std::vector<const Node*> readers_;
};

// What a normalisation becomes: its epilogue, the residual, and the value that stands for all of it.
struct Found {
  Epilogue epilogue;
  Value residual, result;
};

// The bound of max(value, bound) or min(value, bound).
std::optional<double> bound(const Node* node, const Op& op, Value value) {
  if (!node || !node->is(op) || node->types()[0] != value.type()) return {};
  return number(node->in(node->in(0) == value ? 1 : 0));
}

Found look_behind(const Node& norm, const Readers& readers) {
  Found found{.result = norm.out(0)};
  const Node* reader = readers.of(norm);
  if (reader && reader->is(op::relu)) {
    found.epilogue.activation = EpilogueKind::relu;
    found.result = reader->out();
    return found;
  }
  if (const auto low = bound(reader, op::maximum, found.result)) {
    const Node* outer = readers.of(*reader);
    if (const auto high = bound(outer, op::minimum, reader->out()); high && *low <= *high) {
      found.epilogue = {.activation = EpilogueKind::clip, .alpha = *low, .beta = *high};
      found.result = outer->out();
    }
    return found;
  }
  if (!reader || !reader->is(op::add)) return found;
  const Value residual = reader->in(reader->in(0) == found.result ? 1 : 0);
  const Node* outer = readers.of(*reader);
  if (residual.type() != found.result.type() || residual.node().id() >= norm.id() || !outer || !outer->is(op::relu))
    return found;
  found.epilogue = {.residual = true, .activation = EpilogueKind::relu};
  found.residual = residual;
  found.result = outer->out();
  return found;
}

}  // namespace

std::unique_ptr<Graph> fuse_batch_norm(const Graph& graph, const Backend&) {
  const Readers readers(graph);
  std::vector<char> joined(graph.nodes().size(), 0);
  return rewrite(graph, [&](const Node& node, Rewriter& rewriter) {
    if (joined[static_cast<std::size_t>(node.id())]) return true;
    if (!node.is(op::batch_norm) || !node.attrs<BatchNormAttrs>().epilogue.empty()) return false;
    const Found found = look_behind(node, readers);
    if (found.epilogue.empty()) return false;
    BatchNormAttrs attrs = node.attrs<BatchNormAttrs>();
    attrs.epilogue = found.epilogue;
    Values operands = rewriter(node.inputs());
    if (found.residual) operands.push_back(rewriter(found.residual));
    const Graph::Label label(rewriter.to(), node.label());
    const Node& fused = rewriter.to().add(op::batch_norm, attrs, operands);
    rewriter.set(found.result, fused.out(0));
    rewriter.set(node.out(1), fused.out(1));
    rewriter.set(node.out(2), fused.out(2));
    for (const Node* reader = readers.of(node);; reader = readers.of(*reader)) {
      joined[static_cast<std::size_t>(reader->id())] = 1;
      if (reader->out() == found.result) return true;
    }
  });
}

}  // namespace nacre
