#include <algorithm>

#include "backend/graph/ops/bodies.h"
#include "backend/graph/passes/pipeline.h"

namespace nacre {

namespace {

bool missing(const Node& node, const Backend& backend) {
  return node.op().kind != OpKind::leaf && node.op().kind != OpKind::host && !backend.supports(node);
}

bool decompose(const Node& node, Rewriter& rewriter, const Backend& backend) {
  if (std::vector<Subgraph> bodies = bodies_of(node); !bodies.empty()) {
    for (Subgraph& body : bodies) body = decompose_missing(*body, backend);
    const Graph::Label label(rewriter.to(), node.label());
    const Node& copied = rewriter.to().add(node.op(), with_bodies(node, bodies), rewriter(node.inputs()));
    for (int i = 0; i < static_cast<int>(node.types().size()); ++i) rewriter.set(node.out(i), copied.out(i));
    return true;
  }
  if (!missing(node, backend)) return false;
  if (!node.op().decompose_erased) {
    Error error("'{}' has no kernel on the {} backend and no decomposition", node.op().name, backend.name());
    throw node.label().empty() ? std::move(error) : std::move(error).about(node.label());
  }
  const Graph::Label label(rewriter.to(), node.label());
  const Values simpler = node.op().decompose_erased(node.op(), node.attributes(), node, rewriter(node.inputs()));
  ensure(simpler.size() == node.types().size(), "'{}' decomposes into {} values", node.op().name, simpler.size());
  for (int i = 0; i < static_cast<int>(simpler.size()); ++i)
    if (simpler[static_cast<std::size_t>(i)]) rewriter.set(node.out(i), simpler[static_cast<std::size_t>(i)]);
  return true;
}

}  // namespace

std::unique_ptr<Graph> decompose_missing(const Graph& graph, const Backend& backend) {
  auto step = [&](const Graph& from) {
    return rewrite(from, [&](const Node& node, Rewriter& rewriter) { return decompose(node, rewriter, backend); });
  };
  std::unique_ptr<Graph> result = step(graph);
  for (;;) {  // what an op decomposes into may be missing too
    const std::vector<const Node*> nodes = result->nodes();
    if (std::none_of(nodes.begin(), nodes.end(), [&](const Node* node) { return missing(*node, backend); })) break;
    result = step(*result);
  }
  result->verify();
  return result;
}

}  // namespace nacre
