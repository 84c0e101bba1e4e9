#include "backend/graph/ops/bodies.h"

#include "backend/graph/ops/branch.h"
#include "backend/graph/ops/custom_gradient.h"
#include "backend/graph/ops/loop.h"
#include "backend/graph/ops/scan.h"

namespace nacre {

std::vector<Subgraph> bodies_of(const Node& node) {
  if (node.is(op::scan)) return {node.attrs<ScanAttrs>().body};
  if (node.is(op::branch)) return node.attrs<BranchAttrs>().bodies;
  if (node.is(op::loop)) return {node.attrs<LoopAttrs>().condition, node.attrs<LoopAttrs>().body};
  if (node.is(op::custom_gradient)) return {node.attrs<CustomGradientAttrs>().backward};
  return {};
}

Attributes with_bodies(const Node& node, const std::vector<Subgraph>& bodies) {
  const auto changed = [&](auto attrs, auto&& change) {
    change(attrs);
    return Attributes(std::move(attrs));
  };
  if (node.is(op::scan)) return changed(node.attrs<ScanAttrs>(), [&](ScanAttrs& p) { p.body = bodies.at(0); });
  if (node.is(op::branch)) return changed(node.attrs<BranchAttrs>(), [&](BranchAttrs& p) { p.bodies = bodies; });
  if (node.is(op::loop))
    return changed(node.attrs<LoopAttrs>(), [&](LoopAttrs& p) { p.condition = bodies.at(0), p.body = bodies.at(1); });
  ensure(node.is(op::custom_gradient), "'{}' holds no graphs", node.op().name);
  return changed(node.attrs<CustomGradientAttrs>(), [&](CustomGradientAttrs& p) { p.backward = bodies.at(0); });
}

}  // namespace nacre
