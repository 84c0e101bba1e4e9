// Files that lie in one folder per class.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace nacre {

struct ClassFiles {
  std::vector<std::filesystem::path> files;
  std::vector<std::int32_t> labels;  // of each file: its place in `classes`
  std::vector<std::string> classes;
  std::string passed_over;  // what is said of files that were not accepted: "; 3 other files (.heic, .mp4)", or ""
};

// The accepted files below each folder in `folder`, at any depth, sorted by name; classes in alphabetical order or,
// when `classes` names some, these in this order. Links to folders and what is hidden (.name) are passed over. Throws
// usage Errors for what is not there, and when no file was found: "no pictures were found", "wanted … with .jpg or .png
// files". `others`, where there are no files but those: endings and what reads them, such as {".txt", "texts"}.
ClassFiles files_of_classes(const std::filesystem::path& folder, const std::vector<std::string>& classes,
                            const std::function<bool(const std::filesystem::path&)>& accepts, std::string_view noun,
                            std::string_view kinds, std::pair<std::string_view, std::string_view> others = {});

// An order of samples in which every stretch has a fair share of each class: each class is shuffled, and its samples spread
// evenly. A function of the labels and the seed.
std::vector<std::size_t> mixed_order(const std::vector<std::int32_t>& labels, std::uint64_t seed);

}  // namespace nacre
