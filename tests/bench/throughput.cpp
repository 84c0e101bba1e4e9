// Samples per second of training or prediction: one fixed batch in memory, no data loading.
//   bench_throughput WORKLOAD.yaml train|infer BATCH SECONDS [THREADS]
// Prints one JSON line with the keys of the peers' scripts: the median step, and the peak memory of the process.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "api/experiment/experiment.h"
#include "api/model.h"
#include "backend/core/parallel.h"
#include "backend/core/random.h"

namespace {

using namespace nacre;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Uniform numbers for floating inputs; labels below the size of the model's last axis.
Batch random_batch(const Model& model, std::int64_t size) {
  RandomStream random(RandomKey::of(0, "batch"));
  Batch batch;
  batch.size = size;
  for (const Symbol& input : model.graph().inputs()) {
    Tensor tensor(DType::float32, Shape{size} + input.shape().from(1));
    for (float& value : tensor.writable<float>()) value = static_cast<float>(random.uniform());
    batch.inputs.push_back(tensor.cast(input.type().dtype));
  }
  for (const Symbol& output : model.graph().outputs()) {
    Tensor labels(DType::int32, {size});
    for (std::int32_t& label : labels.writable<std::int32_t>())
      label = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(output.shape()[-1])));
    batch.targets.push_back(std::move(labels));
  }
  return batch;
}

int run(int count, char** words) {
  if (count < 5) {
    std::fputs("usage: bench_throughput WORKLOAD.yaml train|infer BATCH SECONDS [THREADS]\n", stderr);
    return 2;
  }
  const std::string what = words[2];
  const std::int64_t size = std::atoll(words[3]);
  const double seconds = std::atof(words[4]);
  set_threads(count > 5 ? std::atoi(words[5]) : 2);
  const Experiment experiment = Experiment::load(words[1]);
  Model model(experiment.build_model());
  model.compile(experiment.config().train.compile);
  const Batch batch = random_batch(model, size);
  const DatasetRef inputs = array_dataset({.inputs = batch.inputs});
  const auto step = [&] {
    if (what == "train") model.train_on_batch(batch);
    else model.predict(inputs, {.batch_size = size});
  };
  for (int i = 0; i < 3; ++i) step();
  std::vector<double> times;
  for (const double end = now() + seconds; now() < end || times.size() < 5;) {
    const double begin = now();
    step();
    times.push_back(now() - begin);
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  const double median = times[times.size() / 2];
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  fmt::print("{{\"peer\": \"nacre\", \"mode\": \"float32\", \"model\": \"{}\", \"what\": \"{}\", \"batch\": {}, \"samples_per_s\": {:.2f}, "
             "\"ms\": {:.3f}, \"steps\": {}, \"rss_mb\": {}}}\n",
             experiment.config().name, what, size, static_cast<double>(size) / median, median * 1e3, times.size(),
             usage.ru_maxrss / 1024);
  return 0;
}

}  // namespace

int main(int count, char** words) {
  try {
    return run(count, words);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
