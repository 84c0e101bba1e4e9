// Pictures in files.
#pragma once

#include "api/data/part.h"
#include "api/data/sources.h"
#include "formats/image.h"

namespace nacre {

enum class OnError : std::uint8_t { fail, skip };
template <>
struct EnumNames<OnError> {
  static constexpr std::string_view names[] = {"fail", "skip"};
};

struct ImagesConfig : PartConfig {
  static constexpr std::string_view class_name = "images";
  static constexpr std::string_view doc =
      "Pictures (JPEG, PNG, WebP, BMP, GIF) in one folder per class, classes in alphabetical order, or named by a table.";
  std::optional<std::string> folder;
  std::optional<Extent<2>> size;
  // Where these say nothing, pictures come as the network's file has it, to which they go.
  std::optional<std::int64_t> channels;
  std::optional<Fit> fit;
  std::optional<bool> antialias;
  std::vector<std::string> classes;
  std::optional<std::string> manifest, list;
  std::string path = "path";
  OneOrMore target{{"label"}};
  OnError on_error = OnError::fail;
  std::int64_t seed = 0;
  static void describe(auto&& field) {
    field("folder", &ImagesConfig::folder, "holds the folders of the classes or, with a manifest, what its paths are relative to");
    field("size", &ImagesConfig::size,
          "height and width to which pictures are resized; default: that of the network, or of the first picture");
    field("channels", &ImagesConfig::channels,
          "3: colour, 1: grey, 4: colour with alpha; default: as the network takes, or 3", between(1, 4));
    field("fit", &ImagesConfig::fit,
          "what is done to pictures of other proportions; default: as the network was trained, or stretch");
    field(
        "antialias", &ImagesConfig::antialias,
        "a smaller picture's pixel is the mean of those that it covers; large JPEGs are then decoded smaller at once; "
        "default: as the network was trained, or false");
    field("classes", &ImagesConfig::classes, "their names in the order of their numbers; others are left out; default: all");
    field("manifest", &ImagesConfig::manifest, "table (CSV) with a picture a row, in place of folders of classes");
    field("path", &ImagesConfig::path, "the manifest's column of files, relative to folder or else to the manifest");
    field("target", &ImagesConfig::target,
          "the manifest's columns to be predicted: texts become class numbers, numbers stay; null: there are none");
    field("list", &ImagesConfig::list, "file with a picture's path a line: only those are taken");
    field("on_error", &ImagesConfig::on_error, "fail: a file that is no whole picture ends the run; skip: all are decoded first, and such are left out");
    describe_part<ImagesConfig>(field);
    field("seed", &ImagesConfig::seed, "of the order in which pictures are mixed before they are split", at_least(0));
  }
};

// Pictures are decoded when they are read. They stand in an order in which every stretch has a fair share of each class:
// a function of seed, classes and file names.
DatasetRef open_images(const std::filesystem::path& folder, const ImagesConfig& config);

}  // namespace nacre
