// Charts as SVG within HTML: their colours and letters are the page's (see style.h), and each says in words what it
// shows.
#pragma once

#include <span>
#include <string>

#include "api/inspect/evaluation_report.h"
#include "api/inspect/plot.h"

namespace nacre::html {

std::string curves(const Panel& panel);
// How often what was predicted with a probability was true, beside that probability.
std::string calibration(const ClassificationReport& report);
std::string predictions_by_truth(std::span<const RegressionReport::Point> points);
std::string distribution_of_errors(std::span<const RegressionReport::Point> points);
// Numbers in their order, small and without axes.
std::string series(std::span<const double> values);

}  // namespace nacre::html
