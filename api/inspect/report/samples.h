// Samples of data as a reader of a page sees them: pictures, texts, series, numbers.
#pragma once

#include <string>

#include "api/data/dataset.h"

namespace nacre::html {

struct ShownSample {
  std::string html;
  bool wide = false;  // texts and numbers, which need more room than a picture
};

// The inputs of one sample, read from the data.
ShownSample shown_sample(const Dataset& data, std::int64_t index);

}  // namespace nacre::html
