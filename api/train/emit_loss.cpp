#include "api/train/emit_loss.h"

namespace nacre {

Types types_of(const std::vector<Tensor>& tensors) {
  Types types;
  for (const Tensor& tensor : tensors) types.push_back(tensor.type());
  return types;
}

Values feed_inputs(Graph& graph, const FunctionalLayer& model, const Types& types) {
  const std::vector<std::string> names = model.input_names();
  Values values;
  for (std::size_t i = 0; i < types.size(); ++i) values.push_back(graph.input("input/" + names[i], types[i]));
  return values;
}

Emitted emit_loss(Graph& graph, FunctionalLayer& model, Objective& objective, const RandomState& random,
                  const Feed& feed, const HostTypes& hosted, bool training) {
  Context context(graph, training, graph.variable(random.seed), graph.variable(random.step));
  context.set_host_types(hosted);
  const Values inputs = feed_inputs(graph, model, types_of(feed.inputs));
  const CallResult result = model.emit(context, inputs, Values(inputs.size()));
  std::vector<Objective::Observation> observations;
  std::size_t target = 0;
  for (std::size_t i = 0; i < result.outputs.size(); ++i) {
    Objective::Observation at{result.outputs[i], result.masks[i], {}, {}};
    if (objective.uses(i)) {
      const std::string name = fmt::format("{}/{}", i, objective.outputs()[i]);  // two outputs may have one name
      at.target = graph.input("target/" + name, feed.targets.at(target).type());
      if (!feed.weights.empty()) at.weight = graph.input("weight/" + name, feed.weights.at(target).type());
      ++target;
    }
    observations.push_back(at);
  }
  if (!feed.share.processes) return {objective.emit(context, observations, feed.size), result};
  Exchange exchange(graph, feed.share);
  return {objective.emit(context, observations, feed.share.samples, &exchange), result};
}

}  // namespace nacre
