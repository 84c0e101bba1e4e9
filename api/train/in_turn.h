// What is done with the results of runs, one after the other.
#pragma once

#include <functional>
#include <utility>

#include "backend/executable.h"

namespace nacre {

// Uses the results of each run with what is known of it, in the order of the runs: at once, or, where they come late,
// when the next run is under way, so that the device is never waited for with nothing to do.
template <class About>
class InTurn {
 public:
  using Use = std::function<void(const std::vector<Tensor>&, const About&)>;
  explicit InTurn(Use use) : use_(std::move(use)) {}

  // A run that has begun. Its results stay valid until the one after the next begins.
  void add(const Results& run, About about) {
    if (!run.late()) return use_(run.wait(), about);
    const About before = std::exchange(about_, std::move(about));
    if (const Results* const waiting = std::exchange(waiting_, &run)) use_(waiting->wait(), before);
  }
  // The last one.
  void finish() {
    if (const Results* const waiting = std::exchange(waiting_, nullptr)) use_(waiting->wait(), about_);
  }

 private:
  Use use_;
  const Results* waiting_ = nullptr;
  About about_{};
};

}  // namespace nacre
