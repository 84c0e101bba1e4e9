// Categories of any kind as numbers, by hashing: no vocabulary is needed, but two may get the same number.
#pragma once

#include <array>
#include <variant>

#include "layers/category.h"
#include "layers/symbol.h"

namespace nacre {

// The key of a hash function: one number, or two.
struct Salt {
  std::array<std::int64_t, 2> key{};
  Salt() = default;
  Salt(std::int64_t both) : key{both, both} {}
  Salt(std::array<std::int64_t, 2> each) : key(each) {}
  bool operator==(const Salt&) const = default;
};
template <>
struct FieldKind<Salt> {
  static void read(const Tree& tree, Salt& value);
  static Tree write(const Salt& value, Style style);
  static Tree schema();
};

// A token: a text or a number.
struct Token {
  std::variant<std::string, std::int64_t> value;
  bool operator==(const Token&) const = default;
};
template <>
struct FieldKind<Token> {
  static void read(const Tree& tree, Token& value);
  static Tree write(const Token& value, Style style);
  static Tree schema();
};

// The bucket of a text among 0 … buckets-1, as TensorFlow finds it: by FarmHash, with a salt by SipHash.
std::int64_t hash_bucket(std::string_view text, std::int64_t buckets, const std::optional<Salt>& salt = {});

struct HashingConfig {
  static constexpr std::string_view class_name = "Hashing";
  static constexpr std::string_view doc = "Texts or numbers as the numbers of hash buckets; runs on the host.";
  std::int64_t num_bins = 0;
  std::optional<Token> mask_value;
  std::optional<Salt> salt;
  CategoryMode output_mode = CategoryMode::integer;
  bool sparse = false;
  static void describe(auto&& field) {
    field("num_bins", &HashingConfig::num_bins, "number of buckets", at_least(1), required());
    field("mask_value", &HashingConfig::mask_value, "gets bucket 0 for itself");
    field("salt", &HashingConfig::salt, "key of SipHash; null: FarmHash");
    field("output_mode", &HashingConfig::output_mode, "int, one_hot, multi_hot or count; see CategoryEncoding");
    field("sparse", &HashingConfig::sparse, "Keras's storage of the result; here it is always dense");
  }
};

struct HashedCrossingConfig {
  static constexpr std::string_view class_name = "HashedCrossing";
  static constexpr std::string_view doc = "Combinations of categories as the numbers of hash buckets; runs on the host.";
  std::int64_t num_bins = 0;
  CategoryMode output_mode = CategoryMode::integer;
  bool sparse = false;
  static void describe(auto&& field) {
    field("num_bins", &HashedCrossingConfig::num_bins, "number of buckets", at_least(1), required());
    field("output_mode", &HashedCrossingConfig::output_mode, "int or one_hot");
    field("sparse", &HashedCrossingConfig::sparse, "Keras's storage of the result; here it is always dense");
  }
};

LayerRef Hashing(HashingConfig config, LayerOptions options = {});
LayerRef HashedCrossing(HashedCrossingConfig config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> hashing_layers();

}  // namespace nacre
