// What a compiled step takes, known before it runs for the first time.
#pragma once

#include <initializer_list>

#include "api/functional.h"
#include "backend/executable.h"

namespace nacre {

class Optimizer;

struct StepMemory {  // bytes
  std::size_t arena = 0;       // intermediates and scratch
  std::size_t variables = 0;   // weights and moving statistics
  std::size_t optimizer = 0;   // its state
  std::size_t persistent = 0;  // constants, and what is computed once from the weights
  std::size_t batch = 0;       // inputs, targets and results
  std::size_t process = 0;     // all that the process holds already: code, libraries, kernels, weights, data
  std::size_t to_come = 0;     // what the first run adds to it
  std::size_t total() const { return arena + variables + optimizer + persistent + batch; }
  std::size_t expected() const { return process + to_come; }  // of the whole process
};

// Of a step that was compiled and has not run; puts the variables where it wants them (Executable::prepare). `batch` are
// the tensors that it is run on, `optimizer` is null where it does not train.
StepMemory step_memory(Executable& step, const FunctionalLayer& model, const Optimizer* optimizer,
                       std::initializer_list<const std::vector<Tensor>*> batch);

}  // namespace nacre
