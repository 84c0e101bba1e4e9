// The rows themselves, for the instruction set that the including file is compiled for.
#include "backend/onednn/attention/rows.h"
#include "backend/onednn/elementwise/math.h"

namespace nacre::onednn {

namespace {

constexpr float far = 1e9f;  // hidden_score of backend/graph/ops/attention.h

inline float lowered(float score, bool seen, bool relative) { return seen ? score : relative ? score - far : -far; }

inline float prepare_row(float* scores, float scale, const AttentionRows::Sight& sight, std::int64_t count) {
  float largest = -infinity;
  if (const std::uint8_t* seen = sight.seen) {
    const bool relative = sight.relative;
#pragma omp simd reduction(max : largest)
    for (std::int64_t i = 0; i < count; ++i) {
      scores[i] = lowered(scores[i] * scale, seen[i] != 0, relative);
      largest = scores[i] > largest ? scores[i] : largest;
    }
    return largest;
  }
#pragma omp simd reduction(max : largest)
  for (std::int64_t i = 0; i < count; ++i) {
    scores[i] *= scale;
    largest = scores[i] > largest ? scores[i] : largest;
  }
  return largest;
}

inline float exponential_row(float* scores, float maximum, const AttentionRows::Sight& sight, std::int64_t count) {
  float sum = 0;
  if (const std::uint8_t* seen = sight.seen; seen && sight.weightless) {
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = 0; i < count; ++i) {
      const float e = exp(scores[i] - maximum);
      scores[i] = seen[i] ? e : 0.0f;
      sum += scores[i];
    }
    return sum;
  }
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) {
    scores[i] = exp(scores[i] - maximum);
    sum += scores[i];
  }
  return sum;
}

inline void drop_row(float* weights, const AttentionRows::Dropout& dropout, std::int64_t count) {
  const float rate = dropout.rate, factor = dropout.factor;
  const float* random = dropout.random;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) weights[i] = random[i] >= rate ? weights[i] * factor : 0.0f;
}

template <bool hides, bool drops>
float weigh_row_of(float* products, float* gradients, float* dropped, const AttentionRows::Softmax& row,
                   const AttentionRows::Sight& sight, const AttentionRows::Dropout& dropout, std::int64_t count) {
  // No structured binding: clang 16 crashes at one in a loop of OpenMP.
  const float scale = row.scale, maximum = row.maximum, inverse_total = row.inverse_total;
  const bool relative = sight.relative, weightless = sight.weightless;
  const std::uint8_t* seen = sight.seen;
  const float* random = dropout.random;
  const float rate = dropout.rate, factor = dropout.factor;
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) {
    const bool visible = !hides || seen[i] != 0;
    const float score = lowered(products[i] * scale, visible, relative);
    const float e = exp(score - maximum) * inverse_total;
    const float weight = visible || !weightless ? e : 0.0f;
    const float kept = !drops ? 1.0f : random[i] >= rate ? factor : 0.0f;
    const float gradient = gradients[i] * kept;
    sum += weight * gradient;
    products[i] = visible || relative ? weight : 0.0f;
    gradients[i] = gradient;
    dropped[i] = weight * kept;
  }
  return sum;
}

inline float weigh_row(float* products, float* gradients, float* dropped, const AttentionRows::Softmax& row,
                       const AttentionRows::Sight& sight, const AttentionRows::Dropout& dropout, std::int64_t count) {
  constexpr decltype(&weigh_row_of<false, false>) variants[2][2] = {
      {weigh_row_of<false, false>, weigh_row_of<false, true>}, {weigh_row_of<true, false>, weigh_row_of<true, true>}};
  return variants[sight.seen != nullptr][dropout.random != nullptr](products, gradients, dropped, row, sight, dropout,
                                                                    count);
}

inline void differentiate_row(float* weights, const float* gradients, float mean, float scale, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) weights[i] *= (gradients[i] - mean) * scale;
}

inline float dot_row(const float* a, const float* b, std::int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

constexpr AttentionRows make_rows() {
  return {prepare_row, exponential_row, drop_row,         weigh_row, differentiate_row,
          dot_row,     [](float x) { return exp(x); }};
}

}  // namespace

}  // namespace nacre::onednn
