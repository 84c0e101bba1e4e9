#include "api/vintage/weights.h"

#include <algorithm>
#include <map>

#include "api/functional.h"
#include "api/keras/file.h"
#include "api/keras/places.h"
#include "api/vintage/float_weights.h"
#include "api/vintage/kernels.h"

namespace nacre {

namespace {

using Arrays = std::vector<NamedTensor>;
using Assignments = std::vector<Assignment>;

void append(Assignments& all, Assignments more) { std::move(more.begin(), more.end(), std::back_inserter(all)); }

Assignment checked_assignment(const VariableRef& variable, const NamedTensor& array, const Layer& layer) {
  const Tensor& value = array.tensor;
  if (value.shape() != variable->shape())
    throw Error("the file's weight '{}' is {}, '{}' is {}", array.name, value.shape(), variable->path(), variable->shape()).about(layer.label());
  return {variable, value.cast(variable->type().dtype)};
}

// The arrays are the layer's weights, one by one.
Assignments match_in_order(const Layer& layer, const Arrays& arrays) {
  const std::vector<VariableRef> variables = file_order(layer);
  if (variables.size() != arrays.size())
    throw Error("the file has {} weights for it, it has {}", arrays.size(), variables.size()).about(layer.label());
  Assignments all;
  for (std::size_t i = 0; i < variables.size(); ++i) all.push_back(checked_assignment(variables[i], arrays[i], layer));
  return all;
}

// --- weights that are stored in another form, of Keras 3 -----------------------------------------------------------------

// A layer with weights of its own, and the way to it through the names of the layers around it.
struct NamedLayer {
  const Layer* layer;
  std::string path;
};
void find_owners(const Layer& layer, const std::string& path, std::vector<NamedLayer>& owners) {
  if (!layer.own_weights().empty()) owners.push_back({&layer, path});
  for (const auto& sublayer : layer.sublayers()) find_owners(*sublayer, path.empty() ? sublayer->own_name() : path + "/" + sublayer->own_name(), owners);
}

bool is_of(const std::string& weight, const std::string& path) {
  const std::string folder = "/" + weight.substr(0, weight.rfind('/'));
  return path.empty() || folder.ends_with("/" + path);
}

// By names, for there are more arrays than weights, and those that do not train lie behind the others.
Assignments match_stored_forms(const Layer& layer, Arrays arrays) {
  std::vector<NamedLayer> owners;
  find_owners(layer, "", owners);
  std::ranges::stable_sort(owners, std::ranges::greater{}, [](const NamedLayer& owner) { return owner.path.size(); });
  Assignments all;
  for (const auto& [owner, path] : owners) {
    const auto rest = std::stable_partition(arrays.begin(), arrays.end(), [&](const NamedTensor& each) { return is_of(each.name, path); });
    const Arrays own(std::make_move_iterator(arrays.begin()), std::make_move_iterator(rest));
    arrays.erase(arrays.begin(), rest);
    try {
      const vintages::FloatWeights weights = vintages::float_weights(*owner, own);
      const std::vector<VariableRef> variables = own_variables(*owner);
      for (std::size_t i = 0; i < variables.size(); ++i) all.push_back(checked_assignment(variables[i], {variables[i]->path(), weights.values[i]}, *owner));
    } catch (Error& error) {
      error.about(owner->label());
      throw;
    }
  }
  if (!arrays.empty()) throw Error("the file's weight '{}' is that of no layer within it", arrays.front().name).about(layer.label());
  return all;
}

// --- layers that hold others -----------------------------------------------------------------------------------------

// The layers of a model that have weights, also those of models inside of it.
void find_leaves(const FunctionalLayer& model, std::vector<std::shared_ptr<Layer>>& leaves) {
  for (const auto& layer : model.layers()) {
    if (const auto* inner = dynamic_cast<const FunctionalLayer*>(layer.get())) find_leaves(*inner, leaves);
    else if (!layer->weights().empty() && std::find(leaves.begin(), leaves.end(), layer) == leaves.end()) leaves.push_back(layer);
  }
}

// Which leaf's name stands in the path of a weight: "model/dense_1/kernel:0", or Keras 1's "dense_1_W". The longest wins.
std::optional<std::size_t> leaf_named_in(const std::string& weight, const std::vector<std::shared_ptr<Layer>>& leaves) {
  std::optional<std::size_t> best;
  const std::string path = "/" + weight;
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    const std::string& name = leaves[i]->name();
    const bool there = path.find("/" + name + "/") != std::string::npos || weight.starts_with(name + "_");
    if (there && (!best || name.size() > leaves[*best]->name().size())) best = i;
  }
  return best;
}

using Parts = std::vector<Arrays>;  // of each leaf

std::optional<Parts> part_by_names(const std::vector<std::shared_ptr<Layer>>& leaves, const Arrays& arrays) {
  Parts parts(leaves.size());
  for (const NamedTensor& array : arrays) {
    const auto leaf = leaf_named_in(array.name, leaves);
    if (!leaf) return std::nullopt;
    parts[*leaf].push_back(array);
  }
  return parts;
}

// How many weights each leaf has in each of two walks over the leaves.
struct Counts {
  std::size_t first, second;
};

std::optional<Parts> part_by_counts(const std::vector<Counts>& counts, const Arrays& arrays) {
  std::size_t total = 0;
  for (const auto& [first, second] : counts) total += first + second;
  if (total != arrays.size()) return std::nullopt;
  Parts parts(counts.size());
  auto next = arrays.begin();
  for (std::size_t Counts::*walk : {&Counts::first, &Counts::second})
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const auto end = next + static_cast<std::ptrdiff_t>(counts[i].*walk);
      parts[i].insert(parts[i].end(), next, end);
      next = end;
    }
  return parts;
}

// A model within the model is one list: its trainable weights, then the others. What was frozen when the file was made
// is not always frozen in the config, so names decide; without helpful names, whichever order fits.
Assignments match_model(const FunctionalLayer& model, const Arrays& arrays, const Vintage& vintage) {
  std::vector<std::shared_ptr<Layer>> leaves;
  find_leaves(model, leaves);
  std::vector<Counts> as_config, as_created, one_walk;
  for (const auto& leaf : leaves) {
    const std::size_t all = leaf->weights().size();
    std::size_t created = 0;
    for (const Weight& weight : leaf->weights()) created += weight.variable->trainable();
    const std::size_t trainable = model.trainable() ? leaf->trainable_weights().size() : 0;
    as_config.push_back({trainable, all - trainable});
    as_created.push_back({created, all - created});
    one_walk.push_back({all, 0});
  }
  std::optional<Error> first_error;
  for (const std::optional<Parts>& parts : {part_by_names(leaves, arrays), part_by_counts(as_config, arrays), part_by_counts(as_created, arrays),
                                            part_by_counts(one_walk, arrays)}) {
    if (!parts) continue;
    try {
      Assignments all;
      for (std::size_t i = 0; i < leaves.size(); ++i) append(all, match_weights(*leaves[i], (*parts)[i], vintage));
      return all;
    } catch (const Error& error) {
      if (!first_error) first_error = error;
    }
  }
  if (first_error) throw std::move(*first_error);
  throw Error("the file has {} weights for it, it has {}", arrays.size(), file_order(model).size()).about(model.label());
}

}  // namespace

std::vector<Assignment> match_weights(const Layer& layer, const std::vector<NamedTensor>& saved, const Vintage& vintage) {
  try {
    if (const auto* model = dynamic_cast<const FunctionalLayer*>(&layer)) return match_model(*model, saved, vintage);
    if (vintage.major >= 3 && vintages::holds_more_than_weights(saved)) return match_stored_forms(layer, saved);
    const std::vector<std::shared_ptr<Layer>> inner = layer.sublayers();
    if (vintages::has_rule(layer) || vintage.major >= 3 || inner.empty() || !layer.own_weights().empty())
      return match_in_order(layer, vintages::modern_arrays(layer, saved, vintage));
    if (inner.size() == 1) return match_weights(*inner.front(), saved, vintage);
    if (layer.class_name() != "Bidirectional" || saved.size() % 2 != 0) return match_in_order(layer, saved);
    const auto middle = saved.begin() + static_cast<std::ptrdiff_t>(saved.size() / 2);
    Assignments all = match_weights(*inner.front(), {saved.begin(), middle}, vintage);
    append(all, match_weights(*inner.back(), {middle, saved.end()}, vintage));
    return all;
  } catch (Error& error) {
    error.about(layer.label());
    throw;
  }
}

}  // namespace nacre
