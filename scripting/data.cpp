// Data: nacre.data.NAME{…} opens a source of YAML's `data:`; tensors and tables as data sets.
#include "scripting/bindings.h"

namespace nacre::scripting {

namespace {

std::string text_of(const Object& object) {
  return (*std::static_pointer_cast<DatasetRef>(object.value))->description();
}

Out length(Call& call) { return (*call.self<DatasetRef>())->size(); }

Out tensors_of(const std::vector<Tensor>& tensors) {
  Out::List list;
  for (const Tensor& tensor : tensors) list.push_back(out(tensor));
  return list;
}

// dataset:read(first, last): the samples from first to last, counted from 1: lists of inputs, targets and weights.
Results read(Call& call) {
  const DatasetRef set = *call.self<DatasetRef>();
  const std::int64_t first = call.given(2) ? call.tree(2).as_integer() : 1,
                     last = call.given(3) ? call.tree(3).as_integer() : set->size();
  if (first < 1 || last < first || last > set->size())
    throw Error("got the samples {} to {} of {}", first, last, set->size()).usage();
  std::vector<std::int64_t> indices;
  for (std::int64_t index = first - 1; index < last; ++index) indices.push_back(index);
  Batch batch;
  set->read(indices, batch);
  return {tensors_of(batch.inputs), tensors_of(batch.targets), tensors_of(batch.weights)};
}

constexpr Member members[] = {{"read", bound<read>}};
constexpr luaL_Reg metamethods[] = {{"__len", bound<length>}};

Out open_source(Call& call) {
  const ClassInfo<Source>& info = registry<Source>().get(call.upvalue());
  const std::string name(info.class_name);
  if (!call.is_named(1)) throw call.unwanted(1, fmt::format("a table of names: nacre.data.{}{{…}}", name));
  const auto source = about(name, [&] { return info.make(call.tree(1)); });
  return make_object(source->open(""));
}

Out index_sources(Call& call) {
  const std::string name = call.text(2, "the name of a source of data");
  registry<Source>().get(name);
  return Out::Function{bound<open_source>, name};
}

// Whether the table is all of YAML's `data:`, and not one source.
bool is_data_config(const Tree& table) {
  for (const Tree::Entry& entry : table.entries())
    for (const Field& field : fields_of<DataConfig>())
      if (field.key == entry.key) return true;
  return false;
}

}  // namespace

template <>
const Class& class_of<DatasetRef>() {
  static const Class kind{.name = "data set", .members = members, .metamethods = metamethods, .text = text_of};
  return kind;
}

Columns read_columns(const Call& call, int index) {
  constexpr std::string_view wanted = "a tensor, a list of tensors, or tensors by name";
  Columns columns;
  if (!call.is_named(index)) {
    columns.tensors = read_tensors(call, index, wanted);
  } else {
    call.each_named(index, [&](const std::string& key, int value) {
      columns.names.push_back(key);
      columns.tensors.push_back(call.get<eager::Array>(value, "a tensor")->value);
    });
  }
  if (columns.tensors.empty()) throw Error("got no tensors, wanted {}", wanted).usage();
  return columns;
}

GivenData read_data(const Call& call, int index) {
  GivenData data;
  if (const auto set = call.find<DatasetRef>(index)) {
    data.dataset = *set;
    return data;
  }
  bool tensors = !call.is_named(index);
  if (!tensors)
    call.each_named(index, [&](const std::string&, int value) { tensors = tensors || call.find<eager::Array>(value); });
  if (tensors) data.columns = read_columns(call, index);
  else data.table = call.tree(index);
  return data;
}

OpenedData open_data(const GivenData& data, std::optional<double> validation_split, std::uint64_t seed) {
  if (data.dataset) return {data.dataset, nullptr, nullptr};
  if (!data.columns.tensors.empty())
    throw Error("got tensors, wanted a data set or a table that names a source")
        .hint("tensors are given as x and y")
        .usage();
  DataConfig config;
  about("data", [&] {
    if (data.table.is_mapping() && is_data_config(data.table)) config = read_config<DataConfig>(data.table);
    else config.train = read_object<Source>(data.table);
  });
  return nacre::open_data(config, "", validation_split, seed);
}

DatasetRef array_dataset_of(Columns inputs, Columns targets, Columns weights) {
  return array_dataset({.inputs = std::move(inputs.tensors),
                        .targets = std::move(targets.tensors),
                        .weights = std::move(weights.tensors),
                        .input_names = std::move(inputs.names),
                        .target_names = std::move(targets.names),
                        .description = ""});
}

void open_data(lua_State* lua) {
  State::open_class(lua, class_of<DatasetRef>());
  push_namespace(lua, bound<index_sources>);
  lua_setfield(lua, -2, "data");
}

}  // namespace nacre::scripting
