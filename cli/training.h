// What `train` and `finetune` do.
#pragma once

#include "api/experiment/experiment.h"
#include "cli/run_folder.h"
#include "cli/verbs.h"

namespace nacre::cli {

// A training that ended.
struct Training {
  Model model;
  RunFolder folder;
  History history;
  DatasetRef validation;             // null: there was none
  std::optional<StepMemory> memory;  // none: no step was done
};
// Trains as the experiment says, in its run folder. `arguments.config` is for messages.
Training run_training(const Experiment& experiment, const TrainArguments& arguments);
// What a user is told, and a program, when it is over.
void say_outcome(const Training& training);
Tree report_of(const Training& training);

}  // namespace nacre::cli
