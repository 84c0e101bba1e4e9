// Models of configurations and of files, as verbs use them.
#pragma once

#include "api/experiment/experiment.h"
#include "api/model.h"
#include "cli/verbs.h"

namespace nacre::cli {

// Compiled as the configuration says, or without a loss there as the saved model was that it names: that goes on with
// its own optimizer's state. `config` is the file, for messages; `device` stands above the configuration's.
Model compiled_model(const Experiment& experiment, const std::filesystem::path& config, const std::string& device);

// What a verb measures.
struct Subject {
  Model model;
  std::string name;
  std::optional<Experiment> experiment;  // none: a saved model
};

// How a subject is compiled: not, as far as the configuration or the file says with what loss, or so or else an Error.
enum class Compiling : std::uint8_t { none, possible, required };

// Also sets the number of threads.
Subject open_subject(const SubjectArguments& arguments, Compiling compiling);

// Throws a usage Error where a model of a fixed batch size takes another one.
void check_batch(const Model& model, std::int64_t batch);

}  // namespace nacre::cli
