// What `compile` takes: how a model learns and what is measured.
#pragma once

#include "api/train/learning_rate_multipliers.h"
#include "api/train/losses.h"
#include "api/train/metric.h"
#include "api/train/optimizers.h"
#include "api/train/per_output.h"
#include "backend/backend.h"

namespace nacre {

using Losses = PerOutput<Chosen<Loss>>;
using Metrics = PerOutput<std::vector<Chosen<Metric>>>;

struct CompileOptions {
  Ref<Optimizer> optimizer = "rmsprop";
  Losses loss{};
  PerOutput<double> loss_weights{};
  Metrics metrics{}, weighted_metrics{};
  bool auto_scale_loss = true;
  // Beyond Keras's, so not in its files.
  MatmulPrecision matmul_precision = MatmulPrecision::highest;
  bool deterministic = true;
  bool recompute = false;
  LearningRateMultipliers learning_rate_multipliers{};
  static void describe(auto&& field) {
    field("optimizer", &CompileOptions::optimizer, "how gradients change weights");
    field("loss", &CompileOptions::loss, "what training makes small; per output a list or a mapping by name");
    field("loss_weights", &CompileOptions::loss_weights, "factors of the losses in the total");
    field("metrics", &CompileOptions::metrics, "measured besides the loss");
    field("weighted_metrics", &CompileOptions::weighted_metrics, "measured with the sample weights");
    field("auto_scale_loss", &CompileOptions::auto_scale_loss,
          "a model with mixed_float16 layers trains with a LossScaleOptimizer around the optimizer");
    field("matmul_precision", &CompileOptions::matmul_precision,
          "how exactly float32 layers multiply matrices and convolve, where lower is faster: float32, TensorFloat-32, bfloat16; "
          "everything else stays float32");
    field("deterministic", &CompileOptions::deterministic,
          "every run gives the same bits; false: on a GPU the fastest kernels, also those that add in no fixed order");
    field("recompute", &CompileOptions::recompute,
          "saves memory: of the forward pass much is computed again for the gradients, about once, instead of being kept");
    field("learning_rate_multipliers", &CompileOptions::learning_rate_multipliers,
          "{layer: factor} of the learning rate, names with *, the last that fits counts: {'*': 0.1, 'head*': 1}; or a number: "
          "each layer learns that many times as fast as the one after it");
  }
};

}  // namespace nacre
