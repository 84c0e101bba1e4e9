#include "backend/graph/ops/random.h"

#include "backend/graph/ops/elementwise.h"

namespace nacre {

namespace {

Types infer_random(const RandomAttrs&, const Types& in) {
  const Type number{DType::int64, {}};
  need(in[0] == number && in[1] == number, "seed and step must be {}, got {} and {}", number, in[0], in[1]);
  return {{DType::float32, in[2].shape}};
}

}  // namespace

constinit const OpDef<RandomAttrs> op::random_uniform{{.name = "random_uniform", .doc = "uniform in [0, 1)"},
                                                      infer_random};

Value ops::random_uniform(Value seed, Value step, Value like, std::string path, std::int64_t call) {
  return like.graph().add(op::random_uniform, RandomAttrs{std::move(path), call}, {seed, step, like}).out();
}

Value ops::dropped(Value x, Value random, double rate) {
  const Value kept = greater_equal(random, scalar_like(random, rate));
  return select(kept, x * (rate < 1 ? 1 / (1 - rate) : 0.0), scalar_like(x, 0));
}

}  // namespace nacre
