// One call of fit: the loop over epochs and batches, and what callbacks may do to it.
#pragma once

#include "api/train/checkpoint.h"
#include "api/train/trainer.h"

namespace nacre {

class FitRun final : public TrainingControl {
 public:
  FitRun(Trainer& trainer, const DatasetRef& data, const FitOptions& options);
  History run();

  void stop(std::string reason) override;
  double learning_rate() const override { return trainer_.optimizer().learning_rate(); }
  void set_learning_rate(double rate) override { trainer_.optimizer().set_learning_rate(rate); }
  std::int64_t epoch() const override { return position_.epoch; }
  std::int64_t epochs() const override { return options_.epochs; }
  std::int64_t batches() const override;
  std::int64_t iterations() const override { return trainer_.optimizer().iterations(); }
  bool interrupted() const override { return options_.stop && *options_.stop; }
  FunctionalLayer& model() const override { return trainer_.model(); }
  std::vector<Tensor> weights() const override;
  void set_weights(const std::vector<Tensor>& weights) override;
  void save(const std::string& file, bool weights_only) override;
  void show_averages(bool shown) override;
  void back_up(const std::filesystem::path& checkpoint) override { backups_.push_back(checkpoint); }
  void resume_from(const std::filesystem::path& checkpoint) override { resumed_from_ = checkpoint; }
  std::optional<Direction> direction(std::string_view metric) const override;
  void say(std::string_view line) override { listener_.say(line); }
  void warn(std::string_view line) override;

 private:
  void restore(const std::filesystem::path& path);
  void run_epoch();
  void run_batches(const Sweep& sweep);
  void tell_memory(const Feed& feed);  // of the step for such batches
  bool validate(Logs& logs);  // false: interrupted
  void write_checkpoint();                                   // where the options say
  void write_checkpoint(const std::filesystem::path& path);
  void write_backups();                                      // that callbacks asked for
  template <class Hook>
  void each_callback(Hook&& hook) {
    for (const Ref<Callback>& callback : options_.callbacks) hook(*callback);
  }

  Trainer& trainer_;
  const FitOptions& options_;
  PlainProgress lines_;
  ProgressListener silent_;
  ProgressListener& listener_;
  DatasetRef train_, validation_;
  std::optional<Feeder> train_feeder_, validation_feeder_;
  std::optional<Loader> train_loader_, validation_loader_;
  bool reads_batch_logs_ = false, told_memory_ = false;

  TrainingPosition position_;  // where training stands
  std::vector<Tensor> resumed_metrics_;
  History history_;
  bool stopping_ = false;
  std::vector<std::filesystem::path> backups_;  // to be written
  std::filesystem::path resumed_from_;          // that a callback gave; "": none
};

}  // namespace nacre
