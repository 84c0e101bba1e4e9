// Tensors in files: NumPy's .npy and .npz, HDF5.
#include "formats/hdf5.h"
#include "formats/npy.h"
#include "scripting/bindings.h"
#include "scripting/tensors/tensors.h"

namespace nacre::scripting {

namespace {

std::string path_at(const Call& call) { return call.text(1, "the path of a file"); }

Tensor tensor_at(const Call& call, int index) {
  const auto object = call.object(index);
  if (!object || !is_tensor(*object)) throw call.unwanted(index, "a tensor").hint("nacre.tensor(table) makes one");
  return array_of(call, *object).value;
}

// --- NumPy --------------------------------------------------------------------------------------------------------

Out load_npy(Call& call) { return out(read_npy(path_at(call))); }
void save_npy(Call& call) { write_npy(path_at(call), tensor_at(call, 2)); }

Out load_npz(Call& call) {
  if (call.given(2)) return out(read_npz(path_at(call), call.text(2, "the name of an array")));
  Out::Named arrays;
  for (auto& [name, tensor] : read_npz(path_at(call))) arrays.push_back({name, out(std::move(tensor))});
  return arrays;
}

void save_npz(Call& call) {
  const std::string path = path_at(call);
  if (!call.is_table(2)) throw call.unwanted(2, "a table of tensors by name");
  NamedArrays arrays;
  call.each_named(2, [&](const std::string& name, int value) { arrays.emplace_back(name, tensor_at(call, value)); });
  std::ranges::sort(arrays, {}, [](const auto& entry) -> const std::string& { return entry.first; });
  write_npz(path, arrays);
}

Out npz_names_of(Call& call) {
  Out::List names;
  for (std::string& name : npz_names(path_at(call))) names.emplace_back(std::move(name));
  return names;
}

// --- HDF5 ---------------------------------------------------------------------------------------------------------

constexpr int deepest = 32;  // of tables within tables

Tensor tensor_of(const hdf5::Dataset& dataset) {
  if (!dataset.holds_text()) return dataset.tensor();
  const std::vector<std::string> texts = dataset.texts();
  return Tensor::of<std::string>(dataset.shape(), std::span<const std::string>(texts));
}

Out contents_of(const hdf5::Group& group) {
  Out::Named entries;
  for (const std::string& name : group.names())
    entries.push_back(
        {name, group.has_dataset(name) ? out(tensor_of(group.dataset(name))) : contents_of(group.group(name))});
  return entries;
}

// Sorted by name, that the same tables make the same file.
void write_table(const Call& call, int index, hdf5::Group group, int depth) {
  if (depth > deepest) throw Error("a table is nested too deep").hint("does it hold itself?").usage();
  std::vector<std::pair<std::string, KeptRef>> entries;
  call.each_named(index, [&](const std::string& name, int value) {
    if (name.empty() || name == "." || name == ".." ||
        name.find_first_of(std::string_view("/\0", 2)) != std::string::npos)
      throw Error("got '{}' as a name in an HDF5 file", name)
          .hint("nested tables make groups: {a = {b = tensor}}")
          .usage();
    entries.emplace_back(name, call.keep(value));
  });
  std::ranges::sort(entries, {}, [](const auto& entry) -> const std::string& { return entry.first; });
  for (const auto& [name, kept] : entries) {
    const int value = call.push_kept(*kept);
    if (call.is_table(value)) {
      write_table(call, value, group.make_group(name), depth + 1);
    } else {
      const Tensor tensor = tensor_at(call, value);
      if (tensor.dtype() != DType::string) {
        group.write(name, tensor);
      } else {
        if (tensor.shape().rank() != 1)
          throw Error("'{}' is {}: texts are written to HDF5 as a list", name, tensor.type())
              .hint("tensor:reshape({-1}) makes one, of numbers; of texts, make the tensor of a list")
              .usage();
        const auto texts = tensor.data<std::string>();
        group.write(name, std::vector<std::string>(texts.begin(), texts.end()));
      }
    }
    lua_settop(call.lua(), value - 1);
  }
}

Out load_hdf5(Call& call) {
  const hdf5::File file = hdf5::File::open(path_at(call));
  if (!call.given(2)) return contents_of(file.root());
  const std::string name = call.text(2, "the path of a dataset or group");
  if (file.root().has_group(name)) return contents_of(file.root().group(name));
  return out(tensor_of(file.root().dataset(name)));
}

void save_hdf5(Call& call) {
  const std::string path = path_at(call);
  if (!call.is_table(2)) throw call.unwanted(2, "a table of tensors by name");
  hdf5::File file = hdf5::File::create(path);
  write_table(call, 2, file.root(), 0);
  file.commit();
}

Out hdf5_names(Call& call) {
  Out::List names;
  for (std::string& name : hdf5::File::open(path_at(call)).root().dataset_paths()) names.emplace_back(std::move(name));
  return names;
}

}  // namespace

std::span<const Function> file_functions() {
  static constexpr Function functions[] = {
      {"load_npy",
       bound<load_npy>,
       {.usage = "nacre.load_npy(path)", .doc = "The tensor in a file of NumPy's.", .example = R"(
          nacre.save_npy("x.npy", nacre.tensor{1, 2})
          assert(nacre.load_npy("x.npy") == nacre.tensor{1, 2})
        )"}},
      {"save_npy",
       bound<save_npy>,
       {.usage = "nacre.save_npy(path, tensor)", .doc = "Writes a tensor to a file of NumPy's.", .example = R"(
          nacre.save_npy("x.npy", nacre.zeros{2, 3})
          assert(nacre.load_npy("x.npy").shape[2] == 3)
        )"}},
      {"load_npz",
       bound<load_npz>,
       {.usage = "nacre.load_npz(path[, name])",
        .doc = "All tensors in an archive of NumPy's, by name, or one of them.",
        .example = R"(
          nacre.save_npz("x.npz", {x = nacre.tensor{1, 2}})
          assert(nacre.load_npz("x.npz").x == nacre.load_npz("x.npz", "x"))
        )"}},
      {"save_npz",
       bound<save_npz>,
       {.usage = "nacre.save_npz(path, tensors)",
        .doc = "Writes tensors by name to an archive of NumPy's.",
        .example = R"(
          nacre.save_npz("x.npz", {x = nacre.zeros{2}, y = nacre.ones{3}})
          assert(nacre.load_npz("x.npz").y == nacre.ones{3})
        )"}},
      {"npz_names",
       bound<npz_names_of>,
       {.usage = "nacre.npz_names(path)", .doc = "The names of the tensors in an archive of NumPy's.", .example = R"(
          nacre.save_npz("x.npz", {x = nacre.zeros{2}})
          assert(nacre.npz_names("x.npz")[1] == "x")
        )"}},
      {"load_hdf5",
       bound<load_hdf5>,
       {.usage = "nacre.load_hdf5(path[, name])",
        .doc = "All that an HDF5 file holds, groups as tables, or the dataset or group of that path: "
               "\"group/dataset\".",
        .example = R"(
          nacre.save_hdf5("x.h5", {a = {b = nacre.tensor{1, 2}}})
          assert(nacre.load_hdf5("x.h5").a.b == nacre.load_hdf5("x.h5", "a/b"))
        )"}},
      {"save_hdf5",
       bound<save_hdf5>,
       {.usage = "nacre.save_hdf5(path, tensors)",
        .doc = "Writes tensors by name to a new HDF5 file; tables within the table are groups.",
        .example = R"(
          nacre.save_hdf5("x.h5", {x = nacre.zeros{2}, test = {x = nacre.ones{1}}})
          assert(nacre.load_hdf5("x.h5", "test/x") == nacre.ones{1})
        )"}},
      {"hdf5_names",
       bound<hdf5_names>,
       {.usage = "nacre.hdf5_names(path)", .doc = "The paths of all datasets in an HDF5 file.", .example = R"(
          nacre.save_hdf5("x.h5", {a = {b = nacre.zeros{2}}})
          assert(nacre.hdf5_names("x.h5")[1] == "a/b")
        )"}},
  };
  return functions;
}

void open_files(lua_State* lua) { State::set_functions(lua, file_functions()); }

}  // namespace nacre::scripting
