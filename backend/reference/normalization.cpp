#include "backend/graph/ops/normalization.h"

#include <algorithm>
#include <cmath>

#include "backend/reference/epilogue.h"
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

// x, gamma, beta → y, mean, variance.
template <class Over>
void normalise(const Over& each, double epsilon, Operands in, Results out) {
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
}

// dx = (h - mean(h) - x̂ mean(h x̂)) / √(variance + ε) with x̂ = (x - mean) / √(variance + ε) and h = γ dy.
// (x, gamma, mean, variance) and dy → dx, dgamma, dbeta.
template <class Over>
void differentiate(const Over& each, double epsilon, Operands in, std::span<const double> dy, Results out) {
  const Operand &x = in[0], &gamma = in[1], &mean = in[2], &variance = in[3];
  const Result &dx = out[0], &dgamma = out[1], &dbeta = out[2];
  const std::int64_t size = each.rows * each.channels;
  auto scale = [&](std::int64_t s) { return 1 / std::sqrt(variance[s] + epsilon); };
  auto normal = [&](std::int64_t i) { return (x[i] - mean[each.statistic(i)]) * scale(each.statistic(i)); };
  const auto statistics = static_cast<std::size_t>(mean.shape.elements());
  std::vector<double> mean_h(statistics), mean_hx(statistics);
  for (std::int64_t i = 0; i < size; ++i) {
    const auto s = static_cast<std::size_t>(each.statistic(i));
    const std::int64_t c = i % each.channels;
    const double slope = dy[static_cast<std::size_t>(i)];
    mean_h[s] += gamma[c] * slope / each.count();
    mean_hx[s] += gamma[c] * slope * normal(i) / each.count();
    dgamma[c] += slope * normal(i);
    dbeta[c] += slope;
  }
  for (std::int64_t i = 0; i < size; ++i) {
    const std::int64_t s = each.statistic(i);
    const auto at = static_cast<std::size_t>(s);
    const double slope = dy[static_cast<std::size_t>(i)];
    dx[i] = (gamma[i % each.channels] * slope - mean_h[at] - normal(i) * mean_hx[at]) * scale(s);
  }
}

// Whether the activation of a batch normalisation passes the gradient of element i on.
bool passes(const BatchNormAttrs& p, Operands in, std::int64_t i) {
  if (p.epilogue.residual) return in[5][i] > 0;
  const std::int64_t c = i % in[1].shape.elements();
  const double y = in[1][c] * (in[0][i] - in[2][c]) / std::sqrt(in[3][c] + p.epsilon) + in[5][c];
  return p.epilogue.activation == EpilogueKind::relu ? y > 0 : y >= p.epilogue.alpha && y <= p.epilogue.beta;
}

}  // namespace

KernelPlan batch_norm(const KernelRequest& request) {
  const auto each = over<Batch>(request.node.in(0).shape());
  return compute(request, [each, p = request.node.attrs<BatchNormAttrs>()](Operands in, Results out) {
    normalise(each, p.epsilon, in, out);
    apply_epilogue(p.epilogue, in, 3, out[0]);
  });
}

KernelPlan batch_norm_backward(const KernelRequest& request) {
  const auto each = over<Batch>(request.node.in(0).shape());
  return compute(request, [each, p = request.node.attrs<BatchNormAttrs>()](Operands in, Results out) {
    std::vector<double> dy(in[4].values.begin(), in[4].values.end());
    if (p.epilogue.activation != EpilogueKind::none)
      for (std::size_t i = 0; i < dy.size(); ++i)
        if (!passes(p, in, static_cast<std::int64_t>(i))) dy[i] = 0;
    differentiate(each, p.epsilon, in, dy, out);
    if (out.size() > 3) std::copy(dy.begin(), dy.end(), out[3].values.begin());
  });
}

KernelPlan layer_norm(const KernelRequest& request) {
  const auto each = over<Layer>(request.node.in(0).shape());
  return compute(request, [each, epsilon = request.node.attrs<EpsilonAttrs>().epsilon](Operands in, Results out) {
    normalise(each, epsilon, in, out);
  });
}

KernelPlan layer_norm_backward(const KernelRequest& request) {
  const auto each = over<Layer>(request.node.in(0).shape());
  return compute(request, [each, epsilon = request.node.attrs<EpsilonAttrs>().epsilon](Operands in, Results out) {
    differentiate(each, epsilon, in, in[4].values, out);
  });
}

}  // namespace nacre::reference
