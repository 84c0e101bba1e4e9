#include "backend/compile/recorded_runs.h"

#include <algorithm>

namespace nacre::compile {

namespace {

constexpr std::int64_t worth_a_recording = 2;  // launches: a replay costs as much as one

}  // namespace

RecordedRuns::RecordedRuns(Recorder& recorder, const Schedule& schedule, std::span<const KernelArguments> arguments)
    : recorder_(recorder), schedule_(schedule), arguments_(arguments) {
  find();
}

bool RecordedRuns::recordable(const Step& step) const {
  const auto moves = [&](int place) {
    const Storage::Kind kind =
        schedule_.storages[static_cast<std::size_t>(schedule_.places[static_cast<std::size_t>(place)].storage)].kind;
    return kind == Storage::Kind::input || kind == Storage::Kind::output;
  };
  return step.kernel->launches() > 0 && std::ranges::none_of(step.inputs, moves) &&
         std::ranges::none_of(step.outputs, moves);
}

void RecordedRuns::find() {
  const std::size_t count = schedule_.steps.size();
  for (auto s = static_cast<std::size_t>(schedule_.prologue); s < count;) {
    const std::size_t begin = s;
    std::int64_t launches = 0;
    for (; s < count && recordable(schedule_.steps[s]); ++s) launches += schedule_.steps[s].kernel->launches();
    if (launches >= worth_a_recording) runs_.push_back({.begin = begin, .end = s});
    if (s == begin) ++s;
  }
}

int RecordedRuns::kernels() const {
  std::size_t count = 0;
  for (const Run& run : runs_) count += run.end - run.begin;
  return static_cast<int>(count);
}

void RecordedRuns::forget() {
  for (Run& run : runs_) run.recording.reset();
  settled_ = false;
}

void RecordedRuns::run() {
  auto done = static_cast<std::size_t>(schedule_.prologue);
  for (Run& recorded : runs_) {
    run_plainly(done, recorded.begin);
    run(recorded);
    done = recorded.end;
  }
  run_plainly(done, schedule_.steps.size());
  settled_ = true;
}

void RecordedRuns::run(Run& run) {
  if (settled_ && !run.recording && !run.refused) {
    run.recording = recorder_.record([&] { run_plainly(run.begin, run.end); });
    run.refused = !run.recording;
  }
  if (run.recording) run.recording->replay();
  else run_plainly(run.begin, run.end);
}

void RecordedRuns::run_plainly(std::size_t begin, std::size_t end) {
  for (std::size_t s = begin; s < end; ++s) schedule_.steps[s].kernel->run(arguments_[s]);
}

}  // namespace nacre::compile
