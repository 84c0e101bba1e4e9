// A group of element-wise nodes computed in one loop; made by the fuse_elementwise and fuse_scatter passes.
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

// The body has one input for each operand and one output for each result, in order. Its nodes are element-wise or
// random_uniform and have the shape of the results; the operands broadcast to it. A scatter_add whose result has that shape
// may be among them: its operands are inputs of the body that nothing else reads.
struct FusedAttrs {
  Subgraph body;
  bool operator==(const FusedAttrs&) const = default;
  static void describe(auto&& field) { field("body", &FusedAttrs::body, "what is computed for each element"); }
};

// Groups of any shapes that do not need each other, computed by one kernel; made by the join_updates pass.
struct FusedGroupsAttrs {
  std::vector<Subgraph> bodies;  // each as in FusedAttrs
  bool operator==(const FusedGroupsAttrs&) const = default;
  static void describe(auto&& field) { field("bodies", &FusedGroupsAttrs::bodies, "what the groups compute"); }
};

namespace op {
extern const OpDef<FusedAttrs> fused;                 // operands of the body → its results
extern const OpDef<FusedGroupsAttrs> fused_groups;  // operands of all bodies, one after the other → their results
}  // namespace op

// The body of a group of one node; operands that are single numbers become constants in it, and their inputs stay unread.
Subgraph group_of(const Node& node);

}  // namespace nacre
