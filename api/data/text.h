// Texts in folders, and running texts.
#pragma once

#include <filesystem>

#include "api/data/dataset.h"
#include "api/data/part.h"
#include "layers/text.h"

namespace nacre {

struct TextConfig : PartConfig {
  static constexpr std::string_view class_name = "text";
  static constexpr std::string_view doc =
      "Windows of a running text, for language models: inputs are texts of so many tokens, targets the number of the token "
      "that follows each. A TextVectorization with the same split and standardize takes the vocabulary from here.";
  std::string file;
  std::int64_t sequence_length = 100;
  std::optional<std::int64_t> sequence_stride, max_tokens;
  TextSplit split = TextSplit::character;
  std::optional<Standardize> standardize;
  std::optional<std::string> vocabulary;
  static void describe(auto&& field) {
    field("file", &TextConfig::file, "of the text, in UTF-8", required());
    field("sequence_length", &TextConfig::sequence_length, "tokens of a window", at_least(1));
    field("sequence_stride", &TextConfig::sequence_stride, "tokens from one window to the next; default: sequence_length", at_least(1));
    field("split", &TextConfig::split, "what tokens are");
    field("standardize", &TextConfig::standardize, "done to each token before it is numbered; null: nothing");
    field("max_tokens", &TextConfig::max_tokens, "size of the vocabulary with padding (0) and unknown tokens (1); null: all that occur", at_least(3));
    field("vocabulary", &TextConfig::vocabulary, "file whose text makes the vocabulary: for validation data that lies in another one");
    describe_part<TextConfig>(field);
  }
};

struct TextsConfig : PartConfig {
  static constexpr std::string_view class_name = "texts";
  static constexpr std::string_view doc = "Texts (.txt) in one folder per class, classes in alphabetical order.";
  std::string folder;
  std::vector<std::string> classes;
  std::int64_t seed = 0;
  static void describe(auto&& field) {
    field("folder", &TextsConfig::folder, "holds the folders of the classes", required());
    field("classes", &TextsConfig::classes, "their folders in the order of their numbers; others are left out; default: all");
    describe_part<TextsConfig>(field);
    field("seed", &TextsConfig::seed, "of the order in which files are mixed before they are split", at_least(0));
  }
};

// A file without byte order mark and with \n alone at the ends of lines; may be packed (.gz). Throws Error for 1 GiB
// and more.
std::string read_text(const std::filesystem::path& path);

DatasetRef open_text(const std::filesystem::path& folder, const TextConfig& config);
DatasetRef open_texts(const std::filesystem::path& folder, const TextsConfig& config);

}  // namespace nacre
