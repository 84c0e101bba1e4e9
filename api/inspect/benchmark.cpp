#include "api/inspect/benchmark.h"

#include <algorithm>
#include <cmath>

#include "api/inspect/example_batch.h"
#include "backend/core/clock.h"
#include "formats/json.h"

namespace nacre {

namespace {

constexpr std::size_t fewest_steps = 5;

}  // namespace

double Benchmark::Times::quantile(double share) const {
  return steps.at(static_cast<std::size_t>(std::llround(share * static_cast<double>(steps.size() - 1))));
}

Benchmark::Benchmark(Model model, const BenchmarkOptions& options)
    : model_(std::move(model)), training_(options.training) {
  Trainer& trainer = model_.trainer();
  if (training_) trainer.optimizer();  // or the error that there is none
  batch_ = example_batch(model_, options.batch_size);
  model_.initialize(0);
  const double begin = now();
  executable_ = (training_ ? trainer.training_step(batch_) : trainer.prediction_step(batch_)).device();
  if (!executable_) throw Error("nothing of the model '{}' runs on a device", model_.name()).usage();
  executable_->prepare();
  compile_seconds_ = now() - begin;
  memory_ = step_memory(*executable_, model_.graph(), training_ ? &trainer.optimizer() : nullptr,
                        training_ ? std::initializer_list<const std::vector<Tensor>*>{&batch_.inputs, &batch_.targets}
                                  : std::initializer_list<const std::vector<Tensor>*>{&batch_.inputs});
}

void Benchmark::step() {
  if (training_) model_.train_on_batch(batch_);
  else model_.predict_on_batch(batch_);
}

Benchmark::Times Benchmark::measure(double seconds) {
  Times times;
  for (int warmup = 0; warmup < 3; ++warmup) {
    const double begin = now();
    step();
    if (warmup == 0) times.first = now() - begin;
  }
  for (const double end = now() + seconds; now() < end || times.steps.size() < fewest_steps;) {
    const double begin = now();
    step();
    times.steps.push_back(now() - begin);
  }
  std::ranges::sort(times.steps);
  return times;
}

Benchmark::Profiled Benchmark::profile(double seconds, std::size_t max_events, bool stand_alone) {
  step();  // the prologue is no part of it
  Profiled result;
  result.profile.max_events = max_events;
  executable_->profile(&result.profile);
  const double begin = now();
  while (now() < begin + seconds || result.profile.runs < static_cast<std::int64_t>(fewest_steps)) step();
  result.seconds = now() - begin;
  executable_->profile(nullptr);
  if (stand_alone) {
    executable_->measure_alone(result.profile);
    step();
  }
  return result;
}

std::string chrome_trace(const Profile& profile) {
  const double begin = profile.events.empty() ? 0 : profile.events.front().begin;
  const auto microseconds = [](double seconds) { return std::round(seconds * 1e9) / 1e3; };
  Tree events = Tree::sequence(), trace;
  for (const Profile::Event& event : profile.events) {
    const Profile::Kernel& kernel = profile.kernels[event.kernel];
    Tree entry, details;
    entry.set("name", kernel.op);
    entry.set("cat", kernel.borrowed ? "borrowed" : "kernel");
    entry.set("ph", "X");
    entry.set("ts", microseconds(event.begin - begin));
    entry.set("dur", microseconds(event.end - event.begin));
    entry.set("pid", 1);
    entry.set("tid", 1);
    details.set("layer", kernel.label);
    details.set("result", kernel.result);
    details.set("flops", kernel.flops);
    details.set("bytes", static_cast<std::int64_t>(kernel.bytes));
    entry.set("args", std::move(details));
    events.push(std::move(entry));
  }
  trace.set("traceEvents", std::move(events));
  trace.set("displayTimeUnit", "ms");
  return write_json(trace) + "\n";
}

}  // namespace nacre
