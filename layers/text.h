// Texts as numbers of their words.
#pragma once

#include "layers/fields.h"
#include "layers/lookup.h"

namespace nacre {

// What is done to a text before it is split; letters and punctuation are those of ASCII.
enum class Standardize : std::uint8_t { lower_and_strip_punctuation, lower, strip_punctuation };
template <>
struct EnumNames<Standardize> {
  static constexpr std::string_view names[] = {"lower_and_strip_punctuation", "lower", "strip_punctuation"};
};
enum class TextSplit : std::uint8_t { whitespace, character };
template <>
struct EnumNames<TextSplit> {
  static constexpr std::string_view names[] = {"whitespace", "character"};
};

// Lengths of n-grams: 2 means 1 and 2, [2, 3] just these.
struct NgramLengths {
  std::vector<std::int64_t> lengths;
  bool upto = true;  // written as the largest alone
  NgramLengths() = default;
  NgramLengths(std::int64_t largest);
  NgramLengths(std::vector<std::int64_t> each) : lengths(std::move(each)), upto(false) {}
  bool operator==(const NgramLengths&) const = default;
};
template <>
struct FieldKind<NgramLengths> {
  static void read(const Tree& tree, NgramLengths& value);
  static Tree write(const NgramLengths& value, Style style);
  static Tree schema();
};

struct TextVectorizationConfig {
  static constexpr std::string_view class_name = "TextVectorization";
  static constexpr std::string_view doc = "Texts as the numbers of their words, padded with 0, or as bags of words; runs on the host.";
  std::optional<std::int64_t> max_tokens;
  std::optional<Standardize> standardize = Standardize::lower_and_strip_punctuation;
  std::optional<TextSplit> split = TextSplit::whitespace;
  std::optional<NgramLengths> ngrams;
  CategoryMode output_mode = CategoryMode::integer;
  std::optional<std::int64_t> output_sequence_length;
  bool pad_to_max_tokens = false;
  std::optional<std::vector<std::string>> vocabulary;
  std::optional<std::vector<double>> idf_weights;
  bool sparse = false;
  Only<false> ragged;
  std::string encoding = "utf-8";
  std::optional<std::int64_t> vocabulary_size;
  std::optional<bool> has_input_vocabulary;
  static void describe(auto&& field) {
    field("max_tokens", &TextVectorizationConfig::max_tokens, "size of the vocabulary with padding and unknown words", at_least(2));
    field("standardize", &TextVectorizationConfig::standardize, "done to each text first; null: nothing");
    field("split", &TextVectorizationConfig::split, "what words are; null: each text is one");
    field("ngrams", &TextVectorizationConfig::ngrams, "groups of neighbouring words that become tokens: up to this length, or of these lengths", at_least(1));
    field("output_mode", &TextVectorizationConfig::output_mode,
          "int: a number per word; multi_hot, count, tf_idf: a row per text, with an element per word of the vocabulary");
    field("output_sequence_length", &TextVectorizationConfig::output_sequence_length,
          "texts are cut or padded to so many numbers; null: to the longest of a batch", at_least(1));
    field("pad_to_max_tokens", &TextVectorizationConfig::pad_to_max_tokens, "rows have max_tokens elements, also where the vocabulary is smaller");
    field("vocabulary", &TextVectorizationConfig::vocabulary, "the words, in the order of their numbers; null: learned from data; in experiments also a file with a word per line");
    field("idf_weights", &TextVectorizationConfig::idf_weights, "of each word of a given vocabulary, for tf_idf");
    field("sparse", &TextVectorizationConfig::sparse, "Keras's storage of the result; here it is always dense");
    field("ragged", &TextVectorizationConfig::ragged, "ragged results are not supported");
    field("encoding", &TextVectorizationConfig::encoding, "of the texts", one_of({"utf-8"}));
    field("vocabulary_size", &TextVectorizationConfig::vocabulary_size, "in Keras's files: size of a vocabulary that lies beside the config");
    field("has_input_vocabulary", &TextVectorizationConfig::has_input_vocabulary, "in older files: whether the vocabulary was given");
  }
};

// A text as it is before it is split.
std::string standardized(std::string text, const std::optional<Standardize>& rule);

LayerRef TextVectorization(TextVectorizationConfig config = {}, LayerOptions options = {});

std::vector<ClassInfo<Layer>> text_layers();

}  // namespace nacre
