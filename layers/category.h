// How layers give out categories: as numbers, or as rows with an element for each category.
#pragma once

#include "backend/core/tensor.h"
#include "backend/graph/graph.h"
#include "formats/config.h"

namespace nacre {

enum class CategoryMode : std::uint8_t { integer, one_hot, multi_hot, count, tf_idf };
template <>
struct EnumNames<CategoryMode> {
  static constexpr std::string_view names[] = {"int", "one_hot", "multi_hot", "count", "tf_idf"};
};
// Also by their older names "binary" and "tf-idf".
template <>
struct FieldKind<CategoryMode> {
  static void read(const Tree& tree, CategoryMode& value);
  static Tree write(CategoryMode value, Style) { return EnumNames<CategoryMode>::names[static_cast<std::size_t>(value)]; }
  static Tree schema();
};
// Throws a usage Error unless the mode is among those that a layer has.
void want_mode(CategoryMode mode, std::initializer_list<CategoryMode> modes);

// The shape of the encoding of numbers of this shape, by Keras's rules: one_hot adds an axis of size `depth` (in the place
// of a last axis of size 1); the others sum up the last axis of a matrix or vector, else axis 1, and append it.
Shape encoded_shape(CategoryMode mode, const Shape& numbers, std::int64_t depth);

// The encoding as ops, where the mode is not `integer`. Numbers outside of 0 … depth-1 count for nothing. `weights` (of
// the numbers' shape) may be null; they count instead of ones.
Value encode_categories(CategoryMode mode, Value numbers, std::int64_t depth, DType dtype, Value weights = {});

// The same on the host, in float32 (integer: int64 as they are). `factors` of the categories are for tf_idf; 0 where there is none.
Tensor encode_categories(CategoryMode mode, const Tensor& numbers, std::int64_t depth, std::span<const float> factors = {});

}  // namespace nacre
