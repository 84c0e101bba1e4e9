// Running graphs some of whose functions run on the host, as models run them.
#pragma once

#include "backend/host_part.h"

namespace nacre::test {

// `graph(types)` emits the graph for results of the host part of these types.
template <class Emit>
std::vector<Tensor> run_hosted(Emit&& emit, const std::vector<Tensor>& inputs, const Backend& backend) {
  const HostPart before(*emit(std::vector<Types>()));
  const std::vector<Tensor> results = before.run(inputs);
  HostedExecutable executable(*emit(before.types(results)), backend, std::make_shared<Workspace>(backend));
  std::vector<Tensor> arguments = inputs, outputs;
  arguments.insert(arguments.end(), results.begin(), results.end());
  executable.run(arguments, outputs);
  return outputs;
}

}  // namespace nacre::test
