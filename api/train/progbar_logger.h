#pragma once

#include <cstdio>

#include "api/train/callback.h"

namespace nacre::callbacks {

struct ProgbarLoggerConfig {
  static constexpr std::string_view class_name = "ProgbarLogger";
  static constexpr std::string_view doc =
      "Prints a bar and the numbers of each epoch. `nacre train` shows one of its own; this is for programs.";
  static void describe(auto&&) {}
};

class ProgbarLogger final : public Configured<Callback, ProgbarLoggerConfig> {
 public:
  explicit ProgbarLogger(Config config = {}, std::FILE* stream = stdout);
  bool on_every_process() const override { return false; }
  void on_epoch_begin(TrainingControl& control, std::int64_t epoch) override;
  void on_train_batch_end(TrainingControl& control, std::int64_t batch, const Logs& logs) override;
  void on_epoch_end(TrainingControl& control, std::int64_t epoch, Logs& logs) override;
  bool reads_batch_logs() const override { return terminal_; }

 private:
  void show(std::int64_t done, std::int64_t batches, const Logs& logs, bool last);
  std::FILE* stream_;
  bool terminal_;  // the line is rewritten after batches
  double started_ = 0, shown_ = 0;  // seconds of a steady clock
};

}  // namespace nacre::callbacks
