// A run of `nacre train` as one HTML page: curves, what the model does on data, samples, model, settings, environment.
#pragma once

#include <atomic>
#include <filesystem>
#include <string>

namespace nacre {

struct RunReportOptions {
  std::string data{};    // as EvaluationData takes it; "": what the configuration measures on: test, else validation,
                         // else training data
  std::string device{};  // "": as the configuration says
  std::int64_t batch_size = 32;
  std::int64_t samples = 12;  // of each kind that are shown
  const std::atomic<bool>* stop = nullptr;
};

// The page needs no network and no other file; texts of the run cannot become markup. Reads config.yaml, history.csv,
// environment.yaml and model.h5 of the folder, or of a run that was broken off its checkpoint.h5. Throws a usage Error
// for a folder that holds no run, and what opening its data throws.
std::string run_report(const std::filesystem::path& run_folder, const RunReportOptions& options = {});

}  // namespace nacre
