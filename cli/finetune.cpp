#include <algorithm>
#include <cstdio>

#include "api/data/source.h"
#include "api/zoo.h"
#include "cli/terminal.h"
#include "cli/training.h"
#include "formats/json.h"
#include "models_zoo/manifest.h"

namespace nacre::cli {

namespace {

Tree mapping(std::initializer_list<std::pair<std::string_view, Tree>> entries) {
  Tree tree = Tree::mapping();
  for (const auto& [key, value] : entries) tree.set(key, value);
  return tree;
}

// A file that is there; else a model of the zoo, also where a folder is called like it; else what looks like a path.
bool is_saved_model(const std::string& base) {
  std::error_code ignored;
  if (zoo_name(base)) return false;
  if (std::filesystem::is_regular_file(base, ignored)) return true;
  const std::string name = base.substr(0, base.find('?'));
  const std::vector<zoo::ZooModel> models = zoo::Manifest::load().models();
  if (std::ranges::find(models, name, &zoo::ZooModel::name) != models.end()) return false;
  return std::filesystem::exists(base, ignored) || name.find_first_of("/.") != std::string::npos;
}

// {zoo: NAME} or {file: PATH}, and a name for the run.
std::pair<Tree, std::string> base_of(const std::string& base) {
  if (is_saved_model(base)) {
    // The model of a run is called like the run.
    const std::filesystem::path file = std::filesystem::absolute(base).lexically_normal();
    const std::string stem = file.stem().string();
    return {mapping({{"file", file.string()}}), stem == "model" ? file.parent_path().filename().string() : stem};
  }
  const std::string name = zoo_name(base).value_or(base);
  return {mapping({{"zoo", name}}), name.substr(0, name.find('?'))};
}

// The `data:` part, and the folder that its paths are relative to.
std::pair<Tree, std::filesystem::path> data_of(const std::string& text) {
  const std::string extension = std::filesystem::path(text).extension().string();
  if (extension == ".yaml" || extension == ".yml") {
    ConfigFile file = load_config(text);
    resolve_expressions(file.tree);
    const Tree* const data = file.tree.find("data");
    const Tree* const train = data ? data->find("train") : nullptr;
    if (!train || train->is_null()) throw Error("the configuration has no training data").at({text, 0, 0}).hint("data: {train: …}").usage();
    return {*data, file.folder};
  }
  return {mapping({{"train", write_object(*parse_source(text), Style::yaml)}}), ""};
}

// The head learns on frozen layers first, then all learn, the base a tenth as fast; batch normalisation stays as it is, since
// small data gives poor statistics.
Tree training_of(const FinetuneArguments& arguments, std::int64_t epochs, bool validates) {
  const std::int64_t first = epochs < 2 ? 0 : std::max<std::int64_t>(1, epochs / 3);
  Tree learning = Tree::sequence();
  if (!arguments.unfreeze.empty()) learning.push("until " + arguments.unfreeze);
  learning.push("BatchNormalization");
  const Tree schedule = mapping({{"0", "until head"}});
  Tree phases = schedule;
  if (first > 0) phases.set(std::to_string(first), std::move(learning));
  Tree callbacks = Tree::sequence();
  callbacks.push(mapping({{"FreezeScheduler", mapping({{"schedule", std::move(phases)}})}}));
  callbacks.push(mapping({{"EarlyStopping", mapping({{"patience", std::max<std::int64_t>(3, first + 1)}, {"restore_best_weights", true}})}}));
  const Tree rate = mapping({{"CosineDecay", mapping({{"initial_learning_rate", 0.0},
                                                      {"warmup_target", 0.003},
                                                      {"warmup_steps", "5%"},
                                                      {"decay_steps", "auto"}})}});
  Tree train = mapping({{"optimizer", mapping({{"Adam", mapping({{"learning_rate", rate}})}})},
                        {"learning_rate_multipliers", mapping({{"*", 0.1}, {"head*", 1.0}})},
                        {"loss", "sparse_categorical_crossentropy"},
                        {"metrics", Tree::Sequence{"accuracy"}},
                        {"epochs", epochs},
                        // Below a layer given by --unfreeze nothing ever learns: augmentation would rest for the whole run.
                        {"cache_features", arguments.unfreeze.empty() ? Tree(true) : Tree("auto")},
                        {"callbacks", std::move(callbacks)}});
  if (!validates) train.set("validation_split", 0.2);
  return train;
}

bool wants_one_hot(const Tree& loss) {
  const auto* const known = registry<Loss>().find(object_spelling(loss, "loss").name);
  return known && known->class_name == losses::CategoricalCrossentropyConfig::class_name;
}

// The schedule of the layers follows train.epochs, too.
std::int64_t epochs_of(const FinetuneArguments& arguments) {
  Tree tree = mapping({{"train", mapping({{"epochs", arguments.epochs}})}});
  for (const std::string& override : arguments.overrides)
    if (override.starts_with("train.epochs=")) apply_override(tree, override);
  return tree["train"]["epochs"].as_integer();
}

// The experiment that finetune stands for.
ConfigFile configuration(const FinetuneArguments& arguments) {
  auto [model, name] = base_of(arguments.base);
  auto [data, folder] = data_of(arguments.data);
  const Tree classes = arguments.classes ? Tree(*arguments.classes) : Tree("auto");
  model.set("head", mapping({{"classes", classes}}));
  Tree changed = mapping({{"data", std::move(data)}});  // how the samples are read counts when they are looked at
  for (const std::string& override : arguments.overrides)
    if (override.starts_with("data.")) apply_override(changed, override);
  data = *changed.find("data");
  const Tree* const validation = data.find("validation");
  const bool validates = validation && !validation->is_null();
  const DatasetRef samples = read_object<Source>(data["train"])->open(folder);
  const bool pictures = samples->inputs().size() == 1 && samples->inputs()[0].type.dtype != DType::string && samples->inputs()[0].type.shape.rank() >= 2;
  if (pictures && !data.find("augment"))
    data.set("augment", Tree::Sequence{mapping({{"RandomTranslation", mapping({{"height_factor", 0.1}, {"width_factor", 0.1}})}})});
  Tree tree = mapping({{"name", name + "_finetuned"}, {"model", std::move(model)}, {"data", std::move(data)}, {"train", training_of(arguments, epochs_of(arguments), validates)}});
  for (const std::string& override : arguments.overrides) apply_override(tree, override);
  // Losses of one-hot targets have label_smoothing.
  if (const Tree* loss = tree["train"].find("loss"); loss && (loss->is_string() || loss->is_mapping()) && wants_one_hot(*loss))
    if (Tree& read = *tree.find("data"); !read.find("one_hot")) read.set("one_hot", classes);
  return {std::move(tree), folder};
}

int finetune(const FinetuneArguments& arguments, const Processes& processes) {
  const Experiment experiment(configuration(arguments));
  TrainArguments train;
  static_cast<RunArguments&>(train) = arguments;
  train.config = arguments.base;
  train.output = arguments.output;
  train.json = arguments.json;
  Training training = run_training(experiment, train, processes);
  if (!processes.first()) return training.history.interrupted ? 1 : 0;
  if (training.history.interrupted) {
    if (!arguments.json) say_outcome(training);
    return 1;
  }
  const Logs result = training.validation ? training.model.evaluate(training.validation) : Logs();
  if (arguments.json) {
    Tree report = report_of(training), measured;
    for (const auto& [key, value] : result) measured.set(key, value);
    report.set("validation", std::move(measured));
    std::puts(write_json(report, 2).c_str());
    return 0;
  }
  say_outcome(training);
  if (const double* accuracy = result.find("accuracy"))
    say(stdout, fmt::format("accuracy {:.4f} on {} validation samples", *accuracy, training.validation->size()));
  const Type& input = training.model.inputs().front().type();
  const std::string_view what = input.dtype == DType::string ? "TEXT" : input.shape.rank() == 4 ? "PICTURE" : "FILE";
  say(stdout, fmt::format("to use it: nacre predict {} {}", training.folder.model().string(), what));
  return 0;
}

}  // namespace

int finetune(const FinetuneArguments& arguments) {
  return run_together([&](const Processes& processes) { return finetune(arguments, processes); });
}

}  // namespace nacre::cli
