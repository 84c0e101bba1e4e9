// What `evaluate` measures, with what stands behind the numbers: for each output how it does by class, or how large its
// errors are, and which samples it gets most wrong.
//
//   const EvaluationReport report = evaluation_report(model, digits(2000, 2));
//   std::puts(report.text().c_str());
#pragma once

#include "api/inspect/classification_report.h"
#include "api/inspect/regression_report.h"
#include "api/model.h"

namespace nacre {

struct EvaluationOptions {
  std::int64_t batch_size = 32;
  std::int64_t steps = 0;   // batches; 0: all
  std::int64_t worst = 10;  // samples that are listed
  std::int64_t bins = 10;   // of calibration, of equal width
  const std::atomic<bool>* stop = nullptr;
  static void describe(auto&& field) {
    field("batch_size", &EvaluationOptions::batch_size, "samples a step", at_least(1));
    field("steps", &EvaluationOptions::steps, "batches; 0: all", at_least(0));
    field("worst", &EvaluationOptions::worst, "samples that are listed", between(0, 1000));
    field("bins", &EvaluationOptions::bins, "of calibration, of equal width", between(2, 100));
  }
};

struct EvaluationReport {
  // Neither: the output's loss says nothing of classes or numbers, or it has none.
  struct Output {
    std::string name;
    std::optional<ClassificationReport> classification;
    std::optional<RegressionReport> regression;
  };
  std::string data;  // the data's description
  std::int64_t samples = 0;
  Logs logs;  // what evaluate gives
  std::vector<Output> outputs;

  // Without the logs; "" when there is nothing to say. Lines of at most `width` columns.
  std::string details(int width = 80) const;
  // The logs by name, and "samples" and "outputs".
  Tree tree() const;
};

// One pass over the data, in memory that does not grow with it. The logs are those of Model::evaluate. What an output
// is follows from its loss: cross-entropies and hinges speak of classes, errors of numbers. Throws as evaluate does.
EvaluationReport evaluation_report(const Model& model, const DatasetRef& data, const EvaluationOptions& options = {});

}  // namespace nacre
