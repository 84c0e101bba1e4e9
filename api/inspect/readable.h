// Numbers and tables as a person reads them on a terminal.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nacre {

std::string readable_bytes(std::size_t bytes);   // "1.53 KB": as Keras writes sizes
std::string with_commas(std::int64_t number);    // "1,234,567"
std::string readable_flops(std::int64_t flops);  // "12.30 M"
// "3.14", or "[3.14, 2.72, 1, …]" of several.
std::string readable_numbers(std::span<const double> numbers, std::size_t most);

// The number of characters of UTF-8 text, each of which is taken to be one column wide.
std::size_t text_columns(std::string_view text);
// Its beginning, with … where something was left out.
std::string shortened(std::string_view text, std::size_t columns);

// Columns of text under their titles. Texts are escaped (see escaped()); an empty last column is left out.
class TextTable {
 public:
  struct Column {
    std::string title;
    bool right = false;  // aligned
  };
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void row(std::vector<std::string> cells);
  void gap() { rows_.emplace_back(); }  // an empty line
  // With lines of at most `width` characters: the widest columns of texts give way.
  std::string text(int width) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace nacre
