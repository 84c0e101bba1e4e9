// Where data comes from: what `data.train: {idx: {…}}` and `--data csv:iris.csv` name.
#pragma once

#include <filesystem>

#include "api/data/dataset.h"
#include "formats/config.h"

namespace nacre {

// A described place of data. Immutable.
class Source : public Configurable<Source> {
 public:
  // Reads the data; relative paths are relative to `folder`. Errors name the file.
  virtual DatasetRef open(const std::filesystem::path& folder) const = 0;
};
template <>
Registry<Source>& registry<Source>();  // digits, idx, csv, lines, texts, text, npy, npz, hdf5, images

// The class of the source that a file's name or a folder stands for: "csv" for "table.csv.gz"; "" when it stands for none.
std::string_view source_kind_of(const std::filesystem::path& path);

// A source as it is written on a command line: "digits:1000", "idx:images.gz,labels.gz", "csv:iris.csv,target=species",
// a file by its extension (.csv .npz .npy .h5 .hdf5 .txt), or a folder of pictures with one folder per class. What comes
// after the colon fills the fields in their order, or by name: "npz:data.npz,x=[left,right],y=label".
std::shared_ptr<Source> parse_source(const std::string& text);

// How inputs are normalised: (x - mean) / standard deviation per element of the last axis, of which `standard` takes
// both from the training data; or `divide` divides by one number. One of these ways is given, or none.
struct NormalizeConfig {
  bool standard = false;
  std::optional<double> divide;
  std::vector<double> mean, deviation;
  static void describe(auto&& field) {
    field("standard", &NormalizeConfig::standard, "mean and deviation of the training data");
    field("divide", &NormalizeConfig::divide, "by this number", above(0));
    field("mean", &NormalizeConfig::mean, "subtracted: one number, or one per element of the last axis");
    field("deviation", &NormalizeConfig::deviation, "divided by, after the mean was subtracted", above(0));
  }
};
// What is done to inputs then; mean and deviation of `train` where they are to be measured. Throws a usage Error when
// several ways are given, and when there is not one input of numbers to measure.
Preprocessing measured(const NormalizeConfig& config, const DatasetRef& train);

}  // namespace nacre
