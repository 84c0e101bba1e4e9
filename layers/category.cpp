#include "layers/category.h"

#include <algorithm>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"

namespace nacre {

void FieldKind<CategoryMode>::read(const Tree& tree, CategoryMode& value) {
  if (tree.is_string() && tree.as_string() == "binary") value = CategoryMode::multi_hot;
  else if (tree.is_string() && tree.as_string() == "tf-idf") value = CategoryMode::tf_idf;
  else value = static_cast<CategoryMode>(read_choice(tree, EnumNames<CategoryMode>::names));
}

Tree FieldKind<CategoryMode>::schema() { return choice_schema(EnumNames<CategoryMode>::names); }

void want_mode(CategoryMode mode, std::initializer_list<CategoryMode> modes) {
  if (std::ranges::find(modes, mode) != modes.end()) return;
  std::string known;
  for (CategoryMode one : modes) known += fmt::format("{}{}", known.empty() ? "" : ", ", text_of(one));
  throw Error("'output_mode': got '{}', wanted one of {}", text_of(mode), known).usage();
}

namespace {

bool drops_last_axis(const Shape& numbers) { return numbers.rank() > 1 && numbers[-1] == 1; }

// The axis that is summed up.
int sample_axis(const Shape& numbers) { return numbers.rank() > 1 ? 1 : 0; }

}  // namespace

Shape encoded_shape(CategoryMode mode, const Shape& numbers, std::int64_t depth) {
  if (mode == CategoryMode::integer) return numbers;
  if (mode == CategoryMode::one_hot)
    return (drops_last_axis(numbers) ? numbers.first(numbers.rank() - 1) : numbers) + Shape{depth};
  need(numbers.rank() > 0, "got single numbers, wanted rows of them");
  return numbers.first(sample_axis(numbers)) + numbers.from(sample_axis(numbers) + 1) + Shape{depth};
}

Value encode_categories(CategoryMode mode, Value numbers, std::int64_t depth, DType dtype, Value weights) {
  ensure(mode != CategoryMode::integer && mode != CategoryMode::tf_idf, "ops do not encode as {}", text_of(mode));
  if (mode == CategoryMode::one_hot)
    return ops::one_hot(drops_last_axis(numbers.shape()) ? ops::squeeze(numbers, -1) : numbers, depth, dtype);
  encoded_shape(mode, numbers.shape(), depth);  // or its error
  Value rows = ops::one_hot(numbers, depth, dtype);
  if (weights) rows = rows * ops::expand_dims(ops::cast(weights, dtype), weights.shape().rank());
  const std::vector<std::int64_t> axis{sample_axis(numbers.shape())};
  return mode == CategoryMode::count ? ops::sum(rows, axis) : ops::max(rows, axis);
}

Tensor encode_categories(CategoryMode mode, const Tensor& numbers, std::int64_t depth, std::span<const float> factors) {
  if (mode == CategoryMode::integer) return numbers;
  const Shape& shape = numbers.shape();
  Tensor rows(DType::float32, encoded_shape(mode, shape, depth));
  const auto values = rows.writable<float>();
  const auto categories = numbers.data<std::int64_t>();
  // (outer, summed, inner) → (outer, inner, depth); one_hot sums nothing up.
  const bool sums = mode != CategoryMode::one_hot;
  const std::int64_t summed = sums ? shape[sample_axis(shape)] : 1;
  const std::int64_t inner = sums ? shape.from(sample_axis(shape) + 1).elements() : 1;
  for (std::int64_t i = 0; i < numbers.size(); ++i) {
    const std::int64_t category = categories[static_cast<std::size_t>(i)];
    if (category < 0 || category >= depth) continue;
    const std::int64_t row = i / (summed * inner) * inner + i % inner;
    float& value = values[static_cast<std::size_t>(row * depth + category)];
    if (mode == CategoryMode::count || mode == CategoryMode::tf_idf) value += 1;
    else value = 1;
  }
  if (mode == CategoryMode::tf_idf) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t category = i % static_cast<std::size_t>(depth);
      values[i] *= category < factors.size() ? factors[category] : 0;
    }
  }
  return rows;
}

}  // namespace nacre
