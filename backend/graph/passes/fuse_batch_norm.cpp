#include "backend/graph/passes/fuse_batch_norm.h"

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/normalization.h"
#include "backend/graph/passes/number.h"
#include "backend/graph/passes/readers.h"

namespace nacre {

namespace {

// What a normalisation becomes: its epilogue, the residual, and the value that stands for all of it.
struct Found {
  Epilogue epilogue;
  Value residual, result;
};

Found look_behind(const Node& norm, const Readers& readers) {
  Found found{.result = norm.out(0)};
  const Node* reader = readers.only(norm);
  if (!reader) return found;
  if (reader->is(op::relu)) {
    found.epilogue.activation = EpilogueKind::relu;
    found.result = reader->out();
    return found;
  }
  const Node* outer = readers.only(*reader);
  if (!outer) return found;
  if (const auto clip = clipped(outer->out(0)); clip && clip->x == found.result) {
    found.epilogue = {.activation = EpilogueKind::clip, .alpha = clip->low, .beta = clip->high};
    found.result = outer->out();
    return found;
  }
  if (!reader->is(op::add) || !outer->is(op::relu)) return found;
  const Value residual = reader->in(reader->in(0) == found.result ? 1 : 0);
  if (residual.type() != found.result.type() || residual.node().id() >= norm.id()) return found;
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
    for (const Node* reader = readers.only(node);; reader = readers.only(*reader)) {
      joined[static_cast<std::size_t>(reader->id())] = 1;
      if (reader->out() == found.result) return true;
    }
  });
}

}  // namespace nacre
