#include "api/inspect/summary.h"

#include <unistd.h>

#include <cstdio>

#include "api/experiment/experiment.h"
#include "api/save.h"
#include "backend/core/unicode.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "formats/json.h"

namespace nacre::cli {

namespace {

Model saved_model(const ModelFile& file) {
  std::vector<std::string> notes;
  const LoadOptions options{.notes = &notes};
  Model model = load_any_model(file, options);
  for (const std::string& line : notes) say(stderr, "note: " + line);
  return model;
}

// --- weights without a model -------------------------------------------------------------------------------------

struct WeightRow {
  std::string name;    // in the file
  std::string object;  // what the user calls the layer
  Type type;
};

std::vector<WeightRow> rows_of(const WeightTree& tree) {
  std::vector<WeightRow> rows;
  for (const WeightGroup& group : tree.groups) {
    const auto add = [&](const std::string& key, const Tensor& tensor) {
      rows.push_back({fmt::format("{}{}vars/{}", group.path, group.path.empty() ? "" : "/", key), group.name.value_or(""), tensor.type()});
    };
    for (std::size_t i = 0; i < group.variables.size(); ++i) add(std::to_string(i), group.variables[i]);
    for (const auto& [key, tensor] : group.named) add(key, tensor);
  }
  return rows;
}

std::vector<WeightRow> rows_of(const KerasFile& file) {
  std::vector<WeightRow> rows;
  for (const LayerWeights& layer : file.layers)
    for (const NamedTensor& weight : layer.weights) rows.push_back({weight.name, layer.layer, weight.tensor.type()});
  return rows;
}

// The rows of a file of weights alone; none for other files.
std::optional<std::vector<WeightRow>> weights_alone(const ModelFile& file) {
  if (is_weights(file.kind)) return rows_of(file.weights);
  if (file.kind == FileKind::h5 && file.h5.model_config.is_null()) return rows_of(file.h5);
  return std::nullopt;
}

std::string text_of(std::vector<WeightRow> rows) {
  std::size_t name = 4, object = 5, shape = 5;
  std::int64_t elements = 0;
  std::size_t bytes = 0;
  for (WeightRow& row : rows) {
    row.name = escaped(row.name), row.object = escaped(row.object);
    name = std::max(name, row.name.size());
    object = std::max(object, row.object.size());
    shape = std::max(shape, row.type.shape.text().size());
    elements += row.type.shape.elements();
    bytes += row.type.bytes();
  }
  std::string text = fmt::format("{:<{}}  {:<{}}  {:<{}}  {:<8}  {:>12}\n", "name", name, "layer", object, "shape", shape, "dtype", "bytes");
  for (const WeightRow& row : rows)
    text += fmt::format("{:<{}}  {:<{}}  {:<{}}  {:<8}  {:>12}\n", row.name, name, row.object, object, row.type.shape.text(), shape,
                        name_of(row.type.dtype), row.type.bytes());
  return text + fmt::format("{} weights, {} numbers, {} bytes\n", rows.size(), elements, bytes);
}

Tree tree_of(const std::vector<WeightRow>& rows) {
  Tree weights = Tree::sequence(), tree;
  for (const WeightRow& row : rows) {
    Tree entry;
    entry.set("name", row.name);
    entry.set("layer", row.object);
    entry.set("shape", FieldKind<Shape>::write(row.type.shape, Style::keras));
    entry.set("dtype", name_of(row.type.dtype));
    entry.set("bytes", static_cast<std::int64_t>(row.type.bytes()));
    weights.push(std::move(entry));
  }
  tree.set("weights", std::move(weights));
  return tree;
}

void print(const SummaryArguments& arguments, const ModelSummary& summary) {
  if (arguments.json) std::puts(write_json(summary.tree(), 2).c_str());
  else std::fputs(summary.text(std::min(terminal_width(STDOUT_FILENO), 120)).c_str(), stdout);
}

}  // namespace

int summary(const SummaryArguments& arguments) {
  if (!arguments.untrusted && is_experiment(arguments.model)) {
    print(arguments, summarize(configured_model(Experiment::load(arguments.model, arguments.overrides), "", false)));
    return 0;
  }
  if (!arguments.overrides.empty()) throw Error("'{}' changes a configuration, but this is a saved model", arguments.overrides.front()).usage();
  const ModelFile file = read_model_file(arguments.model, arguments.untrusted);
  if (const auto rows = weights_alone(file)) {
    if (arguments.json) std::puts(write_json(tree_of(*rows), 2).c_str());
    else std::fputs(text_of(*rows).c_str(), stdout);
  } else {
    print(arguments, summarize(saved_model(file)));
  }
  return 0;
}

}  // namespace nacre::cli
