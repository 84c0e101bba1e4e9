#include "backend/graph/ops/normalization.h"

#include <cmath>

#include "backend/reference/kernel.h"
#include "backend/reference/kernels.h"

namespace nacre::reference {
namespace {

// x as rows of channels; a statistic belongs to a channel (batch) or to a row (layer).
struct Batch {
  std::int64_t rows, channels;
  std::int64_t statistic(std::int64_t i) const { return i % channels; }
  double count() const { return static_cast<double>(rows); }
};
struct Layer {
  std::int64_t rows, channels;
  std::int64_t statistic(std::int64_t i) const { return i / channels; }
  double count() const { return static_cast<double>(channels); }
};

template <class Over>
Over over(const Shape& x) {
  return {x.first(x.rank() - 1).elements(), x[-1]};
}

template <class Over>
KernelPlan forward(const KernelRequest& request) {
  const Over each = over<Over>(request.node.in(0).shape());
  return compute(request, [each, epsilon = request.node.attrs<EpsilonAttrs>().epsilon](Operands in, Results out) {
    const Operand &x = in[0], &gamma = in[1], &beta = in[2];
    const Result &y = out[0], &mean = out[1], &variance = out[2];
    const std::int64_t size = each.rows * each.channels;
    for (std::int64_t i = 0; i < size; ++i) mean[each.statistic(i)] += x[i] / each.count();
    for (std::int64_t i = 0; i < size; ++i) {
      const double centred = x[i] - mean[each.statistic(i)];
      variance[each.statistic(i)] += centred * centred / each.count();
    }
    for (std::int64_t i = 0; i < size; ++i) {
      const std::int64_t s = each.statistic(i), c = i % each.channels;
      y[i] = gamma[c] * (x[i] - mean[s]) / std::sqrt(variance[s] + epsilon) + beta[c];
    }
  });
}

// dx = (h - mean(h) - x̂ mean(h x̂)) / √(variance + ε) with x̂ = (x - mean) / √(variance + ε) and h = γ dy.
template <class Over>
KernelPlan backward(const KernelRequest& request) {
  const Over each = over<Over>(request.node.in(0).shape());
  return compute(request, [each, epsilon = request.node.attrs<EpsilonAttrs>().epsilon](Operands in, Results out) {
    const Operand &x = in[0], &gamma = in[1], &mean = in[2], &variance = in[3], &dy = in[4];
    const Result &dx = out[0], &dgamma = out[1], &dbeta = out[2];
    const std::int64_t size = each.rows * each.channels;
    auto scale = [&](std::int64_t s) { return 1 / std::sqrt(variance[s] + epsilon); };
    auto normal = [&](std::int64_t i) { return (x[i] - mean[each.statistic(i)]) * scale(each.statistic(i)); };
    const auto statistics = static_cast<std::size_t>(mean.shape.elements());
    std::vector<double> mean_h(statistics), mean_hx(statistics);
    for (std::int64_t i = 0; i < size; ++i) {
      const auto s = static_cast<std::size_t>(each.statistic(i));
      const std::int64_t c = i % each.channels;
      mean_h[s] += gamma[c] * dy[i] / each.count();
      mean_hx[s] += gamma[c] * dy[i] * normal(i) / each.count();
      dgamma[c] += dy[i] * normal(i);
      dbeta[c] += dy[i];
    }
    for (std::int64_t i = 0; i < size; ++i) {
      const std::int64_t s = each.statistic(i);
      const auto at = static_cast<std::size_t>(s);
      dx[i] = (gamma[i % each.channels] * dy[i] - mean_h[at] - normal(i) * mean_hx[at]) * scale(s);
    }
  });
}

}  // namespace

KernelPlan batch_norm(const KernelRequest& request) { return forward<Batch>(request); }
KernelPlan batch_norm_backward(const KernelRequest& request) { return backward<Batch>(request); }
KernelPlan layer_norm(const KernelRequest& request) { return forward<Layer>(request); }
KernelPlan layer_norm_backward(const KernelRequest& request) { return backward<Layer>(request); }

}  // namespace nacre::reference
