// Tables of text as data sets.
#include <algorithm>
#include <cmath>
#include <set>

#include "api/data/sources.h"
#include "formats/csv.h"
#include "formats/text.h"

namespace nacre {

namespace {

// Texts as class numbers, in alphabetical order.
Tensor class_numbers(const std::vector<std::string>& texts, std::vector<std::string>& classes) {
  const std::set<std::string> sorted(texts.begin(), texts.end());
  classes.assign(sorted.begin(), sorted.end());
  Tensor numbers(DType::int32, {static_cast<std::int64_t>(texts.size())});
  const auto values = numbers.writable<std::int32_t>();
  for (std::size_t i = 0; i < texts.size(); ++i)
    values[i] = static_cast<std::int32_t>(std::lower_bound(classes.begin(), classes.end(), texts[i]) - classes.begin());
  return numbers;
}

void refuse_missing(const CsvColumn& column, const std::filesystem::path& file, std::string_view hint) {
  const auto missing = std::count_if(column.numbers.begin(), column.numbers.end(), [](float value) { return std::isnan(value); });
  if (missing > 0)
    throw Error("column '{}' misses {} of {} values", column.name, missing, column.numbers.size()).at({file.string(), 0, 0}).hint(std::string(hint)).usage();
}

}  // namespace

Tensor table_targets(const Csv& table, const std::vector<std::string>& names, const std::filesystem::path& file,
                     std::vector<std::string>& labels) {
  for (const std::string& name : names) {
    const CsvColumn& column = table.column(name);
    if (column.numeric) refuse_missing(column, file, "rows without a target cannot be learned from");
  }
  if (names.size() > 1) return table.numbers(names);
  const CsvColumn& column = table.column(names.front());
  if (!column.numeric) return class_numbers(column.texts, labels);
  Tensor values = Tensor::of<float>({static_cast<std::int64_t>(table.rows)}, column.numbers);
  const bool integral = std::all_of(column.numbers.begin(), column.numbers.end(),
                                    [](float value) { return value == std::floor(value) && std::abs(value) < 0x1p24f; });
  return integral ? values.cast(DType::int32) : values;
}

DatasetRef open_csv(const std::filesystem::path& file, const CsvConfig& config) {
  CsvOptions options;
  options.header = config.header;
  if (config.delimiter) {
    if (config.delimiter->size() != 1) throw Error("the delimiter '{}', wanted one character", *config.delimiter).usage();
    options.delimiter = config.delimiter->front();
  }
  options.text = config.text.names;
  const Csv table = read_csv(file, options);
  const auto contains = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const OneOrMore* chosen : {&config.target, &config.inputs, &config.drop, &config.text})
    for (const std::string& name : chosen->names) {
      try {
        table.column(name);
      } catch (Error& error) {
        error.at({file.string(), 0, 0});
        throw;
      }
    }
  std::vector<std::string> inputs = config.inputs.names;
  if (inputs.empty())
    for (const CsvColumn& column : table.columns)
      if (!contains(config.target.names, column.name) && !contains(config.drop.names, column.name) &&
          !contains(config.text.names, column.name))
        inputs.push_back(column.name);
  for (const std::string& name : inputs) {
    const CsvColumn& column = table.column(name);
    if (!column.numeric)
      throw Error("column '{}' holds texts, wanted numbers", name)
          .at(column.first_text)
          .hint(fmt::format(
              "text: [{0}] makes its texts an input, drop: [{0}] leaves it out{1}; on a command line "
              "csv:{2},text={0}",
              name, config.target.names.empty() ? fmt::format(", target: {} makes it what is predicted", name) : "",
              file.string()))
          .usage();
    if (!config.fill) refuse_missing(column, file, "fill: 0 puts a number in their place, drop leaves the column out");
  }
  Arrays arrays;
  if (!inputs.empty()) {
    Tensor numbers = table.numbers(inputs);
    if (config.fill)
      for (float& value : numbers.writable<float>())
        if (std::isnan(value)) value = static_cast<float>(*config.fill);
    arrays.inputs.push_back(std::move(numbers));
    std::string& all = arrays.input_names.emplace_back();
    if (!config.text.names.empty())  // beside texts they are told apart by their names
      for (const std::string& name : inputs) all += (all.empty() ? "" : ", ") + name;
  }
  for (const std::string& name : config.text.names) {
    arrays.inputs.push_back(Tensor::of<std::string>({static_cast<std::int64_t>(table.rows)}, table.column(name).texts));
    arrays.input_names.push_back(name);
  }
  if (!config.target.names.empty()) arrays.targets = {table_targets(table, config.target.names, file, arrays.target_labels.emplace_back())};
  arrays.whole_file = false;
  arrays.description = file.filename().string();
  return array_dataset(std::move(arrays));
}

DatasetRef open_lines(const std::filesystem::path& folder, const LinesConfig& config) {
  const std::filesystem::path file = folder / config.file;
  const std::vector<std::string> texts = read_lines(file);
  Arrays arrays;
  arrays.inputs = {Tensor::of<std::string>({static_cast<std::int64_t>(texts.size())}, texts)};
  if (config.labels) {
    const std::vector<std::string> labels = read_lines(folder / *config.labels);
    if (labels.size() != texts.size())
      throw Error("{} labels for {} texts", labels.size(), texts.size()).at({(folder / *config.labels).string(), 0, 0}).usage();
    arrays.targets = {class_numbers(labels, arrays.target_labels.emplace_back())};
  }
  arrays.whole_file = false;
  arrays.description = file.filename().string();
  return array_dataset(std::move(arrays));
}

}  // namespace nacre
