// The sources of data, one config each.
#pragma once

#include "api/data/source.h"

namespace nacre {

// Names or numbers of columns, files or arrays, written as one when there is one: y, 4 or [y1, y2].
struct OneOrMore {
  std::vector<std::string> names;
  bool operator==(const OneOrMore&) const = default;
};
template <> struct FieldKind<OneOrMore> {
  static void read(const Tree& tree, OneOrMore& value) {
    value.names.clear();
    if (tree.is_null()) return;
    const auto name = [](const Tree& item) { return item.is_integer() ? item.text() : item.as_string(); };
    if (!tree.is_sequence()) return value.names.push_back(name(tree));
    for (const Tree& item : tree.items()) value.names.push_back(name(item));
  }
  static Tree write(const OneOrMore& value, Style style) {
    if (value.names.empty()) return {};
    return value.names.size() == 1 ? Tree(value.names.front()) : FieldKind<std::vector<std::string>>::write(value.names, style);
  }
  static Tree schema() {
    Tree name, list = schema_type("array"), schema;
    name.set("anyOf", Tree::Sequence{schema_type("string"), schema_type("integer")});
    list.set("items", name);
    schema.set("anyOf", Tree::Sequence{std::move(name), std::move(list), schema_type("null")});
    return schema;
  }
};

struct DigitsConfig {
  static constexpr std::string_view class_name = "digits";
  static constexpr std::string_view doc = "The ten digits, drawn from strokes: 28×28 grey pictures and labels.";
  std::int64_t count = 10000, seed = 1;
  static void describe(auto&& field) {
    field("count", &DigitsConfig::count, "number of pictures", between(1, 10'000'000));
    field("seed", &DigitsConfig::seed, "another seed draws other pictures", at_least(0));
  }
};

struct IdxConfig {
  static constexpr std::string_view class_name = "idx";
  static constexpr std::string_view doc = "IDX files, the format of MNIST, gzipped or not.";
  std::string images;
  std::optional<std::string> labels;
  static void describe(auto&& field) {
    field("images", &IdxConfig::images, "file of the inputs", required());
    field("labels", &IdxConfig::labels, "file of the targets");
  }
};

struct NpyConfig {
  static constexpr std::string_view class_name = "npy";
  static constexpr std::string_view doc = "NumPy arrays, one in a file.";
  OneOrMore x, y, weights;
  static void describe(auto&& field) {
    field("x", &NpyConfig::x, "files of the inputs", required());
    field("y", &NpyConfig::y, "files of the targets");
    field("weights", &NpyConfig::weights, "files of the sample weights");
  }
};

// Arrays that lie in one file by name.
struct NamedArraysConfig {
  std::string file;
  OneOrMore x{{"x"}}, y{{"y"}}, weights;
};

struct NpzConfig : NamedArraysConfig {
  static constexpr std::string_view class_name = "npz";
  static constexpr std::string_view doc = "Named NumPy arrays in one file.";
  static void describe(auto&& field) {
    field("file", &NpzConfig::file, "the archive", required());
    field("x", &NpzConfig::x, "arrays of the inputs");
    field("y", &NpzConfig::y, "arrays of the targets; null: there are none");
    field("weights", &NpzConfig::weights, "arrays of the sample weights");
  }
};

struct Hdf5Config : NamedArraysConfig {
  static constexpr std::string_view class_name = "hdf5";
  static constexpr std::string_view doc = "Datasets of an HDF5 file.";
  static void describe(auto&& field) {
    field("file", &Hdf5Config::file, "the file", required());
    field("x", &Hdf5Config::x, "paths of the inputs");
    field("y", &Hdf5Config::y, "paths of the targets; null: there are none");
    field("weights", &Hdf5Config::weights, "paths of the sample weights");
  }
};

struct CsvConfig {
  static constexpr std::string_view class_name = "csv";
  static constexpr std::string_view doc = "A table of text: all columns but the target are inputs.";
  std::string file;
  OneOrMore target, inputs, drop, text;
  std::optional<bool> header;
  std::optional<std::string> delimiter;
  std::optional<double> fill;
  static void describe(auto&& field) {
    field("file", &CsvConfig::file, "the table", required());
    field("target", &CsvConfig::target, "columns to be predicted: names, or numbers from 0; texts become class numbers");
    field("inputs", &CsvConfig::inputs, "columns of numbers that are one input together; default: all others");
    field("drop", &CsvConfig::drop, "columns that are not used");
    field("header", &CsvConfig::header, "whether the first line names the columns; default: when it holds no numbers");
    field("delimiter", &CsvConfig::delimiter, "one character between cells; default: comma, semicolon or tab, as found");
    field("fill", &CsvConfig::fill, "stands for missing numbers; without it they are an error");
    field("text", &CsvConfig::text, "columns whose texts are inputs of their own, named like the columns");
  }
};

struct LinesConfig {
  static constexpr std::string_view class_name = "lines";
  static constexpr std::string_view doc = "Texts, one per line of a file.";
  std::string file;
  std::optional<std::string> labels;
  static void describe(auto&& field) {
    field("file", &LinesConfig::file, "of the texts", required());
    field("labels", &LinesConfig::labels, "file with a class per line; classes are numbered in alphabetical order");
  }
};

DatasetRef open_lines(const std::filesystem::path& folder, const LinesConfig& config);
struct Csv;
// Columns of a table as one target: numbers as they are (int32 where they are whole), texts of one column as class numbers
// in alphabetical order, whose names go to `labels`. Rows without a target are an error.
Tensor table_targets(const Csv& table, const std::vector<std::string>& names, const std::filesystem::path& file,
                     std::vector<std::string>& labels);
DatasetRef open_csv(const std::filesystem::path& file, const CsvConfig& config);

}  // namespace nacre
