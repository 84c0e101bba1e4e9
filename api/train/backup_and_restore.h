#pragma once

#include "api/train/callbacks.h"

namespace nacre::callbacks {

struct BackupAndRestoreConfig {
  static constexpr std::string_view class_name = "BackupAndRestore";
  static constexpr std::string_view doc =
      "Backs training up while it runs; a run that was broken off goes on where it was when it is started again.";
  std::string backup_dir;
  SaveFrequency save_freq{};
  bool double_checkpoint = false, delete_checkpoint = true;
  static void describe(auto&& field) {
    field("backup_dir", &BackupAndRestoreConfig::backup_dir, "folder for the backup, of this run alone", required());
    field("save_freq", &BackupAndRestoreConfig::save_freq, "epoch, or a number of batches");
    field("double_checkpoint", &BackupAndRestoreConfig::double_checkpoint,
          "keep the backup before the last one too, should the last be damaged");
    field("delete_checkpoint", &BackupAndRestoreConfig::delete_checkpoint, "delete the backup when training is done");
  }
};

// Weights, optimizer, metrics, callbacks and random numbers: the run that goes on equals an unbroken one.
class BackupAndRestore final : public Configured<Callback, BackupAndRestoreConfig> {
 public:
  explicit BackupAndRestore(Config config);
  void on_train_begin(TrainingControl& control) override;
  void on_train_batch_end(TrainingControl& control, std::int64_t batch, const Logs& logs) override;
  void on_epoch_end(TrainingControl& control, std::int64_t epoch, Logs& logs) override;
  void on_train_end(TrainingControl& control, const Logs& logs) override;
  CallbackState save_state() const override;
  void load_state(const CallbackState& state) override;

 private:
  void back_up(TrainingControl& control);
  std::filesystem::path latest_, previous_;
  std::int64_t batches_ = 0;  // since the last backup
};

}  // namespace nacre::callbacks
