#include "cli/run_folder.h"

#include <algorithm>
#include <cmath>

#include "api/inspect/environment.h"
#include "formats/file.h"
#include "formats/yaml.h"

namespace nacre::cli {

namespace {

bool holds_run(const std::filesystem::path& folder) {
  for (std::string_view file : {"config.yaml", "history.csv", "model.h5", "checkpoint.h5"})
    if (std::filesystem::exists(folder / file)) return true;
  return false;
}

}  // namespace

RunFolder RunFolder::open(const std::filesystem::path& wanted, bool asked_for, bool resume) {
  RunFolder folder(wanted);
  if (resume) {
    if (!std::filesystem::exists(folder.checkpoint()))
      throw Error("there is no checkpoint to resume from")
          .at({folder.checkpoint().string(), 0, 0})
          .hint("leave --resume out to begin, or name the run's folder with --output")
          .usage();
    folder.resumed_ = true;
    return folder;
  }
  if (holds_run(wanted) && asked_for)
    throw Error("the folder holds another run")
        .at({wanted.string(), 0, 0})
        .hint(fmt::format("`nacre train {} --resume` goes on with it, --output names another folder", (wanted / "config.yaml").string()))
        .usage();
  for (int number = 2; holds_run(folder.path_); ++number) folder.path_ = fmt::format("{}-{}", wanted.string(), number);
  make_folder(folder.path_);
  return folder;
}

void RunFolder::write_config(const Tree& tree) const { write_file_atomically(config(), write_yaml(tree)); }

void RunFolder::write_environment(std::string_view device, double seconds) const {
  if (resumed_ && std::filesystem::exists(environment())) {
    const Tree before = load_yaml(environment());
    if (const Tree* earlier = before.find("seconds"); earlier && earlier->is_number()) seconds += earlier->as_number();
  }
  Tree tree = nacre::environment();
  tree.set("device", device);
  tree.set("seconds", std::round(seconds * 1000) / 1000);
  write_file_atomically(environment(), write_yaml(tree));
}

void RunFolder::withdraw_if_empty() const {
  std::error_code ignored;
  for (const std::filesystem::path& file : {history(), model(), checkpoint()})
    if (resumed_ || std::filesystem::exists(file, ignored)) return;
  std::filesystem::remove(config(), ignored);
  std::filesystem::remove(path_, ignored);  // stays when something else is in it
}

std::string history_csv(const std::vector<std::pair<std::int64_t, Logs>>& epochs) {
  std::vector<std::string> columns;
  for (const auto& [epoch, logs] : epochs)
    for (const auto& [name, value] : logs)
      if (std::find(columns.begin(), columns.end(), name) == columns.end()) columns.push_back(name);
  std::string text = "epoch";
  for (const std::string& column : columns) text += "," + column;
  text += "\n";
  for (const auto& [epoch, logs] : epochs) {
    text += std::to_string(epoch + 1);
    for (const std::string& column : columns) {
      const double* value = logs.find(column);
      text += value ? fmt::format(",{}", *value) : ",";
    }
    text += "\n";
  }
  return text;
}

}  // namespace nacre::cli
