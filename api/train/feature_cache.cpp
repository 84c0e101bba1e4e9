#include "api/train/feature_cache.h"

#include <algorithm>

#include "api/data/loader.h"
#include "api/train/feeder.h"
#include "api/train/in_turn.h"
#include "api/version.h"
#include "backend/core/memory.h"
#include "backend/core/parallel.h"
#include "formats/file.h"
#include "formats/hash.h"
#include "formats/json.h"
#include "formats/npy.h"

namespace nacre {

namespace fs = std::filesystem;

void FieldKind<CacheFeatures>::read(const Tree& tree, CacheFeatures& value) {
  if (tree.is_bool()) value = tree.as_bool() ? CacheFeatures::always : CacheFeatures::never;
  else if (tree == Tree("auto")) value = CacheFeatures::automatic;
  else throw Error("wanted auto, true or false, got {}", tree.text()).at(tree.mark()).usage();
}

Tree FieldKind<CacheFeatures>::write(CacheFeatures value, Style) {
  return value == CacheFeatures::automatic ? Tree("auto") : Tree(value == CacheFeatures::always);
}

Tree FieldKind<CacheFeatures>::schema() {
  Tree schema;
  schema.set("enum", Tree::Sequence{"auto", true, false});
  return schema;
}

namespace {

// --- the cut -----------------------------------------------------------------------------------------------------

enum class Nature { still, random, changing };

// What one call does in a training step, found by emitting it.
Nature nature_of(const LayerCall& call) {
  Layer& layer = *call.layer;
  if (!layer.trainable_weights().empty() || !layer.states().empty()) return Nature::changing;
  if (call.inputs.empty() && call.named.empty()) return Nature::still;
  Graph graph;
  const Value seed = graph.input("seed", {DType::int64, {}}), step = graph.input("step", {DType::int64, {}});
  Context context(graph, true, seed, step);
  CallArguments arguments;
  arguments.options = call.options;
  int number = 0;
  const auto operand = [&](const Symbol& symbol) {
    return graph.input(fmt::format("operand{}", number++), symbol.type());
  };
  for (const Symbol& symbol : call.inputs) arguments.inputs.push_back(operand(symbol));
  for (const auto& [name, symbols] : call.named)
    for (const Symbol& symbol : symbols) arguments.named[name].push_back(operand(symbol));
  try {
    layer(context, std::move(arguments));
  } catch (const Error&) {
    return Nature::changing;  // nothing is known of it
  }
  if (!graph.updates().empty() || !context.losses().empty()) return Nature::changing;
  return seed.uses() + step.uses() > 0 ? Nature::random : Nature::still;
}

// The highest symbol that all later calls depend on alone; null: none.
Symbol cut_of(const FunctionalLayer& model, bool resting) {
  const auto& calls = model.calls();
  std::map<std::pair<const LayerCall*, int>, std::size_t> last_use;
  const auto use = [&](const Symbol& symbol, std::size_t when) {
    std::size_t& last = last_use[{&symbol.call(), symbol.index()}];
    last = std::max(last, when);
  };
  for (std::size_t i = 0; i < calls.size(); ++i) {
    for (const Symbol& symbol : calls[i]->inputs) use(symbol, i);
    for (const auto& [name, symbols] : calls[i]->named)
      for (const Symbol& symbol : symbols) use(symbol, i);
  }
  for (const Symbol& output : model.outputs()) use(output, calls.size());

  Symbol cut;
  Symbols live;
  bool has_weights = false, ends_randomly = false;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const Nature nature = nature_of(*calls[i]);
    if (nature == Nature::changing || (nature == Nature::random && !resting)) break;
    const bool weights = !calls[i]->layer->weights().empty();
    has_weights = has_weights || weights;
    ends_randomly = nature == Nature::random || (ends_randomly && !weights);  // that does not rest: it belongs to what is above
    for (std::size_t output = 0; output < calls[i]->types.size(); ++output) live.emplace_back(calls[i], static_cast<int>(output));
    std::erase_if(live, [&](const Symbol& symbol) {
      const auto found = last_use.find({&symbol.call(), symbol.index()});
      return found == last_use.end() || found->second <= i;
    });
    if (live.size() == 1 && has_weights && !ends_randomly) cut = live.front();
  }
  // Inputs that come later in the order of calls are still to come, so nothing else was alive.
  const bool all_inputs = cut && std::ranges::all_of(model.inputs(), [&](const Symbol& input) {
    return std::ranges::find(calls, input.share_call()) < std::ranges::find(calls, cut.share_call());
  });
  return all_inputs ? cut : Symbol();
}

// --- files -------------------------------------------------------------------------------------------------------

constexpr std::string_view prefix = "features-";

class Fingerprint {
 public:
  void add(std::string_view bytes) { hash_ = joined_fingerprint(hash_, farm_fingerprint(bytes)); }
  void add(const Tensor& tensor) {
    add(tensor.type().text());
    if (tensor.dtype() == DType::string)
      for (const std::string& text : tensor.data<std::string>()) add(text);
    else add(std::string_view(static_cast<const char*>(tensor.raw()), tensor.bytes()));
  }
  void add(const Batch& batch) {
    for (const auto* tensors : {&batch.inputs, &batch.targets, &batch.weights})
      for (const Tensor& tensor : *tensors) add(tensor);
  }
  std::string text() const { return fmt::format("{:016x}", hash_); }

 private:
  std::uint64_t hash_ = 0;
};

Fingerprint fingerprint_of(const FunctionalLayer& model, const Backend& backend, Numerics numerics) {
  Fingerprint fingerprint;
  fingerprint.add(fmt::format("{} {} ({}) {} {}{}", version(), backend.name(), backend.description(), threads(),
                              static_cast<int>(numerics.matmul_precision), numerics.deterministic ? "" : " in any order"));
  fingerprint.add(write_json(model.config_tree(Style::keras)));
  for (const Weight& weight : model.weights()) fingerprint.add(weight.variable->value());
  return fingerprint;
}

std::vector<fs::directory_entry> files_in(const fs::path& folder, const std::string& beginning) {
  std::vector<fs::directory_entry> files;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(beginning) && name.ends_with(".npz")) files.push_back(entry);
  }
  return files;
}

void make_room(const fs::path& folder, const fs::path& newest, std::uintmax_t most_bytes) {
  std::error_code ignored;
  std::vector<fs::directory_entry> files = files_in(folder, std::string(prefix));
  std::ranges::sort(files, {}, [&](const fs::directory_entry& file) { return file.last_write_time(ignored); });
  std::uintmax_t total = 0;
  for (const fs::directory_entry& file : files) total += file.file_size(ignored);
  for (const fs::directory_entry& file : files) {
    if (total <= most_bytes) return;
    if (file.path() == newest) continue;
    total -= std::min(total, file.file_size(ignored));
    fs::remove(file.path(), ignored);
  }
}

// --- features ----------------------------------------------------------------------------------------------------

// Everything in memory; what is read of it are copies.
class Features final : public Dataset {
 public:
  Features(const Dataset& data, const Type& features)
      : inputs_{{"", {features.dtype, features.shape.from(1)}}}, targets_(data.targets()), size_(data.size()), weighted_(data.weighted()),
        description_(data.description() + ", as features") {
    Shape shape = features.shape;
    shape.set(0, size_);
    columns_.push_back(Tensor::uninitialised({features.dtype, shape}));
  }

  std::int64_t size() const override { return size_; }
  const std::vector<Column>& inputs() const override { return inputs_; }
  const std::vector<Column>& targets() const override { return targets_; }
  bool weighted() const override { return weighted_; }
  std::string description() const override { return description_; }

  void read(std::span<const std::int64_t> indices, Batch& batch) const override {
    batch.size = static_cast<std::int64_t>(indices.size());
    batch.inputs.resize(1), batch.targets.resize(targets_.size()), batch.weights.resize(columns_.size() - 1 - targets_.size());
    std::size_t column = 0;
    for (auto* tensors : {&batch.inputs, &batch.targets, &batch.weights})
      for (Tensor& tensor : *tensors) tensor = rows(columns_[column++], indices);
  }

  // The next samples, in order.
  void add(const Tensor& features, const Batch& batch) {
    std::vector<const Tensor*> parts{&features};
    for (const auto* tensors : {&batch.targets, &batch.weights})
      for (const Tensor& tensor : *tensors) parts.push_back(&tensor);
    for (std::size_t i = columns_.size(); i < parts.size(); ++i) {
      Shape shape = parts[i]->shape();
      shape.set(0, size_);
      columns_.push_back(Tensor::uninitialised({parts[i]->dtype(), shape}));
    }
    need(parts.size() == columns_.size(), "batches have {} and {} columns", columns_.size(), parts.size());
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const std::int64_t width = columns_[i].size() / size_;
      need(parts[i]->size() == batch.size * width, "samples of different sizes cannot be kept as features");
      copy_elements(*parts[i], 0, parts[i]->size(), columns_[i], added_ * width);
    }
    added_ += batch.size;
  }

  void write(const fs::path& file) const {
    NamedArrays arrays;
    for (std::size_t i = 0; i < columns_.size(); ++i) arrays.emplace_back(std::to_string(i), columns_[i]);
    write_npz(file, arrays);
  }

  // Whether the file holds such columns. The number of weights is told by the file.
  bool read_from(const fs::path& file) {
    NamedArrays arrays = read_npz(file);
    if (arrays.size() < 1 + targets_.size()) return false;
    for (std::size_t i = 0; i <= targets_.size(); ++i) {
      Type wanted = columns_.front().type();
      if (i > 0) wanted = {targets_[i - 1].type.dtype, Shape{size_} + targets_[i - 1].type.shape};
      Tensor& tensor = arrays[i].second;
      if (wanted.dtype == DType::bfloat16 && tensor.dtype() == DType::float32) tensor = tensor.cast(wanted.dtype);  // see write_npz
      if (tensor.type() != wanted) return false;
    }
    for (const auto& [name, tensor] : arrays)
      if (tensor.shape().rank() == 0 || tensor.shape()[0] != size_) return false;
    columns_.clear();
    for (auto& [name, tensor] : arrays) columns_.push_back(std::move(tensor));
    return true;
  }

 private:
  static Tensor rows(const Tensor& from, std::span<const std::int64_t> indices) {
    Tensor result = Tensor::uninitialised({from.dtype(), Shape{static_cast<std::int64_t>(indices.size())} + from.shape().from(1)});
    const std::int64_t width = from.size() / from.shape()[0];
    std::int64_t at = 0;
    for (const std::int64_t index : indices) copy_elements(from, index * width, width, result, std::exchange(at, at + width));
    return result;
  }

  std::vector<Column> inputs_, targets_;
  std::int64_t size_, added_ = 0;
  bool weighted_;
  std::string description_;
  std::vector<Tensor> columns_;  // features, targets, weights
};

}  // namespace

std::optional<SplitModel> split_below_learning(const FunctionalLayer& model, const RandomState& random, bool resting) {
  const Symbol cut = cut_of(model, resting);
  if (!cut) return std::nullopt;
  const std::string name = model.title();
  SplitModel parts{std::make_shared<FunctionalLayer>(model.inputs(), Symbols{cut}, LayerOptions{.name = name}),
                   std::make_shared<FunctionalLayer>(Symbols{cut}, model.outputs(), LayerOptions{.name = name})};
  // Masks do not travel with features.
  Graph graph;
  Context context(graph, false, graph.variable(random.seed), graph.variable(random.step));
  Values inputs;
  for (const Symbol& input : parts.below->inputs()) inputs.push_back(graph.input(input.call().layer->name(), input.type()));
  const CallResult result = parts.below->emit(context, inputs, Values(inputs.size()));
  return result.masks.front() ? std::nullopt : std::optional(std::move(parts));
}

DatasetRef features_of(const DatasetRef& data, const std::shared_ptr<FunctionalLayer>& below, const RandomState& random,
                       const Backend& backend, const FeatureOptions& options, ProgressListener& listener,
                       const std::atomic<bool>* stop) {
  Type type = below->outputs().front().type();
  if (!type.shape.from(1).known()) return nullptr;  // samples have different sizes
  for (const Column& target : data->targets())
    if (target.type.dtype == DType::string) return nullptr;
  type.shape.set(0, data->size());
  const std::size_t bytes = type.shape.elements() * size_of(type.dtype);
  if (bytes > machine_memory() / 4) {
    listener.warn(fmt::format("the features of the {} data would take {} MB, so they are computed in each epoch", options.what, bytes >> 20));
    return nullptr;
  }
  const Feeder feeder(data, *below, nullptr);
  const auto sweep = [&](auto&& visit) {
    Loader loader(data, {.batch_size = options.batch_size});
    loader.start(0);
    while (const Batch* batch = loader.next()) {
      if (stop && *stop) return false;
      visit(*batch);
    }
    return true;
  };
  auto features = std::make_shared<Features>(*data, type);
  const bool kept = !options.folder.empty() && (type.dtype == DType::bfloat16 ? 2 * bytes : bytes) < options.most_bytes;
  if (!kept && !options.folder.empty())
    listener.say(fmt::format("the features of the {} data take {} MB: too many to be kept for later runs", options.what, bytes >> 20));
  const Fingerprint of_model = fingerprint_of(*below, backend, options.numerics);
  const std::string beginning = fmt::format("{}{}-", prefix, data->size());
  const auto file_of = [&](const Fingerprint& fingerprint) { return options.folder / (beginning + fingerprint.text() + ".npz"); };
  if (kept && !files_in(options.folder, beginning).empty()) {
    Fingerprint fingerprint = of_model;
    if (!sweep([&](const Batch& batch) { fingerprint.add(batch); })) return nullptr;
    try {
      const fs::path file = file_of(fingerprint);
      if (fs::exists(file) && features->read_from(file)) {
        listener.say(fmt::format("features of the {} data: as an earlier run computed them", options.what));
        return features;
      }
    } catch (const Error& error) {
      listener.warn(fmt::format("features are computed anew: {}", error.line()));
      features = std::make_shared<Features>(*data, type);
    }
  }

  listener.say(fmt::format("computing the features of the {} data once: {} samples of {} numbers, {} MB", options.what, data->size(),
                           type.shape.from(1).elements(), (bytes + (1 << 20) - 1) >> 20));
  Steps steps(below, random, backend);
  steps.set_options({.numerics = options.numerics});
  steps.refresh();
  Fingerprint fingerprint = of_model;
  Feed feed;
  std::int64_t batches = 0, samples = 0;
  const Sweep progress{.kind = Sweep::Kind::predict, .batches = (data->size() + options.batch_size - 1) / options.batch_size, .samples = data->size()};
  listener.on_begin(progress);
  InTurn<Batch> computed([&](const std::vector<Tensor>& results, const Batch& batch) {
    features->add(results.front(), batch);
    samples += batch.size;
    if (listener.wants_batch(++batches)) listener.on_batch(batches, samples, {});
  });
  const bool whole = sweep([&](const Batch& batch) {
    if (kept) fingerprint.add(batch);
    feeder.fill(batch, feed);
    computed.add(steps.predict(feed), {.targets = batch.targets, .weights = batch.weights, .size = batch.size});
    feed = {};
  });
  if (!whole) return nullptr;
  computed.finish();
  listener.on_end(progress, {});
  if (!kept) return features;
  try {
    make_folder(options.folder);
    features->write(file_of(fingerprint));
    make_room(options.folder, file_of(fingerprint), options.most_bytes);
  } catch (const Error& error) {
    listener.warn(fmt::format("the features are not kept: {}", error.line()));
  }
  return features;
}

}  // namespace nacre
