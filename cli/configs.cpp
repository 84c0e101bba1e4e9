// Verbs that only look at configurations and runs: render, schema, reference, plot.
#include <cstdio>

#include "api/experiment/experiment.h"
#include "api/inspect/plot.h"
#include "api/inspect/reference.h"
#include "api/model.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "formats/file.h"
#include "formats/json.h"
#include "formats/yaml.h"
#include "scripting/reference.h"

namespace nacre::cli {

int render(const std::filesystem::path& config, const std::vector<std::string>& overrides, bool json) {
  const Experiment experiment = Experiment::load(config, overrides);
  experiment.build_model(false);  // shapes that do not fit are said here, not only when it is trained
  const Tree tree = experiment.render();
  std::fputs(json ? (write_json(tree, 2) + "\n").c_str() : write_yaml(tree).c_str(), stdout);
  return 0;
}

int schema() {
  register_models();
  std::puts(write_json(experiment_schema(), 1).c_str());
  return 0;
}

int reference(const std::filesystem::path& folder) {
  make_folder(folder);
  for (const auto& [file, text] : reference_pages()) write_file_atomically(folder / file, text);
  write_file_atomically(folder / "lua.md", lua_reference());
  return 0;
}

int plot(const std::filesystem::path& run_folder) {
  const std::vector<Panel> panels = read_history_panels(run_folder / "history.csv");
  const std::filesystem::path svg = run_folder / "curves.svg", png = run_folder / "curves.png";
  const std::filesystem::path named = std::filesystem::absolute(run_folder).lexically_normal();
  const std::string title = named.has_filename() ? named.filename().string() : named.parent_path().filename().string();
  plot_svg(panels, title, svg);
  plot_png(panels, title, png);
  say(stdout, svg.string());
  say(stdout, png.string());
  return 0;
}

}  // namespace nacre::cli
