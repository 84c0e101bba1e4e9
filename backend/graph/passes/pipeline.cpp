#include "backend/graph/passes/pipeline.h"

#include "backend/graph/passes/dead_code.h"

namespace nacre {

std::span<const Pass> common_passes() {
  static constexpr Pass passes[] = {
      {"dead code", remove_dead_code},
  };
  return passes;
}

std::unique_ptr<Graph> run_passes(const Graph& graph, const Backend& backend, std::span<const Pass> passes) {
  auto result = rewrite(graph, [](const Node&, Rewriter&) { return false; });
  for (const Pass& pass : passes) {
    result = pass.run(*result, backend);
    result->verify();
  }
  return result;
}

}  // namespace nacre
