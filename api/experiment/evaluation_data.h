// Data as a model takes it that was trained on other data.
#pragma once

#include "api/model.h"

namespace nacre {

// Data with classes numbered as the model's labels are, as vectors where its loss compares such. Throws a usage Error
// when there are classes that the model does not know.
DatasetRef data_for(const Model& model, DatasetRef data);

// What `--data` names, in the form that the model takes: what the `data:` of a YAML file says is measured on, or a
// source
// ("images:photos").
DatasetRef evaluation_data(const std::string& what, const Model& model);

// The loss and metrics that the `train:` of such a YAML file names; none for a source, and where it names no loss.
std::optional<CompileOptions> evaluation_measures(const std::string& what);

}  // namespace nacre
