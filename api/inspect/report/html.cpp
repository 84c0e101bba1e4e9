#include "api/inspect/report/html.h"

#include <fmt/format.h>

#include "api/inspect/report/style.h"
#include "backend/core/unicode.h"
#include "formats/text.h"

namespace nacre::html {

std::string text(std::string_view content) {
  std::string result;
  for (char c : escaped(content)) switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '"': result += "&quot;"; break;
      case '\'': result += "&#39;"; break;
      default: result += c;
    }
  return result;
}

std::string lines(std::string_view content) {
  std::string result;
  for (const std::string& line : lines_of(content)) result += text(line) + "\n";
  return result;
}

std::string table(std::string_view caption, const std::vector<Column>& columns,
                  const std::vector<std::vector<std::string>>& rows) {
  std::string html = fmt::format(
      "<div class=\"scroll\" role=\"region\" aria-label=\"{0}\" "
      "tabindex=\"0\"><table><caption>{0}</caption><thead><tr>",
      text(caption));
  for (const Column& column : columns)
    html += fmt::format("<th scope=\"col\"{}>{}</th>", column.number ? " class=\"n\"" : "", text(column.title));
  html += "</tr></thead><tbody>";
  for (const auto& row : rows) {
    html += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string_view kind = columns[i].number ? " class=\"n\"" : "";
      html += i == 0 ? fmt::format("<th scope=\"row\"{}>{}</th>", kind, row[i])
                     : fmt::format("<td{}>{}</td>", kind, row[i]);
    }
    html += "</tr>";
  }
  return html + "</tbody></table></div>\n";
}

std::string properties(std::string_view caption, const std::vector<std::pair<std::string, std::string>>& rows) {
  std::string html = fmt::format("<table class=\"properties\"><caption>{}</caption><tbody>", text(caption));
  for (const auto& [name, value] : rows)
    html += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", text(name), value);
  return html + "</tbody></table>\n";
}

std::string page(std::string_view title, std::string_view lead, const std::vector<Section>& sections,
                 std::string_view footer) {
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" "
      "content=\"light dark\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
      "'unsafe-inline'\">\n"
      "<title>{0}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>{1}</style>\n</head>\n<body>\n"
      "<a class=\"skip\" href=\"#{2}\">Skip to the content</a>\n<header>\n{3}</header>\n<nav "
      "aria-label=\"Contents\"><ul>",
      text(title), style(), sections.empty() ? "" : sections.front().id, lead);
  for (const Section& section : sections)
    html += fmt::format("<li><a href=\"#{}\">{}</a></li>", section.id, text(section.title));
  html += "</ul></nav>\n<main>\n";
  for (const Section& section : sections)
    html += fmt::format(
        "<section id=\"{0}\" aria-labelledby=\"{0}-title\">\n<h2 id=\"{0}-title\">{1}</h2>\n{2}</section>\n",
        section.id, text(section.title), section.body);
  return html + fmt::format("</main>\n<footer>{}</footer>\n</body>\n</html>\n", footer);
}

}  // namespace nacre::html
