#include "api/inspect/benchmark.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "api/inspect/example_batch.h"
#include "api/train/in_turn.h"
#include "backend/core/clock.h"
#include "formats/json.h"

namespace nacre {

namespace {

constexpr std::size_t warm_up = 3, fewest_steps = 5;

}  // namespace

double Benchmark::Times::quantile(double share) const {
  return steps.at(static_cast<std::size_t>(std::llround(share * static_cast<double>(steps.size() - 1))));
}

Benchmark::Benchmark(Model model, const BenchmarkOptions& options)
    : model_(std::move(model)), training_(options.training) {
  Trainer& trainer = model_.trainer();
  if (training_) trainer.optimizer();  // or the error that there is none
  const Batch batch = example_batch(model_, options.batch_size);
  model_.initialize(0);
  const double begin = now();
  feed_ = training_ ? trainer.training_feed(batch) : trainer.feed(batch, false);
  executable_ = (training_ ? trainer.steps().training(trainer.objective(), trainer.optimizer(), feed_)
                           : trainer.steps().prediction(feed_))
                    .device();
  if (!executable_) throw Error("nothing of the model '{}' runs on a device", model_.name()).usage();
  executable_->prepare();
  compile_seconds_ = now() - begin;
  memory_ = step_memory(*executable_, model_.graph(), training_ ? &trainer.optimizer() : nullptr,
                        {&feed_.inputs, &feed_.targets, &feed_.weights});
}

void Benchmark::run(const std::function<bool(double seconds)>& goes_on) {
  Trainer& trainer = model_.trainer();
  Steps& steps = trainer.steps();
  struct Nothing {};
  bool going = true;
  double before = now();
  InTurn<Nothing> results([&](const std::vector<Tensor>&, Nothing) {
    const double there = now();
    going = goes_on(there - std::exchange(before, there));
  });
  while (going)
    results.add(training_ ? steps.train(trainer.objective(), trainer.optimizer(), feed_) : steps.predict(feed_), {});
  results.finish();
}

Benchmark::Times Benchmark::measure(double seconds) {
  Times times;
  double end = 0;
  run([&](double step) {
    times.steps.push_back(step);
    if (times.steps.size() == warm_up) end = now() + seconds;
    return times.steps.size() < warm_up + fewest_steps || now() < end;
  });
  times.first = times.steps.front();
  times.steps.erase(times.steps.begin(), times.steps.begin() + warm_up);
  std::ranges::sort(times.steps);
  return times;
}

Benchmark::Profiled Benchmark::profile(double seconds, std::size_t max_events, bool stand_alone) {
  const auto once = [](double) { return false; };
  run(once);  // the prologue is no part of it
  Profiled result;
  result.profile.max_events = max_events;
  executable_->profile(&result.profile);
  const double begin = now();
  run([&](double) { return now() < begin + seconds || result.profile.runs < static_cast<std::int64_t>(fewest_steps); });
  result.seconds = now() - begin;
  executable_->profile(nullptr);
  if (stand_alone) {
    executable_->measure_alone(result.profile);
    run(once);
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
