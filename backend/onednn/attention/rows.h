// What attention does to rows of scores between the products, compiled for several instruction sets (see
// ../elementwise/loops.h, whose rule about the standard library holds here too).
#pragma once

#include "backend/onednn/elementwise/loops.h"

namespace nacre::onednn {

struct AttentionRows {
  // Which scores of a row count, and what the others become. Null `seen`: all count.
  struct Sight {
    const std::uint8_t* seen;
    bool relative;    // hidden scores are 1e9 lower than they were, else -1e9
    bool weightless;  // hidden weights are 0
  };
  struct Dropout {
    const float* random;  // uniform in [0, 1); null: none
    float rate, factor;   // what is below the rate becomes 0, the rest is multiplied
  };
  struct Softmax {
    float scale, maximum, inverse_total;
  };

  // scores *= scale, then hidden ones are lowered; the largest of them.
  float (*prepare)(float* scores, float scale, const Sight& sight, std::int64_t count);
  // scores = exp(scores - maximum); their sum.
  float (*exponentials)(float* scores, float maximum, const Sight& sight, std::int64_t count);
  void (*drop)(float* weights, const Dropout& dropout, std::int64_t count);
  // products q · k and gradients of the dropped weights → weights, or 0 where the product does not matter; gradients of
  // the weights; the dropped weights. Σ weight · its gradient.
  float (*weigh)(float* products, float* gradients, float* dropped, const Softmax& row, const Sight& sight,
                 const Dropout& dropout, std::int64_t count);
  // weights = weights · (gradients - mean) · scale: the gradients of the products.
  void (*differentiate)(float* weights, const float* gradients, float mean, float scale, std::int64_t count);
  float (*dot)(const float* a, const float* b, std::int64_t count);
  float (*exponential)(float x);
};

// Those that go with loops().
const AttentionRows& attention_rows();

extern const AttentionRows rows_baseline, rows_avx2, rows_avx512;

}  // namespace nacre::onednn
