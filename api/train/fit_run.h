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
  bool interrupted() const override { return history_.interrupted || (options_.stop && *options_.stop); }
  FunctionalLayer& model() const override { return trainer_.model(); }
  std::vector<Tensor> weights() const override;
  void set_weights(const std::vector<Tensor>& weights) override;
  void freeze(const Freeze& frozen) override;
  void save(const std::string& file, bool weights_only) override;
  void show_averages(bool shown) override;
  void back_up(const std::filesystem::path& checkpoint) override { backups_.push_back(checkpoint); }
  void resume_from(const std::filesystem::path& checkpoint) override { resumed_from_ = checkpoint; }
  std::optional<Direction> direction(std::string_view metric) const override;
  bool writes_files() const override { return processes_.first(); }
  void say(std::string_view line) override { listener_.say(line); }
  void warn(std::string_view line) override;

 private:
  void restore(const std::filesystem::path& path);
  enum class Use { train, validate };
  // Batches of training or of validation in the form that a model takes, and its steps.
  struct Pipeline {
    Pipeline(Steps& steps, FunctionalLayer& model, DatasetRef data, Use use, const FitRun& run);
    Steps& steps;
    DatasetRef data;
    Feeder feeder;
    Loader loader;
  };
  // The layers above those that are computed once, for the data that this was done of: not null.
  struct Cached {
    Cached(SplitModel split, DatasetRef train, DatasetRef validation, const FitRun& run);
    SplitModel parts;
    Steps steps;
    std::optional<Pipeline> training, validation;
  };
  void draw_apart();   // other random numbers in each process
  void share_state();  // all processes go on from the first one's variables
  void plan();  // learning rates that go with the number of steps
  void run_epoch();
  void choose_pipeline();  // for the layers that learn now
  std::unique_ptr<Cached> cached();  // null: nothing can be computed once
  Pipeline& training() { return cached_ && cached_->training ? *cached_->training : *whole_training_; }
  Pipeline& validation() { return cached_ && cached_->validation ? *cached_->validation : *whole_validation_; }
  void run_batches(const Sweep& sweep);
  // Metrics go on where a broken run left them: their state exists once the step for a batch is compiled.
  void restore_metrics(const Feed& feed);
  void tell_memory(const Feed& feed);  // of the step for such batches
  bool validate(Logs& logs);  // false: interrupted
  void write_checkpoint();                                   // where the options say
  void write_checkpoint(const std::filesystem::path& path);
  void write_backups();                                      // that callbacks asked for
  template <class Hook>
  void each_callback(Hook&& hook) {
    for (const Ref<Callback>& callback : options_.callbacks)
      if (processes_.first() || callback->on_every_process()) hook(*callback);
  }

  Trainer& trainer_;
  const FitOptions& options_;
  const Processes& processes_;
  PlainProgress lines_;
  ProgressListener silent_;
  ProgressListener& listener_;
  DatasetRef train_, validation_;
  std::map<std::int64_t, double> class_weight_;
  std::optional<Pipeline> whole_training_, whole_validation_;
  std::unique_ptr<Cached> cached_;
  std::optional<std::vector<bool>> learning_;  // of the layers, when the pipeline was chosen
  bool reads_batch_logs_ = false, told_memory_ = false, told_of_cache_ = false;

  TrainingPosition position_;  // where training stands
  std::int64_t first_step_;    // of the optimizer, in this training
  std::vector<Tensor> resumed_metrics_;  // of the epoch that was broken off, until a step is compiled
  History history_;
  bool stopping_ = false;
  std::vector<std::filesystem::path> backups_;  // to be written
  std::filesystem::path resumed_from_;          // that a callback gave; "": none
};

}  // namespace nacre
