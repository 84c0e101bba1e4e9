#include "api/inspect/evaluation_report.h"

namespace nacre {

namespace {

// What watches one output.
struct Watch {
  std::size_t output = 0, target = 0;  // of the model; of a feed
  std::optional<ClassificationTally> classification{};
  std::optional<RegressionTally> regression{};
};

// The names of the classes of an output: the data's, else the model's, where there are as many.
std::vector<std::string> labels_of(std::int64_t classes, const Column& column, const ModelCard& card) {
  for (const auto* labels : {&column.labels, &card.labels})
    if (std::ssize(*labels) == classes) return *labels;
  return {};
}

std::vector<Watch> watches(const Trainer& trainer, const DatasetRef& data, const Feed& feed,
                           const Predictions& predictions, const EvaluationOptions& options) {
  Objective& objective = trainer.objective();
  const Feeder feeder(data, trainer.model(), &objective);
  std::vector<Watch> all;
  for (std::size_t i = 0, target = 0; i < objective.outputs().size(); ++i) {
    if (!objective.uses(i)) continue;
    const std::size_t column = feeder.target_columns()[target];
    Watch watch{.output = i, .target = target++};
    const Loss* loss = objective.loss(i);
    if (!loss) continue;
    const auto listed = static_cast<std::size_t>(options.worst);
    const Tensor &prediction = predictions.outputs[i], &wanted = feed.targets[watch.target];
    // A loss may stretch targets over more predictions: then there is no one truth for each.
    if (const auto task = classification_task(*loss, prediction.shape()); task && task->fits(prediction, wanted))
      watch.classification.emplace(*task, labels_of(task->classes, data->targets()[column], trainer.model().card()),
                                   static_cast<std::size_t>(options.bins), listed);
    else if (is_regression(*loss) && prediction.size() == wanted.size()) watch.regression.emplace(data->size(), listed);
    else continue;
    all.push_back(std::move(watch));
  }
  return all;
}

}  // namespace

EvaluationReport evaluation_report(const Model& model, const DatasetRef& data, const EvaluationOptions& options) {
  Trainer& trainer = model.trainer();
  std::optional<std::vector<Watch>> watched;
  EvaluationReport report{.data = data->description(), .samples = 0, .logs = {}, .outputs = {}};
  report.logs =
      trainer.evaluate(data, {.batch_size = options.batch_size,
                              .steps = options.steps,
                              .stop = options.stop,
                              .observe = [&](const Feed& feed, const Predictions& predictions) {
                                if (!watched) watched = watches(trainer, data, feed, predictions, options);
                                for (Watch& watch : *watched) {
                                  const Tensor& prediction = predictions.outputs[watch.output];
                                  const Tensor& target = feed.targets[watch.target];
                                  const Tensor* mask = &predictions.masks[watch.output];
                                  const Tensor* weight = feed.weights.empty() ? nullptr : &feed.weights[watch.target];
                                  if (watch.classification)
                                    watch.classification->add(report.samples, prediction, target, mask, weight);
                                  else watch.regression->add(report.samples, prediction, target, mask, weight);
                                }
                                report.samples += feed.size;
                              }});
  const auto name_samples = [&](auto& samples) {
    for (auto& sample : samples) sample.name = data->sample_name(sample.index);
  };
  for (const std::string& name : trainer.model().output_names())
    report.outputs.push_back({.name = name, .classification = {}, .regression = {}});
  if (!watched) return report;
  for (Watch& watch : *watched) {
    EvaluationReport::Output& output = report.outputs[watch.output];
    if (watch.classification) {
      output.classification = std::move(*watch.classification).finish();
      name_samples(output.classification->worst);
      name_samples(output.classification->best);
    } else {
      output.regression = std::move(*watch.regression).finish();
      name_samples(output.regression->worst);
    }
  }
  return report;
}

std::string EvaluationReport::details(int width) const {
  std::string text;
  for (const Output& output : outputs) {
    if (!output.classification && !output.regression) continue;
    if (!text.empty()) text += "\n";
    if (outputs.size() > 1) text += fmt::format("output '{}'\n\n", output.name);
    text += output.classification ? output.classification->text(width) : output.regression->text(width);
  }
  return text;
}

Tree EvaluationReport::tree() const {
  Tree tree, list = Tree::sequence();
  for (const auto& [name, value] : logs) tree.set(name, value);
  for (const Output& output : outputs) {
    Tree& entry = list.items().emplace_back();
    entry.set("name", output.name);
    if (!output.classification && !output.regression) continue;
    const Tree part = output.classification ? output.classification->tree() : output.regression->tree();
    for (const auto& [key, value, mark] : part.entries()) entry.set(key, value);
  }
  tree.set("samples", samples);
  tree.set("outputs", std::move(list));
  return tree;
}

}  // namespace nacre
