// What a training did.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/train/callbacks.h"

namespace nacre {

struct History {
  struct Epoch {
    std::int64_t epoch = 0;  // from 0
    Logs logs;               // loss, metrics, val_…, learning_rate
  };
  std::vector<Epoch> epochs;  // of a resumed run also those before
  std::string stopped;        // why training ended before its last epoch: "" when it did not
  bool interrupted = false;   // by FitOptions::stop
  std::vector<std::string> warnings;

  std::vector<double> series(std::string_view name) const;  // one number per epoch that has it
};

}  // namespace nacre
