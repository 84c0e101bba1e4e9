#include "backend/graph/passes/pipeline.h"

#include "backend/graph/passes/common_subexpressions.h"
#include "backend/graph/passes/constant_folding.h"
#include "backend/graph/passes/dead_code.h"
#include "backend/graph/passes/early_updates.h"
#include "backend/graph/passes/float8_products.h"
#include "backend/graph/passes/fold_batchnorm.h"
#include "backend/graph/passes/fold_padding.h"
#include "backend/graph/passes/fuse_batch_norm.h"
#include "backend/graph/passes/fuse_bias_gradient.h"
#include "backend/graph/passes/fuse_depthwise.h"
#include "backend/graph/passes/fuse_elementwise.h"
#include "backend/graph/passes/fuse_epilogue.h"
#include "backend/graph/passes/fuse_scatter.h"
#include "backend/graph/passes/join_updates.h"
#include "backend/graph/passes/relu_after_pool.h"
#include "backend/graph/passes/simplify.h"

namespace nacre {

// clang-format off
std::span<const Pass> common_passes() {
  static constexpr Pass passes[] = {
      {"dead code", remove_dead_code},
      {"simplify", simplify},
      {"constant folding", fold_constants},
      {"common subexpressions", merge_common_subexpressions},
      {"dead code", remove_dead_code},
  };
  return passes;
}

std::span<const Pass> fusing_passes() {
  static constexpr Pass passes[] = {
      {"dead code", remove_dead_code},
      {"simplify", simplify},
      {"constant folding", fold_constants},
      {"common subexpressions", merge_common_subexpressions},
      {"products of eight bits", float8_products},  // before anything is joined to them
      {"dead code", remove_dead_code},  // users that nobody uses would hinder fusion
      {"fold padding", fold_padding},
      {"fold batch norm", fold_batchnorm},
      {"dead code", remove_dead_code},
      {"fuse epilogue", fuse_epilogue},
      {"dead code", remove_dead_code},  // likewise
      {"fuse depthwise", fuse_depthwise},
      {"fuse bias gradient", fuse_bias_gradient},
      {"dead code", remove_dead_code},
      {"fuse element-wise", fuse_elementwise},
      {"fuse scatter", fuse_scatter},
      {"join updates", join_updates},
      {"dead code", remove_dead_code},
      {"early updates", early_updates},
  };
  return passes;
}
// clang-format on

std::unique_ptr<Graph> ready_for_gradients(const Graph& graph, const Backend& backend) {
  return decompose_missing(*relu_after_pool(*fuse_batch_norm(graph, backend), backend), backend);
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
