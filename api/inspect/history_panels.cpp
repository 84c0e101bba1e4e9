#include <algorithm>

#include "api/inspect/plot.h"
#include "formats/csv.h"

namespace nacre {

std::vector<Panel> read_history_panels(const std::filesystem::path& history_csv) {
  const Csv table = read_csv(history_csv, {.header = true});
  const auto epoch = std::find_if(table.columns.begin(), table.columns.end(), [](const CsvColumn& c) { return c.name == "epoch"; });
  if (epoch == table.columns.end() || !epoch->numeric || table.rows == 0)
    throw Error("this is no history of a run: wanted a table with the column 'epoch'").at({history_csv.string(), 0, 0});
  std::vector<Panel> panels;
  for (const CsvColumn& column : table.columns) {
    if (column.name == "epoch" || !column.numeric) continue;
    const bool validation = column.name.starts_with("val_");
    const std::string title = validation ? column.name.substr(4) : column.name;
    auto panel = std::find_if(panels.begin(), panels.end(), [&](const Panel& p) { return p.title == title; });
    if (panel == panels.end()) panel = panels.insert(panels.end(), {title, "epoch", {}});
    panel->curves.push_back({validation ? "validation" : "training",
                             {epoch->numbers.begin(), epoch->numbers.end()},
                             {column.numbers.begin(), column.numbers.end()}});
  }
  for (Panel& panel : panels)
    if (panel.curves.size() == 1 && panel.title == "learning_rate") panel.curves.front().name = "";
  return panels;
}

}  // namespace nacre
