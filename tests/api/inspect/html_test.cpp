#include "api/inspect/report/html.h"

#include <gtest/gtest.h>

#include <cmath>

#include "api/inspect/axis.h"
#include "api/inspect/report/charts.h"
#include "api/inspect/report/samples.h"

namespace nacre::test {
namespace {

TEST(Html, TextsCannotBecomeMarkup) {
  EXPECT_EQ(html::text("<a href='x' b=\"y\">&amp;"), "&lt;a href=&#39;x&#39; b=&quot;y&quot;&gt;&amp;amp;");
  EXPECT_EQ(html::text("a\x01"
                       "b\nc\xff"),
            "a\\x01b\\nc\\xff");
  EXPECT_EQ(html::lines("a: <b>\nc\n"), "a: &lt;b&gt;\nc\n");
  const std::string page = html::page("<t>", "<p>lead</p>", {{"one", "<One>", "<p>body</p>"}}, "end");
  EXPECT_NE(page.find("<title>&lt;t&gt;</title>"), std::string::npos);
  EXPECT_NE(page.find("&lt;One&gt;</a>"), std::string::npos);
  EXPECT_EQ(page.find("http-equiv=\"refresh\""), std::string::npos);
}

TEST(Html, CurvesLeaveOutWhatIsNoNumber) {
  const Panel panel{
      "loss <b>", "epoch", {{"training", {1, 2, 3}, {0.5, NAN, 0.25}}, {"validation", {1, 2, 3}, {NAN, NAN, NAN}}}};
  const std::string svg = html::curves(panel);
  EXPECT_EQ(svg.find("nan"), std::string::npos) << svg;
  EXPECT_EQ(svg.find("inf"), std::string::npos) << svg;
  EXPECT_EQ(svg.find("<b>loss <b>"), std::string::npos) << svg;
  EXPECT_NE(svg.find("training: from 0.5 to 0.25"), std::string::npos) << svg;
}

TEST(Html, ChartsOfNothingAndOfOnePoint) {
  const RegressionReport::Point same[] = {{1, 1}, {1, 1}}, broken[] = {{NAN, 1}, {1, INFINITY}};
  for (const std::string& svg :
       {html::predictions_by_truth({}), html::predictions_by_truth(same), html::predictions_by_truth(broken),
        html::distribution_of_errors({}), html::distribution_of_errors(same), html::distribution_of_errors(broken),
        html::series(std::vector<double>{1, NAN, 1}), html::calibration({})}) {
    EXPECT_NE(svg.find("<svg"), std::string::npos);
    EXPECT_EQ(svg.find("nan"), std::string::npos) << svg;
  }
}

TEST(Html, SamplesAreShownAsWhatTheyAre) {
  const auto shown = [](Tensor inputs) {
    return html::shown_sample(*array_dataset({.inputs = {std::move(inputs)},
                                              .targets = {},
                                              .weights = {},
                                              .input_names = {},
                                              .target_names = {},
                                              .description = ""}),
                              0);
  };
  EXPECT_TRUE(
      shown(Tensor(DType::uint8, {1, 9, 12, 3})).html.starts_with("<img class=\"small\" width=\"12\" height=\"9\""));
  EXPECT_TRUE(shown(Tensor(DType::float32, {1, 400, 200, 1})).html.starts_with("<img width=\"80\" height=\"160\""));
  EXPECT_TRUE(shown(Tensor(DType::float32, {1, 28, 28})).html.starts_with("<img"));
  EXPECT_TRUE(shown(Tensor(DType::float32, {1, 48, 1})).html.starts_with("<svg"));
  EXPECT_EQ(shown(Tensor::of<float>({1, 2}, {0.5f, 3})).html, "<code>[0.5, 3]</code>");
  EXPECT_EQ(shown(Tensor::of<std::string>({1}, {"<b>bold"})).html, "<blockquote>&lt;b&gt;bold</blockquote>");
  EXPECT_TRUE(shown(Tensor::of<float>({1, 2, 2, 1}, {NAN, INFINITY, -3, 4})).html.starts_with("<img"));
}

TEST(Axis, TicksAreRoundAndWithin) {
  EXPECT_EQ(axis_ticks({0, 1}, 5), (std::vector<double>{0, 0.2, 0.4, 0.6000000000000001, 0.8, 1}));
  EXPECT_EQ(axis_ticks({0.9, 3.1}, 6, 1), (std::vector<double>{1, 2, 3}));
}

}  // namespace
}  // namespace nacre::test
