#include "formats/keras_h5.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "formats/hdf5.h"
#include "formats/json.h"

namespace nacre {

namespace {

using hdf5::Encoding;
using hdf5::Group;

// HDF5 limits what an object's header holds; beyond this many bytes Keras spreads a list over several attributes.
constexpr std::size_t header_limit = 64512;
constexpr std::size_t most_names = 1'000'000;
constexpr std::string_view model_group = "top_level_model_weights";

// --- reading -----------------------------------------------------------------------------------------------------

// `name`, or name0, name1, … when the list was spread.
std::vector<std::string> read_list(const Group& group, const std::string& name) {
  if (group.has_attribute(name)) return group.texts_attribute(name);
  std::vector<std::string> list;
  for (int i = 0; group.has_attribute(name + std::to_string(i)); ++i) {
    std::vector<std::string> part = group.texts_attribute(name + std::to_string(i));
    std::move(part.begin(), part.end(), std::back_inserter(list));
    if (list.size() > most_names) throw Error("'{}' lists more than {} names", name, most_names).about(fmt::format("'{}'", group.path()));
  }
  return list;
}

std::vector<NamedTensor> read_weights(const Group& group) {
  std::vector<NamedTensor> weights;
  for (std::string& name : read_list(group, "weight_names")) {
    Tensor tensor = group.tensor(name);
    weights.push_back({std::move(name), std::move(tensor)});
  }
  return weights;
}

// Before version 1 layers and weights had numbers: the attribute nb_layers, layer_0 with its nb_params, param_0, ….
std::vector<LayerWeights> read_numbered_layers(const Group& root) {
  const auto count = [](const Group& group, const std::string& name) {
    const Tensor number = group.has_attribute(name) ? group.tensor_attribute(name) : Tensor::scalar<std::int64_t>(0);
    if (number.size() != 1 || !(number.at(0) >= 0 && number.at(0) <= static_cast<double>(most_names)))
      throw Error("'{}' is no number of layers or weights", name).about(fmt::format("'{}'", group.path()));
    return static_cast<std::size_t>(number.at(0));
  };
  std::vector<LayerWeights> layers;
  const std::size_t all = count(root, "nb_layers");
  for (std::size_t i = 0; i < all; ++i) {
    LayerWeights& layer = layers.emplace_back(LayerWeights{fmt::format("layer_{}", i), {}});
    const Group group = root.group(layer.layer);
    const std::size_t params = count(group, "nb_params");
    for (std::size_t k = 0; k < params; ++k) {
      std::string name = fmt::format("param_{}", k);
      Tensor tensor = group.tensor(name);
      layer.weights.push_back({std::move(name), std::move(tensor)});
    }
  }
  return layers;
}

Tree read_config(const Group& root, const std::string& name, const std::string& file) {
  if (!root.has_attribute(name)) return {};
  const std::string text = root.text_attribute(name);
  if (text.empty()) return {};
  return within([&] { return fmt::format("while reading the attribute '{}' of {}", name, file); },
                [&] { return parse_json(text, file + "@" + name); });
}

std::string read_text(const Group& group, const Group& root, const std::string& name) {
  if (group.has_attribute(name)) return group.text_attribute(name);
  return root.has_attribute(name) ? root.text_attribute(name) : "";
}

// --- writing -----------------------------------------------------------------------------------------------------

// As numpy.array_split: parts that differ by one at most, the longer ones first.
std::vector<std::vector<std::string>> split(const std::vector<std::string>& list, std::size_t parts) {
  std::vector<std::vector<std::string>> result;
  auto next = list.begin();
  for (std::size_t i = 0; i < parts; ++i) {
    const auto size = static_cast<std::ptrdiff_t>(list.size() / parts + (i < list.size() % parts ? 1 : 0));
    result.emplace_back(next, next + size);
    next += size;
  }
  return result;
}

void write_list(Group& group, const std::string& name, const std::vector<std::string>& list) {
  if (list.empty()) return group.set_attribute(name, Tensor(DType::float64, {0}));  // what h5py makes of an empty list
  const std::string& longest_text = *std::ranges::max_element(list, {}, &std::string::size);
  const std::size_t longest = longest_text.size();
  need(longest <= header_limit, "the name '{}…' is too long for HDF5", longest_text.substr(0, 60));
  if (list.size() * longest <= header_limit) return group.set_attribute(name, list, Encoding::ascii);
  std::size_t parts = 2;
  while ((list.size() + parts - 1) / parts * longest > header_limit) ++parts;
  std::size_t index = 0;
  for (const auto& part : split(list, parts)) group.set_attribute_padded(name + std::to_string(index++), part, longest);
}

// Writes the tensors below the group, under names that are paths.
void write_weights(Group group, const std::vector<NamedTensor>& weights) {
  std::vector<std::string> names;
  for (const NamedTensor& weight : weights) names.push_back(weight.name);
  std::set<std::string_view> seen;
  for (const std::string& name : names)
    if (!seen.insert(name).second) throw Error("two weights in '{}' have the name '{}'", group.path(), name).hint("give the layers distinct names");
  write_list(group, "weight_names", names);
  for (const NamedTensor& weight : weights) group.write(weight.name, weight.tensor);
}

}  // namespace

const LayerWeights* KerasFile::find(std::string_view layer) const {
  const auto found = std::find_if(layers.begin(), layers.end(), [&](const LayerWeights& each) { return each.layer == layer; });
  return found == layers.end() ? nullptr : &*found;
}

KerasFile read_keras_h5(const std::filesystem::path& path) {
  const Group root = hdf5::File::open(path).root();
  const std::string name = path.string();
  const auto lists_layers = [](const Group& group) {
    return group.has_attribute("nb_layers") || group.has_attribute("layer_names") || group.has_attribute("layer_names0");
  };
  // A file of weights alone may have a layer of that name.
  const Group weights = !lists_layers(root) && root.has_group("model_weights") ? root.group("model_weights") : root;
  const bool numbered = weights.has_attribute("nb_layers");
  if (!lists_layers(weights)) {
    Error error("the file holds no Keras model: there are no 'layer_names'");
    if (root.has_group("layers") || root.has_group("_layer_checkpoint_dependencies")) error.hint("these are weights in the layout of Keras 3 (.weights.h5), without a model");
    throw std::move(error).at(Mark{name});
  }
  KerasFile file;
  file.keras_version = read_text(weights, root, "keras_version");
  file.backend = read_text(weights, root, "backend");
  file.model_config = read_config(root, "model_config", name);
  file.training_config = read_config(root, "training_config", name);
  try {
    if (numbered) file.layers = read_numbered_layers(weights);
    for (std::string& layer : read_list(weights, "layer_names")) {
      std::vector<NamedTensor> tensors = read_weights(weights.group(layer));
      file.layers.push_back({std::move(layer), std::move(tensors)});
    }
    if (weights.has_group(model_group)) file.model_weights = read_weights(weights.group(model_group));
    if (root.has_group("optimizer_weights")) file.optimizer_weights = read_weights(root.group("optimizer_weights"));
    if (root.has_group("nacre")) {
      const Group state = root.group("nacre");
      file.state = read_config(state, "state", name);
      file.state_tensors = read_weights(state);
    }
  } catch (Error& error) {
    error.at(Mark{name});
    throw;
  }
  return file;
}

void write_keras_h5(const std::filesystem::path& path, const KerasFile& file) {
  hdf5::File output = hdf5::File::create(path);
  Group root = output.root();
  const bool whole = !file.model_config.is_null();
  if (whole) {
    root.set_attribute("keras_version", file.keras_version);
    root.set_attribute("backend", file.backend);
    root.set_attribute("model_config", write_json(file.model_config, 0, NotFinite::named), Encoding::ascii);
    if (!file.training_config.is_null()) root.set_attribute("training_config", write_json(file.training_config, 0, NotFinite::named), Encoding::ascii);
  }
  Group weights = whole ? root.make_group("model_weights") : root;
  std::vector<std::string> names;
  for (const LayerWeights& layer : file.layers) names.push_back(layer.layer);
  write_list(weights, "layer_names", names);
  weights.set_attribute("backend", file.backend, Encoding::ascii);
  weights.set_attribute("keras_version", file.keras_version, Encoding::ascii);
  std::vector<const LayerWeights*> sorted;
  for (const LayerWeights& layer : file.layers) sorted.push_back(&layer);
  std::sort(sorted.begin(), sorted.end(), [](const LayerWeights* a, const LayerWeights* b) { return a->layer < b->layer; });
  for (const LayerWeights* layer : sorted)
    if (layer->layer == model_group)
      throw Error("a layer has the name '{}', under which the file keeps the model's own weights", model_group).hint("give the layer another name");
  for (std::size_t i = 1; i < sorted.size(); ++i)
    if (sorted[i]->layer == sorted[i - 1]->layer) throw Error("two layers have the name '{}'", sorted[i]->layer).hint("give the layers distinct names");
  for (const LayerWeights* layer : sorted) write_weights(weights.make_group(layer->layer), layer->weights);
  write_weights(weights.make_group(model_group), file.model_weights);
  if (!file.optimizer_weights.empty()) write_weights(root.make_group("optimizer_weights"), file.optimizer_weights);
  if (!file.state.is_null() || !file.state_tensors.empty()) {
    Group state = root.make_group("nacre");
    if (!file.state.is_null()) state.set_attribute("state", write_json(file.state, 0, NotFinite::named), Encoding::ascii);
    write_weights(state, file.state_tensors);
  }
  output.commit();
}

}  // namespace nacre
