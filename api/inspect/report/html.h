// Pieces of HTML. What comes from outside (names of classes, layers, files; texts of samples) goes through html_text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nacre::html {

// Text as it stands between tags and within quoted attributes; what is not printable is made visible.
std::string text(std::string_view content);
// The same of several lines, which stay lines.
std::string lines(std::string_view content);

struct Column {
  std::string title;
  bool number = false;  // aligned right
};
// Cells are HTML; the first of a row is its header. In a region that scrolls by itself where the page is narrow.
std::string table(std::string_view caption, const std::vector<Column>& columns,
                  const std::vector<std::vector<std::string>>& rows);
// Names with what they are: names are text, the rest HTML.
std::string properties(std::string_view caption, const std::vector<std::pair<std::string, std::string>>& rows);

// A part of the page under its heading, which the contents name; `body` is HTML.
struct Section {
  std::string id, title, body;
};

// The whole page. `lead` is HTML and stands above the contents. Names nothing outside itself.
std::string page(std::string_view title, std::string_view lead, const std::vector<Section>& sections,
                 std::string_view footer);

}  // namespace nacre::html
