// What a model is made of: Keras's table, with the work and the memory that it takes.
#pragma once

#include "api/model.h"

namespace nacre {

struct ModelSummary {
  struct Row {
    std::string name, class_name;
    std::vector<Shape> inputs, outputs;  // of its last call in the model; empty when it was not built
    std::int64_t parameters = 0;
    std::optional<std::int64_t> flops;   // per sample, of all its calls; none when sizes are free
    std::vector<std::string> connected_to;  // "conv1[0][0]": layer, call, output
  };
  struct Port {
    std::string name;
    Type type;  // with the batch axis
  };
  struct Memory {  // bytes at a batch size
    std::int64_t batch_size = 0;
    std::size_t intermediates = 0, variables = 0;
  };
  std::string name, class_name;
  bool branches = false;  // some layer has not exactly the layer before as its input
  std::vector<Port> inputs, outputs;
  std::vector<Row> rows;
  std::int64_t trainable = 0, non_trainable = 0, optimizer = 0;                    // numbers of parameters
  std::size_t trainable_bytes = 0, non_trainable_bytes = 0, optimizer_bytes = 0;
  std::optional<std::int64_t> flops;     // of a prediction, per sample; see flops.h
  std::optional<Memory> prediction, training;  // training: of a compiled model whose losses say what targets are

  std::string text(int width = 80) const;  // a table of at most so many columns
  Tree tree() const;                       // the same for programs
};

struct SummaryOptions {
  std::int64_t batch_size = 32;  // of the memory figures
  bool measure_memory = true;    // compiles the model
};
ModelSummary summarize(const Model& model, const SummaryOptions& options = {});

}  // namespace nacre
