#include "api/inspect/report/evaluation.h"

#include <algorithm>
#include <cmath>

#include "api/inspect/readable.h"
#include "api/inspect/report/charts.h"
#include "api/inspect/report/samples.h"
#include "formats/base64.h"
#include "formats/image.h"

namespace nacre::html {

namespace {

using Classes = ClassificationReport;

constexpr std::size_t most_cells = 20;  // classes of a matrix with numbers; larger ones are pictures

std::string percent(double share) {
  return fmt::format("{:.{}f}%", 100 * share, share > 0.9995 || share < 0.0005 ? 2 : 1);
}
std::string label_of(const Classes& report, std::int64_t label) {
  return text(shortened(report.labels[static_cast<std::size_t>(label)], 60));
}

// --- classes ------------------------------------------------------------------------------------------------------

std::string matrix(const Classes& report) {
  const std::size_t size = report.classes.size();
  std::string html =
      "<div><p class=\"note\">Rows are true classes, columns predicted ones; colours are shares of a row.</p>"
      "<div class=\"scroll\" role=\"region\" aria-label=\"Confusion matrix\" tabindex=\"0\"><table class=\"matrix\">"
      "<caption class=\"hidden\">Confusion matrix</caption><thead><tr><td class=\"corner\"></td>";
  for (std::size_t k = 0; k < size; ++k)
    html += fmt::format("<th scope=\"col\">{}</th>", label_of(report, static_cast<std::int64_t>(k)));
  html += "</tr></thead><tbody>";
  for (std::size_t i = 0; i < size; ++i) {
    html += fmt::format("<tr><th scope=\"row\">{}</th>", label_of(report, static_cast<std::int64_t>(i)));
    for (std::size_t k = 0; k < size; ++k) {
      const std::int64_t count = report.confusion[i * size + k];
      const double share = Classes::share(count, report.classes[i].support);
      // Rare mistakes are what one looks for: the square root lets them be seen.
      const double depth = i == k ? share : std::sqrt(share);
      if (count == 0) html += "<td class=\"z\">0</td>";
      else
        html += fmt::format("<td class=\"{}\" style=\"--share:{:.2f}\" title=\"{} of true {} predicted as {}\">{}</td>",
                            i == k ? "r" : "w", std::max(depth, 0.06), percent(share),
                            label_of(report, static_cast<std::int64_t>(i)),
                            label_of(report, static_cast<std::int64_t>(k)), with_commas(count));
    }
    html += "</tr>";
  }
  return html + "</tbody></table></div></div>\n";
}

// Many classes: a pixel for each pair.
std::string heat_map(const Classes& report) {
  const std::size_t size = report.classes.size();
  Tensor pixels(DType::uint8, Shape{static_cast<std::int64_t>(size), static_cast<std::int64_t>(size), 4});
  const std::span<std::uint8_t> bytes = pixels.writable<std::uint8_t>();
  for (std::size_t i = 0; i < size; ++i)
    for (std::size_t k = 0; k < size; ++k) {
      const double share = Classes::share(report.confusion[i * size + k], report.classes[i].support);
      const std::uint8_t right[] = {46, 130, 205}, wrong[] = {225, 95, 30};
      std::copy_n(i == k ? right : wrong, 3, &bytes[(i * size + k) * 4]);
      bytes[(i * size + k) * 4 + 3] = static_cast<std::uint8_t>(std::lround(255 * std::sqrt(share)));
    }
  return fmt::format(
      "<figure><figcaption class=\"note\">Rows are true classes, columns predicted ones, each in the order of their "
      "numbers; what is not blue is "
      "a mistake.</figcaption><img class=\"heat\" width=\"{0}\" height=\"{0}\" alt=\"Confusion matrix of {0} classes\" "
      "src=\"data:image/png;base64,{1}\"></figure>\n",
      size, to_base64(encode_png(pixels)));
}

std::string confused(const Classes& report) {
  std::vector<std::vector<std::string>> rows;
  for (const Classes::Confusion& pair : report.most_confused(10))
    rows.push_back({label_of(report, pair.truth), label_of(report, pair.predicted), with_commas(pair.count),
                    percent(Classes::share(pair.count, report.classes[static_cast<std::size_t>(pair.truth)].support))});
  if (rows.empty()) return report.undefined > 0 ? "" : "<p>No class was taken for another.</p>\n";
  return table("Most confused classes", {{"True"}, {"Predicted"}, {"Count", true}, {"Of the true class", true}}, rows);
}

std::string classes(const Classes& report) {
  const auto cell = [](double value) { return fmt::format("{:.3f}", value); };
  std::vector<std::vector<std::string>> rows;
  std::int64_t total = 0;
  for (std::size_t i = 0; i < report.classes.size(); ++i) {
    const Classes::Class& one = report.classes[i];
    total += one.support;
    rows.push_back({label_of(report, static_cast<std::int64_t>(i)), cell(one.precision()), cell(one.recall()),
                    fmt::format("{}<span class=\"meter\" aria-hidden=\"true\"><i style=\"width:{:.0f}%\"></i></span>",
                                cell(one.f1()), 100 * one.f1()),
                    with_commas(one.support)});
  }
  for (const auto& [name, average] :
       {std::pair("Macro average", report.macro_average()), std::pair("Weighted average", report.weighted_average())})
    rows.push_back({name, cell(average.precision), cell(average.recall),
                    fmt::format("{}<span class=\"meter\" aria-hidden=\"true\"><i style=\"width:{:.0f}%\"></i></span>",
                                cell(average.f1), 100 * average.f1),
                    with_commas(total)});
  std::string all = table("Precision, recall and F1 of each class",
                          {{"Class"}, {"Precision", true}, {"Recall", true}, {"F1", true}, {"Support", true}}, rows);
  if (const std::size_t count = report.averaged_classes(); count < report.classes.size())
    all += fmt::format("<p>Averages are over {} of {} classes: those that occur or are predicted.</p>\n", count,
                       report.classes.size());
  if (report.classes.size() <= 40) return all;
  return fmt::format(
      "<p>Macro average: precision {:.3f}, recall {:.3f}, F1 {:.3f}.</p>\n<details><summary>All {} "
      "classes</summary>{}</details>\n",
      report.macro_average().precision, report.macro_average().recall, report.macro_average().f1, report.classes.size(),
      all);
}

std::string calibration_section(const Classes& report) {
  std::vector<std::vector<std::string>> rows;
  for (const Classes::Bin& bin : report.bins)
    if (bin.count > 0)
      rows.push_back({fmt::format("{:.2g} – {:.2g}", bin.low, bin.high), with_commas(bin.count),
                      fmt::format("{:.3f}", bin.predicted), fmt::format("{:.3f}", bin.observed),
                      fmt::format("{:+.3f}", bin.predicted - bin.observed)});
  return fmt::format(
      "<p>What is predicted with a probability of 0.8 should be true 8 times out of 10. On average the two differ by "
      "{:.4f} (expected calibration "
      "error).</p>\n<div class=\"grid\">{}{}</div>\n",
      report.calibration_error, calibration(report),
      table("By predicted probability",
            {{"Probability"}, {"Count", true}, {"Predicted", true}, {"Observed", true}, {"Difference", true}}, rows));
}

std::string number_of(const Classes& report, double value) {
  return report.probabilistic ? percent(value) : fmt::format("{:.4g}", value);
}

std::string label_text(const Classes& report, const Classes::Sample& sample, std::int64_t label) {
  if (label == Classes::none) return "none";
  if (report.kind != Classes::Kind::multi_label) return label_of(report, label);
  return (label ? "" : "not ") + label_of(report, sample.label);
}

std::string where(std::int64_t index, const std::string& name, std::int64_t place, std::int64_t places) {
  std::string words = name.empty() ? fmt::format("sample {}", index) : fmt::format("{} (sample {})", text(name), index);
  if (places > 1) words += fmt::format(", place {}", place);
  return fmt::format("<p class=\"where\">{}</p>", words);
}

std::string gallery(const std::vector<std::pair<ShownSample, std::string>>& samples) {
  const bool wide = std::ranges::any_of(samples, [](const auto& sample) { return sample.first.wide; });
  std::string html = fmt::format("<ul class=\"samples{}\">", wide ? " wide" : "");
  for (const auto& [sample, words] : samples) html += fmt::format("<li>{}{}</li>\n", sample.html, words);
  return html + "</ul>\n";
}

std::string class_samples(const Classes& report, const Dataset& data) {
  const auto shown = [&](const std::vector<Classes::Sample>& samples, bool right) {
    std::vector<std::pair<ShownSample, std::string>> cards;
    for (const Classes::Sample& sample : samples) {
      std::string words = fmt::format("<dl><div><dt>true</dt><dd>{}", label_text(report, sample, sample.truth));
      if (!right) words += fmt::format(" <small>{}</small>", number_of(report, sample.truth_probability));
      words += fmt::format("</dd></div><div><dt>predicted</dt><dd class=\"{}\">{} {} <small>{}</small></dd></div></dl>",
                           right ? "right" : "wrong", right ? "✓" : "✗", label_text(report, sample, sample.predicted),
                           number_of(report, sample.probability));
      cards.emplace_back(shown_sample(data, sample.index),
                         words + where(sample.index, sample.name, sample.place, report.places));
    }
    return gallery(cards);
  };
  std::string html = report.worst.empty() ? "<p>There are no mistakes.</p>\n"
                                          : "<h3>The worst mistakes</h3>\n<p class=\"note\">Wrong, and with the least "
                                            "probability for the truth.</p>\n" +
                                                shown(report.worst, false);
  if (!report.best.empty())
    html +=
        "<h3>The surest right answers</h3>\n<p class=\"note\">Of each class the sample that is recognised with the "
        "highest probability.</p>\n" +
        shown(report.best, true);
  return html;
}

// --- numbers ------------------------------------------------------------------------------------------------------

std::string errors(const RegressionReport& report) {
  const auto cell = [](double value) { return fmt::format("{:.4g}", value); };
  std::vector<std::vector<std::string>> rows;
  const auto row = [&](std::string name, const RegressionReport::Errors& e) {
    rows.push_back({std::move(name), cell(e.mean_absolute), cell(e.root_mean_squared),
                    fmt::format("{:.4f}", e.r_squared), cell(e.mean)});
  };
  for (std::size_t i = 0; i < report.columns.size(); ++i) row(fmt::format("column {}", i), report.columns[i]);
  row(report.columns.empty() ? "all samples" : "together", report.errors);
  std::string html =
      "<div class=\"grid\">" + predictions_by_truth(report.points) + distribution_of_errors(report.points) + "</div>\n";
  if (report.numbers > 1)
    html +=
        fmt::format("<p class=\"note\">Of the {} numbers of a sample the charts show the first.</p>\n", report.numbers);
  return html + table("Errors",
                      {{""}, {"Mean absolute", true}, {"Root mean squared", true}, {"R²", true}, {"Mean", true}}, rows);
}

std::string error_samples(const RegressionReport& report, const Dataset& data) {
  std::vector<std::pair<ShownSample, std::string>> cards;
  for (const RegressionReport::Sample& sample : report.worst)
    cards.emplace_back(shown_sample(data, sample.index),
                       fmt::format("<dl><div><dt>true</dt><dd>{}</dd></div><div><dt>predicted</dt><dd>{}</dd></"
                                   "div><div><dt>error</dt><dd class=\"wrong\">{:.4g}</dd></div></dl>{}",
                                   readable_numbers(sample.truth, 3), readable_numbers(sample.predicted, 3),
                                   sample.error, where(sample.index, sample.name, 0, 1)));
  return "<h3>The largest errors</h3>\n" + gallery(cards);
}

}  // namespace

std::string result_sentence(const EvaluationReport::Output& output, std::string_view data) {
  if (const auto& found = output.classification) {
    const std::string number =
        with_commas(found->places > 1
                        ? found->count
                        : found->count / (found->kind == Classes::Kind::multi_label ? std::ssize(found->classes) : 1));
    const std::string_view what = found->places > 1 ? "places" : "samples";
    if (found->kind == Classes::Kind::multi_label)
      return fmt::format("{} of its decisions about {} labels are correct on the {} {} of the {}.",
                         percent(found->accuracy()), found->classes.size(), number, what, data);
    std::string sentence = fmt::format("It classifies {} of the {} {} of the {} correctly ({} classes).",
                                       percent(found->accuracy()), number, what, data, found->classes.size());
    const auto weakest = std::ranges::min_element(
        found->classes, {}, [](const Classes::Class& one) { return one.support > 0 ? one.f1() : 2; });
    if (found->classes.size() > 2 && weakest->support > 0 && weakest->f1() < 1)
      sentence += fmt::format(" The weakest class is {} (F1 {:.3f}).",
                              shortened(found->labels[static_cast<std::size_t>(weakest - found->classes.begin())], 60),
                              weakest->f1());
    return sentence;
  }
  if (output.regression)
    return fmt::format("On the {} samples of the {} its mean absolute error is {:.4g}; R² is {:.3f}.",
                       with_commas(output.regression->count), data, output.regression->errors.mean_absolute,
                       output.regression->errors.r_squared);
  return {};
}

std::vector<Section> evaluation_sections(const EvaluationReport& report, const Dataset& data) {
  std::vector<Section> sections;
  const auto add = [&](const EvaluationReport::Output& output, std::string_view id, std::string_view title,
                       std::string body) {
    const std::size_t number = static_cast<std::size_t>(&output - report.outputs.data());
    sections.push_back({fmt::format("{}{}", id, report.outputs.size() > 1 ? fmt::format("-{}", number) : ""),
                        report.outputs.size() > 1 ? fmt::format("{}: {}", output.name, title) : std::string(title),
                        std::move(body)});
  };
  for (const EvaluationReport::Output& output : report.outputs) {
    if (const auto& found = output.classification) {
      if (!found->confusion.empty())
        add(output, "confusion", "Confusion",
            fmt::format("<div class=\"grid\">{}{}</div>\n",
                        found->classes.size() <= most_cells ? matrix(*found) : heat_map(*found), confused(*found)));
      std::string undefined;
      if (found->undefined > 0)
        undefined = fmt::format("<p class=\"note\">{} of {} predictions are NaN: they are wrong, and of no class.</p>\n",
                                with_commas(found->undefined), with_commas(found->count));
      add(output, "classes", "Classes", undefined + classes(*found));
      if (!found->bins.empty()) add(output, "calibration", "Calibration", calibration_section(*found));
      add(output, "samples", "Samples", class_samples(*found, data));
    } else if (output.regression) {
      add(output, "errors", "Errors", errors(*output.regression));
      if (!output.regression->worst.empty()) add(output, "samples", "Samples", error_samples(*output.regression, data));
    }
  }
  return sections;
}

}  // namespace nacre::html
