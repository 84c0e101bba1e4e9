#include "formats/csv.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <unordered_set>

#include "backend/core/memory.h"
#include "formats/file.h"
#include "formats/scalar.h"

namespace nacre {

namespace {

constexpr std::size_t longest_cell = 1 << 20;
constexpr std::size_t most_columns = 100'000;

// Pieces of the text, one after another; an empty one is the end.
class Source {
 public:
  virtual ~Source() = default;
  virtual std::string_view next() = 0;
};

class TextSource : public Source {
 public:
  explicit TextSource(std::string_view text) : text_(text) {}
  std::string_view next() override { return std::exchange(text_, {}); }

 private:
  std::string_view text_;
};

class FileSource : public Source {
 public:
  FileSource(const std::filesystem::path& path, std::uint64_t most_unpacked)
      : reader_(path), most_unpacked_(most_unpacked), buffer_(std::size_t{1} << 18, '\0') {}
  std::string_view next() override {
    const std::size_t bytes = reader_.read(std::as_writable_bytes(std::span(buffer_)));
    if (reader_.gzipped() && reader_.position() > most_unpacked_)
      throw Error("the gzipped table unpacks to more than {} bytes", most_unpacked_)
          .at(Mark{reader_.path().string()})
          .hint("unpack it with gunzip if that is meant");
    return std::string_view(buffer_).substr(0, bytes);
  }

 private:
  FileReader reader_;
  std::uint64_t most_unpacked_;
  std::string buffer_;
};

struct Cell {
  std::string text;
  bool quoted = false;
  int line = 0, column = 0;
};

char detect_delimiter(std::string_view text) {
  std::array<std::size_t, 3> counts{};
  constexpr std::string_view candidates = ",;\t";
  bool quoted = false;
  for (const char c : text) {
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    if (c == '\n') break;
    if (const std::size_t index = candidates.find(c); index != std::string_view::npos) ++counts[index];
  }
  return candidates[static_cast<std::size_t>(std::max_element(counts.begin(), counts.end()) - counts.begin())];
}

// Cuts the text into rows of cells.
class RowReader {
 public:
  RowReader(Source& source, const std::string& name, char delimiter) : source_(source), name_(name), delimiter_(delimiter) {
    piece_ = source_.next();
    if (piece_.starts_with("\xef\xbb\xbf")) piece_.remove_prefix(3);
    if (!delimiter_) delimiter_ = detect_delimiter(piece_);
  }

  char delimiter() const { return delimiter_; }

  // False at the end. Blank lines give no row. The cells are reused from row to row.
  bool next(std::vector<Cell>& cells, std::size_t& count) {
    while (true) {
      count = 0;
      if (peek() == end) return false;
      const bool blank = read_row(cells, count);
      if (!blank) return true;
    }
  }

 private:
  static constexpr int end = -1;

  int peek() {
    if (piece_.empty()) piece_ = source_.next();
    return piece_.empty() ? end : static_cast<unsigned char>(piece_.front());
  }
  void skip() {
    const auto byte = static_cast<unsigned char>(piece_.front());
    piece_.remove_prefix(1);
    if (byte == '\n') ++line_, column_ = 1;
    else if ((byte & 0xc0u) != 0x80u) ++column_;
  }

  [[noreturn]] void fail(std::string message, int line, int column) const {
    throw Error(std::move(message)).at({name_, line, column}).usage();
  }

  bool read_row(std::vector<Cell>& cells, std::size_t& count) {
    while (true) {
      if (count == most_columns) fail(fmt::format("the row has more than {} cells", most_columns), line_, column_);
      if (count == cells.size()) cells.emplace_back();
      Cell& cell = cells[count++];
      read_cell(cell);
      const int c = peek();
      if (c == delimiter_) {
        skip();
        continue;
      }
      if (c == '\r') skip();
      if (peek() == '\n') skip();
      else if (c == '\r' && peek() != end) ++line_, column_ = 1;  // the line ends of old Macs
      return count == 1 && cell.text.empty() && !cell.quoted;
    }
  }

  void read_cell(Cell& cell) {
    cell.text.clear();
    cell.quoted = false;
    while (delimiter_ != ' ' && (peek() == ' ' || (peek() == '\t' && delimiter_ != '\t'))) skip();
    cell.line = line_;
    cell.column = column_;
    if (peek() == '"') return read_quoted(cell);
    for (int c = peek(); c != end && c != delimiter_ && c != '\n' && c != '\r'; c = peek()) append(cell);
    cell.text.erase(cell.text.find_last_not_of(delimiter_ == '\t' ? " " : " \t") + 1);
  }

  void read_quoted(Cell& cell) {
    cell.quoted = true;
    skip();
    while (true) {
      const int c = peek();
      if (c == end) fail("the quoted text that begins here has no end", cell.line, cell.column);
      if (c == '"') {
        skip();
        if (peek() != '"') break;
      }
      append(cell);
    }
    while (peek() == ' ' && delimiter_ != ' ') skip();
    if (const int c = peek(); c != end && c != delimiter_ && c != '\n' && c != '\r')
      fail("a quoted text ends here, but the cell goes on", line_, column_);
  }

  void append(Cell& cell) {
    if (piece_.front() == '\0') fail("a zero byte stands here", line_, column_);
    if (cell.text.size() >= longest_cell) fail("the cell is longer than 1 MiB", cell.line, cell.column);
    cell.text += piece_.front();
    skip();
  }

  Source& source_;
  const std::string& name_;
  char delimiter_;
  std::string_view piece_;
  int line_ = 1, column_ = 1;
};

std::optional<float> number_of(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || text.front() == '+') return {};
  double value = 0;
  const auto [after, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (after != text.data() + text.size()) return {};
  if (problem == std::errc::result_out_of_range) {
    const Tree tree = decimal_number(text);  // tells too large from too small
    return tree.is_number() ? static_cast<float>(tree.as_number()) : std::optional<float>();
  }
  return problem == std::errc{} ? std::optional(static_cast<float>(value)) : std::nullopt;
}

class Reader {
 public:
  Reader(const std::string& name, const CsvOptions& options)
      : name_(name),
        options_(options),
        most_memory_(options.most_memory > 0 ? options.most_memory : machine_memory() / 4),
        missing_(options.missing.begin(), options.missing.end()) {}

  // Reads all rows. Returns false when a column that looked numeric has turned out to hold texts, so that its first
  // cells are lost: the caller then reads again, and the column is known from the start.
  bool read(Source& source) {
    csv_ = {};
    memory_ = 0;
    RowReader rows(source, name_, options_.delimiter);
    std::vector<Cell> cells, first;
    std::size_t count = 0;
    if (!rows.next(cells, count)) throw Error("the table is empty").at(Mark{name_}).usage();
    const std::size_t width = count;
    first.assign(cells.begin(), cells.begin() + static_cast<std::ptrdiff_t>(width));
    csv_.had_header = options_.header.value_or(looks_like_header(first));
    if (kinds_.empty()) kinds_.assign(width, Kind::numeric);
    csv_.columns.resize(width);
    for (std::size_t i = 0; i < width; ++i) csv_.columns[i].name = csv_.had_header ? first[i].text : std::to_string(i);
    if (csv_.had_header) check_names(first);
    for (const std::vector<std::string>* names : {&options_.numeric, &options_.text})
      for (const std::string& name : *names) try {
          (void)csv_.column(name);
        } catch (Error& error) {
          error.at({name_, 0, 0});
          throw;
        }
    for (std::size_t i = 0; i < width; ++i) {
      if (contains(options_.text, csv_.columns[i].name)) kinds_[i] = Kind::text;
      csv_.columns[i].numeric = kinds_[i] == Kind::numeric;
    }
    if (!csv_.had_header) add(first, width);
    while (rows.next(cells, count)) {
      if (count != width)
        throw Error("the row has {} cells, {} {}", count, csv_.had_header ? "the header has" : "the first has", width)
            .at({name_, cells[0].line, cells[0].column})
            .hint(count == 1 ? "is the delimiter another one?" : "cells that hold the delimiter need quotes")
            .usage();
      add(cells, width);
    }
    return !again_;
  }

  void start_again() { again_ = false; }

  Csv take() {
    for (std::size_t i = 0; i < csv_.columns.size(); ++i)
      if (i < first_texts_.size()) csv_.columns[i].first_text = first_texts_[i];
    return std::move(csv_);
  }

 private:
  enum class Kind : char { numeric, text };

  static bool contains(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  }

  bool looks_like_header(const std::vector<Cell>& cells) const {
    std::unordered_set<std::string_view> names;
    return std::all_of(cells.begin(), cells.end(), [&](const Cell& cell) {
      return !missing_.contains(cell.text) && !number_of(cell.text) && names.insert(cell.text).second;
    });
  }

  void check_names(const std::vector<Cell>& cells) const {
    std::unordered_set<std::string_view> names;
    for (const Cell& cell : cells)
      if (!names.insert(cell.text).second)
        throw Error("two columns have the name '{}'", cell.text).at({name_, cell.line, cell.column}).hint("does the table begin without a header?").usage();
  }

  void add(const std::vector<Cell>& cells, std::size_t width) {
    for (std::size_t i = 0; i < width; ++i) {
      const Cell& cell = cells[i];
      CsvColumn& column = csv_.columns[i];
      if (!column.numeric) {
        add_text(column, cell.text);
        continue;
      }
      if (!cell.quoted || !cell.text.empty()) {
        if (const auto number = number_of(cell.text)) {
          add_number(column, *number);
          continue;
        }
      }
      if (missing_.contains(cell.text)) {
        add_number(column, std::numeric_limits<float>::quiet_NaN());
        continue;
      }
      const Mark place{name_, cell.line, cell.column};
      if (contains(options_.numeric, column.name)) throw Error("'{}' is no number (column '{}')", cell.text.substr(0, 60), column.name).at(place).usage();
      first_texts_.resize(width);
      first_texts_[i] = place;
      kinds_[i] = Kind::text;
      again_ = again_ || csv_.rows > 0;
      column.numeric = false;
      add_text(column, cell.text);
    }
    ++csv_.rows;
    if (memory_ > most_memory_)
      throw Error("the table takes more than {} MB of memory after {} rows", most_memory_ >> 20, csv_.rows)
          .at({name_, cells[0].line, cells[0].column})
          .hint("cut it into several tables");
  }

  // Short texts lie in the object itself.
  void add_text(CsvColumn& column, const std::string& text) {
    column.texts.push_back(text);
    memory_ += sizeof(std::string) + (text.size() < sizeof(std::string) / 2 ? 0 : text.size() + 1);
  }

  void add_number(CsvColumn& column, float number) {
    column.numbers.push_back(number);
    memory_ += sizeof number;
  }

  const std::string& name_;
  const CsvOptions& options_;
  std::size_t most_memory_, memory_ = 0;  // bytes, without what vectors hold in reserve
  std::unordered_set<std::string> missing_;
  std::vector<Kind> kinds_;
  std::vector<Mark> first_texts_;
  bool again_ = false;
  Csv csv_;
};

}  // namespace

Csv parse_csv(std::string_view text, const std::string& name, const CsvOptions& options) {
  Reader reader(name, options);
  for (TextSource source(text); !reader.read(source); source = TextSource(text)) reader.start_again();
  return reader.take();
}

Csv read_csv(const std::filesystem::path& path, const CsvOptions& options) {
  const std::string name = path.string();
  // What cannot be read twice (a pipe) is read whole.
  if (std::error_code ignored; std::filesystem::exists(path, ignored) && !std::filesystem::is_regular_file(path, ignored) && !std::filesystem::is_directory(path, ignored))
    return parse_csv(read_file_unpacked(path, options.most_unpacked), name, options);
  Reader reader(name, options);
  while (true) {
    FileSource source(path, options.most_unpacked);
    if (reader.read(source)) return reader.take();
    reader.start_again();
  }
}

const CsvColumn& Csv::column(std::string_view name) const {
  std::vector<std::string_view> known;
  for (const CsvColumn& each : columns) {
    if (each.name == name) return each;
    known.push_back(each.name);
  }
  throw Error("there is no column '{}'", name).hint(suggestion(name, known)).usage();
}

Tensor Csv::numbers(const std::vector<std::string>& names) const {
  Tensor result = Tensor::uninitialised({DType::float32, {static_cast<std::int64_t>(rows), static_cast<std::int64_t>(names.size())}});
  const auto values = result.writable<float>();
  for (std::size_t i = 0; i < names.size(); ++i) {
    const CsvColumn& each = column(names[i]);
    if (!each.numeric)
      throw Error("column '{}' holds texts, numbers are wanted", each.name)
          .at(each.first_text)
          .hint("leave the column out, or look its texts up in a vocabulary")
          .usage();
    for (std::size_t row = 0; row < rows; ++row) values[row * names.size() + i] = each.numbers[row];
  }
  return result;
}

Tensor Csv::numbers() const {
  std::vector<std::string> names;
  for (const CsvColumn& each : columns) names.push_back(each.name);
  return numbers(names);
}

std::string csv_cell(std::string_view text, char delimiter) {
  const bool spaces = !text.empty() && (std::string_view(" \t").find(text.front()) != std::string_view::npos || std::string_view(" \t").find(text.back()) != std::string_view::npos);
  if (!spaces && text.find_first_of(std::string{'"', '\n', '\r', delimiter}) == std::string_view::npos) return std::string(text);
  std::string cell = "\"";
  for (const char c : text) cell.append(c == '"' ? 2 : 1, c);
  return cell + "\"";
}

void write_csv(const std::filesystem::path& path, const std::vector<std::string>& names, const Tensor& rows) {
  need(rows.shape().rank() == 1 || rows.shape().rank() == 2, "a table has rows and columns, the tensor has the shape {}", rows.shape());
  const std::int64_t width = rows.shape().rank() == 2 ? rows.shape()[1] : 1;
  need(names.empty() || static_cast<std::int64_t>(names.size()) == width, "{} names for {} columns", names.size(), width);
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) text += (i ? "," : "") + csv_cell(names[i]);
  if (!names.empty()) text += "\n";
  const bool single = rows.dtype() == DType::float32 || rows.dtype() == DType::float16 || rows.dtype() == DType::bfloat16;
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    if (i % width != 0) text += ",";
    if (rows.dtype() == DType::string) text += csv_cell(rows.data<std::string>()[static_cast<std::size_t>(i)]);
    else if (single) text += fmt::format("{}", static_cast<float>(rows.at(i)));
    else if (rows.dtype() == DType::int64) text += std::to_string(rows.data<std::int64_t>()[static_cast<std::size_t>(i)]);
    else text += fmt::format("{}", rows.at(i));
    if ((i + 1) % width == 0) text += "\n";
  }
  write_file_atomically(path, text);
}

}  // namespace nacre
