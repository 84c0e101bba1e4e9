#include "formats/keras_archive.h"

#include <algorithm>
#include <functional>

#include "formats/hdf5.h"
#include "formats/json.h"
#include "formats/zip.h"

namespace nacre {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view config_name = "config.json", metadata_name = "metadata.json", weights_name = "model.weights.h5",
                           numpy_weights_name = "model.weights.npz", assets_folder = "assets/";
constexpr std::uint64_t longest_json = std::uint64_t{1} << 28;

// What lies in an archive or a folder.
struct Entries {
  std::vector<std::string> names;
  std::function<std::string(const std::string& name, std::uint64_t limit)> read;

  bool has(std::string_view name) const { return std::ranges::find(names, name) != names.end(); }
};

Entries entries_of_folder(const fs::path& folder) {
  Entries entries;
  std::error_code error;
  fs::recursive_directory_iterator walk(folder, error);
  for (; !error && walk != fs::recursive_directory_iterator(); walk.increment(error))
    if (walk->is_regular_file(error)) entries.names.push_back(walk->path().lexically_relative(folder).generic_string());
  if (error) throw file_error(folder, "read", error.value());
  std::ranges::sort(entries.names);
  entries.read = [folder](const std::string& name, std::uint64_t limit) { return read_file(folder / name, limit); };
  return entries;
}

Entries entries_of_zip(const fs::path& path) {
  auto zip = std::make_shared<ZipReader>(path);
  std::vector<std::string> names = zip->names();
  return {std::move(names), [zip](const std::string& name, std::uint64_t limit) { return zip->read(name, limit); }};
}

// Keras stores the weights unpacked, so they may be as large as the archive.
std::uint64_t weights_limit(const fs::path& path) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(fs::is_directory(path) ? path / weights_name : path, error);
  return error ? default_file_limit : std::max<std::uint64_t>(default_file_limit, size);
}

Tree read_tree(const Entries& entries, const fs::path& path, std::string_view name) {
  return parse_json(entries.read(std::string(name), longest_json), (path / name).string());
}

}  // namespace

KerasArchive read_keras_archive(const fs::path& path) {
  const Entries entries = fs::is_directory(path) ? entries_of_folder(path) : entries_of_zip(path);
  const auto fail = [&](std::string_view missing) {
    return Error("it holds no Keras model: there is no '{}'", missing).at(Mark{path.string()}).usage();
  };
  KerasArchive archive;
  if (!entries.has(config_name)) throw fail(config_name);
  archive.config = read_tree(entries, path, config_name);
  if (entries.has(metadata_name)) archive.metadata = read_tree(entries, path, metadata_name);
  if (entries.has(weights_name)) {
    const hdf5::File file = hdf5::File::open_bytes(entries.read(std::string(weights_name), weights_limit(path)), path / weights_name);
    try {
      archive.weights = read_weight_tree(file.root());
    } catch (Error& error) {
      error.at(Mark{(path / weights_name).string()});
      throw;
    }
  } else if (entries.has(numpy_weights_name)) {
    throw Error("the weights are stored as '{}', which holds pickled Python objects", numpy_weights_name).at(Mark{path.string()}).hint("save the model again with Keras's default settings").usage();
  } else {
    throw fail(weights_name);
  }
  std::uint64_t left = default_file_limit;  // for all assets: entries of a zip archive may share their bytes
  for (const std::string& name : entries.names) {
    if (!name.starts_with(assets_folder) || name.ends_with('/')) continue;
    KerasAsset& asset = archive.assets.emplace_back(KerasAsset{name.substr(assets_folder.size()), entries.read(name, left)});
    left -= asset.bytes.size();
  }
  return archive;
}

void write_keras_archive(const fs::path& path, const KerasArchive& archive) {
  ZipWriter zip(path);
  zip.add(metadata_name, write_json(archive.metadata, 0, NotFinite::named));
  zip.add(config_name, write_json(archive.config, 0, NotFinite::named));
  hdf5::File weights = hdf5::File::create_beside(path, path / weights_name);
  write_weight_tree(weights.root(), archive.weights);
  zip.add_file(weights_name, weights.finish());
  for (const KerasAsset& asset : archive.assets) zip.add(std::string(assets_folder) + asset.path, asset.bytes);
  zip.commit();
}

}  // namespace nacre
