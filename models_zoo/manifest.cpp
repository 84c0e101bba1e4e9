#include "models_zoo/manifest.h"

#include <algorithm>
#include <cstdlib>

#include "formats/file.h"
#include "formats/text.h"
#include "formats/yaml.h"
#include "models_zoo/embedded.h"

namespace nacre::zoo {

namespace {

constexpr std::uint64_t longest_text = std::uint64_t{16} << 20;

std::string_view embedded(std::string_view name) {
  const auto texts = embedded_texts();
  const auto found = std::ranges::find(texts, name, &EmbeddedText::name);
  if (found == texts.end()) throw Error("the zoo has no file '{}'", name);
  return found->text;
}

// The keys of a manifest; what they hold is read by name.
struct ManifestConfig {
  Tree models = Tree::mapping(), labels = Tree::mapping(), preprocessing = Tree::mapping(), shared = Tree::mapping();
  std::vector<std::string> any_value;
  static void describe(auto&& field) {
    field("models", &ManifestConfig::models, "{name: {architecture: …}}");
    field("labels", &ManifestConfig::labels, "{name: names of classes, or a file with one per line}");
    field("preprocessing", &ManifestConfig::preprocessing, "{name: {scale: …}}: what weights name");
    field("shared", &ManifestConfig::shared, "what others merge with <<");
    field("any_value", &ManifestConfig::any_value,
          "arguments that weights are right for with any value, unless they list them");
  }
};

// Weights may name a preprocessing of the manifest's.
Tree with_preprocessing(Tree weights, const Tree& known) {
  if (!weights.is_sequence()) return weights;
  for (Tree& entry : weights.items()) {
    Tree* const named = entry.find("preprocessing");
    if (!named || !named->is_string()) continue;
    const Tree* const found = known.find(named->as_string());
    if (!found) throw Error("there is no preprocessing '{}'", named->as_string()).at(named->mark()).usage();
    *named = *found;
  }
  return weights;
}

}  // namespace

std::string Weights::file_name() const {
  if (file) return std::filesystem::path(*file).filename().string();
  const std::string& whole = address.value();
  const std::string path = whole.substr(0, whole.find_first_of("?#"));
  return path.substr(path.rfind('/') + 1);
}

std::pair<std::string, std::string> ZooModel::text() const {
  if (architecture.ends_with(".yaml")) {
    const std::filesystem::path path = folder / architecture;
    return {read_file(path, longest_text), path.string()};
  }
  const std::string file = fmt::format("architectures/{}.yaml", architecture);
  return {std::string(embedded(file)), file};
}

void Manifest::add(const Tree& tree, const std::filesystem::path& folder) {
  const ManifestConfig config = read_config<ManifestConfig>(tree);
  any_value_.insert(any_value_.end(), config.any_value.begin(), config.any_value.end());
  for (const Tree::Entry& entry : config.labels.entries()) {
    Labels labels{.name = entry.key, .words = {}, .file = {}};
    if (entry.value.is_string())
      labels.file = folder.empty() ? entry.value.as_string() : (folder / entry.value.as_string()).string();
    else FieldKind<std::vector<std::string>>::read(entry.value, labels.words);
    labels_.push_back(std::move(labels));
  }
  for (const Tree::Entry& entry : config.models.entries()) {
    Tree fields = entry.value;
    if (Tree* weights = fields.find("weights"))
      *weights = with_preprocessing(std::move(*weights), config.preprocessing);
    ZooModel model = read_config<ZooModel>(fields);
    model.name = entry.key;
    model.folder = folder;
    for (const Weights& weights : model.weights)
      if (weights.file.has_value() == weights.address.has_value())
        throw Error("the weights '{}' want either 'file' or 'address'", weights.name).at(entry.mark).usage();
    if (std::ranges::find(models_, model.name, &ZooModel::name) == models_.end()) models_.push_back(std::move(model));
  }
}

Manifest Manifest::load() {
  Manifest manifest;
  if (const char* own = std::getenv("NACRE_ZOO"); own && *own)
    within([] { return std::string("while reading the manifest that NACRE_ZOO names"); },
           [&] { manifest.add(load_yaml(own), std::filesystem::absolute(own).parent_path()); });
  manifest.add(parse_yaml(embedded("manifest.yaml"), "manifest.yaml"), {});
  return manifest;
}

const ZooModel& Manifest::model(std::string_view name) const {
  const auto found = std::ranges::find(models_, name, &ZooModel::name);
  if (found != models_.end()) return *found;
  std::vector<std::string_view> known;
  for (const ZooModel& model : models_) known.push_back(model.name);
  const std::string near = suggestion(name, known);
  throw Error("the zoo has no model '{}'", name)
      .hint(near.empty() ? "nacre zoo list shows what there is" : near)
      .usage();
}

std::vector<std::string> Manifest::labels(std::string_view list) const {
  if (list.empty()) return {};
  const auto found = std::ranges::find(labels_, list, &Labels::name);
  if (found == labels_.end()) throw Error("the zoo has no labels '{}'", list);
  if (!found->words.empty()) return found->words;
  if (found->file.is_absolute()) return read_lines(found->file);
  return nacre::lines_of(embedded("labels/" + found->file.string()));
}

}  // namespace nacre::zoo
