#include "api/inspect/run_report.h"

#include <algorithm>
#include <ctime>
#include <set>

#include "api/experiment/evaluation_data.h"
#include "api/experiment/experiment.h"
#include "api/inspect/environment.h"
#include "api/inspect/readable.h"
#include "api/inspect/report/charts.h"
#include "api/inspect/report/evaluation.h"
#include "api/inspect/summary.h"
#include "api/save.h"
#include "formats/file.h"
#include "formats/yaml.h"

namespace nacre {

namespace {

using html::Section;

constexpr std::uint64_t largest_config = std::uint64_t{1} << 24;

// What a run left in its folder.
struct Run {
  std::filesystem::path folder;
  std::string config_text;
  Tree config;
  Experiment experiment;
  Model model;
  bool broken_off = false;  // the model is that of the checkpoint
  std::vector<Panel> panels;
  std::int64_t epochs = 0;          // done
  std::optional<Tree> environment;  // of the training
};

Run read_run(const std::filesystem::path& folder) {
  const std::filesystem::path config = folder / "config.yaml", history = folder / "history.csv",
                              environment = folder / "environment.yaml";
  if (!std::filesystem::exists(config))
    throw Error("this is no folder of a run: config.yaml is not there")
        .at({folder.string(), 0, 0})
        .hint("nacre train CONFIG --output DIR makes one")
        .usage();
  const bool saved = std::filesystem::exists(folder / "model.h5");
  if (!saved && !std::filesystem::exists(folder / "checkpoint.h5"))
    throw Error("the run has no model yet: model.h5 and checkpoint.h5 are not there")
        .at({folder.string(), 0, 0})
        .hint(fmt::format("nacre train {} --output DIR begins it again", config.string()));
  Run run{.folder = folder,
          .config_text = read_file(config, largest_config),
          .config = load_yaml(config),
          .experiment = Experiment::load(config),
          .model = load_model(folder / (saved ? "model.h5" : "checkpoint.h5")),
          .broken_off = !saved,
          .panels = {},
          .environment = {}};
  if (!run.model.trainer().options() && !run.experiment.config().train.compile.loss.empty())
    run.model.compile(run.experiment.config().train.compile);
  if (std::filesystem::exists(history)) run.panels = read_history_panels(history);
  for (const Panel& panel : run.panels)
    for (const Curve& curve : panel.curves)
      for (double epoch : curve.x) run.epochs = std::max(run.epochs, static_cast<std::int64_t>(epoch));
  if (std::filesystem::exists(environment)) run.environment = load_yaml(environment);
  return run;
}

std::string_view measured_set(const ExperimentConfig& config) {
  if (config.data.test) return "test data";
  return config.data.validation || config.train.fit.validation_split.value_or(0) > 0 ? "validation data"
                                                                                     : "training data";
}

std::string duration(double seconds) {
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  return whole < 3600 ? fmt::format("{} min {} s", whole / 60, whole % 60)
                      : fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

std::string now() {
  const std::time_t seconds = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} UTC", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min);
}

const Tree* value_at(const Tree* tree, std::initializer_list<std::string_view> keys) {
  for (std::string_view key : keys) tree = tree ? tree->find(key) : nullptr;
  return tree;
}

// A setting as YAML, on as many lines as it takes.
std::string code(const Tree& value) {
  Tree holder;
  holder.set("x", value);
  std::string yaml = write_yaml(holder).substr(2);
  while (!yaml.empty() && (yaml.front() == ' ' || yaml.front() == '\n')) yaml.erase(0, 1);
  while (!yaml.empty() && yaml.back() == '\n') yaml.pop_back();
  return "<code>" + html::lines(yaml) + "</code>";
}

bool says_nothing(const Tree& value) {
  return value.is_null() || value == Tree(false) || (value.is_sequence() && value.items().empty()) ||
         (value.is_mapping() && value.entries().empty());
}

// Without what is off: a resolved configuration fills in every default.
Tree essence(Tree value) {
  if (value.is_mapping()) {
    for (Tree::Entry& entry : value.entries()) entry.value = essence(std::move(entry.value));
    std::erase_if(value.entries(), [](const Tree::Entry& entry) { return says_nothing(entry.value); });
  } else if (value.is_sequence()) {
    for (Tree& item : value.items()) item = essence(std::move(item));
  }
  return value;
}

// --- parts ----------------------------------------------------------------------------------------------------------

std::string lead(const Run& run, const EvaluationReport* report, std::string_view set, const ModelSummary& summary) {
  const std::int64_t planned = run.experiment.config().train.fit.epochs;
  std::string result =
      run.broken_off ? fmt::format("The run was broken off; this is its last checkpoint, after {} of {} epochs. ",
                                   run.epochs, planned)
      : run.epochs < planned ? fmt::format("Training ended after {} of {} epochs. ", run.epochs, planned)
                             : fmt::format("Trained for {} epoch{}. ", run.epochs, run.epochs == 1 ? "" : "s");
  if (report) {
    bool said = false;
    for (const EvaluationReport::Output& output : report->outputs) {
      const std::string sentence = html::result_sentence(output, set);
      if (sentence.empty()) continue;
      result += (report->outputs.size() > 1 ? fmt::format("{}: ", output.name) : "") + sentence + " ";
      said = true;
    }
    if (const double* loss = report->logs.find("loss"); loss && !said)
      result += fmt::format("On the {} its loss is {:.4g}.", set, *loss);
  }
  const std::filesystem::path named = std::filesystem::absolute(run.folder).lexically_normal();
  const std::string& name = run.experiment.config().name;
  std::string text = fmt::format(
      "<p class=\"kicker\">nacre run · {}</p>\n<h1>{}</h1>\n<p class=\"result\">{}</p>\n<dl class=\"tiles\">",
      html::text((named.has_filename() ? named : named.parent_path()).filename().string()),
      html::text(name.empty() ? summary.name : name), html::text(result));
  const auto tile = [&](std::string_view title, std::string_view value) {
    text += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", html::text(title), html::text(value));
  };
  std::size_t shown = 0;
  if (report)
    for (const auto& [title, value] : report->logs)
      if (++shown <= 8) tile(title, fmt::format("{:.4g}", value));
  if (report && report->outputs.size() == 1) {
    if (const auto& found = report->outputs.front().classification) {
      tile("macro F1", fmt::format("{:.4f}", found->macro_average().f1));
      if (found->top_five()) tile("top-5 accuracy", fmt::format("{:.4f}", *found->top_five()));
      if (!found->bins.empty()) tile("calibration error", fmt::format("{:.4f}", found->calibration_error));
    } else if (const auto& numbers = report->outputs.front().regression) {
      tile("root mean squared error", fmt::format("{:.4g}", numbers->errors.root_mean_squared));
      tile("R²", fmt::format("{:.4f}", numbers->errors.r_squared));
    }
  }
  tile("parameters", with_commas(summary.trainable + summary.non_trainable));
  if (const Tree* seconds = run.environment ? run.environment->find("seconds") : nullptr;
      seconds && seconds->is_number())
    tile("training time", duration(seconds->as_number()));
  return text + "</dl>\n";
}

std::string curves(const Run& run) {
  std::string charts;
  for (const Panel& panel : run.panels) {
    const auto constant = [](const Curve& curve) {
      return std::ranges::adjacent_find(curve.y, std::not_equal_to()) == curve.y.end();
    };
    // A rate that stayed what the settings say is no news.
    if (panel.title != "learning_rate" || !std::ranges::all_of(panel.curves, constant)) charts += html::curves(panel);
  }
  return "<div class=\"grid\">" + charts + "</div>\n";
}

std::string model_table(const ModelSummary& summary, const ModelCard& card) {
  const auto shapes = [](const std::vector<Shape>& list) {
    std::string text;
    for (const Shape& shape : list) text += (text.empty() ? "" : ", ") + shape.text();
    return html::text(text);
  };
  std::vector<html::Column> columns{{"Layer"}, {"Class"}, {"Output shape"}, {"Parameters", true}};
  if (summary.branches) columns.push_back({"Connected to"});
  std::vector<std::vector<std::string>> rows;
  for (const ModelSummary::Row& row : summary.rows) {
    rows.push_back(
        {html::text(row.name), html::text(row.class_name), shapes(row.outputs), with_commas(row.parameters)});
    if (!summary.branches) continue;
    std::string links;
    for (const std::string& link : row.connected_to) links += (links.empty() ? "" : ", ") + link;
    rows.back().push_back(html::text(links));
  }
  std::string table = html::table(fmt::format("{} layers", rows.size()), columns, rows);
  if (rows.size() > 40)
    table = fmt::format("<details><summary>All {} layers</summary>{}</details>\n", rows.size(), table);
  std::vector<std::pair<std::string, std::string>> facts{
      {"Class", html::text(summary.class_name)},
      {"Parameters", fmt::format("{} ({})", with_commas(summary.trainable + summary.non_trainable),
                                 readable_bytes(summary.trainable_bytes + summary.non_trainable_bytes))},
      {"Trainable", with_commas(summary.trainable)}};
  for (const ModelSummary::Port& port : summary.inputs)
    facts.emplace_back("Input " + port.name, html::text(port.type.text()));
  for (const ModelSummary::Port& port : summary.outputs)
    facts.emplace_back("Output " + port.name, html::text(port.type.text()));
  if (summary.flops) facts.emplace_back("FLOPs per sample", readable_flops(*summary.flops));
  if (!card.source.empty()) facts.emplace_back("Weights from", html::text(card.source));
  if (!card.licence.empty()) facts.emplace_back("Licence", html::text(card.licence));
  return html::properties("The model", facts) + "<h3>Layers</h3>\n" + table;
}

std::string settings(const Run& run) {
  std::vector<std::pair<std::string, std::string>> rows;
  const auto add = [&](std::string_view title, const Tree* value) {
    if (value && !says_nothing(*value)) rows.emplace_back(title, code(essence(*value)));
  };
  const Tree* const train = run.config.find("train");
  for (const std::string_view key :
       {"optimizer", "loss", "loss_weights", "metrics", "weighted_metrics", "batch_size", "epochs", "validation_split",
        "steps_per_epoch", "class_weight", "callbacks", "dtype", "matmul_precision", "deterministic"})
    add(key, value_at(train, {key}));
  add("seed", value_at(&run.config, {"seed"}));
  for (const std::string_view set : {"train", "validation", "test"})
    add(fmt::format("{} data", set == "train" ? "training" : set), value_at(&run.config, {"data", set}));
  add("one_hot", value_at(&run.config, {"data", "one_hot"}));
  add("augment", value_at(&run.config, {"data", "augment"}));
  return html::properties("How it was trained", rows);
}

std::string surroundings(const Run& run) {
  const Tree here = environment();
  const Tree& tree = run.environment ? *run.environment : here;
  std::vector<std::pair<std::string, std::string>> rows;
  const auto joined = [](const Tree& value) {
    std::string text;
    if (value.is_sequence())
      for (const Tree& item : value.items()) text += (text.empty() ? "" : " ") + item.text();
    else if (value.is_mapping())
      for (const auto& [name, item, mark] : value.entries())
        text +=
            fmt::format("{}{} {}", text.empty() ? "" : ", ", name, item.is_string() ? item.as_string() : item.text());
    else text = value.is_string() ? value.as_string() : value.text();
    std::erase(text, '\'');
    return html::text(text);
  };
  const auto add = [&](std::string_view title, std::string_view key) {
    if (const Tree* value = tree.find(key)) rows.emplace_back(title, joined(*value));
  };
  add("nacre", "version");
  add("Device", "device");
  add("Processor", "processor");
  add("Instruction sets", "instruction_sets");
  add("Threads", "threads");
  std::set<std::string> policies;
  for (const auto& layer : run.model.layers()) policies.insert(layer->dtype().name);
  std::string policy;
  for (const std::string& name : policies) policy += (policy.empty() ? "" : ", ") + name;
  rows.emplace_back("Dtype", html::text(policy));
  add("Libraries", "libraries");
  if (const Tree* seconds = tree.find("seconds"); seconds && seconds->is_number())
    rows.emplace_back("Training time", duration(seconds->as_number()));
  return html::properties(
      run.environment ? "Where it was trained" : "Where this page was made; the run does not say where it was trained",
      rows);
}

}  // namespace

std::string run_report(const std::filesystem::path& run_folder, const RunReportOptions& options) {
  const Run run = read_run(run_folder);
  Model model = run.model;
  const ExperimentConfig& config = run.experiment.config();
  model.set_device(options.device.empty() ? config.device : options.device);
  const bool measured = model.trainer().options().has_value();
  const bool named = config.data.train || config.data.validation || config.data.test;
  DatasetRef data;
  if (!options.data.empty()) data = EvaluationData(options.data).open(model);
  else if (named) data = data_for(model, run.experiment.open_evaluation_data(input_form(model.graph())));
  const std::string set = options.data.empty() ? std::string(measured_set(config)) : "data";
  std::optional<EvaluationReport> report;
  if (data && measured) {
    report = evaluation_report(model, data,
                               {.batch_size = options.batch_size, .worst = options.samples, .stop = options.stop});
    if (options.stop && *options.stop) throw Error("interrupted before all {} samples were seen", data->size());
  }
  const ModelSummary summary = summarize(model, {.measure_memory = false});

  std::vector<Section> sections;
  if (!run.panels.empty()) sections.push_back({"curves", "Curves", curves(run)});
  if (report) {
    for (Section& section : html::evaluation_sections(*report, *data)) sections.push_back(std::move(section));
  }
  sections.push_back({"model", "Model", model_table(summary, model.graph().card())});
  sections.push_back(
      {"settings", "Training",
       settings(run) +
           fmt::format("<details><summary>The whole configuration</summary><pre tabindex=\"0\">{}</pre></details>\n",
                       html::lines(run.config_text))});
  sections.push_back({"environment", "Environment", surroundings(run)});
  const std::string measured_on = report ? fmt::format("Measured on the {}: {}. ", set, html::text(report->data)) : "";
  const std::string& name = config.name.empty() ? summary.name : config.name;
  return html::page(name + " · nacre report", lead(run, report ? &*report : nullptr, set, summary), sections,
                    fmt::format("{}Written by nacre {} on {}.", measured_on,
                                html::text(environment()["version"].as_string()), now()));
}

}  // namespace nacre
