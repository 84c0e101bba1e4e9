// Models of configurations and of files, as verbs use them.
#pragma once

#include "api/experiment/experiment.h"
#include "api/model.h"

namespace nacre::cli {

// Compiled as the configuration says, or without a loss there as the saved model was that it names: that goes on with
// its own optimizer's state. `config` is the file, for messages; `device` stands above the configuration's.
Model compiled_model(const Experiment& experiment, const std::filesystem::path& config, const std::string& device);

}  // namespace nacre::cli
