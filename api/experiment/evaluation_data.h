// Data as a model takes it that was trained on other data.
#pragma once

#include "api/experiment/experiment.h"

namespace nacre {

// Data with classes numbered as the model's labels are, as vectors where its loss compares such. Throws a usage Error
// when there are classes that the model does not know.
DatasetRef data_for(const Model& model, DatasetRef data);

// What `--data` names: what the `data:` of a YAML file says is measured on, or a source ("images:photos"). Throws a
// usage Error where it is neither.
class EvaluationData {
 public:
  explicit EvaluationData(const std::string& what);
  // The loss and metrics that the file names in its `train:`; none for a source, and where it names no loss.
  std::optional<CompileOptions> measures() const;
  // In the form that the model takes.
  DatasetRef open(const Model& model) const;

 private:
  std::optional<Experiment> file_;
  Ref<Source> source_;
};

}  // namespace nacre
