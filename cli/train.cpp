#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>
#include <thread>

#include "api/experiment/experiment.h"
#include "backend/core/parallel.h"
#include "cli/interrupt.h"
#include "cli/models.h"
#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "cli/training.h"
#include "formats/file.h"
#include "formats/json.h"

namespace nacre::cli {

namespace {

using Clock = std::chrono::steady_clock;

// Draws the bar and keeps history.csv up to date.
class RunListener final : public ProgressListener {
 public:
  RunListener(const RunFolder& folder, bool quiet) : folder_(folder), quiet_(quiet), display_(STDOUT_FILENO) {}

  void on_compiled(const StepMemory& memory) override {
    memory_ = memory;
    if (!quiet_)
      display_.say(fmt::format("a step takes {:.1f} MB, the process about {} MB", static_cast<double>(memory.total()) / (1 << 20), memory.expected() >> 20));
  }

  void on_begin(const Sweep& pass) override {
    const bool train = pass.kind == Sweep::Kind::train;
    if (train) epoch_ = pass, epoch_began_ = Clock::now();
    pass_ = pass;
    pass_began_ = Clock::now();
    last_drawn_ = {};
  }

  bool wants_batch(std::int64_t) override {
    if (quiet_ || !is_terminal(STDOUT_FILENO) || Clock::now() - last_drawn_ < std::chrono::milliseconds(100)) return false;
    last_drawn_ = Clock::now();
    return true;
  }

  void on_batch(std::int64_t batches, std::int64_t samples, const Logs& logs) override {
    if (quiet_) return;
    Progress state = progress(pass_, pass_began_, logs);
    state.batch = batches;
    const double seconds = std::max(state.seconds, 1e-9), done = static_cast<double>(batches - pass_.first_batch);
    state.samples_per_second = static_cast<double>(samples) * done / static_cast<double>(std::max<std::int64_t>(batches, 1)) / seconds;
    display_.show(state);
  }

  void on_end(const Sweep& pass, const Logs& logs) override {
    if (pass.kind != Sweep::Kind::train) return;
    if (!quiet_) display_.finish(progress(pass, epoch_began_, logs));
    epochs_.emplace_back(pass.epoch, logs);
    write_file_atomically(folder_.history(), history_csv(epochs_));
  }

  void say(std::string_view line) override {
    if (!quiet_) display_.say(std::string(line));
  }
  void warn(std::string_view line) override { cli::say(stderr, fmt::format("warning: {}", line)); }

  void on_resume(const History& history) override {
    for (const History::Epoch& epoch : history.epochs) epochs_.emplace_back(epoch.epoch, epoch.logs);
  }

  const std::optional<StepMemory>& memory() const { return memory_; }  // none: no step was done

 private:
  // Of a pass that is done.
  Progress progress(const Sweep& pass, Clock::time_point began, const Logs& logs) const {
    Progress state{.epoch = epoch_.epoch,
                   .epochs = epoch_.epochs,
                   .validation = pass.kind == Sweep::Kind::validation,
                   .features = pass.kind == Sweep::Kind::predict,
                   .first_batch = pass.first_batch,
                   .batch = pass.batches,
                   .batches = pass.batches,
                   .seconds = std::chrono::duration<double>(Clock::now() - began).count()};
    const double share = pass.batches > 0 ? 1 - static_cast<double>(pass.first_batch) / static_cast<double>(pass.batches) : 1;
    state.samples_per_second = state.seconds > 0 ? static_cast<double>(pass.samples) * share / state.seconds : 0;
    state.metrics.assign(logs.begin(), logs.end());
    return state;
  }

  const RunFolder& folder_;
  bool quiet_;
  std::optional<StepMemory> memory_;
  ProgressDisplay display_;
  Sweep epoch_, pass_;  // the pass over validation data is a part of the epoch
  Clock::time_point epoch_began_, pass_began_, last_drawn_;
  std::vector<std::pair<std::int64_t, Logs>> epochs_;
};

// While it lives, nobody hears what this process or its libraries say: of several that train together the first one speaks.
class Silence {
 public:
  Silence() {
    std::fflush(nullptr);
    const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    for (std::size_t i = 0; i < streams.size(); ++i) {
      kept_[i] = ::fcntl(streams[i], F_DUPFD_CLOEXEC, 0);
      if (nowhere >= 0) ::dup2(nowhere, streams[i]);
    }
    ::close(nowhere);
  }
  ~Silence() {
    std::fflush(nullptr);
    for (std::size_t i = 0; i < streams.size(); ++i) {
      ::dup2(kept_[i], streams[i]);
      ::close(kept_[i]);
    }
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  static constexpr std::array streams{STDOUT_FILENO, STDERR_FILENO};
  std::array<int, streams.size()> kept_{};
};

}  // namespace

int run_together(const std::function<int(const Processes&)>& work) {
  const ProcessEnvironment environment = process_environment();
  std::optional<Silence> silence;
  if (environment.rank > 0) silence.emplace();
  try {
    return work(Processes::of_environment());
  } catch (Error& error) {
    if (silence) {
      // Where the first one fails too, its end is that of all while this one waits.
      std::signal(SIGTERM, SIG_DFL);
      std::this_thread::sleep_for(std::chrono::seconds(2));
      error.within(fmt::format("in process {} of {}", environment.rank, environment.size));
    }
    throw;
  }
}

namespace {

// Then there is nothing to go on from.
bool stopped_before_any_step(const History& history, const RunFolder& folder) {
  return history.interrupted && !std::filesystem::exists(folder.checkpoint());
}

}  // namespace

Training run_training(const Experiment& experiment, const TrainArguments& arguments, const Processes& processes) {
  const int threads_asked = arguments.threads ? arguments.threads : static_cast<int>(experiment.config().threads.value_or(0));
  set_threads(threads_asked || !processes.several() ? threads_asked : processes.threads());
  Model model = compiled_model(experiment, arguments.config, arguments.device);
  const OpenedData data = experiment.open_data(input_form(model.graph()));
  if (!data.train) throw Error("the configuration has no training data").at({arguments.config.string(), 0, 0}).hint("data: {train: {digits: {count: 10000}}}").usage();

  const bool asked_for = arguments.output || experiment.config().output;
  const std::filesystem::path wanted = arguments.output.value_or(experiment.output_folder());
  const RunFolder folder = processes.first() || arguments.resume ? RunFolder::open(wanted, asked_for, arguments.resume) : RunFolder::of_another(wanted);
  if (processes.first()) {
    Tree config = experiment.render();
    config.set("output", folder.path().string());
    folder.write_config(config);
  }
  if (processes.first() && !arguments.json) {
    say(stdout, data.train->description());
    const std::string each = processes.several() ? fmt::format("{} processes with ", processes.size()) : "";
    say(stdout, fmt::format("{} on {}, {}{} thread{}{}; files go to {}", experiment.config().name,
                            model.trainer().backend().description(), each, threads(), threads() == 1 ? "" : "s",
                            processes.several() ? " each" : "", folder.path().string()));
  }

  const Interrupt interrupt;
  const Clock::time_point began = Clock::now();
  RunListener listener(folder, arguments.json);
  FitOptions options = fit_options(experiment.config().train.fit);
  options.validation = data.validation;
  options.unaugmented = data.unaugmented;
  options.seed = static_cast<std::uint64_t>(experiment.config().seed);
  options.listener = &listener;
  options.stop = interrupt.flag();
  options.processes = processes;
  options.checkpoint = folder.checkpoint();
  options.resume = arguments.resume;
  History history = [&] {
    try {
      return model.fit(data.train, options);
    } catch (...) {
      if (processes.first()) folder.withdraw_if_empty();
      throw;
    }
  }();
  if (processes.first() && stopped_before_any_step(history, folder)) {
    folder.withdraw_if_empty();
  } else if (processes.first()) {
    model.save(folder.model());
    folder.write_environment(model.trainer().backend().description(), std::chrono::duration<double>(Clock::now() - began).count());
  }
  return {std::move(model), folder, std::move(history), data.validation, listener.memory()};
}

void say_outcome(const Training& training) {
  if (stopped_before_any_step(training.history, training.folder))
    return say(stdout, "stopped before the first step: there is nothing to go on from");
  // The resolved configuration holds the overrides and the folder too.
  if (training.history.interrupted)
    return say(stdout, fmt::format("stopped; to go on: nacre train {} --resume", training.folder.config().string()));
  if (!training.history.stopped.empty()) say(stdout, fmt::format("ended early: {}", training.history.stopped));
  say(stdout, fmt::format("saved {}", training.folder.model().string()));
}

Tree report_of(const Training& training) {
  const RunFolder& folder = training.folder;
  const History& history = training.history;
  Tree report, epochs = Tree::sequence();
  report.set("run", folder.path().string());
  report.set("model", std::filesystem::exists(folder.model()) ? Tree(folder.model().string()) : Tree());
  report.set("stopped", history.stopped.empty() ? Tree() : Tree(history.stopped));
  if (training.memory) {
    report.set("planned_mb", static_cast<std::int64_t>(training.memory->total() >> 20));
    report.set("expected_mb", static_cast<std::int64_t>(training.memory->expected() >> 20));
  }
  for (const History::Epoch& epoch : history.epochs) {
    Tree entry;
    entry.set("epoch", epoch.epoch + 1);
    for (const auto& [name, value] : epoch.logs) entry.set(name, value);
    epochs.push(std::move(entry));
  }
  report.set("history", std::move(epochs));
  return report;
}

int train(const TrainArguments& arguments) {
  return run_together([&](const Processes& processes) {
    const Training training = run_training(Experiment::load(arguments.config, arguments.overrides), arguments, processes);
    if (processes.first()) {
      if (arguments.json) std::puts(write_json(report_of(training), 2).c_str());
      else say_outcome(training);
    }
    return training.history.interrupted ? 1 : 0;
  });
}

}  // namespace nacre::cli
