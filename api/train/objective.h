// What a compiled model makes small and measures: the losses and metrics of its outputs.
#pragma once

#include "api/distribute/processes.h"
#include "api/train/callbacks.h"
#include "api/train/compile_options.h"
#include "api/train/metrics.h"
#include "layers/layer.h"

namespace nacre {

// Losses and metrics with Keras's names: "loss", then each metric, with "OUTPUT_" before it when there are several
// outputs, then "OUTPUT_loss" when there are several losses. Words such as "accuracy" get their meaning from the first
// data. Not synchronised.
class Objective {
 public:
  // Throws a usage Error when losses, weights or metrics do not fit the outputs.
  Objective(const CompileOptions& options, std::vector<std::string> outputs);

  // Which outputs need a target.
  bool uses(std::size_t output) const { return terms_[output].chosen || !terms_[output].metrics.empty(); }
  const std::vector<std::string>& outputs() const { return outputs_; }

  // Gives words such as "accuracy" their meaning; the batch may be unknown. Targets are those of the outputs in use.
  void resolve(const Types& targets, const Types& predictions);

  // One output in a graph; target, weight and mask may be null.
  struct Observation {
    Value prediction, mask, target, weight;
  };
  // The total loss, a float scalar: Σ weight · loss + the penalties of the context. Also emits the updates of the
  // metrics into the context's graph; `batch` is the number of samples. With an exchange they are a part of those of all
  // processes: see Loss; the metrics measure the part.
  Value emit(Context& context, const std::vector<Observation>& observations, std::int64_t batch, Exchange* exchange = nullptr);

  Logs logs() const;  // of the present state
  // Of the present states of all processes together. The first one goes on with their sum, the others from the start.
  Logs logs(const Processes& processes);
  void reset();
  std::vector<VariableRef> variables() const;  // the state of all metrics
  // Which way the number of that name gets better; none when there is no such number.
  std::optional<Direction> direction(std::string_view name) const;
  // The loss of an output; null when it has none, or when its word waits for the data.
  const Loss* loss(std::size_t output) const { return terms_[output].loss.get(); }
  // For an output whose loss, once it is known, takes classes as integers: the label that is allowed besides them.
  struct IntegerLabels {
    std::optional<std::int64_t> ignored;
  };
  std::optional<IntegerLabels> integer_labels(std::size_t output) const;

 private:
  struct Measure {
    Chosen<Metric> chosen;
    bool weighted;
    std::shared_ptr<Metric> metric;  // once the types are known
  };
  struct Term {
    std::optional<Chosen<Loss>> chosen;
    std::shared_ptr<Loss> loss;  // null: none, or not resolved yet
    std::optional<double> weight;
    std::vector<Measure> metrics;
    std::unique_ptr<metrics::Mean> mean;  // of the loss, when there are several
  };
  struct Named {
    std::string name;
    const Metric* metric;
  };
  static void resolve(Term& term, const Type& target, const Type& prediction);
  std::vector<Named> named() const;

  std::vector<std::string> outputs_;
  std::vector<Term> terms_;
  std::unique_ptr<metrics::Mean> total_;
};

}  // namespace nacre
