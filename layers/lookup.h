// Tables from tokens (texts or integers) to numbers: Keras's StringLookup and IntegerLookup.
#pragma once

#include <unordered_map>

#include "layers/hashing.h"

namespace nacre {

// How integers that are not in the vocabulary are spread over several numbers: by remainder, or by hashing.
enum class OovMethod : std::uint8_t { floormod, farmhash };
template <>
struct EnumNames<OovMethod> {
  static constexpr std::string_view names[] = {"floormod", "farmhash"};
};

// Of StringLookup (texts) and IntegerLookup (std::int64_t).
template <class Item>
struct LookupConfig {
  static constexpr bool texts = std::is_same_v<Item, std::string>;
  static constexpr std::string_view class_name = texts ? "StringLookup" : "IntegerLookup";
  static constexpr std::string_view doc =
      texts ? "Texts as their numbers in a vocabulary, or the other way; runs on the host."
            : "Integers as their numbers in a vocabulary, or the other way; runs on the host.";
  std::optional<std::int64_t> max_tokens;
  std::int64_t num_oov_indices = 1;
  std::optional<Item> mask_token;
  std::optional<Item> oov_token = [] {
    if constexpr (texts) return "[UNK]";
    else return -1;
  }();
  std::optional<std::vector<Item>> vocabulary;
  std::optional<std::vector<double>> idf_weights;
  bool invert = false;
  CategoryMode output_mode = CategoryMode::integer;
  bool pad_to_max_tokens = false, sparse = false;
  OovMethod oov_method = OovMethod::floormod;
  std::optional<Salt> salt;
  std::string encoding = "utf-8";            // of texts
  DType vocabulary_dtype = DType::int64;     // of integers
  std::optional<std::int64_t> vocabulary_size;
  std::optional<bool> has_input_vocabulary;
  static void describe(auto&& field) {
    field("max_tokens", &LookupConfig::max_tokens, "most numbers that are given out, those for unknown tokens among them", at_least(2));
    field("num_oov_indices", &LookupConfig::num_oov_indices, "numbers for unknown tokens; 0: they are an error", at_least(0));
    field("mask_token", &LookupConfig::mask_token, "padding: number 0, or nothing where output_mode is not int; null: none");
    field("oov_token", &LookupConfig::oov_token, "stands for unknown tokens in vocabularies and where invert is true");
    field("vocabulary", &LookupConfig::vocabulary, "the tokens, in the order of their numbers; null: learned from data; in experiments also a file with a token per line");
    field("idf_weights", &LookupConfig::idf_weights, "of each token of a given vocabulary, for tf_idf");
    field("invert", &LookupConfig::invert, "from numbers to tokens");
    field("output_mode", &LookupConfig::output_mode,
          "int: a number per token; one_hot: a row per token; multi_hot, count, tf_idf: a row per sample");
    field("pad_to_max_tokens", &LookupConfig::pad_to_max_tokens, "rows have max_tokens elements, also where the vocabulary is smaller");
    field("sparse", &LookupConfig::sparse, "Keras's storage of the result; here it is always dense");
    field("oov_method", &LookupConfig::oov_method, "how unknown integers get one of several numbers");
    field("salt", &LookupConfig::salt, "key of SipHash for unknown tokens; null: FarmHash");
    if constexpr (texts) field("encoding", &LookupConfig::encoding, "of the texts", one_of({"utf-8"}));
    else field("vocabulary_dtype", &LookupConfig::vocabulary_dtype, "of the tokens", one_of({"int64"}));
    field("vocabulary_size", &LookupConfig::vocabulary_size, "in Keras's files: size of a vocabulary that lies beside the config");
    field("has_input_vocabulary", &LookupConfig::has_input_vocabulary, "in older files: whether the vocabulary was given");
  }
};
using StringLookupConfig = LookupConfig<std::string>;
using IntegerLookupConfig = LookupConfig<std::int64_t>;

// A vocabulary at work: the rules of a config with tokens. Immutable.
template <class Item>
class LookupTable {
 public:
  // `tokens` may begin with the special ones, as vocabulary() gives them; else those are added. `idf`: one per token given,
  // or none. Throws Error for tokens that occur twice and for reserved ones.
  LookupTable(const LookupConfig<Item>& rules, std::vector<Item> tokens, const std::vector<double>& idf);

  // The number of a token; -1 for one that counts for nothing. Throws Error for an unknown one where there is no number for such.
  std::int64_t number(const Item& token) const;
  Item token(std::int64_t number) const;
  // The tokens by number, special ones first; oov_token for numbers of unknown tokens.
  std::vector<Item> vocabulary() const;
  std::int64_t size() const { return first_ + static_cast<std::int64_t>(tokens_.size()); }
  const std::vector<float>& idf() const { return idf_; }  // by number; empty unless the mode is tf_idf

 private:
  LookupConfig<Item> rules_;      // without vocabulary
  std::vector<Item> tokens_;
  std::unordered_map<Item, std::int64_t> numbers_;
  std::vector<float> idf_;
  std::int64_t oov_ = 0, first_ = 0;  // the first number for unknown tokens, and for known ones
};
extern template class LookupTable<std::string>;
extern template class LookupTable<std::int64_t>;
template <class Item>
using LookupTableRef = std::shared_ptr<const LookupTable<Item>>;

// What StringLookup, IntegerLookup and TextVectorization do with a table that is given, learned or loaded.
template <class Item>
class Vocabulary {
 public:
  // Throws a usage Error for rules that contradict each other.
  explicit Vocabulary(const LookupConfig<Item>& config);

  void set(std::vector<Item> tokens, std::vector<double> idf);
  void set_texts(const std::vector<std::string>& tokens);  // the same from texts; throws a usage Error for tf_idf
  const LookupTableRef<Item>& table() const { return table_; }  // null: there is none yet
  const LookupConfig<Item>& config() const { return config_; }  // with the present tokens
  std::vector<std::string> tokens() const;  // by number, special ones first; none without a table
  // The number of elements of a row. Throws a usage Error where it depends on a vocabulary that is not there.
  std::int64_t depth() const;

  // vocabulary.txt is read, but not written: the config holds the tokens. idf_weights is both.
  Assets assets() const;
  void load(const Assets& assets);

 private:
  LookupConfig<Item> config_;
  LookupTableRef<Item> table_;
};
extern template class Vocabulary<std::string>;
extern template class Vocabulary<std::int64_t>;

// Counts tokens, and how many samples they occur in, and makes the most frequent ones a vocabulary.
template <class Item>
class TokenCounts {
 public:
  void add_sample(std::span<const Item> tokens);
  void give(Vocabulary<Item>& vocabulary) const;  // throws a usage Error when there was no token

 private:
  struct Count {
    std::int64_t times = 0, samples = 0, last_sample = 0;
  };
  std::unordered_map<Item, Count> counts_;
  std::int64_t samples_ = 0;
};
extern template class TokenCounts<std::string>;
extern template class TokenCounts<std::int64_t>;

// A layer that has a vocabulary.
class VocabularyHolder {
 public:
  virtual ~VocabularyHolder() = default;
  virtual std::vector<std::string> vocabulary() const = 0;  // see vocabulary_of
  // Keras's set_vocabulary, in the same form. Throws usage Errors for tokens that do not fit the layer's other fields.
  virtual void set_vocabulary(const std::vector<std::string>& tokens) = 0;
};
// The tokens of a StringLookup, IntegerLookup or TextVectorization by number, special ones first: Keras's
// get_vocabulary(). Integers are written out. Throws a usage Error where there is no vocabulary.
std::vector<std::string> vocabulary_of(const Layer& layer);

LayerRef StringLookup(StringLookupConfig config = {}, LayerOptions options = {});
LayerRef IntegerLookup(IntegerLookupConfig config = {}, LayerOptions options = {});

std::vector<ClassInfo<Layer>> lookup_layers();

}  // namespace nacre
