// The graphs of a model, compiled: training step, test step, prediction.
#pragma once

#include <array>
#include <span>

#include "api/functional.h"
#include "api/train/exchange.h"
#include "api/train/objective.h"
#include "backend/host_part.h"

namespace nacre {

// The tensors of one batch in the model's order, and what a graph for them must know.
struct Feed {
  std::vector<Tensor> inputs;
  std::vector<Tensor> targets;  // of the outputs that the objective uses
  std::vector<Tensor> weights;  // none, or one per target
  std::int64_t size = 0;
  // The results of the model's host part for the inputs, where it ran ahead, in the data pipeline.
  std::optional<std::vector<Tensor>> hosted;
  Share share{};  // what these samples are of a batch that several processes have
};

// What a test made of a batch.
struct Predictions {
  std::span<const Tensor> outputs;
  std::span<const Tensor> masks;  // bool, one per output: which places count; a scalar where all do
};

// What a model does on the host before the device; null: nothing.
using HostPartRef = std::shared_ptr<const HostPart>;

// What a run's random numbers depend on, as variables of its graphs.
struct RandomState {
  VariableRef seed, step;  // int64 scalars; step counts training steps
};

// For inputs of these types, whose batch may be unknown.
HostPartRef host_part(FunctionalLayer& model, const RandomState& random, const Types& inputs);

// The graphs below are emitted for the types of the feed's tensors, those of `hosted` among them.
using HostTypes = std::vector<Types>;  // see HostPart::types

// The whole training step as one graph: forward, losses and penalties, metrics, gradients, update, constraints. Its
// output "loss", the last one, is the batch's loss before the update. Where processes share the batch, it is the whole's,
// and gradients and moving statistics are summed over them, which thus make the same update. When `recomputing`, much of
// the forward pass is computed again for the gradients instead of being kept (see passes/recompute.h).
std::unique_ptr<Graph> training_graph(FunctionalLayer& model, Objective& objective, Optimizer& optimizer,
                                      const RandomState& random, const Feed& feed, const Backend& backend,
                                      const HostTypes& hosted = {}, bool recomputing = false,
                                      const LearningRateMultipliers& multipliers = {});
// Forward in inference, losses, metrics; output "loss". When `predicting`, then also an output "0", "1", … for each of
// the model's, and after them "mask/0", "mask/1", …, as Predictions has them.
std::unique_ptr<Graph> test_graph(FunctionalLayer& model, Objective& objective, const RandomState& random,
                                  const Feed& feed, const HostTypes& hosted = {}, bool predicting = false);
// Forward in inference; one output per output of the model, "0", "1", ….
std::unique_ptr<Graph> prediction_graph(FunctionalLayer& model, const RandomState& random, const Types& inputs,
                                        const HostTypes& hosted = {});

// Runs them on one backend, one executable per graph and batch size, in a bounded cache. Not synchronised.
class Steps {
 public:
  Steps(std::shared_ptr<FunctionalLayer> model, RandomState random, const Backend& backend);

  const Backend& backend() const { return backend_; }
  // How its graphs are made from now on; those made otherwise are forgotten.
  struct Options {
    Numerics numerics{};
    bool recompute = false;
    LearningRateMultipliers multipliers{};
    bool operator==(const Options&) const = default;
  };
  const Options& options() const { return options_; }
  void set_options(const Options& options);
  // What the model does on the host before the device with inputs of these types, whose batch may be unknown: what
  // Feed::hosted takes from it. Null: nothing. A step whose feed has no results of it runs it itself.
  HostPartRef host_part(const Types& inputs);

  // Each of these begins a run. Where results come late, it may be under way when they return, while the one before is
  // over. Results are valid until the next run begins, late ones until the run after that.
  // The loss is the last result.
  const Results& train(Objective& objective, Optimizer& optimizer, const Feed& feed);
  // The loss is the first.
  const Results& test(Objective& objective, const Feed& feed);
  // The same, with what the model predicted: see predictions().
  const Results& test_predicting(Objective& objective, const Feed& feed);
  const Results& predict(const Feed& feed);

  // Of the results of test_predicting().
  Predictions predictions(const std::vector<Tensor>& results) const;
  // The training step for such batches, compiled but not run: the state of the metrics exists then. Valid until the
  // cache drops it.
  HostedExecutable& training(Objective& objective, Optimizer& optimizer, const Feed& feed) {
    return training(objective, optimizer, hosted(feed));
  }
  // Likewise.
  HostedExecutable& prediction(const Feed& feed) { return prediction(hosted(feed)); }

  // Forgets the graphs that depend on losses, metrics or optimizer, or all of them.
  void recompile() { steps_.clear(); }
  void forget() { steps_.clear(), predictions_.clear(), host_parts_.clear(); }
  // Forgets all graphs when layers were frozen, thawed, added, taken away or given other tables since they were made;
  // called before batches are run. Throws a usage Error for layers that have no tables yet, or tables too large for
  // what follows.
  void refresh();
  // Graphs compiled so far.
  std::size_t compilations() const { return steps_.misses() + predictions_.misses(); }

 private:
  // A feed and what it brings from the host part.
  struct Hosted {
    const Feed& feed;
    HostPartRef part;              // null: the model has none
    std::vector<Tensor> results;   // of the part
    HostTypes types() const { return part ? part->types(results) : HostTypes(); }
    std::array<const std::vector<Tensor>*, 4> tensors() const {
      return {&feed.inputs, &feed.targets, &feed.weights, &results};
    }
  };
  // What tells graphs apart: what they are for, the types of a batch's tensors, and its share. Every step looks its graph
  // up, so a key is made for a new one only.
  struct Wanted {
    std::string_view kind;
    const Hosted& batch;
  };
  struct Key {
    std::string_view kind;
    Types types;
    Share share;
    explicit Key(const Wanted& wanted);
    bool operator==(const Wanted& wanted) const;
  };
  Hosted hosted(const Feed& feed);
  HostedExecutable& training(Objective& objective, Optimizer& optimizer, const Hosted& hosted);
  HostedExecutable& prediction(const Hosted& hosted);
  std::unique_ptr<HostedExecutable> compile(const Graph& graph) const;
  // Where results come late, those of a run stay while the next one is under way.
  struct Turns {
    explicit Turns(const Backend& backend) : results{Results(backend), Results(backend)} {}
    Results& next() { return results[turn = results[turn].late() ? 1 - turn : turn]; }
    const Results& before() const { return results[1 - turn]; }
    std::array<Results, 2> results;
    std::size_t turn = 0;
  };
  const Results& start_step(HostedExecutable& executable, const Hosted& hosted);
  const Results& start(HostedExecutable& executable, Turns& turns);  // on arguments_
  std::shared_ptr<FunctionalLayer> model_;
  RandomState random_;
  const Backend& backend_;
  Options options_;
  std::shared_ptr<Workspace> workspace_;  // one step runs at a time
  ExecutableCache<HostedExecutable, Key> steps_, predictions_;
  std::map<std::string, HostPartRef> host_parts_;  // by the types of inputs
  bool on_host_ = false;                           // whether a layer runs on the host
  struct LayerState {
    std::shared_ptr<Layer> layer;
    bool trainable;
    int revision;
    bool operator==(const LayerState&) const = default;
  };
  std::vector<LayerState> layers_;  // all of the model's, as the graphs were made for
  std::vector<Tensor> arguments_;
  Turns steps_taken_, predictions_made_;
};

}  // namespace nacre
