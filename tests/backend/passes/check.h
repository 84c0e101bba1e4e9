// A pass is tested by what it makes of a graph: check(pass, before, after).
#pragma once

#include <gtest/gtest.h>

#include <functional>

#include "backend/backend.h"
#include "backend/graph/ops/ops.h"

namespace nacre::test {

// The same graph with its nodes in one order, whichever they were made in; without those that nothing needs.
inline std::unique_ptr<Graph> in_canonical_order(const Graph& graph) {
  auto result = std::make_unique<Graph>();
  Rewriter rewriter(graph, *result);
  const auto emit = [&](auto&& self, Value value) -> void {
    if (rewriter.mapped(value)) return;
    for (Value in : value.node().inputs()) self(self, in);
    rewriter.copy(value.node());
  };
  for (const auto& [name, value] : graph.inputs()) emit(emit, value);
  for (const auto& [name, value] : graph.outputs()) emit(emit, value);
  for (const auto& [variable, value] : graph.updates()) emit(emit, value);
  rewriter.finish();
  return result;
}

using Build = std::function<void(Graph&)>;

inline std::unique_ptr<Graph> built(const Build& build) {
  auto graph = std::make_unique<Graph>();
  build(*graph);
  return graph;
}

inline void check(std::unique_ptr<Graph> (*pass)(const Graph&, const Backend&), const Build& before, const Build& after,
                  const Backend& backend = reference_backend()) {
  const auto actual = pass(*built(before), backend);
  actual->verify();
  EXPECT_EQ(in_canonical_order(*actual)->text(), in_canonical_order(*built(after))->text());
}
inline void check_unchanged(std::unique_ptr<Graph> (*pass)(const Graph&, const Backend&), const Build& graph,
                            const Backend& backend = reference_backend()) {
  check(pass, graph, graph, backend);
}

inline Type floats(Shape shape) { return {DType::float32, std::move(shape)}; }

}  // namespace nacre::test
