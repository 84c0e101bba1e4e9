#include "api/save.h"

#include <cmath>
#include <optional>

#include "api/keras/tree.h"
#include "api/zoo.h"
#include "formats/file.h"
#include "formats/json.h"
#include "formats/yaml.h"
#include "layers/lambda.h"

namespace nacre {

namespace fs = std::filesystem;

namespace {

constexpr const char* joining_hint = "nacre convert ARCHITECTURE model.keras --weights WEIGHTS makes one model of both";

// --- architecture ------------------------------------------------------------------------------------------------

KerasFile description_of(Tree config) {
  KerasFile file;
  file.model_config = std::move(config);
  const Tree* version = file.model_config.find("keras_version");
  file.keras_version = version && version->is_string() ? version->as_string() : "";
  file.backend.clear();
  return file;
}

// The error's place is the file, unless it knows better.
template <class Work>
decltype(auto) in_file(const fs::path& path, Work&& work) {
  try {
    return work();
  } catch (Error& error) {
    error.at({path.string()});
    throw;
  }
}

// Compiles as the file says and gives the optimizer its state, which `load_state` has. What cannot be understood is
// noted and does not stop the model from predicting.
void compile(Model& model, const KerasFile& description, const LoadOptions& options, const std::function<void(Optimizer&)>& load_state) {
  if (!options.compile || description.training_config.is_null()) return;
  const auto noting = [&](std::string_view consequence, auto&& work) {
    try {
      work();
      return true;
    } catch (const Error& error) {
      note(options, fmt::format("{}: {}", consequence, error.line()));
      return false;
    }
  };
  if (!noting("the model is not compiled", [&] { model.compile(read_compile_options(description)); }) || !model.graph().connected()) return;
  std::vector<VariableRef> variables;
  for (const Weight& weight : model.graph().trainable_weights()) variables.push_back(weight.variable);
  Optimizer& optimizer = model.trainer().optimizer();
  optimizer.build(variables);
  noting("the optimizer starts anew", [&] { load_state(optimizer); });
}

// A weight as options say it is stored.
void store(Tensor& weight, std::string_view where, const SaveOptions& options) {
  if (!options.weights_dtype || !is_floating(weight.dtype())) return;
  Tensor stored = weight.cast(*options.weights_dtype);
  const std::vector<double> before = weight.to_doubles(), after = stored.to_doubles();
  for (std::size_t i = 0; i < before.size(); ++i)
    if (std::isfinite(before[i]) && !std::isfinite(after[i]))
      throw Error("a weight of {} is too large for {}", before[i], name_of(*options.weights_dtype)).about(fmt::format("'{}'", where)).usage();
  weight = std::move(stored);
}

KerasFile stored(KerasFile file, const SaveOptions& options) {
  for (LayerWeights& layer : file.layers)
    for (NamedTensor& weight : layer.weights) store(weight.tensor, weight.name, options);
  return file;
}

// The optimizer's state stays as it is.
WeightTree stored(WeightTree tree, const SaveOptions& options) {
  for (WeightGroup& group : tree.groups) {
    if (group.path.starts_with("optimizer")) continue;
    for (Tensor& weight : group.variables) store(weight, group.path, options);
    for (auto& [name, weight] : group.named) store(weight, name, options);
  }
  return tree;
}

KerasArchive stored(KerasArchive archive, const SaveOptions& options) {
  archive.weights = stored(std::move(archive.weights), options);
  return archive;
}

ModelContents contents_with_warnings(const Trainer& trainer, const SaveOptions& options) {
  std::vector<std::string> warnings;
  ModelContents contents = contents_for_keras(trainer, warnings);
  PlainProgress lines(stderr);
  ProgressListener& listener = options.listener ? *options.listener : lines;
  for (const std::string& warning : warnings) listener.warn(warning);
  return contents;
}

}  // namespace

std::uint64_t shard_bytes(const SaveOptions& options) {
  constexpr double gibibyte = 1 << 30;
  if (!(options.max_shard_size * gibibyte >= 1 && options.max_shard_size <= 1e6)) throw Error("got {} GiB for the size of a shard", options.max_shard_size).usage();
  return static_cast<std::uint64_t>(options.max_shard_size * gibibyte);
}

void save_model(const Trainer& trainer, const fs::path& path, const SaveOptions& options) {
  const FileKind kind = kind_of_name(path);
  if (is_weights(kind))
    throw Error("'{}' is the name of a file of weights alone", path.filename().string())
        .hint("save_weights writes it; a whole model's name ends in .keras or .h5")
        .usage();
  if (!is_architecture(kind)) trainer.model().inputs();  // or the error that it is not built
  const ModelContents contents = contents_with_warnings(trainer, options);
  if (kind == FileKind::archive) write_keras_archive(path, stored(model_archive(contents), options));
  else if (kind == FileKind::h5) write_keras_h5(path, stored(model_file(contents), options));
  else if (kind == FileKind::json) write_file_atomically(path, write_json(archive_config(contents), 0, NotFinite::named));
  else write_file_atomically(path, write_yaml(archive_config(contents)));
}

void save_weights(const Trainer& trainer, const fs::path& path, const SaveOptions& options) {
  const FileKind kind = kind_of_name(path);
  if (kind != FileKind::h5 && !is_weights(kind))
    throw Error("'{}' is no name of a file of weights", path.filename().string()).hint("it ends in .weights.h5, .weights.json or .h5").usage();
  trainer.model().inputs();
  const ModelContents contents = contents_with_warnings(trainer, options);
  if (kind == FileKind::h5) write_keras_h5(path, stored(weights_file(contents), options));
  else if (kind == FileKind::weights) write_keras_weights(path, stored(weight_tree(contents), options));
  else write_sharded_keras_weights(path, stored(weight_tree(contents), options), shard_bytes(options));
}

void save_model(const Model& model, const fs::path& path, const SaveOptions& options) {
  model.trainer().initialize(0);
  save_model(model.trainer(), path, options);
}

void save_weights(const Model& model, const fs::path& path, const SaveOptions& options) {
  model.trainer().initialize(0);
  save_weights(model.trainer(), path, options);
}

Model load_model(const ModelFile& file, const LoadOptions& options) {
  register_models();
  std::optional<ScriptsRefused> refused;
  if (!options.allow_lua) refused.emplace();
  return in_file(file.path, [&] {
    switch (file.kind) {
      case FileKind::archive: {
        Model model(read_model(file.archive, options));
        compile(model, description_of(file.archive), options, [&](Optimizer& optimizer) { load_optimizer(optimizer, file.archive.weights); });
        return model;
      }
      case FileKind::h5: {
        Model model(read_model(file.h5, options));
        compile(model, file.h5, options, [&](Optimizer& optimizer) {
          if (!file.h5.optimizer_weights.empty()) load_optimizer(optimizer, file.h5);
        });
        return model;
      }
      case FileKind::json:
      case FileKind::yaml: throw Error("the file holds an architecture without weights").hint(joining_hint).usage();
      case FileKind::weights:
      case FileKind::sharded_weights: break;
    }
    throw Error("the file holds weights alone, without a model").hint(joining_hint).usage();
  });
}

Model load_architecture(const ModelFile& file, const LoadOptions& options) {
  register_models();
  std::optional<ScriptsRefused> refused;
  if (!options.allow_lua) refused.emplace();
  return in_file(file.path, [&] {
    if (!is_architecture(file.kind)) throw Error("this is no architecture").hint("those are .json and .yaml files").usage();
    return Model(read_architecture(description_of(file.architecture), options));
  });
}

Model load_model(const fs::path& path, const LoadOptions& options) {
  if (const std::optional<std::string> name = zoo_name(path)) return Model(open_zoo_model(*name));
  return load_model(read_model_file(path, options.untrusted), options);
}

Model load_any_model(const fs::path& path, const LoadOptions& options) {
  if (zoo_name(path)) return load_model(path, options);
  return load_any_model(read_model_file(path, options.untrusted), options);
}

Model load_any_model(const ModelFile& file, const LoadOptions& options) {
  return is_architecture(file.kind) ? load_architecture(file, options) : load_model(file, options);
}

Model load_architecture(const fs::path& path, const LoadOptions& options) {
  return load_architecture(read_model_file(path, options.untrusted), options);
}

void load_weights(const Model& model, const fs::path& path, const LoadOptions& options) {
  model.graph().inputs();
  const ModelFile file = read_model_file(path, options.untrusted);
  in_file(path, [&] {
    switch (file.kind) {
      case FileKind::archive: return load_weights(model.graph(), file.archive.weights, options);
      case FileKind::h5: return load_weights(model.graph(), file.h5, options);
      case FileKind::weights:
      case FileKind::sharded_weights: return load_weights(model.graph(), file.weights, options);
      case FileKind::json:
      case FileKind::yaml: break;
    }
    throw Error("the file holds an architecture without weights").usage();
  });
}

}  // namespace nacre
