// The steps of an executable whose device can record: as many of them as possible are replayed in one piece.
#pragma once

#include <span>
#include <vector>

#include "backend/compile/schedule.h"
#include "backend/recording.h"

namespace nacre::compile {

class RecordedRuns {
 public:
  // The steps after the prologue and their arguments, which both outlive this; recordings hold for the addresses in
  // those.
  RecordedRuns(Recorder& recorder, const Schedule& schedule, std::span<const KernelArguments> arguments);

  // All steps after the prologue. What can be recorded is recorded in the second run with the same addresses: in the
  // first one, libraries load what they need, and addresses that change with every run are not worth it.
  void run();
  // Some addresses have changed, other than those of the graph's inputs and outputs, which are never recorded.
  void forget();

  int kernels() const;  // that are, or will be, replayed

 private:
  struct Run {
    std::size_t begin, end;
    std::unique_ptr<Recording> recording{};
    bool refused = false;  // the device could not record it
  };
  bool recordable(const Step& step) const;
  void find();
  void run_plainly(std::size_t begin, std::size_t end);
  void run(Run& run);

  Recorder& recorder_;
  const Schedule& schedule_;
  std::span<const KernelArguments> arguments_;
  std::vector<Run> runs_;
  bool settled_ = false;  // the last run had the same addresses
};

}  // namespace nacre::compile
