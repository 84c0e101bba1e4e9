#include "api/model_file.h"

#include <algorithm>
#include <array>

#include "formats/confined.h"
#include "formats/file.h"
#include "formats/hdf5.h"
#include "formats/json.h"
#include "formats/yaml.h"

namespace nacre {

namespace fs = std::filesystem;

namespace {

constexpr const char* endings = "the name of a model's file ends in .keras, .h5, .weights.h5, .weights.json, .json or .yaml";

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
  Error error("this folder holds no model: there is no 'config.json'");
  error.at(Mark{path.string()}).usage();
  for (const char* name : {"model.keras", "model.h5"})  // of a run
    if (fs::exists(path / name)) error.hint(fmt::format("name the file: {}", (path / name).string()));
  throw error;
}

FileKind kind_of_hdf5(const fs::path& path) {
  return holds_weight_tree(hdf5::File::open(path).root()) ? FileKind::weights : FileKind::h5;
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

namespace {

ModelFile read_directly(const fs::path& path) {
  ModelFile file{.path = path, .kind = kind_of_file(path)};
  switch (file.kind) {
    case FileKind::archive: file.archive = read_keras_archive(path); break;
    case FileKind::h5: file.h5 = read_keras_h5(path); break;
    case FileKind::weights:
    case FileKind::sharded_weights: file.weights = read_keras_weights(path); break;
    case FileKind::json: file.architecture = load_json(path); break;
    case FileKind::yaml: file.architecture = load_yaml(path); break;
  }
  return file;
}

// The file, and of sharded weights those beside it: X.weights.json, X_00000.weights.h5, ….
std::vector<fs::path> files_of(const fs::path& path) {
  std::vector<fs::path> files{path};
  constexpr std::string_view index_ending = ".weights.json";
  const std::string name = path.filename().string();
  if (!name.ends_with(index_ending)) return files;
  const std::string beginning = name.substr(0, name.size() - index_ending.size()) + "_";
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path.parent_path().empty() ? "." : path.parent_path(), error))
    if (entry.path().filename().string().starts_with(beginning)) files.push_back(entry.path());
  return files;
}

}  // namespace

ModelFile read_model_file(const fs::path& path, bool untrusted) {
  try {
    if (!untrusted) return read_directly(path);
    auto file = confined<ModelFile>(Confinement::for_files(files_of(path)), [&] { return read_directly(path); });
    file.path = path;
    return file;
  } catch (Error& error) {
    error.at({path.string()});
    throw;
  }
}

}  // namespace nacre
