// Layers for columns of tables: numbers that are normalised or put into bins, and categories that come as numbers.
#pragma once

#include "layers/category.h"
#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

// Numbers of any shape, written 3, [1, 2] or [[1, 2], [3, 4]].
struct NumberArray {
  Shape shape;
  std::vector<double> values;
  NumberArray() = default;
  NumberArray(double value) : values{value} {}
  NumberArray(std::vector<double> several) : shape{static_cast<std::int64_t>(several.size())}, values(std::move(several)) {}
  bool operator==(const NumberArray&) const = default;
};
template <>
struct FieldKind<NumberArray> {
  static void read(const Tree& tree, NumberArray& value);
  static Tree write(const NumberArray& value, Style style);
  static Tree schema();
};

struct NormalizationConfig {
  static constexpr std::string_view class_name = "Normalization";
  static constexpr std::string_view doc =
      "(x - mean) / √variance, mean and variance per element of some axes; they are given or learned from data.";
  std::optional<Axes> axis = Axes(-1);
  std::optional<NumberArray> mean, variance;
  bool invert = false;
  static void describe(auto&& field) {
    field("axis", &NormalizationConfig::axis, "axes each of whose elements has a mean of its own; null: one for all");
    field("mean", &NormalizationConfig::mean, "subtracted; null: learned from data");
    field("variance", &NormalizationConfig::variance, "divided by its root; given when mean is");
    field("invert", &NormalizationConfig::invert, "back to the original: x · √variance + mean");
  }
};

struct CategoryEncodingConfig {
  static constexpr std::string_view class_name = "CategoryEncoding";
  static constexpr std::string_view doc = "Categories given by number, as rows with an element for each category.";
  std::int64_t num_tokens = 0;
  CategoryMode output_mode = CategoryMode::multi_hot;
  bool sparse = false;
  static void describe(auto&& field) {
    field("num_tokens", &CategoryEncodingConfig::num_tokens, "number of categories", at_least(1), required());
    field("output_mode", &CategoryEncodingConfig::output_mode,
          "one_hot: a row for each number; multi_hot: a row for each sample, 1 where a number occurs; count: how often");
    field("sparse", &CategoryEncodingConfig::sparse, "Keras's storage of the result; here it is always dense");
  }
};

struct DiscretizationConfig {
  static constexpr std::string_view class_name = "Discretization";
  static constexpr std::string_view doc = "The number of the bin that x falls into; the bins are given or learned from data.";
  std::optional<std::vector<double>> bin_boundaries;
  std::optional<std::int64_t> num_bins;
  double epsilon = 0.01;
  CategoryMode output_mode = CategoryMode::integer;
  bool sparse = false;
  static void describe(auto&& field) {
    field("bin_boundaries", &DiscretizationConfig::bin_boundaries, "ascending; the first bin lies below the first one");
    field("num_bins", &DiscretizationConfig::num_bins, "of bins with equally many values, learned from data", at_least(1));
    field("epsilon", &DiscretizationConfig::epsilon, "error of the quantiles that are learned", above(0));
    field("output_mode", &DiscretizationConfig::output_mode, "int, one_hot, multi_hot or count; see CategoryEncoding");
    field("sparse", &DiscretizationConfig::sparse, "Keras's storage of the result; here it is always dense");
  }
};

LayerRef Normalization(NormalizationConfig config = {}, LayerOptions options = {});
LayerRef CategoryEncoding(CategoryEncodingConfig config, LayerOptions options = {});
LayerRef Discretization(DiscretizationConfig config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> tabular_layers();

}  // namespace nacre
