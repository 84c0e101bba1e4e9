// What `train` and `finetune` do.
#pragma once

#include <functional>

#include "api/distribute/processes.h"
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
// What a verb does that several processes may do together, if mpirun has started them: `work` is told which they are, and gives
// the exit code. Of an error that all of them meet only the first one tells.
int run_together(const std::function<int(const Processes&)>& work);
// Trains as the experiment says, in its run folder. `arguments.config` is for messages. Files and lines are the first
// process's.
Training run_training(const Experiment& experiment, const TrainArguments& arguments, const Processes& processes);
// What a user is told, and a program, when it is over.
void say_outcome(const Training& training);
Tree report_of(const Training& training);

}  // namespace nacre::cli
