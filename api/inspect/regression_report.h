// How a model of numbers does on data: the size of its errors, and its worst samples.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "api/train/losses.h"
#include "formats/tree.h"

namespace nacre {

struct RegressionReport {
  struct Errors {
    double mean = 0;  // of prediction - truth: whether it says too much or too little
    double mean_absolute = 0;
    double root_mean_squared = 0;
    double r_squared = 0;  // 1 - Σ error² / Σ (truth - its mean)²; 0 where the truth is the same everywhere
  };
  struct Sample {
    std::int64_t index = 0;                    // in the data
    std::string name{};                        // what the data calls the sample; "" where it is but a number
    double error = 0;                          // the mean of the absolute errors of its numbers
    std::vector<double> truth{}, predicted{};  // the first of its numbers, no more than `most_numbers`
  };
  struct Point {
    double truth = 0, predicted = 0;
  };

  std::int64_t count = 0;       // samples
  std::int64_t numbers = 1;     // of a sample
  Errors errors;                // over all numbers; r_squared is the mean of the columns', as Keras has it
  std::vector<Errors> columns;  // by the last axis, where it has two to `most_columns` places
  std::vector<Sample> worst;    // the largest error first
  std::vector<Point> points;    // of samples at equal distances: no more than `most_points`

  static constexpr std::size_t most_numbers = 8, most_columns = 32, most_points = 500;

  std::string text(int width = 80) const;
  Tree tree() const;
};

// Whether a loss is about numbers that should be near those of the targets.
bool is_regression(const Loss& loss);

// Gathers such a report over batches, in memory that does not grow with the data.
class RegressionTally {
 public:
  // `samples`: how many there will be; `listed`: how many of the worst it keeps.
  RegressionTally(std::int64_t samples, std::size_t listed)
      : stride_(
            std::max<std::int64_t>(1, (samples - 1) / static_cast<std::int64_t>(RegressionReport::most_points) + 1)),
        listed_(listed) {}

  // As for ClassificationTally; target and prediction have as many numbers.
  void add(std::int64_t first, const Tensor& prediction, const Tensor& target, const Tensor* mask,
           const Tensor* weight);
  RegressionReport finish() &&;

 private:
  // Sums over one column. The truth's squares are about its running mean (Welford).
  struct Sums {
    double count = 0, error = 0, absolute = 0, squared = 0, mean = 0, spread = 0;
    void add(double truth, double predicted);
    RegressionReport::Errors errors() const;
  };

  std::int64_t stride_;
  std::size_t listed_;
  std::vector<Sums> columns_;
  RegressionReport report_;
};

}  // namespace nacre
