#include "api/experiment/evaluation_data.h"

#include "api/data/augment.h"
#include "api/data/relabel.h"

namespace nacre {

namespace {

// Class numbers for a loss that compares vectors: training had `data.one_hot`.
bool wants_vectors(const Model& model, const Dataset& data) {
  const std::optional<CompileOptions>& options = model.trainer().options();
  if (!options || model.outputs().size() != 1 || data.targets().size() != 1) return false;
  const Shape& output = model.outputs().front().shape();
  const Type& target = data.targets().front().type;
  const std::optional<Chosen<Loss>>& loss = options->loss.all;
  return loss && loss->object && loss->object->class_name() == losses::CategoricalCrossentropyConfig::class_name &&
         output.rank() == 2 && target.shape.rank() == 0 && !is_floating(target.dtype);
}

}  // namespace

DatasetRef data_for(const Model& model, DatasetRef data) {
  data = relabelled(std::move(data), model.graph().card().labels);
  return wants_vectors(model, *data) ? one_hot(data, model.outputs().front().shape()[-1]) : data;
}

namespace {

bool is_config(const std::string& what) {
  const std::string extension = std::filesystem::path(what).extension().string();
  return extension == ".yaml" || extension == ".yml";
}

Experiment data_alone(const std::string& what) {
  ConfigFile file = load_config(what);
  if (!file.tree.find("model")) file.tree.set("model", Tree::mapping());  // the data alone is of interest
  return Experiment(file);
}

}  // namespace

EvaluationData::EvaluationData(const std::string& what) {
  if (is_config(what)) file_ = data_alone(what);
  else source_ = parse_source(what);
}

std::optional<CompileOptions> EvaluationData::measures() const {
  if (!file_ || file_->config().train.compile.loss.empty()) return std::nullopt;
  return file_->config().train.compile;
}

DatasetRef EvaluationData::open(const Model& model) const {
  const InputForm form = input_form(model.graph());
  if (file_) return data_for(model, file_->open_evaluation_data(form));
  const OpenedData data = open_data({.test = source_}, "", {.augmenting = false, .form = form, .resizing = true});
  return data_for(model, data.measured());
}

}  // namespace nacre
