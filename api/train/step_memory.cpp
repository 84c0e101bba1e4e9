#include "api/train/step_memory.h"

#include "api/train/optimizer.h"
#include "backend/core/memory.h"

namespace nacre {

StepMemory step_memory(Executable& step, const FunctionalLayer& model, const Optimizer* optimizer,
                       std::initializer_list<const std::vector<Tensor>*> batch) {
  StepMemory memory;
  step.prepare();
  const ExecutableStatistics& statistics = step.statistics();
  memory.arena = statistics.arena_bytes;
  memory.persistent = statistics.persistent_bytes;
  for (const Weight& weight : model.weights()) memory.variables += weight.variable->type().bytes();
  if (optimizer)
    for (const VariableRef& variable : optimizer->variables()) memory.optimizer += variable->type().bytes();
  for (const std::vector<Tensor>* tensors : batch)
    for (const Tensor& tensor : *tensors) memory.batch += tensor.bytes();
  for (const Type& type : step.output_types()) memory.batch += type.bytes();
  memory.to_come = step.bytes_to_come();
  memory.process = resident_memory();
  return memory;
}

}  // namespace nacre
