// The graphs of a model, compiled: training step, test step, prediction.
#pragma once

#include "api/functional.h"
#include "api/train/objective.h"
#include "backend/executable.h"

namespace nacre {

// The tensors of one batch in the model's order, and what a graph for them must know.
struct Feed {
  std::vector<Tensor> inputs;
  std::vector<Tensor> targets;  // of the outputs that the objective uses
  std::vector<Tensor> weights;  // none, or one per target
  std::int64_t size = 0;
};

// What a run's random numbers depend on, as variables of its graphs.
struct RandomState {
  VariableRef seed, step;  // int64 scalars; step counts training steps
};

// The whole training step as one graph: forward, losses and penalties, metrics, gradients, update, constraints. Its
// output "loss" is the batch's loss before the update.
std::unique_ptr<Graph> training_graph(FunctionalLayer& model, Objective& objective, Optimizer& optimizer,
                                      const RandomState& random, const Feed& feed, const Backend& backend);
// Forward in inference, losses, metrics; output "loss".
std::unique_ptr<Graph> test_graph(FunctionalLayer& model, Objective& objective, const RandomState& random, const Feed& feed);
// Forward in inference; one output per output of the model, "0", "1", ….
std::unique_ptr<Graph> prediction_graph(FunctionalLayer& model, const RandomState& random, const Types& inputs);

// Runs them on one backend, one executable per graph and batch size, in a bounded cache. Not synchronised.
class Steps {
 public:
  Steps(std::shared_ptr<FunctionalLayer> model, RandomState random, const Backend& backend);

  const Backend& backend() const { return backend_; }
  double train(Objective& objective, Optimizer& optimizer, const Feed& feed);  // the loss
  // Compiles the training step for such batches without running it: the state of the metrics exists then.
  void prepare(Objective& objective, Optimizer& optimizer, const Feed& feed) { training(objective, optimizer, feed); }
  double test(Objective& objective, const Feed& feed);
  // The results stay valid until the next prediction.
  const std::vector<Tensor>& predict(const std::vector<Tensor>& inputs);

  // Forgets the graphs that depend on losses, metrics or optimizer, or all of them.
  void recompile() { steps_.clear(); }
  void forget() { steps_.clear(), predictions_.clear(); }
  // Forgets all graphs when layers were frozen, thawed, added or taken away since they were made; called before batches
  // are run.
  void refresh();
  // Graphs compiled so far.
  std::size_t compilations() const { return steps_.misses() + predictions_.misses(); }

 private:
  Executable& training(Objective& objective, Optimizer& optimizer, const Feed& feed);
  std::unique_ptr<Executable> compile(const Graph& graph) const;
  double run(Executable& executable, const Feed& feed);
  std::shared_ptr<FunctionalLayer> model_;
  RandomState random_;
  const Backend& backend_;
  std::shared_ptr<Workspace> workspace_;  // one step runs at a time
  ExecutableCache steps_, predictions_;
  std::vector<std::pair<std::shared_ptr<Layer>, bool>> layers_;  // all of the model's, and whether they are trainable
  std::vector<Tensor> arguments_, results_, predicted_;
};

}  // namespace nacre
