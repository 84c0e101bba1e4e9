#include "api/data/augment.h"

#include <algorithm>
#include <mutex>

#include "api/data/workers.h"
#include "backend/core/parallel.h"
#include "backend/executable.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/passes/pipeline.h"
#include "layers/augmentation_mixing.h"

namespace nacre {

namespace {

class Augmented final : public ChangedDataset {
 public:
  Augmented(DatasetRef raw, std::vector<Ref<Layer>> layers, std::uint64_t seed, const Preprocessing& preprocessing)
      : ChangedDataset(std::move(raw)), layers_(std::move(layers)), seed_(seed) {
    mixes_ = std::any_of(layers_.begin(), layers_.end(), [](const Ref<Layer>& layer) { return mixes_labels(*layer); });
    if (inputs_.size() != 1 || inputs_[0].type.shape.rank() != 3)
      throw Error("samples have {}, wanted one input, a picture (height, width, channels)",
                  inputs_.size() == 1 ? fmt::format("inputs of shape {}", inputs_[0].type.shape)
                                      : fmt::format("{} inputs", inputs_.size()))
          .usage();
    if (mixes_ && (targets_.size() != 1 || targets_[0].type.shape.rank() != 1))
      throw Error("layers that mix samples want one target, a vector for each sample")
          .hint("data: {one_hot: auto} makes vectors of class numbers; the loss is then categorical_crossentropy")
          .usage();
    const Types results = program(1)->output_types();
    if (const Shape shape = results[0].shape.from(1); shape != inputs_[0].type.shape)
      throw Error("the layers make {} of pictures {}, wanted the same shape", shape, inputs_[0].type.shape)
          .hint("put layers that change sizes into the model")
          .usage();
    inputs_[0].type.dtype = DType::float32;
    if (mixes_) targets_[0].type.dtype = DType::float32;
    if (const DatasetRef changed = preprocessed(raw_, preprocessing); changed != raw_) {
      inputs_[0].preprocessing = changed->inputs()[0].preprocessing;
      preprocessing_ = preprocessing;
      preprocessing_.floats = true;
    }
  }

  void read(std::span<const std::int64_t> indices, Batch& batch) const override {
    raw_->read(indices, batch);
    std::vector<Tensor> values{Tensor::scalar(batch.step), batch.inputs[0]};
    if (mixes_) values.push_back(batch.targets[0]);
    std::unique_ptr<Executable> executable = taken(batch.size);
    std::vector<Tensor> results = executable->run(values);
    give_back(batch.size, std::move(executable));
    batch.inputs[0] = preprocessed(preprocessing_, results[0]);
    if (mixes_) batch.targets[0] = std::move(results[1]);
  }
  void read_targets(std::span<const std::int64_t> indices, Batch& batch) const override {
    mixes_ ? read(indices, batch) : raw_->read_targets(indices, batch);
  }
  int workers() const override { return std::max(raw_->workers(), decoding_workers()); }
  bool changes() const override { return true; }
  std::string description() const override {
    return raw_->description() + (preprocessing_.is_identity() ? ", augmented" : ", augmented, normalised");
  }

 private:
  // Each thread that reads has an executable to itself; those that nobody uses wait for the next batch.
  std::unique_ptr<Executable> taken(std::int64_t size) const {
    const std::lock_guard lock(mutex_);
    auto& waiting = programs_[{size, threads()}];
    if (waiting.empty()) return program(size);
    std::unique_ptr<Executable> executable = std::move(waiting.back());
    waiting.pop_back();
    return executable;
  }
  void give_back(std::int64_t size, std::unique_ptr<Executable> executable) const {
    const std::lock_guard lock(mutex_);
    programs_[{size, threads()}].push_back(std::move(executable));
  }

  std::unique_ptr<Executable> program(std::int64_t size) const {
    Graph graph;
    Context context(graph, true, graph.constant(Tensor::scalar(static_cast<std::int64_t>(seed_))),
                    graph.input("step", {DType::int64, {}}));
    const auto column = [&](std::string name, const Type& type) {
      return graph.input(std::move(name), {type.dtype, Shape{size} + type.shape});
    };
    Values values = {column("pictures", raw_->inputs()[0].type)};
    if (mixes_) values.push_back(column("labels", raw_->targets()[0].type));
    for (const Ref<Layer>& layer : layers_) {
      const bool all = mixes_labels(*layer);
      CallResult result = (*layer)(context, {all ? values : Values{values[0]}, {}, {}, {}});
      std::copy(result.outputs.begin(), result.outputs.end(), values.begin());
    }
    for (std::size_t i = 0; i < values.size(); ++i)
      graph.output(fmt::format("output{}", i), ops::cast(values[i], DType::float32));
    const Backend& backend = backend_for("cpu");
    return std::make_unique<Executable>(*decompose_missing(graph, backend), backend);
  }

  std::vector<Ref<Layer>> layers_;
  std::uint64_t seed_;
  Preprocessing preprocessing_;  // of what the layers make
  bool mixes_ = false;
  mutable std::mutex mutex_;
  // By size of the batch and number of threads, which is another when batches are read ahead.
  mutable std::map<std::pair<std::int64_t, int>, std::vector<std::unique_ptr<Executable>>> programs_;
};

class OneHot final : public ChangedDataset {
 public:
  OneHot(DatasetRef raw, std::int64_t classes) : ChangedDataset(std::move(raw)), classes_(classes) {
    for (Column& target : targets_) {
      const Shape& shape = target.type.shape;
      if (is_floating(target.type.dtype) || !(shape.rank() == 0 || (shape.rank() == 1 && shape[0] == 1)))
        throw Error("targets are {}, wanted class numbers", target.type).about("'one_hot'").usage();
      target.type = {DType::float32, {classes_}};
    }
  }

  void read(std::span<const std::int64_t> indices, Batch& batch) const override {
    raw_->read(indices, batch);
    change(indices, batch);
  }
  void read_targets(std::span<const std::int64_t> indices, Batch& batch) const override {
    raw_->read_targets(indices, batch);
    change(indices, batch);
  }
  std::string description() const override { return raw_->description(); }

 private:
  void change(std::span<const std::int64_t> indices, Batch& batch) const {
    for (Tensor& target : batch.targets) {
      Tensor shares(Type{DType::float32, {batch.size, classes_}});
      const std::span<float> values = shares.writable<float>();
      for (std::int64_t i = 0; i < batch.size; ++i) {
        const auto number = static_cast<std::int64_t>(target.at(i));
        if (number < 0 || number >= classes_)
          throw Error("sample {} has class {}, wanted 0 … {}", indices[static_cast<std::size_t>(i)], number,
                      classes_ - 1)
              .about("'one_hot'")
              .usage();
        values[static_cast<std::size_t>(i * classes_ + number)] = 1;
      }
      target = std::move(shares);
    }
  }

  std::int64_t classes_;
};

}  // namespace

DatasetRef augmented(DatasetRef dataset, std::vector<Ref<Layer>> layers, std::uint64_t seed,
                     const Preprocessing& preprocessing) {
  return std::make_shared<Augmented>(std::move(dataset), std::move(layers), seed, preprocessing);
}

DatasetRef one_hot(DatasetRef dataset, std::int64_t classes) {
  return std::make_shared<OneHot>(std::move(dataset), classes);
}

}  // namespace nacre
