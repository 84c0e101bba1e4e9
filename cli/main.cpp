// nacre: the command line.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <type_traits>

#include "api/version.h"
#include "backend/core/error.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "layers/lambda.h"
#include "models_zoo/zoo.h"
#include "scripting/lambda.h"

namespace nacre::cli {
namespace {

constexpr int failed = 1, wrong_usage = 2;

void add_allow_lua(CLI::App& verb) {
  verb.add_flag_callback("--allow-lua", allow_scripts, "run the Lua functions that a model file holds");
}

// Numbers that an option takes, whole ones where `least` is.
template <class Number>
CLI::Validator number_from(Number least, std::optional<Number> most = std::nullopt) {
  constexpr bool whole = std::is_integral_v<Number>;
  const std::string range = most ? fmt::format("{} to {}", least, *most) : fmt::format("{} or more", least);
  const auto check = [=](const std::string& text) {
    std::conditional_t<whole, std::int64_t, Number> value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure == std::errc() && end == text.data() + text.size() && value >= least && (!most || value <= *most))
      return std::string();
    return fmt::format("wanted a {}number, {}, got '{}'", whole ? "whole " : "", range, text);
  };
  return {check, range};
}

void add_threads(CLI::App& verb, int& threads) {
  verb.add_option("--threads", threads, "threads of kernels (default: OMP_NUM_THREADS, or all cores)")->type_name("N")->check(number_from(1, {4096}));
}

void add_dtype(CLI::App& verb, std::string& dtype) {
  verb.add_option("--dtype", dtype, "policy of all layers: float32, mixed_bfloat16, …")
      ->type_name("POLICY")
      ->check(CLI::IsMember(std::vector<std::string>(floating_policies.begin(), floating_policies.end())));
}

void add_run_options(CLI::App& verb, RunArguments& arguments) {
  add_allow_lua(verb);
  verb.add_option("--device", arguments.device, "cpu, gpu or reference")->type_name("DEVICE");
  add_threads(verb, arguments.threads);
}

void add_untrusted(CLI::App& verb, bool& untrusted) {
  verb.add_flag("--untrusted", untrusted, "the file is from somewhere else: read it in a process that can do nothing else");
}

void add_json(CLI::App& verb, bool& json) { verb.add_flag("--json", json, "print JSON for programs"); }

constexpr char fast_help[] = "on a GPU: the fastest kernels, also those that add in no fixed order, so runs differ in the last bits";

void add_fast(CLI::App& verb, std::vector<std::string>& overrides) {
  verb.add_flag_callback("--fast", [&] { overrides.push_back("train.deterministic=false"); }, fast_help);
}

void add_overrides(CLI::App& verb, std::vector<std::string>& overrides) {
  verb.add_option("overrides", overrides, "set a key of the configuration: train.epochs=3")->type_name("KEY=VALUE");
}

// libgomp's threads spin for milliseconds at every barrier, which halves the speed where anything else runs beside. It
// reads its settings before main does, so a verb that computes for long starts the program once more with a shorter spin.
void limit_spinning(char** words) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  ::setenv("GOMP_SPINCOUNT", "10000", 0);
  ::execv("/proc/self/exe", words);  // where that cannot be done, it goes on as it is
}

// A positive number of an option that may also be a word.
std::int64_t read_count(const std::string& text, std::string_view option) {
  std::int64_t count = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (failure != std::errc() || end != text.data() + text.size() || count < 1)
    throw Error("{}: wanted auto or a number, got '{}'", option, text).usage();
  return count;
}

// Declares the verbs, parses, and runs the one that was asked for.
int run(int count, char** words) {
  enable_lua();
  FetchDisplay fetching(STDERR_FILENO);
  enable_zoo(
      [&](const std::string& name, const DownloadState& state) {
        fetching.show(name, state);
        return true;
      },
      [](const std::string& line) { say(stderr, "note: " + line); });
  CLI::App app("nacre: describe, train and serve neural networks.", "nacre");
  app.set_version_flag("--version", std::string("nacre ") + std::string(version()));
  app.require_subcommand(1);
  app.failure_message([](const CLI::App* verb, const CLI::Error& error) {
    std::string name = verb->get_name();
    for (std::vector<CLI::App*> given = verb->get_subcommands(); !given.empty(); given = given.front()->get_subcommands())
      name += " " + given.front()->get_name();
    return std::string(error.what()) + "\n  hint: " + name + " --help shows what there is\n";
  });
  int status = 0;

  TrainArguments train_arguments;
  CLI::App* verb = app.add_subcommand("train", "train the model of a YAML file");
  verb->add_option("config", train_arguments.config, "YAML file of the experiment")->required()->type_name("CONFIG");
  add_overrides(*verb, train_arguments.overrides);
  verb->add_option("--output", train_arguments.output, "folder of the run (default: runs/NAME)")->type_name("DIR");
  verb->add_flag("--resume", train_arguments.resume, "go on from the run's last checkpoint");
  add_fast(*verb, train_arguments.overrides);
  add_run_options(*verb, train_arguments);
  add_json(*verb, train_arguments.json);
  verb->callback([&] {
    limit_spinning(words);
    status = train(train_arguments);
  });

  FinetuneArguments finetune_arguments;
  std::string classes = "auto";
  verb = app.add_subcommand("finetune", "train a new head, then the rest, of a network that has learned something else");
  verb->add_option("base", finetune_arguments.base, "name in the zoo, or saved model")->required()->type_name("NAME_OR_FILE");
  add_overrides(*verb, finetune_arguments.overrides);
  verb->add_option("--data", finetune_arguments.data,
                   "folder with a folder of pictures for each class, YAML file with `data:`, or a source: idx:IMAGES,LABELS, "
                   "csv:FILE,text=COLUMN,target=COLUMN, texts:FOLDER")
      ->required()
      ->type_name("SOURCE");
  verb->add_option("--classes", classes, "how many there are (default: auto, those of the data)")->type_name("N");
  verb->add_option("--epochs", finetune_arguments.epochs, "passes over the data, the first third of them with the base frozen (default: 10)")
      ->type_name("N")
      ->check(number_from(1));
  verb->add_option("--unfreeze", finetune_arguments.unfreeze, "layer of the base from which on it learns then (default: all of it)")->type_name("LAYER");
  verb->add_option("--output", finetune_arguments.output, "folder of the run (default: runs/NAME_finetuned)")->type_name("DIR");
  add_fast(*verb, finetune_arguments.overrides);
  bool resume_finetune = false;
  verb->add_flag("--resume", resume_finetune)->group("");  // not listed: it is refused with what does it
  add_run_options(*verb, finetune_arguments);
  add_json(*verb, finetune_arguments.json);
  verb->callback([&] {
    if (resume_finetune)
      throw Error("finetune begins a run, and does not go on with one")
          .hint(fmt::format("nacre train {} --resume",
                            (finetune_arguments.output.value_or("RUN") / "config.yaml").string()))
          .usage();
    limit_spinning(words);
    if (classes != "auto") finetune_arguments.classes = read_count(classes, "--classes");
    status = finetune(finetune_arguments);
  });

  EvaluateArguments evaluate_arguments;
  verb = app.add_subcommand("evaluate", "loss and metrics of a saved model on data; by class, calibration and the worst mistakes");
  add_untrusted(*verb, evaluate_arguments.untrusted);
  verb->add_option("model", evaluate_arguments.model, "saved model")->required()->type_name("MODEL");
  verb->add_option("--data", evaluate_arguments.data, "YAML file with `data:`, a file, a folder, or e.g. digits:1000")
      ->required()
      ->type_name("CONFIG_OR_SOURCE");
  verb->add_option("--batch-size", evaluate_arguments.batch_size, "samples a step")->type_name("N")->check(number_from(1));
  verb->add_option("--worst", evaluate_arguments.worst, "how many of the worst samples are listed (default: 10)")->type_name("N")->check(number_from(0, {1000}));
  verb->add_flag_callback("--no-details", [&] { evaluate_arguments.details = false; }, "loss and metrics alone: nothing by class, no errors, no worst samples");
  add_run_options(*verb, evaluate_arguments);
  add_json(*verb, evaluate_arguments.json);
  verb->callback([&] {
    limit_spinning(words);
    status = evaluate(evaluate_arguments);
  });

  PredictArguments predict_arguments;
  verb = app.add_subcommand("predict", "what a saved model makes of inputs");
  add_untrusted(*verb, predict_arguments.untrusted);
  verb->add_option("model", predict_arguments.model, "saved model")->required()->type_name("MODEL");
  verb->add_option("inputs", predict_arguments.inputs,
                   ".npy .npz .csv .h5 .idx .txt files and pictures, one or NAME=FILE for each input of the model, or texts "
                   "for one that takes such; several pictures or texts are one batch; - reads CSV or JSON lines from "
                   "standard input")
      ->required()
      ->type_name("INPUT");
  verb->add_option("-o,--output", predict_arguments.output, "file to write, with the numbers: .npy .npz .csv .json (default: names of classes where the model has them, else JSON, to the terminal)")
      ->type_name("OUT");
  verb->add_option("--batch-size", predict_arguments.batch_size, "samples a step")->type_name("N")->check(number_from(1));
  add_run_options(*verb, predict_arguments);
  verb->add_option("--top", predict_arguments.top, "classes that are named for each sample (default: 3)")->type_name("N")->check(number_from(1));
  add_json(*verb, predict_arguments.json);
  verb->callback([&] { status = predict(predict_arguments); });

  BenchArguments bench_arguments;
  verb = app.add_subcommand("bench", "how fast a model trains or predicts: one batch in memory, again and again");
  add_untrusted(*verb, bench_arguments.untrusted);
  verb->add_option("model", bench_arguments.model, "saved model, or YAML file of an experiment")->required()->type_name("CONFIG_OR_MODEL");
  add_overrides(*verb, bench_arguments.overrides);
  auto* const training = verb->add_flag("--train", bench_arguments.training, "measure training steps");
  verb->add_flag("--infer", bench_arguments.inference, "measure predictions")->excludes(training);
  verb->add_option("--batch", bench_arguments.batch, "samples a step (default: 32)")->type_name("N")->check(number_from(1, {1 << 24}));
  verb->add_option("--seconds", bench_arguments.seconds, "how long it is measured (default: 5)")->type_name("S")->check(number_from(0.0, {86400.0}));
  add_dtype(*verb, bench_arguments.dtype);
  std::string matmul_precision;
  constexpr std::span precisions(EnumNames<MatmulPrecision>::names);
  verb->add_option("--matmul-precision", matmul_precision, "of float32 products: highest, high, medium")
      ->type_name("PRECISION")
      ->check(CLI::IsMember(std::vector<std::string>(precisions.begin(), precisions.end())));
  verb->add_flag("--fast", bench_arguments.fast, fast_help);
  verb->add_flag("--recompute", bench_arguments.recompute, "compute the forward pass again for the gradients instead of keeping it");
  add_run_options(*verb, bench_arguments);
  verb->add_flag("--verbose", bench_arguments.verbose, "also kernels, borrowed ones, and reorders in a step");
  auto* const profile = verb->add_flag("--profile", bench_arguments.profile,
                                       "also the time, work and traffic of each kind of kernel and of each kernel");
  verb->add_flag("--stand-alone", bench_arguments.stand_alone,
                 "also the speed of each kernel by itself, with operands from memory and with those that caches keep")
      ->needs(profile);
  verb->add_option("--trace", bench_arguments.trace, "file for a Chrome trace of the kernels (JSON)")->type_name("FILE");
  add_json(*verb, bench_arguments.json);
  verb->callback([&] {
    limit_spinning(words);
    if (const auto named = std::ranges::find(precisions, matmul_precision); named != precisions.end())
      bench_arguments.matmul_precision = static_cast<MatmulPrecision>(named - precisions.begin());
    status = bench(bench_arguments);
  });

  ParityArguments parity_arguments;
  verb = app.add_subcommand("parity", "whether two devices compute the same: outputs and gradients of every layer in a training step");
  add_untrusted(*verb, parity_arguments.untrusted);
  verb->add_option("model", parity_arguments.model, "saved model, or YAML file of an experiment")->required()->type_name("CONFIG_OR_MODEL");
  add_overrides(*verb, parity_arguments.overrides);
  verb->add_option("--devices", parity_arguments.devices, "the one that is trusted and the one that is compared with it (default: reference,cpu)")
      ->type_name("DEVICE,DEVICE");
  verb->add_option("--data", parity_arguments.data,
                   "what the step is computed on, as for evaluate; random: made up (default: the configuration's training data, else random)")
      ->type_name("CONFIG_OR_SOURCE");
  verb->add_option("--batch", parity_arguments.batch, "samples of the step (default: 4)")->type_name("N")->check(number_from(1, {1 << 24}));
  add_dtype(*verb, parity_arguments.dtype);
  verb->add_option("--tolerance", parity_arguments.tolerance,
                   "how far apart values may be, as a part of the largest one (default: 0.001, for float16 0.02, for bfloat16 0.1)")
      ->type_name("X")
      ->check(number_from(0.0));
  verb->add_option("--seed", parity_arguments.seed, "of new weights, random layers and made-up data (default: the configuration's, else 0)")
      ->type_name("N")
      ->check(number_from(0));
  verb->add_option("--top", parity_arguments.top, "show the layers alone that differ most (default: all)")->type_name("N")->check(number_from(1));
  add_allow_lua(*verb);
  add_threads(*verb, parity_arguments.threads);
  add_json(*verb, parity_arguments.json);
  verb->callback([&] {
    limit_spinning(words);
    status = parity(parity_arguments);
  });

  SummaryArguments summary_arguments;
  verb = app.add_subcommand("summary", "layers, parameters, work and memory of a model");
  add_untrusted(*verb, summary_arguments.untrusted);
  verb->add_option("model", summary_arguments.model, "saved model, or YAML file of an experiment")->required()->type_name("MODEL_OR_CONFIG");
  add_overrides(*verb, summary_arguments.overrides);
  add_allow_lua(*verb);
  add_json(*verb, summary_arguments.json);
  verb->callback([&] { status = summary(summary_arguments); });

  ConvertArguments convert_arguments;
  verb = app.add_subcommand("convert", "write a model in another format");
  verb->add_option("input", convert_arguments.input,
                   "a model (.keras .h5), an architecture (.json .yaml, or an experiment) or weights (.weights.h5 .weights.json)")
      ->required()
      ->type_name("IN");
  add_allow_lua(*verb);
  verb->add_option("output", convert_arguments.output, "file to write: .keras .h5 .weights.h5 .weights.json .json .yaml")
      ->required()
      ->type_name("OUT");
  verb->add_option("--weights", convert_arguments.weights, "file whose weights the model gets")->type_name("FILE");
  verb->add_flag("--by-name", convert_arguments.by_name, "weights go to the layers of the same names");
  verb->add_flag("--skip-mismatch", convert_arguments.skip_mismatch, "pass over layers that weights do not fit, and say which");
  add_untrusted(*verb, convert_arguments.untrusted);
  verb->add_flag("--overwrite", convert_arguments.overwrite, "replace a file that exists");
  std::string weights_dtype;
  verb->add_option("--weights-dtype", weights_dtype, "how weights are stored: float32, or float16 for half the size")
      ->type_name("DTYPE")
      ->check(CLI::IsMember({"float32", "float16"}));
  verb->add_option("--max-shard-size", convert_arguments.save.max_shard_size, "GiB of weights in each file beside a .weights.json (default: 5)")
      ->type_name("GIB");
  verb->callback([&] {
    if (!weights_dtype.empty()) convert_arguments.save.weights_dtype = dtype_named(weights_dtype);
    status = convert(convert_arguments);
  });

  LuaArguments lua_arguments;
  verb = app.add_subcommand("lua", "run a script of Lua that builds, trains and uses models, or open a prompt: lua [SCRIPT [ARGS…]]");
  add_threads(*verb, lua_arguments.threads);
  verb->add_flag("--sandbox", lua_arguments.sandbox, "for a script of somebody else's: no files, no processes, bounded memory and steps");
  verb->footer("SCRIPT is a file, or - for standard input; ARGS are the script's own. Without one a terminal gets a prompt, and "
               "other input is run.");
  verb->prefix_command();  // what begins with the script's name is not parsed here
  verb->callback([&, verb] {
    limit_spinning(words);
    const std::vector<std::string> script = verb->remaining();
    if (!script.empty()) {
      if (script.front().starts_with('-') && script.front() != "-") {
        const std::string option = script.front().substr(0, script.front().find('='));
        std::vector<std::string> names;
        for (const CLI::Option* known : verb->get_options())
          for (const std::string& name : known->get_lnames()) names.push_back("--" + name);
        throw Error("unknown option '{}'", option).hint(suggestion(option, {names.begin(), names.end()})).usage();
      }
      lua_arguments.script = script.front();
      lua_arguments.words.assign(script.begin() + 1, script.end());
    }
    status = lua(lua_arguments);
  });

  std::filesystem::path run_folder;
  verb = app.add_subcommand("plot", "draw the curves of a run as SVG and PNG");
  verb->add_option("run", run_folder, "folder of the run")->required()->type_name("RUN_DIR");
  verb->callback([&] { status = plot(run_folder); });

  ReportArguments report_arguments;
  verb = app.add_subcommand("report", "write a run as one HTML page: curves, classes or errors, samples, model, settings");
  verb->add_option("run", report_arguments.run_folder, "folder of the run")->required()->type_name("RUN_DIR");
  verb->add_option("-o,--output", report_arguments.output, "the page (default: report.html in the folder)")->type_name("FILE");
  verb->add_option("--data", report_arguments.data, "what is measured on, as for evaluate (default: the run's test data, else its validation data)")
      ->type_name("CONFIG_OR_SOURCE");
  verb->add_option("--batch-size", report_arguments.batch_size, "samples a step")->type_name("N")->check(number_from(1));
  verb->add_option("--samples", report_arguments.samples, "how many samples of each kind are shown (default: 12)")->type_name("N")->check(number_from(0, {200}));
  add_run_options(*verb, report_arguments);
  verb->callback([&] {
    limit_spinning(words);
    status = report(report_arguments);
  });

  std::filesystem::path config;
  std::vector<std::string> overrides;
  bool render_json = false;
  verb = app.add_subcommand("render", "print a configuration with blocks expanded and every default filled in");
  verb->add_option("config", config, "YAML file of the experiment")->required()->type_name("CONFIG");
  add_overrides(*verb, overrides);
  add_json(*verb, render_json);
  verb->callback([&] { status = render(config, overrides, render_json); });

  verb = app.add_subcommand("schema", "print the JSON Schema of configurations, for editors");
  verb->callback([&] { status = schema(); });

  std::filesystem::path reference_folder;
  verb = app.add_subcommand("reference", "write the reference of all classes and keys as Markdown");
  verb->add_option("folder", reference_folder, "folder for the pages")->required()->type_name("FOLDER");
  verb->callback([&] { status = reference(reference_folder); });

  CLI::App* const zoo = app.add_subcommand("zoo", "the model zoo: zoo:NAME stands wherever a model is named");
  zoo->require_subcommand(1);
  bool zoo_json = false;
  std::vector<std::string> zoo_names;
  std::string zoo_name, mirror;
  verb = zoo->add_subcommand("list", "its models, and the weights that there are for them");
  add_json(*verb, zoo_json);
  verb->callback([&] { status = zoo_list(zoo_json); });
  verb = zoo->add_subcommand("show", "arguments, weights and size of a model");
  verb->add_option("name", zoo_name, "for example mobilenetv2?alpha=0.5")->required()->type_name("NAME");
  add_json(*verb, zoo_json);
  verb->callback([&] { status = zoo_show(zoo_name, zoo_json); });
  verb = zoo->add_subcommand("get", "fetch the weights of models where they are missing or wrong, and print where they lie");
  verb->add_option("names", zoo_names, "for example mobilenetv2?alpha=0.5")->required()->type_name("NAME");
  verb->add_option("--mirror", mirror, "address of a folder that has the same files (default: NACRE_ZOO_MIRROR)")->type_name("ADDRESS");
  add_json(*verb, zoo_json);
  verb->callback([&] { status = zoo_get(zoo_names, mirror, zoo_json); });
  verb = zoo->add_subcommand("verify", "compare the weights that are here with their checksums; without one, see whether they open");
  verb->add_option("names", zoo_names, "of models (default: all)")->type_name("NAME");
  add_json(*verb, zoo_json);
  verb->callback([&] { status = zoo_verify(zoo_names, zoo_json); });

  bool doctor_json = false;
  verb = app.add_subcommand("doctor", "version, backends, instruction sets, threads, libraries, devices");
  add_json(*verb, doctor_json);
  verb->callback([&] { status = doctor(doctor_json); });

  std::vector<std::string> verbs;
  for (const CLI::App* known : app.get_subcommands([](const CLI::App*) { return true; })) verbs.push_back(known->get_name());
  std::vector<char*> asked(words, words + count);  // "help VERB" is "VERB --help"
  std::string help = "--help";
  if (count > 1 && std::string_view(words[1]) == "help") {
    asked.erase(asked.begin() + 1);
    asked.push_back(help.data());
    words = asked.data();
  }
  if (count > 1 && words[1][0] != '-' && std::find(verbs.begin(), verbs.end(), words[1]) == verbs.end())
    throw Error("unknown verb '{}'", words[1]).hint(suggestion(words[1], {verbs.begin(), verbs.end()})).usage();
  try {
    app.parse(count, words);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : wrong_usage;
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout)) throw Error("standard output cannot be written: is the disk full?");
  return status;
}

}  // namespace
}  // namespace nacre::cli

int main(int count, char** words) {
  using namespace nacre;
  std::signal(SIGXFSZ, SIG_IGN);  // a file that would become too large is then an error, of which a message can be made
  try {
    return cli::run(count, words);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.kind() == Error::Kind::usage ? cli::wrong_usage : cli::failed;
  } catch (...) {
    std::fprintf(stderr, "%s\n", cli::failure_text().c_str());
    return cli::failed;
  }
}
