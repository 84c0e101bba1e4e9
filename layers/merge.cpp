#include "layers/merge.h"

#include <algorithm>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"

namespace nacre {

namespace {

// Inputs of fewer axes get axes of size 1 after the batch.
Values of_equal_rank(Values inputs) {
  int rank = 0;
  for (const Value& input : inputs) rank = std::max(rank, input.shape().rank());
  for (Value& input : inputs)
    while (input.shape().rank() < rank) input = ops::expand_dims(input, 1);
  return inputs;
}

// The mask over x's own shape.
Value spread(Value mask, Value x) { return emit::broadcast(ops::expand_dims(mask, mask.shape().rank()), x.shape()); }

template <Merge kind>
class MergeLayer final : public ConfiguredLayer<MergeConfig<kind>> {
 public:
  using ConfiguredLayer<MergeConfig<kind>>::ConfiguredLayer;
  bool supports_masking() const override { return true; }
  int input_count() const override { return kind == Merge::subtract ? 2 : 0; }

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    need(!inputs.empty(), "got no inputs, wanted at least one");
    for (const Shape& shape : inputs)
      need(same(shape[0], inputs[0][0]), "got inputs {} and {} of different batches", inputs[0], shape);
  }
  Values call(Context&, const CallArguments& arguments) override {
    const Values inputs = of_equal_rank(arguments.inputs);
    const Values& masks = arguments.masks;
    // Masked places do not take part in products and extremes, as in Keras.
    if (kind == Merge::multiply) return {product(inputs, masks)};
    if (kind == Merge::maximum || kind == Merge::minimum) return {extreme(inputs, masks)};
    Value y = inputs[0];
    for (std::size_t i = 1; i < inputs.size(); ++i) y = kind == Merge::subtract ? y - inputs[i] : y + inputs[i];
    return {kind == Merge::average ? y / static_cast<double>(inputs.size()) : y};
  }
  Values compute_masks(Context&, const CallArguments& arguments, const Values&) override {
    Value mask = arguments.masks[0];
    for (const Value& other : arguments.masks) {
      if (!other) return {Value()};
      if (other != mask) mask = ops::logical_or(mask, other);
    }
    return {mask};
  }

 private:
  static Value product(const Values& inputs, const Values& masks) {
    Value y, counts;
    bool all = true;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      Value x = inputs[i];
      if (masks[i]) {
        const Value mask = spread(masks[i], x);
        x = ops::select(mask, x, ops::scalar_like(x, 1));
        counts = counts ? ops::logical_or(counts, mask) : mask;
      }
      all = all && masks[i];
      y = y ? y * x : x;
    }
    return all ? ops::select(counts, y, ops::scalar_like(y, 0)) : y;
  }
  static Value extreme(const Values& inputs, const Values& masks) {
    Value y, counts;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      Value x = inputs[i];
      const Value mask = masks[i] ? spread(masks[i], x) : Value();
      if (!y) {
        y = x, counts = mask;
        continue;
      }
      if (mask) x = ops::select(mask, x, y);
      if (counts) y = ops::select(counts, y, x);
      counts = mask && counts ? ops::logical_or(counts, mask) : Value();
      y = kind == Merge::maximum ? ops::maximum(y, x) : ops::minimum(y, x);
    }
    return y;
  }
};

class ConcatenateLayer final : public ConfiguredLayer<ConcatenateConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  bool supports_masking() const override { return true; }
  int input_count() const override { return 0; }

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    need(!inputs.empty(), "got no inputs, wanted at least one");
    const std::int64_t along = Axes(config_.axis).in(inputs[0])[0];
    for (const Shape& shape : inputs) {
      bool fits = shape.rank() == inputs[0].rank();
      for (int axis = 0; fits && axis < shape.rank(); ++axis)
        fits = axis == along || same(shape[axis], inputs[0][axis]);
      need(fits, "got inputs {} and {}, wanted the same sizes but in axis {}", inputs[0], shape, along);
    }
  }
  Values call(Context&, const CallArguments& arguments) override {
    return {arguments.inputs.size() == 1 ? arguments.inputs[0]
                                         : ops::concat(arguments.inputs, static_cast<int>(config_.axis))};
  }
  // A place counts when any element there comes from a place that counts.
  Values compute_masks(Context& context, const CallArguments& arguments, const Values&) override {
    if (std::none_of(arguments.masks.begin(), arguments.masks.end(),
                     [](Value mask) { return static_cast<bool>(mask); }))
      return {Value()};
    Values counts;
    for (std::size_t i = 0; i < arguments.inputs.size(); ++i) {
      const Value x = arguments.inputs[i], mask = arguments.masks[i];
      const Value numbers =
          mask ? ops::cast(mask, DType::int32) : emit::broadcast(context.graph().scalar(1, DType::int32), x.shape());
      counts.push_back(numbers.shape().rank() < x.shape().rank()
                           ? emit::broadcast(ops::expand_dims(numbers, numbers.shape().rank()), x.shape())
                           : numbers);
    }
    return {ops::cast(ops::max(ops::concat(std::move(counts), static_cast<int>(config_.axis)), {-1}), DType::boolean)};
  }
};

class DotLayer final : public ConfiguredLayer<DotConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;
  bool supports_masking() const override { return true; }
  int input_count() const override { return 2; }

 protected:
  std::int64_t axis_of(const Shape& input, std::size_t which) const {
    const auto& axes = config_.axes.axes;
    return Axes(axes.size() == 1 ? axes[0] : axes.at(which)).in(input)[0];
  }
  void check(const std::vector<Shape>& inputs) const override {
    need(config_.axes.axes.size() == 1 || config_.axes.axes.size() == 2, "got {} axes, wanted one or two",
         config_.axes.axes.size());
    for (const Shape& input : inputs) emit::want_rank_at_least(input, 2);
    const std::int64_t a = axis_of(inputs[0], 0), b = axis_of(inputs[1], 1);
    need(a > 0 && b > 0, "got the batch as axis of the products");
    need(same(inputs[0][static_cast<int>(a)], inputs[1][static_cast<int>(b)]),
         "got inputs {} and {}, wanted the same size in axes {} and {}", inputs[0], inputs[1], a, b);
  }
  // The axis that is summed over comes last, and all others but the batch become one: (batch, others, summed).
  Value rows(Value x, std::size_t which) const {
    const std::int64_t axis = axis_of(x.shape(), which);
    if (config_.normalize) {
      const Value square = ops::sum(ops::square(x), {axis}, true);
      x = x * ops::rsqrt(ops::maximum(square, ops::scalar_like(square, 1e-12)));
    }
    const Shape others = free_axes(x.shape(), which);
    return emit::reshape(
        emit::move_axis(x, static_cast<int>(axis), -1),
        {x.shape()[0], others.known() ? others.elements() : unknown, x.shape()[static_cast<int>(axis)]});
  }
  // All sizes but those of the batch and of the axis that is summed over.
  Shape free_axes(const Shape& shape, std::size_t which) const {
    const auto axis = static_cast<int>(axis_of(shape, which));
    return shape.first(axis).from(1) + shape.from(axis + 1);
  }
  Values call(Context&, const CallArguments& arguments) override {
    const Value a = arguments.inputs[0], b = arguments.inputs[1];
    const Value y = ops::matmul(rows(a, 0), rows(b, 1), false, true);
    const Shape sizes = free_axes(a.shape(), 0) + free_axes(b.shape(), 1);
    return {emit::reshape(y, Shape{a.shape()[0]} + (sizes.rank() > 0 ? sizes : Shape{1}))};
  }
  Values compute_masks(Context&, const CallArguments&, const Values&) override { return {Value()}; }
};

template <Merge kind>
LayerRef merge(LayerOptions options) {
  return std::make_shared<MergeLayer<kind>>(MergeConfig<kind>{}, std::move(options));
}

}  // namespace

LayerRef Add(LayerOptions options) { return merge<Merge::add>(std::move(options)); }
LayerRef Subtract(LayerOptions options) { return merge<Merge::subtract>(std::move(options)); }
LayerRef Multiply(LayerOptions options) { return merge<Merge::multiply>(std::move(options)); }
LayerRef Average(LayerOptions options) { return merge<Merge::average>(std::move(options)); }
LayerRef Maximum(LayerOptions options) { return merge<Merge::maximum>(std::move(options)); }
LayerRef Minimum(LayerOptions options) { return merge<Merge::minimum>(std::move(options)); }
LayerRef Concatenate(ConcatenateConfig config, LayerOptions options) {
  return std::make_shared<ConcatenateLayer>(std::move(config), std::move(options));
}
LayerRef Dot(DotConfig config, LayerOptions options) {
  return std::make_shared<DotLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> merge_layers() {
  return {layer_info<MergeLayer<Merge::add>>(),
          layer_info<MergeLayer<Merge::subtract>>(),
          layer_info<MergeLayer<Merge::multiply>>(),
          layer_info<MergeLayer<Merge::average>>(),
          layer_info<MergeLayer<Merge::maximum>>(),
          layer_info<MergeLayer<Merge::minimum>>(),
          layer_info<ConcatenateLayer>(),
          layer_info<DotLayer>()};
}

}  // namespace nacre
