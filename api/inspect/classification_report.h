// How a classifier does on data: per class, confused classes, calibration, and its best and worst samples.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/train/losses.h"
#include "formats/tree.h"

namespace nacre {

struct ClassificationReport {
  enum class Kind : std::uint8_t {
    binary,       // one output between two classes; class 1 is what it is the probability of
    categorical,  // one class of several
    multi_label,  // every class by itself, there or not
  };
  static constexpr std::int64_t none = -1;  // is predicted by outputs that are NaN: they are wrong, and of no class
  // A place of the output: a sample, or within it a step of a sequence or a pixel.
  struct Sample {
    std::int64_t index = 0;                 // in the data
    std::int64_t place = 0;                 // within the sample, row by row
    std::string name{};                     // what the data calls the sample; "" where it is but a number
    std::int64_t label = 0;                 // multi_label: the class that is looked at
    std::int64_t truth = 0, predicted = 0;  // classes; of multi_label 1 is there, 0 is not; predicted may be `none`
    double probability = 0;                 // of `predicted`, or its score; NaN of `none`
    double truth_probability = 0;           // of `truth`, likewise
    double loss = 0;                        // -log truth_probability, or by how much the scores are wrong
  };
  struct Class {
    std::int64_t support = 0;                                     // places of this class
    std::int64_t predicted = 0;                                   // places that are said to be of it
    std::int64_t right = 0;                                       // both
    double precision() const { return share(right, predicted); }  // 0 where there is nothing to divide by, and so below
    double recall() const { return share(right, support); }
    double f1() const { return share(2 * right, predicted + support); }
  };
  struct Averages {
    double precision = 0, recall = 0, f1 = 0;
  };
  // Predicted probabilities within [low, high): their mean, and how often what they speak of was true.
  struct Bin {
    double low = 0, high = 0;
    std::int64_t count = 0;
    double predicted = 0, observed = 0;  // 0 for an empty bin
  };
  struct Confusion {
    std::int64_t truth = 0, predicted = 0, count = 0;
  };

  Kind kind = Kind::categorical;
  bool probabilistic = true;        // else predictions are scores (hinge losses), and there is no calibration
  std::vector<std::string> labels;  // of the classes: names, or their numbers
  std::int64_t count = 0;           // places that count; multi_label: times the classes
  std::int64_t places = 1;          // of a sample
  std::int64_t right = 0;
  std::int64_t undefined = 0;                 // of `count`, those whose prediction is `none`
  std::optional<std::int64_t> right_in_five;  // the true class is among the five most probable; from ten classes on
  double log_loss = 0;                        // mean of -log truth_probability; 0 for scores
  std::vector<Class> classes;
  // Row by row: true classes, columns: predicted ones. Empty for multi_label and beyond `most_confused_classes`.
  std::vector<std::int64_t> confusion;
  // Of the predicted class; binary and multi_label: of class 1. Empty for scores, and where nothing has a probability.
  std::vector<Bin> bins;
  // Expected calibration error: mean |predicted - observed| over the places. Source: Guo et al., "On Calibration of
  // Modern Neural Networks" (2017).
  double calibration_error = 0;
  std::vector<Sample> worst;  // wrong ones, the highest loss first; the worst place of a sample
  std::vector<Sample> best;   // right ones, the surest of each class, in the order of the classes

  static constexpr std::int64_t most_confused_classes = 1024;

  double accuracy() const { return share(right, count); }
  std::optional<double> top_five() const;
  // Over the classes that occur or are predicted, as scikit-learn has them: each counts the same, or as often as it
  // occurs.
  Averages macro_average() const, weighted_average() const;
  std::size_t averaged_classes() const;  // how many these are
  // The pairs off the diagonal, the most frequent first.
  std::vector<Confusion> most_confused(std::size_t most) const;

  std::string text(int width = 80) const;
  Tree tree() const;

  static double share(std::int64_t part, std::int64_t whole) {
    return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0.0;
  }
};

// What a loss says about an output: what its targets are, and what its predictions.
struct ClassificationTask {
  ClassificationReport::Kind kind = ClassificationReport::Kind::categorical;
  bool sparse = false;       // targets are class numbers
  bool from_logits = false;  // predictions are before the softmax or sigmoid
  bool probabilistic = true;
  std::optional<std::int64_t> ignored{};  // a label that does not count
  int axis = -1;                          // of the classes
  std::int64_t classes = 2;
  bool fits(const Tensor& prediction, const Tensor& target) const;
};
// None for a loss that is not about classes.
std::optional<ClassificationTask> classification_task(const Loss& loss, const Shape& prediction);

// Gathers such a report over batches, in memory that does not grow with the data.
class ClassificationTally {
 public:
  // `labels`: names of the classes, or empty; `listed`: how many samples it keeps.
  ClassificationTally(ClassificationTask task, std::vector<std::string> labels, std::size_t bins, std::size_t listed);

  // `first` is the number of the batch's first sample; mask and weight may be null, and places where one of them is 0
  // do not count. The task fits the tensors.
  void add(std::int64_t first, const Tensor& prediction, const Tensor& target, const Tensor* mask,
           const Tensor* weight);
  ClassificationReport finish() &&;  // names of samples are the caller's to fill in

 private:
  using Sample = ClassificationReport::Sample;
  void add_place(std::span<const float> values, std::int64_t truth, Sample place);
  void add_label(float value, bool truth, Sample place);
  void count_undefined(Sample place);
  void count(const Sample& sample, double probability, bool observed);
  void end_sample();

  ClassificationTask task_;
  std::size_t listed_;
  ClassificationReport report_;
  std::vector<std::optional<Sample>> best_;  // by class
  std::optional<Sample> worst_place_;        // of the sample in progress
  double loss_ = 0;
};

}  // namespace nacre
