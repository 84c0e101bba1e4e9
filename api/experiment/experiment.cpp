#include "api/experiment/experiment.h"

#include <algorithm>

#include "api/data/augment.h"
#include "api/data/cache.h"
#include "api/data/workers.h"
#include "api/dtype_policy.h"
#include "api/zoo.h"
#include "backend/core/cache_folder.h"
#include "formats/yaml.h"

namespace nacre {

void FieldKind<ClassCount>::read(const Tree& tree, ClassCount& value) {
  value.number.reset();
  if (tree == Tree("auto")) return;
  if (!tree.is_integer() || tree.as_integer() < 2)
    throw Error("wanted auto or a number of at least 2, got {}", tree.text()).at(tree.mark()).usage();
  value.number = tree.as_integer();
}

Tree FieldKind<ClassCount>::write(const ClassCount& value, Style) {
  return value.number ? Tree(*value.number) : Tree("auto");
}

Tree FieldKind<ClassCount>::schema() {
  Tree word, number = schema_type("integer"), schema;
  word.set("enum", Tree::Sequence{"auto"});
  number.set("minimum", 2);
  schema.set("anyOf", Tree::Sequence{std::move(word), std::move(number)});
  return schema;
}

namespace {

DatasetRef opened(const Ref<Source>& source, const std::filesystem::path& folder, std::string_view what) {
  if (!source) return nullptr;
  return within([&] { return fmt::format("while opening the {} data", what); }, [&] { return source->open(folder); });
}

// Files that callbacks write are named like every other file of a configuration: relative to its folder.
void place_files(Tree& callbacks, const std::filesystem::path& folder) {
  if (callbacks.is_sequence())
    for (Tree& item : callbacks.items()) place_files(item, folder);
  if (!callbacks.is_mapping()) return;
  for (Tree::Entry& entry : callbacks.entries()) {
    const bool file = entry.key == "filename" || entry.key == "filepath" || entry.key == "log_dir" || entry.key == "backup_dir";
    if (!file || !entry.value.is_string()) place_files(entry.value, folder);
    else entry.value = Tree(std::filesystem::absolute(folder / entry.value.as_string()).lexically_normal().string()).at(entry.value.mark());
  }
}

}  // namespace

void FieldKind<TrainConfig>::read(const Tree& tree, TrainConfig& value) {
  const FieldTarget targets[] = {{&fields_of<CompileOptions>(), &value.compile},
                                 {&fields_of<FitConfig>(), &value.fit},
                                 {&fields_of<PrecisionConfig>(), &value.precision}};
  read_fields(targets, tree);
}

Tree FieldKind<TrainConfig>::write(const TrainConfig& value, Style style) {
  Tree tree = write_config(value.compile, style);
  for (Tree part : {write_config(value.fit, style), write_config(value.precision, style)})
    if (part.is_mapping())
      for (auto& [key, field, mark] : part.entries()) tree.set(key, std::move(field));
  return tree;
}

Tree FieldKind<TrainConfig>::schema() {
  const FieldTable* const tables[] = {&fields_of<CompileOptions>(), &fields_of<FitConfig>(),
                                      &fields_of<PrecisionConfig>()};
  return schema_of(tables);
}

Experiment::Experiment(const ConfigFile& file, std::string default_name) {
  Tree tree = file.tree;
  variables_ = resolve_expressions(tree);
  const Tree* folder = tree.find("folder");
  folder_ = folder && folder->is_string() ? file.folder / folder->as_string() : file.folder;
  if (Tree* train = tree.find("train"))
    if (Tree* callbacks = train->find("callbacks")) place_files(*callbacks, folder_);
  for (const std::string_view part : {"train", "data"})
    if (Tree* found = tree.find(part)) *found = with_sources(std::move(*found), folder_);
  config_ = read_config<ExperimentConfig>(tree);
  if (config_.name.empty()) config_.name = std::move(default_name);
}

bool is_experiment(const std::filesystem::path& file) {
  if (zoo_name(file)) return true;
  const std::string extension = file.extension().string();
  return (extension == ".yaml" || extension == ".yml") && !load_yaml(file).find("class_name");
}

Experiment Experiment::load(const std::filesystem::path& file, std::span<const std::string> overrides) {
  const std::optional<std::string> zoo = zoo_name(file);
  return Experiment(load_config(file, overrides), zoo ? zoo->substr(0, zoo->find('?')) : file.stem().string());
}

std::optional<std::filesystem::path> Experiment::saved_model() const {
  for (const std::string_view change : {"outputs", "trainable", "freeze", "head", "weights"})
    if (const Tree* value = config_.model.find(change); value && !value->is_null()) return std::nullopt;
  return saved_model_file(config_.model, variables_, folder_);
}

std::filesystem::path Experiment::output_folder() const {
  if (config_.output) return *config_.output;
  return std::filesystem::path("runs") / (config_.name.empty() ? "model" : config_.name);
}

std::shared_ptr<FunctionalLayer> Experiment::build_model(bool with_weights) const {
  const std::shared_ptr<FunctionalLayer> built = nacre::build_model(model(), variables_, folder_, config_.name, with_weights);
  form_ = input_form(*built);
  return built;
}

const Tree& Experiment::model() const {
  if (model_ || !counts_classes(config_.model)) return model_ ? *model_ : config_.model;
  Tree model = config_.model;
  Tree& head = *model.find("head");
  const std::optional<std::int64_t> number = config_.data.one_hot ? config_.data.one_hot->number : std::nullopt;
  if (!config_.data.train && !number)
    throw Error("'head.classes' counts the classes of the training data, but there is none")
        .at(head.mark())
        .hint("give the number: head: {classes: 10}")
        .usage();
  head.set("classes", number ? *number : classes());
  return model_.emplace(std::move(model));
}

std::int64_t Experiment::classes() const {
  if (!classes_) classes_ = count_classes(*opened(config_.data.train, folder_, "training"));
  return *classes_;
}

const DatasetRef& OpenedData::measured() const {
  for (const DatasetRef* set : {&test, &validation, &train})
    if (*set) return *set;
  throw Error("the configuration names no data").hint("data: {test: {csv: {file: test.csv, target: y}}}").usage();
}

namespace {

// What is done to the numbers of data whose source has these inputs: what the configuration says, here as `normalize`,
// or else the network's file.
Preprocessing preprocessing_of(const std::vector<Column>& given, const NormalizeConfig& config,
                               const Preprocessing& normalize, const InputForm& form) {
  const Preprocessing& own = form.preprocessing;
  const bool asked = std::ranges::any_of(given, [&](const Column& column) { return own.changes(column.type.dtype); });
  if (normalize.is_identity()) return asked ? own : Preprocessing{};
  // Mean and deviation of the data that the network learned stay those that it knows.
  const bool knows_standard = own.floats && own.scale == 1 && !own.mean.empty() && !own.deviation.empty();
  if (asked && config.standard && knows_standard) return own;
  const bool same = normalize.scale == own.scale && normalize.mean == own.mean &&
                    normalize.deviation == own.deviation && own.channel_order == ChannelOrder::rgb;
  if (form.begins_with_preprocessing || (asked && !same))
    throw Error("the model preprocesses its inputs itself, and 'data.normalize' would do so, too")
        .hint("leave out data.normalize: the model takes data as it lies in files")
        .usage();
  return normalize;
}

}  // namespace

OpenedData open_data(const DataConfig& config, const std::filesystem::path& folder, const OpenOptions& options) {
  const InputForm& form = options.form;
  const auto open = [&](const Ref<Source>& source, std::string_view what) {
    return opened(sized_for(source, form), folder, what);
  };
  OpenedData data{open(config.train, "training"), open(config.validation, "validation"), open(config.test, "test"), nullptr};
  if (config.cache) data.each([&](DatasetRef& set) { set = *config.cache == "memory" ? cached(set) : cached(set, folder / *config.cache); });
  // Files of pictures have been decoded in the size that the network was trained on, or that their source names.
  const auto are_files = [](const DatasetRef& set) {
    return std::ranges::any_of(set->inputs(), [](const Column& column) { return column.preprocessing.has_value(); });
  };
  if (options.resizing)
    data.each([&](DatasetRef& set) { set = pictures_for(set, are_files(set) ? form.shape : form.picture()); });
  std::int64_t classes = config.one_hot ? config.one_hot->number.value_or(0) : 0;  // 0: targets stay as they are
  if (config.one_hot && classes == 0 && data.train) classes = count_classes(*data.train, "one_hot: 10");
  if (options.validation_split.value_or(0) > 0 && data.train) {
    if (data.validation)
      throw Error("both 'data.validation' and 'train.validation_split' are given").hint("leave one of them out").usage();
    const Split split = split_validation(data.train, *options.validation_split);
    data.train = split.train;
    data.validation = split.validation;
  }
  if (classes > 0) data.each([&](DatasetRef& set) { set = one_hot(set, classes); });
  const Preprocessing normalize = measured(config.normalize, data.train);
  DatasetRef augmented_train;
  if (options.augmenting && !config.augment.empty() && data.train) {
    data.unaugmented = data.train;
    const Preprocessing last = preprocessing_of(data.train->inputs(), config.normalize, normalize, form);
    augmented_train = within([] { return std::string("in 'data.augment'"); },
                             [&] { return augmented(data.train, config.augment, options.seed, last); });
  }
  data.each([&](DatasetRef& set) {
    set = preprocessed(set, preprocessing_of(set->inputs(), config.normalize, normalize, form));
  });
  if (augmented_train) data.train = std::move(augmented_train);
  if (config.workers) data.each([&](DatasetRef& set) { set = with_workers(set, static_cast<int>(*config.workers)); });
  return data;
}

FitOptions fit_options(const FitConfig& config) {
  FitOptions options;
  options.epochs = config.epochs;
  if (const std::filesystem::path folder = cache_folder(); !folder.empty()) options.feature_folder = folder / "features";
  options.batch_size = config.batch_size;
  options.initial_epoch = config.initial_epoch;
  options.validation_batch_size = config.validation_batch_size.value_or(0);
  options.validation_steps = config.validation_steps.value_or(0);
  options.validation_freq = config.validation_freq;
  options.steps_per_epoch = config.steps_per_epoch.value_or(0);
  options.shuffle = config.shuffle;
  options.class_weight = config.class_weight;
  options.cache_features = config.cache_features;
  options.callbacks = config.callbacks;
  return options;
}

OpenedData Experiment::open_data() const {
  const DataConfig& data = config_.data;
  const auto has_pictures = [](const Ref<Source>& source) { return source && source->class_name() == "images"; };
  const bool asks = config_.model.find("file") || config_.model.find("zoo") || has_pictures(data.train) ||
                    has_pictures(data.validation) || has_pictures(data.test);
  if (asks && !form_) build_model(false);
  return open_data(form_.value_or(InputForm{}));
}

OpenedData Experiment::open_data(const InputForm& form) const {
  const Tree* const head = config_.model.find("head");
  return nacre::open_data(config_.data, folder_,
                          {.validation_split = config_.train.fit.validation_split,
                           .seed = static_cast<std::uint64_t>(config_.seed),
                           .form = form,
                           .resizing = head && !head->is_null()});
}

DatasetRef Experiment::open_evaluation_data(const InputForm& form) const {
  return nacre::open_data(config_.data, folder_,
                          {.validation_split = config_.train.fit.validation_split,
                           .augmenting = false,
                           .form = form,
                           .resizing = true})
      .measured();
}

Model configured_model(const Experiment& experiment, std::string_view device, bool with_weights) {
  Model model(experiment.build_model(with_weights));
  if (!device.empty()) model.set_device(device);
  if (const auto& dtype = experiment.config().train.precision.dtype) model = with_training_dtype(model, {*dtype});
  if (const CompileOptions& options = experiment.config().train.compile; !options.loss.empty()) model.compile(options);
  return model;
}

Tree Experiment::render() const {
  Tree tree = write_config(config_, Style::full);
  tree.set("model", render_model(model(), variables_, folder_));
  if (config_.data.train && config_.data.one_hot && !config_.data.one_hot->number)
    tree.find("data")->set("one_hot", classes());
  tree.set("output", output_folder().string());
  tree.set("folder", std::filesystem::absolute(folder_.empty() ? "." : folder_).lexically_normal().string());
  if (config_.variables.is_null()) tree.erase("variables");
  // What was not given and has no default would only be noise.
  std::erase_if(tree.entries(), [](const Tree::Entry& entry) { return entry.value.is_null(); });
  for (std::string_view part : {"data", "train"})
    std::erase_if(tree.find(part)->entries(), [](const Tree::Entry& entry) { return entry.value.is_null(); });
  return tree;
}

}  // namespace nacre
