#include "formats/keras_weights.h"

#include <algorithm>
#include <map>
#include <set>

#include "formats/file.h"
#include "formats/hdf5.h"
#include "formats/json.h"

namespace nacre {

namespace fs = std::filesystem;
using hdf5::Group;

namespace {

// How Keras before 3.0 called a model's list of layers.
constexpr std::string_view old_lists[] = {"_layer_checkpoint_dependencies", "_self_tracked_trackables"};

bool is_number(const std::string& text) {
  return !text.empty() && text.size() < 10 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// Gives a path the form of Keras 3 and says whether it had that of an older one. Windows wrote it with its own separator.
bool replace_old_lists(std::string& path) {
  bool old = false;
  std::ranges::replace(path, '\\', '/');
  for (const std::string_view list : old_lists)
    for (std::size_t at = 0; (at = path.find(list, at)) != std::string::npos; old = true) path.replace(at, list.size(), "layers");
  return old;
}

// "dense_2" → "dense" and 2; "dense" → "dense" and 0.
std::pair<std::string, std::int64_t> parted(const std::string& name) {
  const std::size_t line = name.rfind('_');
  if (line == std::string::npos || !is_number(name.substr(line + 1))) return {name, 0};
  return {name.substr(0, line), std::stoll(name.substr(line + 1))};
}

// Calls visit(path without the number, name without the number, number) for each layer on the way, and joins what it
// returns in the layer's place.
std::string replace_layers(const std::string& path, auto&& visit) {
  std::string before, result;
  bool in_list = false;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    const auto [base, number] = parted(part);
    result += in_list ? visit(before + base, base, number) : part;
    if (end < path.size()) result += '/';
    before += part + "/";
    in_list = !in_list && part == "layers";
    begin = end + 1;
  }
  return result;
}

// Before Keras 3 the layers were counted in several ways, which left gaps. Counts those with variables anew: the k-th
// Dense of a list becomes "dense_k".
void renumber(std::vector<WeightGroup>& groups) {
  std::map<std::string, std::set<std::int64_t>> numbers;  // that occur: "layers/dense" → {0, 2, 4}
  for (const WeightGroup& group : groups)
    if (!group.empty())
      replace_layers(group.path, [&](const std::string& place, const std::string& base, std::int64_t number) {
        numbers[place].insert(number);
        return base;
      });
  for (WeightGroup& group : groups)
    group.path = replace_layers(group.path, [&](const std::string& place, const std::string& base, std::int64_t number) {
      const auto& known = numbers[place];
      const auto index = std::distance(known.begin(), known.lower_bound(number));
      return index ? fmt::format("{}_{}", base, index) : base;
    });
}

// Puts the groups together, whose variables may be spread over several files.
struct Gathering {
  struct Found {
    std::map<std::int64_t, Tensor> variables;
    WeightGroup group;
  };
  std::map<std::string, Found> groups;
  std::vector<std::string> order;
  bool old = false;

  void add(const Group& root) {
    for (const std::string& holder : root.group_paths()) {
      if (holder != "vars" && !holder.ends_with("/vars")) continue;
      std::string path = holder == "vars" ? "" : holder.substr(0, holder.size() - 5);
      old = replace_old_lists(path) || old;
      auto [found, is_new] = groups.try_emplace(path);
      if (is_new) order.push_back(path);
      WeightGroup& group = found->second.group;
      group.path = path;
      const Group vars = root.group(holder);
      if (!group.name && vars.has_attribute("name")) group.name = vars.text_attribute("name");
      for (const std::string& key : vars.names()) {
        if (!vars.has_dataset(key)) continue;
        if (is_number(key)) found->second.variables.try_emplace(std::stoll(key), vars.tensor(key));
        else group.named.try_emplace(key, vars.tensor(key));
      }
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
    if (tree.compact = old; old) renumber(tree.groups);
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
  const auto found = std::ranges::find_if(groups, [&](const WeightGroup& group) { return group.path == path && !group.empty(); });
  return found == groups.end() ? nullptr : &*found;
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
  if (root.has_attribute("layer_names") || root.has_attribute("layer_names0") || root.has_group("model_weights")) return false;
  return std::ranges::any_of(root.names(), [](std::string name) {
    replace_old_lists(name);
    return name == "vars" || name.substr(0, name.find('/')) == "layers";
  });
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
    if (!shards.empty()) shards.back().flush();
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
      if (!holders) return void(map.set("/" + vars, shard));  // a list as soon as there are two variables
      if (holders->is_string()) *holders = Tree::Sequence{*holders};
      if (holders->items().back() != Tree(shard)) holders->push(shard);
    });
  }
  Tree index, metadata;
  metadata.set("total_size", static_cast<double>(total));
  index.set("metadata", std::move(metadata));
  index.set("weight_map", std::move(map));
  // A disk that is full leaves the shards of an earlier saving as they were: none has its name before all are written.
  AtomicFile index_file(path);
  index_file.write(write_json(index, 4));
  index_file.flush();
  shards.back().flush();
  for (hdf5::File& file : shards) file.commit();
  index_file.commit();
}

}  // namespace nacre
