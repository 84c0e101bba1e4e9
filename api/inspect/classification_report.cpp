#include "api/inspect/classification_report.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace nacre {

namespace {

using Kind = ClassificationReport::Kind;

// The config of a loss of this class; null for others.
template <class LossClass>
const typename LossClass::Config* config_of(const Loss& loss) {
  const auto* same = dynamic_cast<const LossClass*>(&loss);
  return same ? &same->config() : nullptr;
}

double sigmoid(double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }

double cross_entropy(double probability) { return -std::log(std::clamp(probability, losses::epsilon, 1.0)); }

// Whether something of fewer elements (a mask, weights) that stands for places counts at one of `places`.
bool counts(const Tensor* tensor, std::int64_t place, std::int64_t places) {
  if (!tensor || tensor->size() == 0 || places % tensor->size() != 0) return true;
  return tensor->at(place / (places / tensor->size())) != 0;
}

void keep_worst(std::vector<ClassificationReport::Sample>& worst, const ClassificationReport::Sample& sample,
                std::size_t most) {
  const auto greater = [](const auto& a, const auto& b) { return a.loss > b.loss; };  // the least of them is on top
  if (worst.size() >= most) {
    if (worst.empty() || !(sample.loss > worst.front().loss)) return;
    std::ranges::pop_heap(worst, greater);
    worst.pop_back();
  }
  worst.push_back(sample);
  std::ranges::push_heap(worst, greater);
}

// Whether averages are over this class too.
bool counts(const ClassificationReport::Class& one) { return one.support + one.predicted > 0; }

ClassificationReport::Averages average(const std::vector<ClassificationReport::Class>& classes, bool weighted) {
  ClassificationReport::Averages sum;
  double total = 0;
  for (const ClassificationReport::Class& one : classes) {
    if (!counts(one)) continue;
    const double weight = weighted ? static_cast<double>(one.support) : 1.0;
    sum.precision += weight * one.precision(), sum.recall += weight * one.recall(), sum.f1 += weight * one.f1();
    total += weight;
  }
  if (total == 0) return {};
  return {sum.precision / total, sum.recall / total, sum.f1 / total};
}

}  // namespace

std::optional<double> ClassificationReport::top_five() const {
  return right_in_five ? std::optional(share(*right_in_five, count)) : std::nullopt;
}
ClassificationReport::Averages ClassificationReport::macro_average() const { return average(classes, false); }
ClassificationReport::Averages ClassificationReport::weighted_average() const { return average(classes, true); }
std::size_t ClassificationReport::averaged_classes() const {
  return static_cast<std::size_t>(std::ranges::count_if(classes, [](const Class& one) { return counts(one); }));
}

std::vector<ClassificationReport::Confusion> ClassificationReport::most_confused(std::size_t most) const {
  std::vector<Confusion> pairs;
  const auto size = static_cast<std::int64_t>(classes.size());
  for (std::size_t i = 0; i < confusion.size(); ++i) {
    const std::int64_t truth = static_cast<std::int64_t>(i) / size, predicted = static_cast<std::int64_t>(i) % size;
    if (truth != predicted && confusion[i] > 0) pairs.push_back({truth, predicted, confusion[i]});
  }
  std::ranges::stable_sort(pairs, std::greater(), &Confusion::count);
  pairs.resize(std::min(pairs.size(), most));
  return pairs;
}

std::optional<ClassificationTask> classification_task(const Loss& loss, const Shape& prediction) {
  ClassificationTask task;
  std::int64_t axis = -1;
  const auto categorical = [&](const auto* config, bool sparse) {
    if (!config) return false;
    task.sparse = sparse;
    if constexpr (requires { config->from_logits; }) task.from_logits = config->from_logits;
    if constexpr (requires { config->axis; }) axis = config->axis;
    return true;
  };
  const auto binary = [&](const auto* config) {
    if (config) task.kind = Kind::multi_label, task.from_logits = config->from_logits;
    return config != nullptr;
  };
  if (const auto* sparse = config_of<losses::SparseCategoricalCrossentropy>(loss)) {
    categorical(sparse, true);
    task.ignored = sparse->ignore_class;
  } else if (dynamic_cast<const losses::CategoricalHinge*>(&loss)) {
    task.probabilistic = false;
  } else if (dynamic_cast<const losses::Hinge*>(&loss) || dynamic_cast<const losses::SquaredHinge*>(&loss)) {
    task.kind = Kind::multi_label;
    task.probabilistic = false;
  } else if (!categorical(config_of<losses::CategoricalCrossentropy>(loss), false) &&
             !categorical(config_of<losses::CategoricalFocalCrossentropy>(loss), false) &&
             !categorical(config_of<losses::CategoricalGeneralizedCrossEntropy>(loss), true) &&
             !binary(config_of<losses::BinaryCrossentropy>(loss)) &&
             !binary(config_of<losses::BinaryFocalCrossentropy>(loss)) &&
             !dynamic_cast<const losses::KLDivergence*>(&loss)) {
    return std::nullopt;
  }
  const int rank = prediction.rank();
  if (rank == 0 || axis >= rank || axis < -rank || (axis + rank) % rank == 0) {
    if (rank != 1 || task.kind != Kind::multi_label) return std::nullopt;
    task.kind = Kind::binary;  // (batch,): a number for each sample
    return task;
  }
  task.axis = static_cast<int>((axis + rank) % rank);
  task.classes = prediction[task.axis];
  if (task.classes == unknown) return std::nullopt;
  if (task.kind == Kind::multi_label && task.classes == 1) task.kind = Kind::binary, task.classes = 2;
  if (task.classes < 1 || (task.kind == Kind::categorical && task.classes < 2)) return std::nullopt;
  return task;
}

bool ClassificationTask::fits(const Tensor& prediction, const Tensor& target) const {
  return target.size() == (sparse ? prediction.size() / classes : prediction.size());
}

ClassificationTally::ClassificationTally(ClassificationTask task, std::vector<std::string> labels, std::size_t bins,
                                         std::size_t listed)
    : task_(task), listed_(listed) {
  const auto classes = static_cast<std::size_t>(task_.classes);
  report_.kind = task_.kind;
  report_.probabilistic = task_.probabilistic;
  report_.labels = std::move(labels);
  if (report_.labels.size() != classes) {
    report_.labels.clear();
    for (std::size_t i = 0; i < classes; ++i) report_.labels.push_back(std::to_string(i));
  }
  report_.classes.resize(classes);
  best_.resize(classes);
  if (task_.kind != Kind::multi_label && task_.classes <= ClassificationReport::most_confused_classes)
    report_.confusion.resize(classes * classes);
  if (task_.kind == Kind::categorical && task_.classes >= 10) report_.right_in_five = 0;
  if (!task_.probabilistic) return;
  report_.bins.resize(bins);
  for (std::size_t i = 0; i < bins; ++i) {
    report_.bins[i].low = static_cast<double>(i) / static_cast<double>(bins);
    report_.bins[i].high = static_cast<double>(i + 1) / static_cast<double>(bins);
  }
}

void ClassificationTally::add(std::int64_t first, const Tensor& given, const Tensor& target, const Tensor* mask,
                              const Tensor* weight) {
  const Tensor prediction = given.dtype() == DType::float32 ? given : given.cast(DType::float32);
  const std::span<const float> values = prediction.data<float>();
  const Shape& shape = prediction.shape();
  const std::int64_t samples = shape[0];
  if (samples == 0) return;
  const bool binary = task_.kind == Kind::binary;
  // (batch, places …, classes, inner …) row by row
  std::int64_t outer = binary ? prediction.size() : 1, inner = 1;
  const std::int64_t classes = binary ? 1 : task_.classes;
  for (int axis = 0; !binary && axis < shape.rank(); ++axis)
    if (axis != task_.axis) (axis < task_.axis ? outer : inner) *= shape[axis];
  ensure(task_.fits(prediction, target), "targets of shape {} do not go with predictions of shape {}", target.shape(),
         shape);

  report_.places = outer / samples * inner;
  std::vector<float> one(static_cast<std::size_t>(classes));
  for (std::int64_t o = 0; o < outer; ++o) {
    if (o > 0 && o % (outer / samples) == 0) end_sample();
    if (!counts(mask, o, outer) || !counts(weight, o, outer)) continue;
    for (std::int64_t i = 0; i < inner; ++i) {
      const Sample place{.index = first + o / (outer / samples), .place = o % (outer / samples) * inner + i};
      const std::int64_t begin = o * classes * inner + i;
      if (task_.kind != Kind::categorical) {
        for (std::int64_t k = 0; k < classes; ++k) {
          Sample at = place;
          at.label = k;
          const std::int64_t index = begin + k * inner;
          add_label(values[static_cast<std::size_t>(index)], target.at(index) >= 0.5, std::move(at));
        }
        continue;
      }
      std::int64_t truth = 0;
      if (task_.sparse) {
        const double label = target.at(o * inner + i);
        if (!(label > -0.5 && label < static_cast<double>(classes) - 0.5)) continue;
        truth = std::llround(label);
        if (truth == task_.ignored) continue;
      } else {
        for (std::int64_t k = 1; k < classes; ++k)
          if (target.at(begin + k * inner) > target.at(begin + truth * inner)) truth = k;
      }
      if (inner == 1) {
        add_place(values.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(classes)), truth, place);
      } else {
        for (std::int64_t k = 0; k < classes; ++k)
          one[static_cast<std::size_t>(k)] = values[static_cast<std::size_t>(begin + k * inner)];
        add_place(one, truth, place);
      }
    }
  }
  end_sample();
}

// One class of several.
void ClassificationTally::add_place(std::span<const float> values, std::int64_t truth, Sample place) {
  const auto at = static_cast<std::size_t>(truth);
  ++report_.classes[at].support;
  place.truth = truth;
  const std::size_t predicted = static_cast<std::size_t>(std::ranges::max_element(values) - values.begin());
  double highest = values[predicted], right = values[at];
  if (task_.probabilistic) {
    double total = 0;
    if (task_.from_logits) {
      for (float value : values) total += std::exp(static_cast<double>(value) - static_cast<double>(values[predicted]));
      right = std::exp(right - highest) / total;
      highest = 1 / total;
    } else {
      for (float value : values) total += value;
      if (total > 0) highest /= total, right /= total;
    }
  }
  // An infinite logit has no probability either.
  if (std::isnan(highest) || std::ranges::any_of(values, [](float value) { return std::isnan(value); }))
    return count_undefined(place);
  place.predicted = static_cast<std::int64_t>(predicted);
  place.probability = highest;
  place.truth_probability = right;
  place.loss = task_.probabilistic ? cross_entropy(right) : std::max(0.0, highest - right);
  if (report_.right_in_five) {
    std::int64_t before = 0;  // classes that are more probable, or as probable and earlier
    for (std::size_t k = 0; k < values.size() && before < 5; ++k)
      if (values[k] > values[at] || (values[k] == values[at] && k < at)) ++before;
    if (before < 5) ++*report_.right_in_five;
  }
  if (!report_.confusion.empty()) ++report_.confusion[at * values.size() + predicted];
  ++report_.classes[predicted].predicted;
  if (predicted == at) ++report_.classes[at].right;
  count(place, highest, predicted == at);
}

// There or not.
void ClassificationTally::add_label(float value, bool truth, Sample place) {
  const bool binary = task_.kind == Kind::binary;
  place.truth = truth;
  ClassificationReport::Class& known = report_.classes[static_cast<std::size_t>(binary ? place.truth : place.label)];
  known.support += binary || truth;
  if (std::isnan(value)) return count_undefined(place);
  const double score = static_cast<double>(value);
  const double probability = !task_.probabilistic ? score : task_.from_logits ? sigmoid(score) : score;
  const bool predicted = task_.probabilistic ? probability > 0.5 : score > 0;
  place.predicted = predicted;
  if (task_.probabilistic) {
    place.probability = predicted ? probability : 1 - probability;
    place.truth_probability = truth ? probability : 1 - probability;
    place.loss = cross_entropy(place.truth_probability);
  } else {
    place.probability = place.truth_probability = score;
    place.loss = predicted == truth ? 0 : std::abs(score);
  }
  if (binary) {
    if (!report_.confusion.empty()) ++report_.confusion[(truth ? 2U : 0U) + (predicted ? 1U : 0U)];
    ++report_.classes[predicted ? 1 : 0].predicted;
    known.right += predicted == truth;
  } else {
    known.predicted += predicted, known.right += truth && predicted;
  }
  count(place, probability, truth);
}

// The output is NaN: the probability of the truth is as good as 0, and a score is as far off as can be.
void ClassificationTally::count_undefined(Sample place) {
  ++report_.undefined;
  place.predicted = ClassificationReport::none;
  place.probability = place.truth_probability = std::numeric_limits<double>::quiet_NaN();
  place.loss = task_.probabilistic ? cross_entropy(0) : std::numeric_limits<double>::infinity();
  count(place, place.probability, false);
}

// `probability`, which calibration is about, and whether what it speaks of was true.
void ClassificationTally::count(const Sample& sample, double probability, bool observed) {
  ++report_.count;
  if (task_.probabilistic) loss_ += sample.loss;
  if (!report_.bins.empty() && probability >= 0) {  // neither NaN nor a score
    const auto last = static_cast<double>(report_.bins.size() - 1);
    ClassificationReport::Bin& bin = report_.bins[static_cast<std::size_t>(
        std::min(last, std::floor(probability * static_cast<double>(report_.bins.size()))))];
    ++bin.count, bin.predicted += probability, bin.observed += observed;
  }
  if (sample.predicted != sample.truth) {
    if (!worst_place_ || sample.loss > worst_place_->loss) worst_place_ = sample;
    return;
  }
  ++report_.right;
  if (task_.kind == Kind::multi_label && sample.truth == 0) return;  // that a class is not there is no feat
  std::optional<Sample>& best =
      best_[static_cast<std::size_t>(task_.kind == Kind::multi_label ? sample.label : sample.truth)];
  if (!best || std::abs(sample.probability) > std::abs(best->probability)) best = sample;
}

void ClassificationTally::end_sample() {
  if (worst_place_) keep_worst(report_.worst, *worst_place_, listed_);
  worst_place_.reset();
}

ClassificationReport ClassificationTally::finish() && {
  std::ranges::sort(report_.worst, [](const Sample& a, const Sample& b) {
    return a.loss != b.loss ? a.loss > b.loss : a.index < b.index;
  });
  for (const std::optional<Sample>& best : best_)
    if (best) report_.best.push_back(*best);
  if (report_.best.size() > listed_) {
    std::ranges::stable_sort(report_.best, std::greater(), &Sample::probability);
    report_.best.resize(listed_);
    std::ranges::sort(report_.best, {}, [](const Sample& sample) { return std::pair(sample.truth, sample.label); });
  }
  std::int64_t placed = 0;
  for (ClassificationReport::Bin& bin : report_.bins) {
    if (bin.count == 0) continue;
    const auto count = static_cast<double>(bin.count);
    report_.calibration_error += std::abs(bin.predicted - bin.observed);
    placed += bin.count;
    bin.predicted /= count, bin.observed /= count;
  }
  if (placed > 0) report_.calibration_error /= static_cast<double>(placed);
  else report_.bins.clear();
  if (report_.count > 0) report_.log_loss = loss_ / static_cast<double>(report_.count);
  return std::move(report_);
}

}  // namespace nacre
