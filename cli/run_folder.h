// The files of a training run.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "api/train/callbacks.h"
#include "formats/tree.h"

namespace nacre::cli {

// config.yaml (resolved), history.csv, model.h5, checkpoint.h5, environment.yaml in one folder.
class RunFolder {
 public:
  // Makes the folder for a new run, or takes that of an earlier one to resume it. A folder that holds another run is
  // never touched: when it was asked for by name that is a usage Error, else the next free of NAME-2, NAME-3, … is taken.
  static RunFolder open(const std::filesystem::path& wanted, bool asked_for, bool resume);
  // Of a run whose files another process writes.
  static RunFolder of_another(std::filesystem::path path) { return RunFolder(std::move(path)); }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config() const { return path_ / "config.yaml"; }
  std::filesystem::path history() const { return path_ / "history.csv"; }
  std::filesystem::path model() const { return path_ / "model.h5"; }
  std::filesystem::path checkpoint() const { return path_ / "checkpoint.h5"; }
  std::filesystem::path environment() const { return path_ / "environment.yaml"; }
  bool resumed() const { return resumed_; }

  void write_config(const Tree& config) const;
  // Where and how long the run was trained: environment() with the device, and the seconds with those before a resume.
  void write_environment(std::string_view device, double seconds) const;
  // After a failure: takes back the folder of a new run that holds nothing but its configuration.
  void withdraw_if_empty() const;

 private:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
  bool resumed_ = false;
};

// The table of epochs: "epoch,loss,accuracy,val_loss,…", epochs counted from 1, a cell empty where a number is missing.
std::string history_csv(const std::vector<std::pair<std::int64_t, Logs>>& epochs);

}  // namespace nacre::cli
