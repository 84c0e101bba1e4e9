// The forms of a parity report: a table for people, a tree for programs.
#include <algorithm>

#include "api/inspect/parity.h"
#include "api/inspect/readable.h"
#include "backend/core/unicode.h"

namespace nacre {

namespace {

using Row = ParityReport::Row;

std::string small_number(double value) { return value == 0 ? "0" : fmt::format("{:.1e}", value); }

// The cells of an output and of a gradient, and which of them exceed the tolerance.
std::vector<std::string> cells(std::string title, const std::optional<Difference>& value,
                               const std::optional<Difference>& gradient) {
  std::vector<std::string> row{std::move(title)};
  std::string exceeds;
  for (const auto& [difference, what] : {std::pair(&value, "output"), std::pair(&gradient, "gradient")}) {
    row.push_back(*difference ? small_number((*difference)->absolute) : "-");
    row.push_back(*difference ? small_number((*difference)->relative) : "-");
    if (*difference && (*difference)->exceeds()) exceeds = exceeds.empty() ? what : "both";
  }
  row.push_back(std::move(exceeds));
  return row;
}

void add_row(TextTable& table, const Row& row) {
  const std::string title = fmt::format("{} ({})", row.name, row.class_name);
  if (row.results.size() == 1) table.row(cells(title, row.results[0].value, row.results[0].gradient));
  else table.row({title});
  for (std::size_t i = 0; row.results.size() > 1 && i < row.results.size(); ++i)
    table.row(cells(fmt::format("  output {}", i), row.results[i].value, row.results[i].gradient));
  for (const ParityReport::Variable& variable : row.variables)
    table.row(cells("  " + variable.name, variable.value, variable.gradient));
}

// Whether each row is among the `most` that differ most.
std::vector<char> chosen(const std::vector<Row>& rows, std::size_t most) {
  std::vector<std::size_t> order(rows.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::stable_sort(order, std::greater(), [&](std::size_t i) { return rows[i].worst(); });
  std::vector<char> shown(rows.size());
  for (std::size_t i = 0; i < std::min(most, order.size()); ++i) shown[order[i]] = 1;
  return shown;
}

std::string excess_text(std::string_view what, const ParityReport::Excess& excess) {
  const Difference& difference = excess.difference;
  return fmt::format("{} {}:\n  {} apart, {} of the largest magnitude, in {} of {} elements\n", what, excess.where,
                     small_number(difference.absolute), small_number(difference.relative),
                     with_commas(difference.exceeding), with_commas(difference.elements));
}

Tree tree_of(const std::optional<Difference>& difference) {
  if (!difference) return {};
  Tree tree;
  tree.set("absolute", difference->absolute);
  tree.set("relative", difference->relative);
  tree.set("magnitude", difference->magnitude);
  tree.set("changed", difference->changed);
  tree.set("elements", difference->elements);
  tree.set("exceeding", difference->exceeding);
  tree.set("expected", difference->expected);
  return tree;
}

Tree tree_of(const std::optional<ParityReport::Excess>& excess) {
  if (!excess) return {};
  Tree tree = tree_of(std::optional(excess->difference));
  tree.set("where", excess->where);
  return tree;
}

}  // namespace

std::string ParityReport::text(int width, std::optional<std::size_t> most) const {
  std::string text = fmt::format("{}: {} compared with {}, a training step on {} sample{}, {}\n", escaped(model),
                                 checked, trusted, batch_size, batch_size == 1 ? "" : "s", dtypes);
  text += fmt::format("{:<11}{}\n", "data", data.empty() ? fmt::format("made up, seed {}", seed) : escaped(data));
  text += fmt::format("{:<11}{:.6g}, on {} {:.6g}\n", "loss", checked_loss, trusted, trusted_loss);
  if (!own_loss) text += fmt::format("{:<11}(the outputs, randomly weighted: the model has no loss of its own)\n", "");
  text +=
      fmt::format("{:<11}{:g} of the largest magnitude, more where rounding is amplified\n\n", "tolerance", tolerance);

  TextTable table(
      {{"layer"}, {"output", true}, {"relative", true}, {"gradient", true}, {"relative", true}, {"exceeds"}});
  const std::vector<char> shown = chosen(rows, most.value_or(rows.size()));
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (shown[i]) add_row(table, rows[i]);
  text += table.text(width);
  if (const auto count = std::ranges::count(shown, 1); static_cast<std::size_t>(count) < rows.size())
    text += fmt::format("the {} of {} layers that differ most\n", count, rows.size());

  text += "\n";
  if (agrees()) return text + "All outputs and gradients agree within the tolerance.\n";
  if (first_forward) text += excess_text("Forward it is exceeded first by", *first_forward);
  else text += "All outputs agree within the tolerance.\n";
  if (first_backward) text += excess_text("On the way back it is exceeded first by the gradient of", *first_backward);
  else text += "All gradients agree within the tolerance.\n";
  if (only_joined)
    text +=
        "Where the ops of different layers are not joined, all agrees: a pass that joins them is\n"
        "wrong, or a kernel for what it makes of them.\n";
  return text;
}

Tree ParityReport::tree() const {
  Tree tree, devices = Tree::sequence(), layers = Tree::sequence();
  Tree losses = tree_of(std::optional(loss)), values = Tree::sequence();
  devices.push(trusted);
  devices.push(checked);
  values.push(trusted_loss);
  values.push(checked_loss);
  losses.set("own", own_loss);
  losses.set("values", std::move(values));  // in the order of the devices
  for (const Row& row : rows) {
    Tree& layer = layers.items().emplace_back();
    Tree outputs = Tree::sequence(), variables = Tree::sequence();
    for (const Result& result : row.results) {
      Tree& output = outputs.items().emplace_back();
      output.set("shape", FieldKind<Shape>::write(result.shape, Style::keras));
      output.set("value", tree_of(std::optional(result.value)));
      output.set("gradient", tree_of(result.gradient));
    }
    for (const Variable& variable : row.variables) {
      Tree& entry = variables.items().emplace_back();
      entry.set("name", variable.name);
      entry.set("value", tree_of(variable.value));
      entry.set("gradient", tree_of(variable.gradient));
    }
    layer.set("name", row.name);
    layer.set("class_name", row.class_name);
    layer.set("outputs", std::move(outputs));
    layer.set("variables", std::move(variables));
  }
  tree.set("model", model);
  tree.set("devices", std::move(devices));
  tree.set("mode", "training");
  tree.set("dtype", dtypes);
  tree.set("batch_size", batch_size);
  tree.set("seed", static_cast<std::int64_t>(seed));
  tree.set("data", data.empty() ? Tree() : Tree(data));
  tree.set("tolerance", tolerance);
  tree.set("agrees", agrees());
  tree.set("first_forward", tree_of(first_forward));
  tree.set("first_backward", tree_of(first_backward));
  tree.set("only_joined", only_joined);
  tree.set("loss", std::move(losses));
  tree.set("layers", std::move(layers));
  return tree;
}

}  // namespace nacre
