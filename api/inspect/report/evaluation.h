// What an evaluation found, as parts of a page.
#pragma once

#include "api/inspect/evaluation_report.h"
#include "api/inspect/report/html.h"

namespace nacre::html {

// What a reader wants to know of an output first: "It classifies 98.2% of the 2,000 samples of the test data correctly
// (10 classes)."
std::string result_sentence(const EvaluationReport::Output& output, std::string_view data);

// Confusion, classes, calibration and samples of a classifier; errors and samples of a regression. Titles say of which
// output they are where there are several. Samples are read from the data.
std::vector<Section> evaluation_sections(const EvaluationReport& report, const Dataset& data);

}  // namespace nacre::html
