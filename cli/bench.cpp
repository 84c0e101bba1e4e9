#include <algorithm>
#include <cmath>
#include <cstdio>

#include "api/dtype_policy.h"
#include "api/inspect/benchmark.h"
#include "backend/core/memory.h"
#include "backend/core/parallel.h"
#include "cli/models.h"
#include "cli/verbs.h"
#include "formats/file.h"
#include "formats/json.h"

namespace nacre::cli {

namespace {

constexpr std::size_t most_events = 200000;  // in a trace
constexpr double least_share = 0.002;        // of the kernels that have a line of their own
constexpr double full_speed = 0.85;          // of what a kernel reaches by itself

Subject subject_of(const BenchArguments& arguments) {
  Subject subject = open_subject(arguments, arguments.training ? Compiling::required : Compiling::none);
  Steps::Options options = subject.model.trainer().steps().options();
  if (arguments.matmul_precision) options.numerics.matmul_precision = *arguments.matmul_precision;
  options.numerics.deterministic = options.numerics.deterministic && !arguments.fast;
  options.recompute = options.recompute || arguments.recompute;
  subject.model.trainer().steps().set_options(options);
  return subject;
}

double mebibytes(double bytes) { return bytes / (1 << 20); }
double mebibytes(std::size_t bytes) { return mebibytes(static_cast<double>(bytes)); }

// --- the profile -------------------------------------------------------------------------------------------------

// Kernels taken together; times are seconds of one step.
struct Share {
  std::string op, label, result;
  std::int64_t calls = 0;
  double seconds = 0, flops = 0, bytes = 0;
  double cold = 0, warm = 0;  // by themselves: with operands in memory, and with those that caches keep
  double gflops() const { return seconds > 0 ? flops / seconds / 1e9 : 0; }
  double gigabytes() const { return seconds > 0 ? bytes / seconds / 1e9 : 0; }
  // The speed in the step, as a part of that by themselves.
  double of_cold() const { return seconds > 0 ? cold / seconds : 1; }
  double of_warm() const { return seconds > 0 ? warm / seconds : 1; }
  void add(const Share& other) {
    calls += other.calls;
    seconds += other.seconds, flops += other.flops, bytes += other.bytes;
    cold += other.cold, warm += other.warm;
  }
};

struct ProfileReport {
  std::vector<Share> ops, kernels;  // the slowest first
  Share sum;
  double step = 0;  // seconds, with what is done around the kernels
  bool stand_alone = false;
  double at_cold = 0, at_warm = 0;  // shares of the step: of kernels at full speed, measured by either

  void count_full_speed(const Share& kernel) {
    if (kernel.of_cold() >= full_speed) at_cold += kernel.seconds / step;
    if (kernel.of_warm() >= full_speed) at_warm += kernel.seconds / step;
  }
};

ProfileReport report_of(const Benchmark::Profiled& profiled, bool stand_alone) {
  ProfileReport report{.stand_alone = stand_alone};
  const auto runs = static_cast<double>(profiled.profile.runs);
  report.step = profiled.seconds / runs;
  for (const Profile::Kernel& kernel : profiled.profile.kernels) {
    Share share{.op = kernel.op + (kernel.borrowed ? " (borrowed)" : ""),
                .label = kernel.label,
                .result = kernel.result,
                .calls = 1,
                .seconds = kernel.seconds / runs,
                .flops = static_cast<double>(kernel.flops),
                .bytes = static_cast<double>(kernel.bytes),
                .cold = kernel.cold,
                .warm = kernel.warm};
    auto op = std::ranges::find(report.ops, share.op, &Share::op);
    if (op == report.ops.end()) op = report.ops.insert(op, Share{.op = share.op});
    op->add(share);
    report.sum.add(share);
    report.count_full_speed(share);
    report.kernels.push_back(std::move(share));
  }
  std::ranges::stable_sort(report.ops, std::greater(), &Share::seconds);
  std::ranges::stable_sort(report.kernels, std::greater(), &Share::seconds);
  return report;
}

std::string numbers_of(const Share& share, const ProfileReport& report) {
  std::string text = fmt::format("{:>6} {:>10.3f} {:>6.1f}% {:>9.1f} {:>7.1f}", share.calls, share.seconds * 1e3,
                                 100 * share.seconds / report.step, share.gflops(), share.gigabytes());
  if (report.stand_alone) text += fmt::format(" {:>5.0f}% {:>5.0f}%", 100 * share.of_cold(), 100 * share.of_warm());
  return text;
}

void print(const ProfileReport& report, std::int64_t runs) {
  const std::string numbers =
      std::string("calls         ms   share   GFLOP/s    GB/s") + (report.stand_alone ? "   cold   warm" : "");
  fmt::print("\nprofile of {} steps; of one step:\n{:<32} {}\n", runs, "kind of kernel", numbers);
  for (const Share& op : report.ops) fmt::print("{:<32} {}\n", op.op, numbers_of(op, report));
  fmt::print("{:<32} {}\n", "all kernels", numbers_of(report.sum, report));
  const double around = report.step - report.sum.seconds;
  fmt::print("{:<32} {:>17.3f} {:>6.1f}%\n", "around them", around * 1e3, 100 * around / report.step);
  fmt::print("{:<32} {:>17.3f} {:>6.1f}%\n", "step", report.step * 1e3, 100.0);
  if (report.stand_alone)
    fmt::print(
        "\n{:.1f}% of the step is in kernels at {:.0f}% or more of their stand-alone speed, measured with operands in\n"
        "memory (cold); {:.1f}%, measured with what caches keep of them (warm). In a step they find a mixture.\n",
        100 * report.at_cold, 100 * full_speed, 100 * report.at_warm);

  fmt::print("\n{:<32} {}  layer, result\n", "kernel", numbers);
  Share rest;
  for (const Share& kernel : report.kernels) {
    if (kernel.seconds < least_share * report.step) rest.add(kernel);
    else
      fmt::print("{:<32} {}  {}{}{}\n", kernel.op, numbers_of(kernel, report), kernel.label,
                 kernel.label.empty() ? "" : ", ", kernel.result);
  }
  if (rest.calls) fmt::print("{:<32} {}\n", "others", numbers_of(rest, report));
}

double rounded(double value, double digits = 1e3) { return std::round(value * digits) / digits; }

Tree tree_of(const Share& share, const ProfileReport& report, bool whole) {
  Tree tree;
  tree.set("op", share.op);
  if (!whole) {
    tree.set("layer", share.label);
    tree.set("result", share.result);
  }
  tree.set("calls", share.calls);
  tree.set("ms", rounded(share.seconds * 1e3, 1e6));
  tree.set("share", rounded(share.seconds / report.step, 1e6));
  tree.set("gflop_per_s", rounded(share.gflops()));
  tree.set("gb_per_s", rounded(share.gigabytes()));
  if (report.stand_alone) {
    tree.set("cold_ms", rounded(share.cold * 1e3, 1e6));
    tree.set("warm_ms", rounded(share.warm * 1e3, 1e6));
  }
  return tree;
}

Tree tree_of(const ProfileReport& report, std::int64_t runs) {
  Tree tree, ops = Tree::sequence(), kernels = Tree::sequence();
  for (const Share& op : report.ops) ops.push(tree_of(op, report, true));
  for (const Share& kernel : report.kernels) kernels.push(tree_of(kernel, report, false));
  tree.set("steps", runs);
  tree.set("step_ms", rounded(report.step * 1e3, 1e6));
  tree.set("kernels_ms", rounded(report.sum.seconds * 1e3, 1e6));
  if (report.stand_alone) {
    tree.set("share_at_cold_speed", rounded(report.at_cold, 1e6));
    tree.set("share_at_warm_speed", rounded(report.at_warm, 1e6));
  }
  tree.set("ops", std::move(ops));
  tree.set("kernels", std::move(kernels));
  return tree;
}

// --- the whole ---------------------------------------------------------------------------------------------------

// ", matmul precision medium, not deterministic, recomputing"
std::string options_of(const Subject& subject, bool training) {
  const Steps::Options& options = subject.model.trainer().steps().options();
  std::string text;
  if (options.numerics.matmul_precision != MatmulPrecision::highest)
    text += fmt::format(", matmul precision {}", text_of(options.numerics.matmul_precision));
  if (!options.numerics.deterministic) text += ", not deterministic";
  if (options.recompute && training) text += ", recomputing";
  return text;
}

// Before the first step, so that it is seen also when that fails.
void print_plan(const BenchArguments& arguments, const Subject& subject, const Benchmark& benchmark) {
  const StepMemory& memory = benchmark.memory();
  fmt::print("{}, {}, batch of {}, {}{}, on {}, {} thread{}\n", subject.name,
             arguments.training ? "training" : "prediction", arguments.batch, dtype_policies(subject.model),
             options_of(subject, arguments.training), subject.model.trainer().backend().description(), threads(),
             threads() == 1 ? "" : "s");
  fmt::print(
      "{:<10}{:.1f} MB: arena {:.1f}, variables {:.1f}, optimizer {:.1f},\n{:10}constants {:.1f}, batch {:.1f}\n",
      "planned", mebibytes(memory.total()), mebibytes(memory.arena), mebibytes(memory.variables),
      mebibytes(memory.optimizer), "", mebibytes(memory.persistent), mebibytes(memory.batch));
  fmt::print("{:<10}{:.0f} MB resident at most: {:.0f} now, {:.0f} with the first step\n", "expected",
             mebibytes(memory.expected()), mebibytes(memory.process), mebibytes(memory.to_come));
  if (arguments.verbose) {
    const ExecutableStatistics& statistics = benchmark.statistics();
    fmt::print(
        "{:<10}{} in a step, {} of them borrowed from the reference;\n{:10}{} once for each version of the weights\n",
        "kernels", statistics.kernels, statistics.borrowed, "", statistics.prologue_kernels);
    fmt::print("{:<10}{} of activations, {} of weights in a step\n", "reorders", statistics.activation_reorders,
               statistics.weight_reorders);
  }
  std::fflush(stdout);
}

void print_times(const BenchArguments& arguments, const Benchmark& benchmark, const Benchmark::Times& times,
                 std::size_t peak) {
  const double median = times.quantile(0.5);
  fmt::print("{:<10}{:.1f} ms, first step {:.1f} ms\n", "compiled", benchmark.compile_seconds() * 1e3,
             times.first * 1e3);
  fmt::print("{:<10}{:.3f} ms, half of {} within {:.3f} … {:.3f},\n{:10}all within {:.3f} … {:.3f}\n", "step",
             median * 1e3, times.steps.size(), times.quantile(0.25) * 1e3, times.quantile(0.75) * 1e3, "",
             times.steps.front() * 1e3, times.steps.back() * 1e3);
  fmt::print("{:<10}{:.1f} samples/s\n", "speed", static_cast<double>(arguments.batch) / median);
  fmt::print("{:<10}{:.0f} MB resident at most\n", "peak", mebibytes(peak));
}

Tree tree_of(const BenchArguments& arguments, const Subject& subject, const Benchmark& benchmark,
             const Benchmark::Times& times, std::size_t peak) {
  const StepMemory& memory = benchmark.memory();
  const ExecutableStatistics& statistics = benchmark.statistics();
  const double median = times.quantile(0.5);
  Tree tree;
  tree.set("peer", "nacre");
  tree.set("mode", dtype_policies(subject.model));
  const Steps::Options& options = subject.model.trainer().steps().options();
  tree.set("matmul_precision", text_of(options.numerics.matmul_precision));
  tree.set("deterministic", options.numerics.deterministic);
  tree.set("recompute", arguments.training && options.recompute);
  tree.set("model", subject.name);
  tree.set("what", arguments.training ? "train" : "infer");
  tree.set("batch", arguments.batch);
  tree.set("device", subject.model.trainer().backend().name());
  tree.set("threads", threads());
  tree.set("samples_per_s", rounded(static_cast<double>(arguments.batch) / median));
  tree.set("ms", rounded(median * 1e3));
  tree.set("ms_min", rounded(times.steps.front() * 1e3));
  tree.set("ms_p25", rounded(times.quantile(0.25) * 1e3));
  tree.set("ms_p75", rounded(times.quantile(0.75) * 1e3));
  tree.set("ms_max", rounded(times.steps.back() * 1e3));
  tree.set("steps", static_cast<std::int64_t>(times.steps.size()));
  tree.set("compile_ms", rounded(benchmark.compile_seconds() * 1e3));
  tree.set("first_ms", rounded(times.first * 1e3));
  tree.set("rss_mb", static_cast<std::int64_t>(mebibytes(peak)));
  tree.set("expected_mb", rounded(mebibytes(memory.expected())));
  tree.set("planned_mb", rounded(mebibytes(memory.total())));
  tree.set("arena_mb", rounded(mebibytes(memory.arena)));
  tree.set("variables_mb", rounded(mebibytes(memory.variables)));
  tree.set("optimizer_mb", rounded(mebibytes(memory.optimizer)));
  tree.set("constants_mb", rounded(mebibytes(memory.persistent)));
  tree.set("batch_mb", rounded(mebibytes(memory.batch)));
  tree.set("kernels", statistics.kernels);
  tree.set("borrowed", statistics.borrowed);
  tree.set("prologue_kernels", statistics.prologue_kernels);
  tree.set("activation_reorders", statistics.activation_reorders);
  tree.set("weight_reorders", statistics.weight_reorders);
  return tree;
}

// Before anything is measured, for measuring takes long.
void check(const BenchArguments& arguments) {
  if (!arguments.training && !arguments.inference)
    throw Error("bench measures training or prediction").hint("add --train or --infer").usage();
  if (arguments.recompute && !arguments.training)
    throw Error("--recompute is for training").hint("predictions keep nothing for gradients").usage();
  if (!arguments.trace) return;
  if (*arguments.trace == "-")
    throw Error("--trace names a file, not standard output").hint("--trace trace.json").usage();
  // What is no file, like a pipe, can be opened but once.
  if (!std::filesystem::exists(*arguments.trace) || std::filesystem::is_regular_file(*arguments.trace))
    const AtomicFile writable(*arguments.trace);
}

}  // namespace

int bench(const BenchArguments& arguments) {
  check(arguments);
  const Subject subject = subject_of(arguments);
  check_batch(subject.model, arguments.batch);
  Benchmark benchmark(subject.model, {.training = arguments.training, .batch_size = arguments.batch});
  if (!arguments.json) print_plan(arguments, subject, benchmark);
  const Benchmark::Times times = benchmark.measure(arguments.seconds);
  const std::size_t peak = peak_resident_memory();
  if (!arguments.json) print_times(arguments, benchmark, times, peak);
  Tree report = arguments.json ? tree_of(arguments, subject, benchmark, times, peak) : Tree();
  if (arguments.profile || arguments.trace) {
    const Benchmark::Profiled profiled =
        benchmark.profile(arguments.seconds, arguments.trace ? most_events : 0, arguments.stand_alone);
    const ProfileReport kernels = report_of(profiled, arguments.stand_alone);
    if (arguments.profile && arguments.json) report.set("profile", tree_of(kernels, profiled.profile.runs));
    else if (arguments.profile) print(kernels, profiled.profile.runs);
    if (arguments.trace) write_file_atomically(*arguments.trace, chrome_trace(profiled.profile));
  }
  if (arguments.json) std::puts(write_json(report).c_str());
  return 0;
}

}  // namespace nacre::cli
