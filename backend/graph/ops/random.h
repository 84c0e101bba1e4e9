// Random tensors inside graphs: the same numbers on every backend, in every layout (see backend/core/random.h).
#pragma once

#include "backend/graph/graph.h"

namespace nacre {

struct RandomAttrs {
  std::string path;       // of the layer
  std::int64_t call = 0;  // how many calls of this layer came before in this graph
  bool operator==(const RandomAttrs&) const = default;
  static void describe(auto&& field) {
    field("path", &RandomAttrs::path, "of the layer");
    field("call", &RandomAttrs::call, "index of the layer's call");
  }
};

namespace op {
// (seed int64 scalar, step int64 scalar, like) → float32 of like's shape, uniform in [0, 1): element i is
// uniform_from(RandomKey::of(seed, path, call, step).word(i)), i the row-major index. Only like's shape is used.
extern const OpDef<RandomAttrs> random_uniform;
}  // namespace op

namespace ops {
Value random_uniform(Value seed, Value step, Value like, std::string path, std::int64_t call);
// x with 0 where `random`, uniform in [0, 1), is below `rate`, and the other elements divided by 1 - rate.
Value dropped(Value x, Value random, double rate);
}  // namespace ops

}  // namespace nacre
