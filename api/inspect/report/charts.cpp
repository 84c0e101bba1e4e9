#include "api/inspect/report/charts.h"

#include <algorithm>
#include <cmath>

#include "api/inspect/axis.h"
#include "api/inspect/report/html.h"

namespace nacre::html {

namespace {

constexpr double width = 360, height = 225, left = 54, right = 12, top = 10, bottom = 40;

// The box of a chart and its axes.
class Frame {
 public:
  Frame(AxisRange x, AxisRange y) : x_(x), y_(y) {}
  double x(double value) const { return left + (value - x_.low) / (x_.high - x_.low) * (width - left - right); }
  double y(double value) const { return top + (y_.high - value) / (y_.high - y_.low) * (height - top - bottom); }
  double base() const { return height - bottom; }

  std::string axes(std::string_view x_label, double smallest_step_of_x = 0) const {
    std::string svg;
    for (double tick : axis_ticks(y_, 5))
      svg += fmt::format(
          "<path class=\"grid-line\" d=\"M{} {:.1f}H{}\"/><text x=\"{}\" y=\"{:.1f}\" "
          "text-anchor=\"end\">{:.4g}</text>",
          left, y(tick), width - right, left - 7, y(tick) + 4, tick);
    for (double tick : axis_ticks(x_, 6, smallest_step_of_x))
      svg += fmt::format(
          "<path class=\"axis\" d=\"M{0:.1f} {1}v4\"/><text x=\"{0:.1f}\" y=\"{2}\" "
          "text-anchor=\"middle\">{3:.4g}</text>",
          x(tick), base(), base() + 17, tick);
    return svg +
           fmt::format("<path class=\"axis\" d=\"M{} {}H{}\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                       left, base(), width - right, left + (width - left - right) / 2, height - 4, text(x_label));
  }

 private:
  AxisRange x_, y_;
};

// `key` is HTML beside the title.
std::string figure(std::string_view title, std::string_view key, std::string_view words, std::string_view content) {
  return fmt::format(
      "<figure class=\"chart\"><figcaption><b>{}</b>{}</figcaption><svg viewBox=\"0 0 {} {}\" role=\"img\" "
      "aria-label=\"{}\">{}</svg></figure>\n",
      text(title), key, width, height, text(words), content);
}

std::string line(std::span<const std::pair<double, double>> points, const Frame& frame) {
  std::string path;
  bool down = false;
  for (const auto& [x, y] : points) {
    if (std::isfinite(y)) path += fmt::format("{}{:.1f} {:.1f}", down ? "L" : "M", frame.x(x), frame.y(y));
    down = std::isfinite(y);
  }
  return path;
}

}  // namespace

std::string curves(const Panel& panel) {
  AxisRange xs, ys;
  for (const Curve& curve : panel.curves)
    for (std::size_t i = 0; i < curve.x.size(); ++i)
      if (std::isfinite(curve.y[i])) xs.include(curve.x[i]), ys.include(curve.y[i]);
  xs.widen(0.02);
  ys.widen(0.06);
  const Frame frame(xs, ys);
  std::string drawn = frame.axes(panel.x_label, 1), key, words = fmt::format("{} by {}", panel.title, panel.x_label);
  for (std::size_t k = 0; k < panel.curves.size(); ++k) {
    const Curve& curve = panel.curves[k];
    std::vector<std::pair<double, double>> points;
    for (std::size_t i = 0; i < curve.x.size(); ++i) points.emplace_back(curve.x[i], curve.y[i]);
    drawn += fmt::format("<g class=\"k{}\"><path class=\"line\" d=\"{}\"/>", k % 6, line(points, frame));
    std::erase_if(points, [](const auto& point) { return !std::isfinite(point.second); });
    if (points.size() <= 40)
      for (const auto& [x, y] : points)
        drawn += fmt::format(
            "<circle class=\"dot\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"><title>{}{} {:.4g}: {:.6g}</title></circle>",
            frame.x(x), frame.y(y), curve.name.empty() ? "" : text(curve.name) + ", ", text(panel.x_label), x, y);
    drawn += "</g>";
    if (points.empty()) continue;
    const std::string name = curve.name.empty() ? "last" : curve.name;
    key += fmt::format("<span class=\"key k{}\">{} {:.4g}</span>", k % 6, text(name), points.back().second);
    words += fmt::format("; {}: from {:.4g} to {:.4g}", name, points.front().second, points.back().second);
  }
  return figure(panel.title, key, words, drawn);
}

std::string calibration(const ClassificationReport& report) {
  const Frame frame({0, 1}, {0, 1});
  std::string drawn =
      frame.axes(report.kind == ClassificationReport::Kind::categorical ? "probability of the predicted class"
                                                                        : "predicted probability");
  for (const ClassificationReport::Bin& bin : report.bins) {
    if (bin.count == 0) continue;
    const double x = frame.x(bin.low) + 1, span = frame.x(bin.high) - frame.x(bin.low) - 2;
    const std::string tip =
        fmt::format("<title>{:.2g} to {:.2g}: {} predictions, {:.3f} on average, true {:.1f}% of the time</title>",
                    bin.low, bin.high, bin.count, bin.predicted, 100 * bin.observed);
    drawn += fmt::format("<rect class=\"bar\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\">{}</rect>",
                         x, frame.y(bin.observed), span, frame.base() - frame.y(bin.observed), tip);
    drawn +=
        fmt::format("<path class=\"said\" d=\"M{:.1f} {:.1f}h{:.1f}\">{}</path>", x, frame.y(bin.predicted), span, tip);
  }
  drawn += fmt::format("<path class=\"ideal\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\"/>", frame.x(0), frame.y(0), frame.x(1),
                       frame.y(1));
  return figure(
      "Calibration",
      "<span class=\"key k0\">how often it was true</span><span class=\"key k1\">its mean probability</span>",
      fmt::format("Reliability diagram: the expected calibration error is {:.4f}; the table below has its numbers",
                  report.calibration_error),
      drawn);
}

std::string predictions_by_truth(std::span<const RegressionReport::Point> points) {
  AxisRange both;
  for (const auto& point : points) both.include(point.truth), both.include(point.predicted);
  both.widen(0.05);
  const Frame frame(both, both);
  std::string drawn = frame.axes("truth");
  drawn += fmt::format("<path class=\"ideal\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\"/>", frame.x(both.low),
                       frame.y(both.low), frame.x(both.high), frame.y(both.high));
  for (const auto& [truth, predicted] : points)
    if (std::isfinite(truth) && std::isfinite(predicted))
      drawn += fmt::format("<circle class=\"point\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"/>", frame.x(truth),
                           frame.y(predicted));
  return figure("Predictions by truth",
                fmt::format("<span class=\"key k0\">{} samples; on the line they are right</span>", points.size()),
                "Scatter plot of predictions by true values; the dashed line is where both are equal", drawn);
}

std::string distribution_of_errors(std::span<const RegressionReport::Point> points) {
  AxisRange errors;
  for (const auto& point : points) errors.include(point.predicted - point.truth);
  errors.widen(0);
  constexpr std::size_t bins = 25;
  std::vector<std::int64_t> counts(bins);
  for (const auto& point : points) {
    const double place =
        (point.predicted - point.truth - errors.low) / (errors.high - errors.low) * static_cast<double>(bins);
    if (std::isfinite(place)) ++counts[std::min(bins - 1, static_cast<std::size_t>(std::max(0.0, place)))];
  }
  const double step = (errors.high - errors.low) / static_cast<double>(bins);
  const Frame frame(errors,
                    {0, 1.05 * static_cast<double>(std::max<std::int64_t>(1, *std::ranges::max_element(counts)))});
  std::string drawn = frame.axes("prediction − truth");
  for (std::size_t i = 0; i < bins; ++i) {
    const double low = errors.low + step * static_cast<double>(i), y = frame.y(static_cast<double>(counts[i]));
    drawn += fmt::format(
        "<rect class=\"bar\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"><title>{:.4g} to {:.4g}: "
        "{}</title></rect>",
        frame.x(low) + .5, y, std::max(.5, frame.x(low + step) - frame.x(low) - 1), frame.base() - y, low, low + step,
        counts[i]);
  }
  if (errors.low < 0 && errors.high > 0)
    drawn += fmt::format("<path class=\"ideal\" d=\"M{:.1f} {}V{}\"/>", frame.x(0), top, frame.base());
  return figure("Distribution of errors", fmt::format("<span class=\"key k0\">{} samples</span>", points.size()),
                fmt::format("Histogram of errors, from {:.4g} to {:.4g}", errors.low, errors.high), drawn);
}

std::string series(std::span<const double> values) {
  AxisRange range;
  for (double value : values) range.include(value);
  range.widen(0.05);
  constexpr double wide = 260, high = 70;
  std::string path;
  bool down = false;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i]))
      path +=
          fmt::format("{}{:.1f} {:.1f}", down ? "L" : "M",
                      wide * static_cast<double>(i) / static_cast<double>(std::max<std::size_t>(values.size() - 1, 1)),
                      (range.high - values[i]) / (range.high - range.low) * high);
    down = std::isfinite(values[i]);
  }
  return fmt::format(
      "<svg viewBox=\"-3 -3 {} {}\" role=\"img\" aria-label=\"{} numbers from {:.4g} to {:.4g}\"><path class=\"line "
      "k0\" d=\"{}\"/></svg>",
      wide + 6, high + 6, values.size(), range.low, range.high, path);
}

}  // namespace nacre::html
