// What `compile` takes: how a model learns and what is measured.
#pragma once

#include "api/train/losses.h"
#include "api/train/metric.h"
#include "api/train/optimizers.h"
#include "api/train/per_output.h"

namespace nacre {

using Losses = PerOutput<Chosen<Loss>>;
using Metrics = PerOutput<std::vector<Chosen<Metric>>>;

struct CompileOptions {
  Ref<Optimizer> optimizer = "rmsprop";
  Losses loss{};
  PerOutput<double> loss_weights{};
  Metrics metrics{}, weighted_metrics{};
  bool auto_scale_loss = true;
  static void describe(auto&& field) {
    field("optimizer", &CompileOptions::optimizer, "how gradients change weights");
    field("loss", &CompileOptions::loss, "what training makes small; per output a list or a mapping by name");
    field("loss_weights", &CompileOptions::loss_weights, "factors of the losses in the total");
    field("metrics", &CompileOptions::metrics, "measured besides the loss");
    field("weighted_metrics", &CompileOptions::weighted_metrics, "measured with the sample weights");
    field("auto_scale_loss", &CompileOptions::auto_scale_loss,
          "a model with mixed_float16 layers trains with a LossScaleOptimizer around the optimizer");
  }
};

}  // namespace nacre
