// Curves of a training run as pictures.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace nacre {

// One line of a panel; places where y is not finite are left out.
struct Curve {
  std::string name;
  std::vector<double> x, y;
};
struct Panel {
  std::string title;
  std::string x_label;
  std::vector<Curve> curves;
};

// Reads the history.csv of a run: a panel per quantity, with its value in training and in validation ("val_…").
// Throws Error when the file is not such a table.
std::vector<Panel> read_history_panels(const std::filesystem::path& history_csv);

// Draws the panels on one sheet, two in a row. The file appears whole or not at all.
void plot_svg(const std::vector<Panel>& panels, const std::string& title, const std::filesystem::path& path);
void plot_png(const std::vector<Panel>& panels, const std::string& title, const std::filesystem::path& path);

}  // namespace nacre
