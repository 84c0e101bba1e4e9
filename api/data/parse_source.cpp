#include <algorithm>

#include "api/data/source.h"
#include "formats/yaml.h"

namespace nacre {

std::string_view source_kind_of(const std::filesystem::path& path) {
  std::error_code ignored;  // of a text that is too long for a name
  if (std::filesystem::is_directory(path, ignored)) return "images";
  std::filesystem::path name = path;
  if (name.extension() == ".gz") name.replace_extension();
  const std::string extension = name.extension().string();
  if (extension == ".csv" || extension == ".tsv") return "csv";
  if (extension == ".txt") return "lines";
  if (extension == ".npy") return "npy";
  if (extension == ".npz") return "npz";
  if (extension == ".h5" || extension == ".hdf5") return "hdf5";
  if (extension == ".idx" || path.string().find("-ubyte") != std::string::npos) return "idx";
  return {};
}

namespace {

// Takes the text up to the next comma that stands in no brackets off the front of `rest`.
std::string_view next_item(std::string_view& rest) {
  int depth = 0;
  std::size_t end = 0;
  for (; end < rest.size() && !(rest[end] == ',' && depth <= 0); ++end) depth += (rest[end] == '[') - (rest[end] == ']');
  const std::string_view item = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return item;
}

}  // namespace

std::shared_ptr<Source> parse_source(const std::string& text) {
  const std::size_t colon = text.find(':');
  const ClassInfo<Source>* info = registry<Source>().find(std::string_view(text).substr(0, colon));
  std::string_view rest;
  if (info && colon != std::string::npos) {
    rest = std::string_view(text).substr(colon + 1);
  } else if (!info) {
    const std::string path = text.substr(0, text.find(','));
    const std::string_view kind = source_kind_of(path);
    if (kind.empty())
      throw Error("'{}' is no source of data", text)
          .hint("a .csv, .npz, .npy, .h5, .idx or .txt file, a folder of pictures, or e.g. digits:1000, idx:IMAGES,LABELS, csv:FILE,target=COLUMN")
          .usage();
    info = &registry<Source>().get(kind);
    rest = text;
  }
  Tree config = Tree::mapping();
  const FieldTable& fields = *info->fields.front();
  for (std::size_t position = 0; !rest.empty(); ++position) {
    const std::string_view item = next_item(rest);
    const std::size_t equals = item.find('=');
    if (equals != std::string_view::npos) {
      config.set(item.substr(0, equals), parse_yaml(item.substr(equals + 1), text));
    } else if (position < fields.size()) {
      config.set(fields[position].key, parse_yaml(item, text));
    } else {
      throw Error("'{}': {} has {} fields", text, info->class_name, fields.size()).usage();
    }
  }
  return within([&] { return fmt::format("while reading the source '{}'", text); }, [&] { return info->make(config); });
}

}  // namespace nacre
