#include "api/save.h"

#include <algorithm>
#include <array>
#include <optional>

#include "api/keras_tree.h"
#include "formats/file.h"
#include "formats/hdf5.h"
#include "formats/json.h"
#include "formats/yaml.h"
#include "layers/lambda.h"

namespace nacre {

namespace fs = std::filesystem;

namespace {

constexpr const char* endings = "the name of a model's file ends in .keras, .h5, .weights.h5, .weights.json, .json or .yaml";

constexpr const char* joining_hint = "nacre convert ARCHITECTURE model.keras --weights WEIGHTS makes one model of both";

// --- what a file is ----------------------------------------------------------------------------------------------

struct Ending {
  std::string_view text;
  FileKind kind;
};
constexpr Ending known_endings[] = {
    {".keras", FileKind::archive},          {".weights.h5", FileKind::weights}, {".weights.json", FileKind::sharded_weights},
    {".h5", FileKind::h5},                  {".hdf5", FileKind::h5},            {".json", FileKind::json},
    {".yaml", FileKind::yaml},              {".yml", FileKind::yaml},
};

std::optional<FileKind> kind_by_ending(const fs::path& path) {
  const std::string name = path.filename().string();
  for (const Ending& ending : known_endings)
    if (name.ends_with(ending.text)) return ending.kind;
  return std::nullopt;
}

// Models of other programs, by what their files begin with or are called.
void refuse_foreign(const fs::path& path, std::string_view start) {
  const auto refuse = [&](std::string_view what, std::string_view hint) {
    throw Error("this is {}, no model of Keras", what).at(Mark{path.string()}).hint(std::string(hint)).usage();
  };
  const std::string extension = path.extension().string();
  if (start.substr(0, 8).ends_with("TFL3") || extension == ".tflite") refuse("a TensorFlow Lite model", "convert the Keras model that it was made from");
  if (extension == ".onnx") refuse("an ONNX model", "nacre cannot read ONNX");
  if (extension == ".pb" || extension == ".pbtxt") refuse("a TensorFlow graph", "save the model in Keras: model.save('model.keras')");
  if (extension == ".pt" || extension == ".pth") refuse("a PyTorch model", "PyTorch's files hold Python code");
  if (extension == ".pkl" || extension == ".pickle" || extension == ".joblib" || start.starts_with("\x80\x04") || start.starts_with("\x80\x02"))
    refuse("a pickled Python object", "save the model in Keras: model.save('model.keras')");
  if (extension == ".safetensors") refuse("a file of safetensors", "save the weights in Keras: model.save_weights('model.weights.h5')");
}

FileKind kind_of_folder(const fs::path& path) {
  if (fs::exists(path / "config.json")) return FileKind::archive;
  if (fs::exists(path / "saved_model.pb") || fs::exists(path / "saved_model.pbtxt"))
    throw Error("this is a SavedModel folder of TensorFlow, no model of Keras")
        .at(Mark{path.string()})
        .hint("save the model in Keras: model.save('model.keras')")
        .usage();
  throw Error("this folder holds no model: there is no 'config.json'").at(Mark{path.string()}).usage();
}

FileKind kind_of_hdf5(const fs::path& path) {
  return holds_weight_tree(hdf5::File::open(path).root()) ? FileKind::weights : FileKind::h5;
}

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
      note(options, fmt::format("{}: {}{}{}", consequence, error.subject(), error.subject().empty() ? "" : ": ", error.message()));
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

ModelContents contents_with_warnings(const Trainer& trainer, const SaveOptions& options) {
  std::vector<std::string> warnings;
  ModelContents contents = contents_for_keras(trainer, warnings);
  PlainProgress lines(stderr);
  ProgressListener& listener = options.listener ? *options.listener : lines;
  for (const std::string& warning : warnings) listener.warn(warning);
  return contents;
}

}  // namespace

FileKind kind_of_name(const fs::path& path) {
  if (const auto kind = kind_by_ending(path)) return *kind;
  throw Error("cannot tell the format of '{}'", path.filename().string()).hint(endings).usage();
}

FileKind kind_of_file(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) return kind_of_folder(path);
  std::array<std::byte, 512> bytes{};
  const std::size_t got = FileReader(path).read(bytes);
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()), got);
  const std::optional<FileKind> named = kind_by_ending(path);
  if (start.starts_with("\x89HDF\r\n\x1a\n")) return kind_of_hdf5(path);
  refuse_foreign(path, start);
  if (start.starts_with("PK\x03\x04")) return FileKind::archive;
  const std::size_t first = start.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && (start[first] == '{' || start[first] == '['))
    return load_json(path).find("weight_map") ? FileKind::sharded_weights : FileKind::json;
  if (named == FileKind::yaml || start.find("class_name:") != std::string_view::npos) return FileKind::yaml;
  if (got == 0) throw Error("the file is empty, wanted a model").at(Mark{path.string()});
  if (named == FileKind::h5 || named == FileKind::weights) return kind_of_hdf5(path);  // behind a user block, or none at all
  if (named == FileKind::archive)
    throw Error("this is no zip archive, as .keras files are, or its beginning is damaged").at(Mark{path.string()}).hint("copy or download it again");
  throw Error("this is no model").at(Mark{path.string()}).hint(endings).usage();
}

std::uint64_t shard_bytes(const SaveOptions& options) {
  constexpr double gibibyte = 1 << 30;
  if (!(options.max_shard_size * gibibyte >= 1 && options.max_shard_size <= 1e6)) throw Error("got {} GiB for the size of a shard", options.max_shard_size).usage();
  return static_cast<std::uint64_t>(options.max_shard_size * gibibyte);
}

void save_model(const Trainer& trainer, const fs::path& path, const SaveOptions& options) {
  const FileKind kind = kind_of_name(path);
  if (kind == FileKind::weights || kind == FileKind::sharded_weights)
    throw Error("'{}' is the name of a file of weights alone", path.filename().string())
        .hint("save_weights writes it; a whole model's name ends in .keras or .h5")
        .usage();
  if (kind == FileKind::archive || kind == FileKind::h5) trainer.model().inputs();  // or the error that it is not built
  const ModelContents contents = contents_with_warnings(trainer, options);
  if (kind == FileKind::archive) write_keras_archive(path, model_archive(contents));
  else if (kind == FileKind::h5) write_keras_h5(path, model_file(contents));
  else if (kind == FileKind::json) write_file_atomically(path, write_json(archive_config(contents)));
  else write_file_atomically(path, write_yaml(archive_config(contents)));
}

void save_weights(const Trainer& trainer, const fs::path& path, const SaveOptions& options) {
  const FileKind kind = kind_of_name(path);
  if (kind != FileKind::h5 && kind != FileKind::weights && kind != FileKind::sharded_weights)
    throw Error("'{}' is no name of a file of weights", path.filename().string()).hint("it ends in .weights.h5, .weights.json or .h5").usage();
  trainer.model().inputs();
  const ModelContents contents = contents_with_warnings(trainer, options);
  if (kind == FileKind::h5) write_keras_h5(path, weights_file(contents));
  else if (kind == FileKind::weights) write_keras_weights(path, weight_tree(contents));
  else write_sharded_keras_weights(path, weight_tree(contents), shard_bytes(options));
}

void save_model(const Model& model, const fs::path& path, const SaveOptions& options) {
  model.trainer().initialize(0);
  save_model(model.trainer(), path, options);
}

void save_weights(const Model& model, const fs::path& path, const SaveOptions& options) {
  model.trainer().initialize(0);
  save_weights(model.trainer(), path, options);
}

Model load_model(const fs::path& path, const LoadOptions& options) {
  register_models();
  std::optional<ScriptsRefused> refused;
  if (!options.allow_lua) refused.emplace();
  return in_file(path, [&] {
    switch (kind_of_file(path)) {
      case FileKind::archive: {
        const KerasArchive archive = read_keras_archive(path);
        Model model(read_model(archive, options));
        compile(model, description_of(archive), options, [&](Optimizer& optimizer) { load_optimizer(optimizer, archive.weights, options); });
        return model;
      }
      case FileKind::h5: {
        const KerasFile file = read_keras_h5(path);
        Model model(read_model(file, options));
        compile(model, file, options, [&](Optimizer& optimizer) {
          if (!file.optimizer_weights.empty()) load_optimizer(optimizer, file);
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

Model load_architecture(const fs::path& path, const LoadOptions& options) {
  register_models();
  std::optional<ScriptsRefused> refused;
  if (!options.allow_lua) refused.emplace();
  return in_file(path, [&] {
    const FileKind kind = kind_of_file(path);
    if (kind != FileKind::json && kind != FileKind::yaml) throw Error("this is no architecture").hint("those are .json and .yaml files").usage();
    return Model(read_architecture(description_of(kind == FileKind::json ? load_json(path) : load_yaml(path)), options));
  });
}

void load_weights(const Model& model, const fs::path& path, const LoadOptions& options) {
  model.graph().inputs();
  in_file(path, [&] {
    switch (kind_of_file(path)) {
      case FileKind::archive: return load_weights(model.graph(), read_keras_archive(path).weights, options);
      case FileKind::h5: return load_weights(model.graph(), read_keras_h5(path), options);
      case FileKind::weights:
      case FileKind::sharded_weights: return load_weights(model.graph(), read_keras_weights(path), options);
      case FileKind::json:
      case FileKind::yaml: break;
    }
    throw Error("the file holds an architecture without weights").usage();
  });
}

}  // namespace nacre
