#include "formats/keras_weights.h"

#include <algorithm>
#include <map>

#include "formats/file.h"
#include "formats/hdf5.h"
#include "formats/json.h"

namespace nacre {

namespace fs = std::filesystem;
using hdf5::Group;

namespace {

// How Keras before 3.0 called a model's list of layers.
constexpr std::string_view old_lists[] = {"_layer_checkpoint_dependencies", "_self_tracked_trackables"};

// The path of a group in the form of Keras 3. Windows wrote it with its own separator.
std::string present_path(std::string path) {
  std::ranges::replace(path, '\\', '/');
  for (const std::string_view old : old_lists)
    for (std::size_t at = 0; (at = path.find(old, at)) != std::string::npos; at += 6) path.replace(at, old.size(), "layers");
  return path;
}

bool is_number(const std::string& text) {
  return !text.empty() && text.size() < 10 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// Puts the groups together, whose variables may be spread over several files.
struct Gathering {
  struct Found {
    std::map<std::int64_t, Tensor> variables;
    WeightGroup group;
  };
  std::map<std::string, Found> groups;
  std::vector<std::string> order;

  void add(const Group& root) {
    for (const std::string& dataset : root.dataset_paths()) {
      const std::size_t slash = dataset.rfind('/');
      if (slash == std::string::npos) continue;
      const std::string holder = dataset.substr(0, slash), key = dataset.substr(slash + 1);
      if (holder != "vars" && !holder.ends_with("/vars")) continue;
      const std::string path = present_path(holder == "vars" ? "" : holder.substr(0, holder.size() - 5));
      auto [found, is_new] = groups.try_emplace(path);
      if (is_new) order.push_back(path);
      WeightGroup& group = found->second.group;
      group.path = path;
      if (is_number(key)) found->second.variables.try_emplace(std::stoll(key), root.tensor(dataset));
      else group.named.try_emplace(key, root.tensor(dataset));
      if (const Group vars = root.group(holder); !group.name && vars.has_attribute("name")) group.name = vars.text_attribute("name");
    }
  }

  WeightTree tree() && {
    WeightTree tree;
    for (const std::string& path : order) {
      Found& found = groups.at(path);
      for (auto& [number, tensor] : found.variables) {
        if (number != static_cast<std::int64_t>(found.group.variables.size()))
          throw Error("the variable {} is missing", found.group.variables.size()).about(fmt::format("'/{}/vars'", path));
        found.group.variables.push_back(std::move(tensor));
      }
      tree.groups.push_back(std::move(found.group));
    }
    return tree;
  }
};

std::string vars_of(const std::string& path) { return path.empty() ? "vars" : path + "/vars"; }

// Without variables and without a name there is no group.
bool is_written(const WeightGroup& group) { return group.name || !group.empty(); }

Group make_vars(Group root, const WeightGroup& group) {
  Group vars = root.make_group(vars_of(group.path));
  if (group.name) vars.set_attribute("name", *group.name);
  return vars;
}

// Calls visit(key, tensor) for each variable.
void each_variable(const WeightGroup& group, auto&& visit) {
  for (std::size_t i = 0; i < group.variables.size(); ++i) visit(std::to_string(i), group.variables[i]);
  for (const auto& [key, tensor] : group.named) visit(key, tensor);
}

// "X" of X.weights.json
std::string base_name(const fs::path& index) {
  std::string stem = index.stem().string();
  if (stem.ends_with(".weights")) stem.resize(stem.size() - std::string_view(".weights").size());
  return stem;
}

WeightTree read_shards(const fs::path& index) {
  const Tree config = load_json(index);
  const Tree* map = config.find("weight_map");
  if (!map || !map->is_mapping()) throw Error("this is no index of sharded weights: there is no 'weight_map'").at(Mark{index.string()}).usage();
  std::vector<std::string> files;  // in the order in which they were written
  for (const auto& [path, shards, mark] : map->entries())
    for (const Tree& shard : shards.is_string() ? Tree::Sequence{shards} : shards.items()) {
      const std::string& name = shard.as_string();
      if (name.empty() || name == ".." || name.find_first_of("/\\") != std::string::npos)
        throw Error("the shard '{}' lies outside the index's folder", name).at(shard.mark()).usage();
      if (std::ranges::find(files, name) == files.end()) files.push_back(name);
    }
  Gathering gathering;
  for (const std::string& name : files) gathering.add(hdf5::File::open(index.parent_path() / name).root());
  return std::move(gathering).tree();
}

}  // namespace

const WeightGroup* WeightTree::find(std::string_view path) const {
  const auto found = std::ranges::find(groups, path, &WeightGroup::path);
  return found == groups.end() || found->empty() ? nullptr : &*found;
}

WeightTree read_weight_tree(const Group& root) {
  Gathering gathering;
  gathering.add(root);
  return std::move(gathering).tree();
}

void write_weight_tree(Group root, const WeightTree& tree) {
  for (const WeightGroup& group : tree.groups) {
    if (!is_written(group)) continue;
    Group vars = make_vars(root, group);
    each_variable(group, [&](const std::string& key, const Tensor& tensor) { vars.write(key, tensor); });
  }
}

bool holds_weight_tree(const Group& root) {
  return !root.has_attribute("layer_names") && !root.has_attribute("layer_names0") && !root.has_group("model_weights") &&
         (root.has_group("layers") || root.has_group("vars") ||
          std::ranges::any_of(root.names(), [](const std::string& name) { return present_path(name).starts_with("layers"); }));
}

WeightTree read_keras_weights(const fs::path& path) {
  try {
    return path.extension() == ".json" ? read_shards(path) : read_weight_tree(hdf5::File::open(path).root());
  } catch (Error& error) {
    error.at(Mark{path.string()});
    throw;
  }
}

void write_keras_weights(const fs::path& path, const WeightTree& tree) {
  hdf5::File file = hdf5::File::create(path);
  write_weight_tree(file.root(), tree);
  file.commit();
}

void write_sharded_keras_weights(const fs::path& path, const WeightTree& tree, std::uint64_t shard_size) {
  std::vector<hdf5::File> shards;
  std::string shard;  // the name of the last one
  const auto begin_shard = [&] {
    shard = fmt::format("{}_{:05}.weights.h5", base_name(path), shards.size());
    shards.push_back(hdf5::File::create(path.parent_path() / shard));
  };
  begin_shard();
  std::uint64_t filled = 0, total = 0;
  Tree map = Tree::mapping();
  for (const WeightGroup& group : tree.groups) {
    if (!is_written(group)) continue;
    make_vars(shards.back().root(), group);
    const std::string vars = vars_of(group.path);
    each_variable(group, [&](const std::string& key, const Tensor& tensor) {
      const std::uint64_t size = tensor.bytes();
      if (size > shard_size)
        throw Error("the variable '{}/{}' has {} bytes, a shard may have {}", vars, key, size, shard_size).at(Mark{path.string()}).hint("allow larger shards").usage();
      if (filled + size > shard_size) begin_shard(), filled = 0;
      filled += size, total += size;
      shards.back().root().write(fmt::format("{}/{}", vars, key), tensor);
      Tree* holders = map.find("/" + vars);
      if (!holders) map.set("/" + vars, shard);
      else if (holders->is_string() && *holders != Tree(shard)) *holders = Tree::Sequence{*holders, Tree(shard)};
      else if (holders->is_sequence() && holders->items().back() != Tree(shard)) holders->push(shard);
    });
  }
  Tree index, metadata;
  metadata.set("total_size", static_cast<double>(total));
  index.set("metadata", std::move(metadata));
  index.set("weight_map", std::move(map));
  for (hdf5::File& file : shards) file.commit();
  write_file_atomically(path, write_json(index, 4));
}

}  // namespace nacre
