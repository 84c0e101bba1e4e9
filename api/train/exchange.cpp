#include "api/train/exchange.h"

#include "backend/graph/ops/elementwise.h"

namespace nacre {

namespace {

// Of one exchange: it costs a round trip, and goes on while the gradients of the next one are computed.
constexpr std::size_t most_bytes = 8 << 20;

DType exchanged(DType dtype) { return dtype == DType::float64 ? dtype : DType::float32; }

}  // namespace

Exchange::Exchange(const Graph& graph, const Share& share) : share_(share) {
  for (const Node* node : graph.nodes())
    if (node->is(op::all_reduce)) latest_ = node->out();
}

Values Exchange::sum(const Values& values) {
  Values results, bucket;
  std::size_t bytes = 0;
  const auto flush = [&] {
    if (bucket.empty()) return;
    const Values sums = ops::all_reduce(share_.processes, bucket, latest_);
    latest_ = sums.front();
    for (const Value sum : sums) results.push_back(ops::cast(sum, values[results.size()].dtype()));
    bucket.clear();
    bytes = 0;
  };
  for (const Value value : values) {
    const Value wide = ops::cast(value, exchanged(value.dtype()));
    if (!bucket.empty() && (wide.dtype() != bucket.front().dtype() || bytes + wide.type().bytes() > most_bytes))
      flush();
    bucket.push_back(wide);
    bytes += wide.type().bytes();
  }
  flush();
  return results;
}

Value Exchange::sum_of_counts(Value count) { return sum({share_.samples > 0 ? count : count * 0.0}).front(); }

double Exchange::times() const {
  return share_.samples > 0 ? static_cast<double>(share_.whole) / static_cast<double>(share_.samples) : 1;
}

}  // namespace nacre
