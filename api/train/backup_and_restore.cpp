#include "api/train/backup_and_restore.h"

#include "api/train/checkpoint.h"
#include "formats/file.h"

namespace nacre::callbacks {

namespace fs = std::filesystem;

BackupAndRestore::BackupAndRestore(Config config) : Configured(std::move(config)) {
  if (config_.backup_dir.empty()) throw Error("backup_dir is empty").usage();
  latest_ = fs::path(config_.backup_dir) / "latest.h5";
  previous_ = fs::path(config_.backup_dir) / "previous.h5";
}

void BackupAndRestore::on_train_begin(TrainingControl& control) {
  batches_ = 0;
  std::error_code ignored;
  if (fs::exists(latest_, ignored)) {
    try {
      check_checkpoint(latest_);
      return control.resume_from(latest_);
    } catch (const Error& error) {
      if (!fs::exists(previous_, ignored)) throw;
      control.warn(fmt::format("the last backup cannot be read ({}); the one before it is taken", error.message()));
    }
  }
  if (fs::exists(previous_, ignored)) control.resume_from(previous_);
}

void BackupAndRestore::on_train_batch_end(TrainingControl& control, std::int64_t, const Logs&) {
  if (!config_.save_freq.batches || ++batches_ < *config_.save_freq.batches) return;
  batches_ = 0;
  back_up(control);
}

void BackupAndRestore::on_epoch_end(TrainingControl& control, std::int64_t, Logs&) {
  if (!config_.save_freq.batches) back_up(control);
}

void BackupAndRestore::back_up(TrainingControl& control) {
  if (control.writes_files()) {
    make_folder(config_.backup_dir);
    std::error_code error;
    if (config_.double_checkpoint && fs::exists(latest_, error)) fs::rename(latest_, previous_, error);
    if (error) throw file_error(config_.backup_dir, "used for backups", error.value());
  }
  control.back_up(latest_);
}

void BackupAndRestore::on_train_end(TrainingControl& control, const Logs&) {
  if (!config_.delete_checkpoint || control.interrupted() || !control.writes_files()) return;
  std::error_code ignored;
  fs::remove(latest_, ignored);
  fs::remove(previous_, ignored);
  fs::remove(config_.backup_dir, ignored);  // stays when something else is in it
}

CallbackState BackupAndRestore::save_state() const {
  CallbackState state;
  state.values.set("batches", batches_);
  return state;
}

void BackupAndRestore::load_state(const CallbackState& state) { batches_ = state.values["batches"].as_integer(); }

}  // namespace nacre::callbacks
