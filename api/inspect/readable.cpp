#include "api/inspect/readable.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "backend/core/unicode.h"

namespace nacre {

std::string readable_bytes(std::size_t bytes) {
  constexpr std::string_view units[] = {"B", "KB", "MB", "GB", "TB", "PB"};
  double size = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; size >= 1024 && unit + 1 < std::size(units); ++unit) size /= 1024;
  return fmt::format("{:.2f} {}", size, units[unit]);
}

std::string with_commas(std::int64_t number) {
  std::string digits = std::to_string(number), text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string readable_flops(std::int64_t flops) {
  constexpr std::string_view units[] = {"", " k", " M", " G", " T"};
  double count = static_cast<double>(flops);
  std::size_t unit = 0;
  for (; count >= 1000 && unit + 1 < std::size(units); ++unit) count /= 1000;
  return unit == 0 ? std::to_string(flops) : fmt::format("{:.2f}{}", count, units[unit]);
}

std::string readable_numbers(std::span<const double> numbers, std::size_t most) {
  if (numbers.size() == 1) return fmt::format("{:.4g}", numbers.front());
  std::string text = "[";
  for (std::size_t i = 0; i < numbers.size() && i < most; ++i)
    text += fmt::format("{}{:.4g}", i ? ", " : "", numbers[i]);
  return text + (numbers.size() > most ? ", …]" : "]");
}

std::size_t text_columns(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string shortened(std::string_view text, std::size_t columns) {
  if (text_columns(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  std::size_t end = 0;
  for (std::size_t seen = 0; seen + 1 < columns; ++seen) {
    ++end;
    while (end < text.size() && (text[end] & 0xC0) == 0x80) ++end;  // the rest of a character
  }
  return std::string(text.substr(0, end)) + "…";
}

void TextTable::row(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = escaped(cell);
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::string TextTable::text(int width) const {
  std::vector<std::size_t> widths;
  std::vector<bool> filled(columns_.size());
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t& widest = widths.emplace_back(text_columns(columns_[i].title));
    for (const auto& row : rows_)
      if (!row.empty()) widest = std::max(widest, text_columns(row[i])), filled[i] = filled[i] || !row[i].empty();
  }
  std::size_t count = columns_.size();
  while (count > 1 && !filled[count - 1]) --count;
  constexpr std::size_t gap = 2, narrowest = 8;
  const auto used = [&] {
    return std::accumulate(widths.begin(), widths.begin() + static_cast<std::ptrdiff_t>(count), gap * (count - 1));
  };
  while (used() > static_cast<std::size_t>(std::max(width, 20))) {
    const auto widest = std::max_element(widths.begin(), widths.begin() + static_cast<std::ptrdiff_t>(count));
    if (*widest <= narrowest) break;
    --*widest;
  }
  std::string text;
  const auto line = [&](auto&& cell) {
    std::string all;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string content = shortened(cell(i), widths[i]);
      const std::string space(widths[i] - text_columns(content), ' ');
      all += std::string(i ? gap : 0, ' ') + (columns_[i].right ? space + content : content + space);
    }
    all.erase(all.find_last_not_of(' ') + 1);
    text += all + "\n";
  };
  line([&](std::size_t i) -> const std::string& { return columns_[i].title; });
  for (const auto& row : rows_) {
    if (row.empty()) text += "\n";
    else line([&](std::size_t i) -> const std::string& { return row[i]; });
  }
  return text;
}

}  // namespace nacre
