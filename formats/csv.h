// Tables of comma-separated values (RFC 4180), gzipped or not.
//
// A column is numeric when all its cells are numbers or missing, else it holds texts. Spaces around unquoted cells do
// not count; blank lines are passed over; every row has as many cells as the first. Errors carry line and column.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/core/tensor.h"

namespace nacre {

struct CsvOptions {
  char delimiter = '\0';       // '\0': the one of , ; and tab that the first line holds most of
  std::optional<bool> header;  // whether the first row names the columns; by default it does when it holds no number
                               // and no empty cell, and no name twice
  std::vector<std::string> missing{"", "?", "NA", "N/A", "NaN", "nan", "null"};  // cells without a value
  std::vector<std::string> numeric;  // columns, by name, that must hold numbers: a text there is an error
  std::vector<std::string> text;     // columns, by name, that are texts even where they look like numbers
  std::uint64_t most_unpacked = std::uint64_t{1} << 32;  // bytes of text that a gzipped file may hold
  std::size_t most_memory = 0;       // bytes that the table may take; 0: a quarter of the machine's
};

struct CsvColumn {
  std::string name;  // from the header, else its number from 0 on
  bool numeric = true;
  std::vector<float> numbers;      // of a numeric column; NaN where the value is missing
  std::vector<std::string> texts;  // of a column of texts, as they are written
  Mark first_text;                 // the cell that made it a column of texts
};

struct Csv {
  std::vector<CsvColumn> columns;
  std::size_t rows = 0;
  bool had_header = false;

  const CsvColumn& column(std::string_view name) const;  // throws Error with a suggestion
  // (rows, names.size()) of the numeric columns named; throws Error that shows the cell when one is not numeric.
  Tensor numbers(const std::vector<std::string>& names) const;
  Tensor numbers() const;  // of all columns
};

Csv read_csv(const std::filesystem::path& path, const CsvOptions& options = {});
Csv parse_csv(std::string_view text, const std::string& name, const CsvOptions& options = {});

// A cell as it is written: in quotes when it holds a delimiter, a quote, a line break or spaces at an end.
std::string csv_cell(std::string_view text, char delimiter = ',');
// One line per row of a tensor of rank 1 or 2, under a header when `names` are given.
void write_csv(const std::filesystem::path& path, const std::vector<std::string>& names, const Tensor& rows);

}  // namespace nacre
