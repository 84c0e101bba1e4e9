// The parts of a graph that run on the host: functions of texts and tables (graph/ops/host.h) and what lies between them
// and the graph's inputs. No backend compiles such functions, so a graph that has some is run in up to three parts:
//
//   before   what needs no variable: texts become numbers. It can run ahead of the step, in the data pipeline.
//   device   the rest, compiled by a backend. Its sizes may depend on what came before (the longest text of a batch), so the
//            model emits its graph anew, with the types of those results.
//   after    functions of what the device computed (words for class numbers), and what depends on them.
#pragma once

#include "backend/executable.h"
#include "backend/graph/ops/host.h"

namespace nacre {

// The part before. Immutable: usable from several threads.
class HostPart {
 public:
  // Of a graph in which sizes may be unknown (the batch, and what depends on data).
  explicit HostPart(const Graph& graph);

  bool empty() const { return graph_->outputs().empty(); }
  // The results of the host functions, one after the other; `inputs` in the order of the graph's.
  std::vector<Tensor> run(std::span<const Tensor> inputs) const;
  // The types of these results for each host function of the graph, in order: for emitting it again. None for functions
  // that do not run before the device.
  std::vector<Types> types(std::span<const Tensor> results) const;

 private:
  std::unique_ptr<Graph> graph_;      // its outputs are the results
  std::vector<std::size_t> counts_;   // of results, by host function
};

// A whole graph, its device part compiled. A graph without host functions is just an Executable.
class HostedExecutable {
 public:
  // All sizes are known but those that depend on functions after the device. Throws Error when an update depends on one.
  HostedExecutable(const Graph& graph, const Backend& backend, std::shared_ptr<Workspace> workspace,
                   Numerics numerics = {});

  // Inputs in the order of graph.inputs(), then the results of the host part; outputs in the order of graph.outputs(),
  // their memory is used again where it has the right type.
  void run(std::span<const Tensor> inputs, std::vector<Tensor>& outputs);
  // Begins a run: see Executable::start. What comes after the device is waited for.
  void start(std::span<const Tensor> inputs, Results& results);
  Executable* device() const { return device_.get(); }  // null when nothing is left for it

 private:
  std::unique_ptr<Executable> device_;
  std::unique_ptr<Graph> after_;        // null when no output needs it; takes all inputs, then the device's outputs
  void take_numbers(std::span<const Tensor> inputs);
  std::vector<Tensor> run_after(std::span<const Tensor> inputs) const;

  std::vector<Tensor> numbers_, computed_;
};

}  // namespace nacre
