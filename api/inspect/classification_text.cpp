// The forms of a classification report: text for people, a tree for programs.
#include <algorithm>
#include <numeric>

#include "api/inspect/classification_report.h"
#include "api/inspect/readable.h"
#include "backend/core/unicode.h"

namespace nacre {

namespace {

using Report = ClassificationReport;

constexpr std::size_t most_rows = 20;     // of classes in text
constexpr std::size_t most_matrix = 15;   // classes of a matrix in text
constexpr std::size_t most_listed = 100;  // classes of a matrix in a tree, and pairs of classes beyond
constexpr std::size_t longest_label = 24;

std::string label_of(const Report& report, std::int64_t label) {
  if (label == Report::none) return "none";
  return shortened(escaped(report.labels[static_cast<std::size_t>(label)]), longest_label);
}

std::string four(double value) { return fmt::format("{:.4f}", value); }

std::string class_table(const Report& report, int width) {
  TextTable table({{"class"}, {"precision", true}, {"recall", true}, {"f1", true}, {"support", true}});
  std::vector<std::size_t> order(report.classes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::string text;
  if (order.size() > most_rows) {
    const auto occurs = [&](std::size_t i) { return report.classes[i].support + report.classes[i].predicted > 0; };
    std::erase_if(order, [&](std::size_t i) { return !occurs(i); });
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return report.classes[i].f1(); });
    order.resize(std::min(order.size(), most_rows));
    text = fmt::format("the {} of {} classes with the lowest F1\n", order.size(), report.classes.size());
  }
  std::int64_t total = 0;
  for (const Report::Class& one : report.classes) total += one.support;
  for (std::size_t i : order) {
    const Report::Class& one = report.classes[i];
    table.row({shortened(report.labels[i], longest_label), four(one.precision()), four(one.recall()), four(one.f1()),
               std::to_string(one.support)});
  }
  table.gap();
  for (const auto& [name, average] :
       {std::pair("macro average", report.macro_average()), std::pair("weighted average", report.weighted_average())})
    table.row({name, four(average.precision), four(average.recall), four(average.f1), std::to_string(total)});
  text += table.text(width);
  if (const std::size_t count = report.averaged_classes(); count < report.classes.size())
    text += fmt::format("averages are over {} of {} classes: those that occur or are predicted\n", count,
                        report.classes.size());
  return text;
}

// Rows are true classes; "" when it does not fit.
std::string matrix(const Report& report, int width) {
  const std::size_t size = report.classes.size();
  if (report.confusion.empty() || size > most_matrix) return {};
  std::size_t cell = 0;
  for (std::int64_t count : report.confusion) cell = std::max(cell, std::to_string(count).size());
  std::size_t label = 0, widest_number = std::to_string(size - 1).size();
  for (const std::string& name : report.labels) label = std::max(label, text_columns(escaped(name)));
  const bool numbered = label > std::max<std::size_t>(cell, 6);  // columns are headed by numbers, which rows have too
  cell = std::max(cell, numbered ? widest_number : label) + 2;
  const std::size_t number = numbered ? widest_number + 2 : 0;
  if (number + 6 + cell * size > static_cast<std::size_t>(width)) return {};
  label = std::min(label, static_cast<std::size_t>(width) - number - cell * size);

  std::string text(number + label, ' ');
  const auto right = [](const std::string& content, std::size_t columns) {
    return std::string(columns - std::min(columns, text_columns(content)), ' ') + content;
  };
  for (std::size_t k = 0; k < size; ++k) text += right(numbered ? std::to_string(k) : escaped(report.labels[k]), cell);
  text += "\n";
  for (std::size_t i = 0; i < size; ++i) {
    if (numbered) text += right(std::to_string(i), widest_number) + "  ";
    const std::string name = shortened(escaped(report.labels[i]), label);
    text += name + std::string(label - text_columns(name), ' ');
    for (std::size_t k = 0; k < size; ++k) {
      const std::int64_t count = report.confusion[i * size + k];
      text += right(count > 0 ? std::to_string(count) : "·", cell);
    }
    text += "\n";
  }
  return "confusion matrix: rows are true classes, columns predicted ones\n" + text;
}

std::string pairs(const Report& report, int width) {
  const auto confused = report.most_confused(10);
  if (confused.empty()) return {};
  TextTable table({{"true"}, {"predicted"}, {"count", true}, {"of true", true}});
  for (const Report::Confusion& pair : confused)
    table.row(
        {label_of(report, pair.truth), label_of(report, pair.predicted), std::to_string(pair.count),
         fmt::format("{:.1f}%",
                     100 * Report::share(pair.count, report.classes[static_cast<std::size_t>(pair.truth)].support))});
  return "most confused classes\n" + table.text(width);
}

std::string calibration(const Report& report, int width) {
  TextTable table({{"probability"}, {"count", true}, {"predicted", true}, {"observed", true}, {"difference", true}});
  for (const Report::Bin& bin : report.bins)
    if (bin.count > 0)
      table.row({fmt::format("{:.2g} – {:.2g}", bin.low, bin.high), std::to_string(bin.count), four(bin.predicted),
                 four(bin.observed), fmt::format("{:+.4f}", bin.predicted - bin.observed)});
  return fmt::format("calibration: expected error {:.4f}\n", report.calibration_error) + table.text(width);
}

std::string mistakes(const Report& report, int width) {
  const std::string_view measure = report.probabilistic ? "probability" : "score";
  std::vector<TextTable::Column> columns{{"sample", true}};
  if (report.places > 1) columns.push_back({"place", true});
  columns.insert(columns.end(),
                 {{"true"}, {std::string(measure), true}, {"predicted"}, {std::string(measure), true}, {"name"}});
  TextTable table(columns);
  for (const Report::Sample& sample : report.worst) {
    std::vector<std::string> cells{std::to_string(sample.index)};
    if (report.places > 1) cells.push_back(std::to_string(sample.place));
    if (report.kind == Report::Kind::multi_label) {
      const std::string label = label_of(report, sample.label), other = "not " + label;
      cells.insert(cells.end(), {sample.truth ? label : other, four(sample.truth_probability),
                                 sample.predicted == Report::none ? "none"
                                 : sample.predicted               ? label
                                                                  : other});
    } else {
      cells.insert(cells.end(), {label_of(report, sample.truth), four(sample.truth_probability),
                                 label_of(report, sample.predicted)});
    }
    cells.insert(cells.end(), {four(sample.probability), sample.name});
    table.row(std::move(cells));
  }
  return "worst mistakes\n" + table.text(width);
}

Tree tree_of(const Report::Averages& averages) {
  Tree tree;
  tree.set("precision", averages.precision);
  tree.set("recall", averages.recall);
  tree.set("f1", averages.f1);
  return tree;
}

Tree tree_of(const Report& report, const Report::Sample& sample) {
  const auto name = [&](std::int64_t label) {
    return label == Report::none ? Tree() : Tree(report.labels[static_cast<std::size_t>(label)]);
  };
  Tree tree;
  tree.set("index", sample.index);
  if (!sample.name.empty()) tree.set("name", sample.name);
  if (report.places > 1) tree.set("place", sample.place);
  if (report.kind == Report::Kind::multi_label) {
    tree.set("label", name(sample.label));
    tree.set("truth", sample.truth != 0);
    tree.set("predicted", sample.predicted == Report::none ? Tree() : Tree(sample.predicted != 0));
  } else {
    tree.set("truth", name(sample.truth));
    tree.set("predicted", name(sample.predicted));
  }
  const bool scores = !report.probabilistic;
  tree.set(scores ? "score" : "probability", sample.probability);
  tree.set(scores ? "truth_score" : "truth_probability", sample.truth_probability);
  tree.set("loss", sample.loss);
  return tree;
}

}  // namespace

std::string ClassificationReport::text(int width) const {
  std::string text;
  if (top_five())
    text += fmt::format("{:<24} {:.6g}\n{:<24} {:.6g}\n", "top-1 accuracy", accuracy(), "top-5 accuracy", *top_five());
  if (places > 1) text += fmt::format("{:<24} {}\n", "places that count", count);
  if (undefined > 0) text += fmt::format("{:<24} {} of {}\n", "predictions that are NaN", undefined, count);
  if (!text.empty()) text += "\n";
  text += class_table(*this, width);
  if (std::string part = matrix(*this, width); !part.empty()) text += "\n" + part;
  else if (part = pairs(*this, width); !part.empty()) text += "\n" + part;
  if (!bins.empty()) text += "\n" + calibration(*this, width);
  if (!worst.empty()) text += "\n" + mistakes(*this, width);
  return text;
}

Tree ClassificationReport::tree() const {
  constexpr std::string_view kinds[] = {"binary", "categorical", "multi_label"};
  Tree tree, per_class = Tree::sequence();
  tree.set("kind", kinds[static_cast<std::size_t>(kind)]);
  tree.set("count", count);
  if (undefined > 0) tree.set("undefined", undefined);
  tree.set("accuracy", accuracy());
  if (top_five()) tree.set("top_5_accuracy", *top_five());
  if (probabilistic) tree.set("log_loss", log_loss);
  tree.set("macro_average", tree_of(macro_average()));
  tree.set("weighted_average", tree_of(weighted_average()));
  tree.set("averaged_classes", static_cast<std::int64_t>(averaged_classes()));
  for (std::size_t i = 0; i < classes.size(); ++i) {
    Tree& entry = per_class.items().emplace_back();
    entry.set("label", labels[i]);
    entry.set("precision", classes[i].precision());
    entry.set("recall", classes[i].recall());
    entry.set("f1", classes[i].f1());
    entry.set("support", classes[i].support);
  }
  tree.set("classes", std::move(per_class));
  if (!confusion.empty() && classes.size() <= most_listed) {
    Tree rows = Tree::sequence();
    for (std::size_t i = 0; i < classes.size(); ++i) {
      Tree row = Tree::sequence();
      for (std::size_t k = 0; k < classes.size(); ++k) row.push(confusion[i * classes.size() + k]);
      rows.push(std::move(row));
    }
    tree.set("confusion", std::move(rows));
  }
  if (kind != Kind::multi_label && !confusion.empty()) {
    Tree list = Tree::sequence();
    for (const Confusion& pair : most_confused(most_listed)) {
      Tree& entry = list.items().emplace_back();
      entry.set("truth", labels[static_cast<std::size_t>(pair.truth)]);
      entry.set("predicted", labels[static_cast<std::size_t>(pair.predicted)]);
      entry.set("count", pair.count);
    }
    tree.set("most_confused", std::move(list));
  }
  if (!bins.empty()) {
    Tree calibration, list = Tree::sequence();
    calibration.set("error", calibration_error);
    for (const Bin& bin : bins) {
      Tree& entry = list.items().emplace_back();
      entry.set("low", bin.low);
      entry.set("high", bin.high);
      entry.set("count", bin.count);
      entry.set("predicted", bin.count ? Tree(bin.predicted) : Tree());
      entry.set("observed", bin.count ? Tree(bin.observed) : Tree());
    }
    calibration.set("bins", std::move(list));
    tree.set("calibration", std::move(calibration));
  }
  Tree worst_samples = Tree::sequence(), best_samples = Tree::sequence();
  for (const Sample& sample : worst) worst_samples.push(tree_of(*this, sample));
  for (const Sample& sample : best) best_samples.push(tree_of(*this, sample));
  tree.set("worst", std::move(worst_samples));
  tree.set("best", std::move(best_samples));
  return tree;
}

}  // namespace nacre
