// What an element-wise group computes, as CUDA source.
#pragma once

#include "backend/cudnn/row_lists.h"
#include "backend/graph/graph.h"

namespace nacre::gpu {

// Whether it is one of the ops that are an expression of their operands' elements.
bool has_formula(const Node& node);

// The nodes of a group that sum rows by their indices. Each of them reads lists of those, an operand after all others.
std::vector<const Node*> row_sums(const Graph& body);
RowLists lists_of(const Node& sum);
std::size_t input_index(const Graph& body, Value value);

// The body of a loop over `at` from 0 to `packs`, each of which is some neighbouring elements, which reads and writes
// the pointers in0 … and out0 …. What lies as the results do is read and written in packs, of up to 16 bytes: a thread
// that reads two at a time leaves most of a memory's speed.
struct GroupText {
  std::int64_t packs;
  std::string body;
};
inline constexpr std::int64_t widest_pack = 8;  // elements
GroupText group_text(const Graph& graph, const Shape& space, std::int64_t most_lanes = widest_pack);

}  // namespace nacre::gpu
