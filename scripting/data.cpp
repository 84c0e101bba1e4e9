// Data: nacre.data.NAME{…} opens a source of YAML's `data:`; tensors and tables as data sets; walks over them.
#include <algorithm>

#include "api/data/loader.h"
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

// --- batches ------------------------------------------------------------------------------------------------------

struct BatchesConfig {
  std::int64_t batch_size = 32;
  std::optional<std::int64_t> epoch, seed;
  bool shuffle = false, drop_remainder = false;
  static void describe(auto&& field) {
    field("batch_size", &BatchesConfig::batch_size, "samples a batch", at_least(1));
    field("shuffle", &BatchesConfig::shuffle, "another order of the samples");
    field("epoch", &BatchesConfig::epoch,
          "which order: that of fit's epoch of this number; default: a new one each time", at_least(0));
    field("seed", &BatchesConfig::seed, "of the order; default: that of nacre.set_seed", at_least(0));
    field("drop_remainder", &BatchesConfig::drop_remainder, "leaves out the last, smaller batch");
  }
};

// One walk over a data set.
struct Batches {
  DatasetRef dataset;
  Loader loader;
};

}  // namespace

template <>
const Class& class_of<Batches>();

namespace {

// The tensor, or a list where there are several.
Out one_or_list(const std::vector<Tensor>& tensors) {
  return tensors.size() == 1 ? out(tensors.front()) : tensors_of(tensors);
}

// The next batch: inputs, targets, weights, as far as there are any.
Results next_batch(Call& call) {
  Batches& batches = *call.self<Batches>();
  const Batch* const batch = batches.loader.next();
  if (!batch) return {Out()};
  Results results{one_or_list(batch->inputs)};
  if (!batch->targets.empty()) results.push_back(one_or_list(batch->targets));
  if (!batch->weights.empty()) results.push_back(one_or_list(batch->weights));
  return results;
}

Out count_batches(Call& call) { return call.self<Batches>()->loader.batches(); }

// for x, y in dataset:batches{batch_size = 128, shuffle = true} do … end
Out batches(Call& call) {
  const DatasetRef set = *call.self<DatasetRef>();
  const auto config = about("batches", [&] { return read_options<BatchesConfig>(call, 2); });
  auto& state = EngineState::of(call);
  auto walk = std::make_shared<Batches>(
      set, Loader(set, {.batch_size = config.batch_size,
                        .shuffle = config.shuffle,
                        .drop_remainder = config.drop_remainder,
                        .seed = config.seed ? static_cast<std::uint64_t>(*config.seed) : state.seed()}));
  walk->loader.start(config.epoch ? *config.epoch : config.shuffle ? state.next_draws().step : 0);
  return Object{&class_of<Batches>(), walk};
}

constexpr Function batches_metamethods[] = {
    {"__call",
     bound<next_batch>,
     {.usage = "batches()",
      .doc = "The next batch: inputs, targets and sample weights, as far as there are any, each a tensor or, where "
             "there are several, a list of tensors, with the samples along the first axis; nil at the end. `for` calls "
             "it.",
      .example = R"(
        local set = nacre.dataset{x = nacre.tensor{1, 2, 3}, y = nacre.tensor{10, 20, 30}}
        local next_batch = set:batches{batch_size = 2}
        local x, y = next_batch()
        assert(x:sum():item() == 3 and y:sum():item() == 30)
        assert(next_batch():item() == 3 and next_batch() == nil)
      )"}},
    {"__len", bound<count_batches>, {.usage = "#batches", .doc = "How many batches a whole walk has.", .example = R"(
      local set = nacre.data.digits{count = 20}
      assert(#set:batches{batch_size = 8} == 3)
      assert(#set:batches{batch_size = 8, drop_remainder = true} == 2)
    )"}},
};

// --- changed data sets --------------------------------------------------------------------------------------------

// What a function of Lua gives for inputs and targets: tensors, or lists of them.
struct Mapped {
  std::vector<Tensor> inputs, targets;
};

// Samples as a function of Lua makes them. It runs in the script's own state, so on its thread alone.
class MappedDataset final : public ChangedDataset {
 public:
  MappedDataset(DatasetRef raw, KeptRef function, bool batched)
      : ChangedDataset(std::move(raw)), function_(std::move(function)), batched_(batched) {
    if (raw_->size() == 0) throw Error("the data set is empty").usage();
    Batch batch;
    const std::int64_t first = 0;
    raw_->read({&first, 1}, batch);
    const Mapped sample = map(batch, 0, 1);
    describe(sample.inputs, raw_->inputs(), inputs_);
    describe(sample.targets, raw_->targets(), targets_);
  }

  std::string description() const override { return raw_->description() + ", mapped"; }
  bool bound_to_thread() const override { return true; }

  void read(std::span<const std::int64_t> indices, Batch& batch) const override {
    raw_->read(indices, batch);
    const auto size = static_cast<std::int64_t>(indices.size());
    if (batched_) {
      Mapped all = map(batch, 0, size);
      check(all.inputs, inputs_, size), check(all.targets, targets_, size);
      batch.inputs = std::move(all.inputs), batch.targets = std::move(all.targets);
      return;
    }
    std::vector<Tensor> inputs, targets;
    for (std::int64_t i = 0; i < size; ++i) {
      const Mapped sample = map(batch, i, i + 1);
      put(sample.inputs, inputs_, i, size, inputs);
      put(sample.targets, targets_, i, size, targets);
    }
    batch.inputs = std::move(inputs), batch.targets = std::move(targets);
  }

 private:
  // What the function makes of some samples; of one, without the axis of samples, unless it takes batches.
  Mapped map(const Batch& batch, std::int64_t first, std::int64_t last) const {
    const Call& call = Call::current();
    const auto part = [&](const std::vector<Tensor>& tensors) {
      std::vector<Tensor> parts;
      for (const Tensor& tensor : tensors) {
        Tensor rows = tensor.rows(first, last);
        parts.push_back(batched_ ? std::move(rows) : rows.reshaped(tensor.shape().from(1)));
      }
      return one_or_list(parts);
    };
    const int top = lua_gettop(call.lua());
    std::vector<Out> given{part(batch.inputs)};
    if (!batch.targets.empty()) given.push_back(part(batch.targets));
    const int results = call.invoke(function_, given);
    const int count = lua_gettop(call.lua()) - results + 1;
    if (count < 1 || count > 2)
      throw Error("the function of 'map' gives {} values, wanted inputs and perhaps targets", count).usage();
    constexpr std::string_view wanted = "tensors from the function of 'map'";
    Mapped mapped{read_tensors(call, results, wanted), {}};
    if (count == 2) mapped.targets = read_tensors(call, results + 1, wanted);
    lua_settop(call.lua(), top);
    return mapped;
  }

  void describe(const std::vector<Tensor>& sample, const std::vector<Column>& before,
                std::vector<Column>& columns) const {
    columns.clear();
    for (std::size_t i = 0; i < sample.size(); ++i) {
      const Shape& shape = sample[i].shape();
      const bool same = before.size() == sample.size();
      columns.push_back({.name = same ? before[i].name : "",
                         .type = {sample[i].dtype(), batched_ ? shape.from(1) : shape},
                         .whole_file = same ? before[i].whole_file : std::nullopt});
    }
  }

  void check(const std::vector<Tensor>& tensors, const std::vector<Column>& columns, std::int64_t size) const {
    if (tensors.size() != columns.size())
      throw Error("the function of 'map' gives {} tensors, and {} for the first sample", tensors.size(), columns.size())
          .usage();
    for (std::size_t i = 0; i < tensors.size(); ++i)
      if (tensors[i].type() != Type{columns[i].type.dtype, Shape{size} + columns[i].type.shape})
        throw Error("the function of 'map' gives {}, and {} for the first sample", tensors[i].type(), columns[i].type)
            .usage();
  }

  void put(const std::vector<Tensor>& sample, const std::vector<Column>& columns, std::int64_t at, std::int64_t size,
           std::vector<Tensor>& all) const {
    std::vector<Tensor> rows;
    for (const Tensor& tensor : sample) rows.push_back(tensor.reshaped(Shape{1} + tensor.shape()));
    check(rows, columns, 1);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (at == 0) all.push_back(Tensor(columns[i].type.dtype, Shape{size} + columns[i].type.shape));
      copy_elements(rows[i], 0, rows[i].size(), all[i], at * rows[i].size());
    }
  }

  KeptRef function_;
  bool batched_;
};

// What a source gives, and nobody has changed: Column::preprocessing says so.
class SourceData final : public ChangedDataset {
 public:
  explicit SourceData(DatasetRef raw) : ChangedDataset(std::move(raw)) {
    for (Column& column : inputs_)
      if (!column.preprocessing) column.preprocessing = Preprocessing{};
  }
  void read(std::span<const std::int64_t> indices, Batch& batch) const override { raw_->read(indices, batch); }
  void read_targets(std::span<const std::int64_t> indices, Batch& batch) const override {
    raw_->read_targets(indices, batch);
  }
  std::string fingerprint() const override { return raw_->fingerprint(); }
  std::string description() const override { return raw_->description(); }
};

// A data set that was opened before its network was known, in the form that this takes. Floating numbers that a
// function of a script made are the script's own, and so are tensors: they stay as they are.
DatasetRef in_form(DatasetRef set, const InputForm& form, const Shape& picture) {
  const std::vector<Column>& inputs = set->inputs();
  const auto has_floats = [](const Column& column) { return is_floating(column.type.dtype); };
  if (std::ranges::any_of(inputs, [](const Column& column) { return column.preprocessing.has_value(); }))
    set = pictures_for(std::move(set), picture);
  else if (!set->bound_to_thread() || std::ranges::any_of(inputs, has_floats)) return set;
  return preprocessed(std::move(set), form.preprocessing);
}

struct MapConfig {
  bool batched = false;
  static void describe(auto&& field) {
    field("batched", &MapConfig::batched, "the function takes and gives whole batches, with their first axis");
  }
};

// dataset:map(function(x, y) return x, y end[, {batched = true}])
Out map(Call& call) {
  const DatasetRef set = *call.self<DatasetRef>();
  if (!lua_isfunction(call.lua(), 2)) throw call.unwanted(2, "a function");
  const auto config = about("map", [&] { return read_options<MapConfig>(call, 3); });
  return make_object(DatasetRef(std::make_shared<MappedDataset>(set, call.keep(2), config.batched)));
}

// dataset:filter(function(x, y) return … end): asks for every sample at once.
Out filter(Call& call) {
  const DatasetRef set = *call.self<DatasetRef>();
  if (!lua_isfunction(call.lua(), 2)) throw call.unwanted(2, "a function");
  const KeptRef function = call.keep(2);
  const int top = lua_gettop(call.lua());
  std::vector<std::int64_t> kept;
  Batch batch;
  for (std::int64_t index = 0; index < set->size(); ++index) {
    set->read({&index, 1}, batch);
    const auto sample = [](const std::vector<Tensor>& tensors) {
      std::vector<Tensor> parts;
      for (const Tensor& tensor : tensors) parts.push_back(tensor.reshaped(tensor.shape().from(1)));
      return one_or_list(parts);
    };
    std::vector<Out> given{sample(batch.inputs)};
    if (!batch.targets.empty()) given.push_back(sample(batch.targets));
    const int result = call.invoke(function, given);
    const auto array = call.find<eager::Array>(result);
    if (array ? array->value.item() != 0 : lua_toboolean(call.lua(), result) != 0) kept.push_back(index);
    lua_settop(call.lua(), top);
  }
  return make_object(subset(set, std::move(kept)));
}

// Samples from first to last, counted from 1.
DatasetRef range_of(const DatasetRef& set, std::int64_t first, std::int64_t last) {
  std::vector<std::int64_t> indices;
  for (std::int64_t index = first - 1; index < last; ++index) indices.push_back(index);
  return subset(set, std::move(indices));
}

std::int64_t count_of(const Call& call, int index) {
  const std::int64_t count = call.tree(index).as_integer();
  if (count < 0) throw call.unwanted(index, "a number of samples");
  return count;
}

Out take(Call& call) {
  const DatasetRef set = *call.self<DatasetRef>();
  return make_object(range_of(set, 1, std::min(count_of(call, 2), set->size())));
}

Out skip(Call& call) {
  const DatasetRef set = *call.self<DatasetRef>();
  return make_object(range_of(set, std::min(count_of(call, 2), set->size()) + 1, set->size()));
}

// dataset:split(0.2) → the first samples, and the last fifth.
Results split(Call& call) {
  const Split parts = split_validation(*call.self<DatasetRef>(), call.tree(2).as_number());
  return {make_object(parts.train), make_object(parts.validation)};
}

// nacre.dataset{x = …, y = …, sample_weight = …}
struct ArraysConfig {
  Tree x, y, sample_weight;
  static void describe(auto&& field) {
    field("x", &ArraysConfig::x, "inputs: a tensor, a list of tensors or tensors by name", required());
    field("y", &ArraysConfig::y, "targets, likewise");
    field("sample_weight", &ArraysConfig::sample_weight, "how much each sample counts");
  }
};
Out make_dataset(Call& call) {
  if (!call.is_named(1)) throw call.unwanted(1, "a table: nacre.dataset{x = …, y = …}");
  Tree names = Tree::mapping().at(call.place());
  Columns x, y, weights;
  about("dataset", [&] {
    call.each_named(1, [&](const std::string& key, int value) {
      names.set(key, true);
      if (key == "x") x = read_columns(call, value);
      if (key == "y") y = read_columns(call, value);
      if (key == "sample_weight") weights = read_columns(call, value);
    });
    read_config<ArraysConfig>(names);
  });
  return make_object(array_dataset_of(std::move(x), std::move(y), std::move(weights)));
}

constexpr Member members[] = {
    {.name = "read",
     .method = bound<read>,
     .entry =
         {.usage = "dataset:read([first[, last]])",
          .doc =
              "The samples from first to last, counted from 1, by default all: a list of tensors for the inputs, one "
              "for the targets and one for the sample weights, the samples along their first axis.",
          .example = R"(
            local inputs, targets = nacre.data.digits{count = 20}:read(1, 5)
            local pictures, digits = inputs[1], targets[1]
            assert(pictures.shape[1] == 5 and pictures.shape[2] == 28 and digits:max():item() <= 9)
          )"}},
    {.name = "batches",
     .method = bound<batches>,
     .entry =
         {.usage = "dataset:batches([options])",
          .doc = "A walk over its batches, for a training loop. With `shuffle` each walk has another order, and after "
                 "nacre.set_seed the same ones come again; a walk of `epoch` and `seed` has the order of fit's.",
          .example = R"(
                 local set = nacre.data.digits{count = 50}
                 local samples = 0
                 for epoch = 1, 2 do
                   for x, y in set:batches{batch_size = 16, shuffle = true} do
                     samples = samples + #x
                   end
                 end
                 assert(samples == 100)
               )",
          .keys = {fields_of<BatchesConfig>}}},
    {.name = "map",
     .method = bound<map>,
     .entry =
         {.usage = "dataset:map(f[, options])",
          .doc = "The data set of what f(x, y) gives for each sample whenever it is read: inputs and perhaps targets, "
                 "tensors or lists of tensors, whose shapes and dtypes are always those for the first sample. With "
                 "`batched` f takes and gives whole batches, which is faster. Floating numbers that f gives are what "
                 "the model takes: "
                 "nothing that its file says of data is done to them.",
          .example = R"(
            local set = nacre.dataset{x = nacre.tensor{1, 2, 3}, y = nacre.tensor{0, 1, 0}}
            local halves = set:map(function(x, y) return x / 2, y end)
            assert(halves:read()[1]:totable()[3] == 1.5)
            local noisy = set:map(function(x, y)
              return x + nacre.initializers.RandomNormal()(x.shape), y
            end, {batched = true})
            assert(#noisy == 3)
          )",
          .keys = {fields_of<MapConfig>}}},
    {.name = "filter",
     .method = bound<filter>,
     .entry =
         {.usage = "dataset:filter(f)",
          .doc =
              "The data set of the samples for which f(x, y) gives true, or a tensor of one number that is not 0. All "
              "samples are looked at once, now.",
          .example = R"(
            local set = nacre.data.digits{count = 100}
            local ones = set:filter(function(x, y) return y:item() == 1 end)
            assert(#ones > 0 and #ones < #set)
          )"}},
    {.name = "take",
     .method = bound<take>,
     .entry = {.usage = "dataset:take(count)",
               .doc = "The data set of its first samples, so many or all.",
               .example = R"(
                 assert(#nacre.data.digits{count = 50}:take(10) == 10)
               )"}},
    {.name = "skip",
     .method = bound<skip>,
     .entry = {.usage = "dataset:skip(count)", .doc = "The data set without its first samples.", .example = R"(
       local set = nacre.dataset{x = nacre.tensor{1, 2, 3}}
       assert(set:skip(2):read()[1]:item() == 3)
     )"}},
    {.name = "split",
     .method = bound<split>,
     .entry = {.usage = "dataset:split(share)",
               .doc =
                   "Two data sets: all but the last samples, and the last ones, which are that share of all, as fit's "
                   "validation_split takes them.",
               .example = R"(
                 local train, validation = nacre.data.digits{count = 50}:split(0.2)
                 assert(#train == 40 and #validation == 10)
               )"}},
};
constexpr OtherWord other_words[] = {{"batch", "dataset:batches{batch_size = 32}"},
                                     {"shuffle", "dataset:batches{shuffle = true}"},
                                     {"as_numpy_iterator", "dataset:batches{batch_size = 32}"},
                                     {"cardinality", "#dataset"},
                                     {"size", "#dataset"},
                                     {"length", "#dataset"}};

constexpr Function metamethods[] = {
    {"__len", bound<length>, {.usage = "#dataset", .doc = "How many samples it has.", .example = R"(
      assert(#nacre.data.digits{count = 50} == 50)
    )"}},
};

Out open_source(Call& call) {
  const ClassInfo<Source>& info = registry<Source>().get(call.upvalue());
  const std::string name(info.class_name);
  const auto source = about(name, [&] { return info.make(read_config_table(call, name, info.fields)); });
  return make_object(DatasetRef(std::make_shared<SourceData>(source->open(""))));
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

const Namespace& data_namespace() {
  static constexpr Namespace space{.name = "data",
                                   .index = bound<index_sources>,
                                   .make = bound<open_source>,
                                   .add_names = add_class_names<Source>,
                                   .find = find_class<Source>};
  return space;
}

template <>
const Class& class_of<DatasetRef>() {
  static const Class kind{
      .name = "data set", .members = members, .metamethods = metamethods, .text = text_of, .other_words = other_words};
  return kind;
}

template <>
const Class& class_of<Batches>() {
  static const Class kind{
      .name = "batches", .members = {}, .metamethods = batches_metamethods, .text = [](const Object& object) {
        const Batches& batches = *std::static_pointer_cast<Batches>(object.value);
        return fmt::format("{} batches of {}", batches.loader.batches(), batches.dataset->description());
      }};
  return kind;
}

const Class& batches_class() { return class_of<Batches>(); }

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

OpenedData open_data(const GivenData& data, const OpenOptions& options) {
  const InputForm& form = options.form;
  if (data.dataset)
    return {in_form(data.dataset, form, options.resizing ? form.picture() : form.shape), nullptr, nullptr};
  if (!data.columns.tensors.empty())
    throw Error("got tensors, wanted a data set or a table that names a source")
        .hint("tensors are given as x and y")
        .usage();
  DataConfig config;
  about("data", [&] {
    if (data.table.is_mapping() && is_data_config(data.table)) config = read_config<DataConfig>(data.table);
    else config.train = read_object<Source>(data.table);
  });
  return nacre::open_data(config, "", options);
}

DatasetRef array_dataset_of(Columns inputs, Columns targets, Columns weights) {
  return array_dataset({.inputs = std::move(inputs.tensors),
                        .targets = std::move(targets.tensors),
                        .weights = std::move(weights.tensors),
                        .input_names = std::move(inputs.names),
                        .target_names = std::move(targets.names),
                        .description = ""});
}

std::span<const Function> data_functions() {
  static constexpr Function functions[] = {
      {"dataset",
       bound<make_dataset>,
       {.usage = "nacre.dataset{x = …[, y = …][, sample_weight = …]}",
        .doc = "A data set of tensors with the samples along their first axis.",
        .example = R"(
          local set = nacre.dataset{x = nacre.tensor{{0.0}, {1.0}, {2.0}}, y = nacre.tensor{{1.0}, {3.0}, {5.0}}}
          local model = nacre.Sequential{nacre.Input{1}, nacre.layers.Dense{units = 1}}
          model:compile{loss = "mse"}
          local history = model:fit{data = set, epochs = 2, verbose = false}
          assert(#set == 3 and #history.loss == 2)
        )",
        .keys = {fields_of<ArraysConfig>}}},
  };
  return functions;
}

void open_data(lua_State* lua) {
  State::open_class(lua, class_of<Batches>());
  State::set_functions(lua, data_functions());
  State::open_class(lua, class_of<DatasetRef>());
  push_namespace(lua, data_namespace());
  lua_setfield(lua, -2, "data");
}

}  // namespace nacre::scripting
