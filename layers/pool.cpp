#include "layers/pool.h"

#include <numeric>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/pool.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"

namespace nacre {

namespace {

template <Pooling kind>
Value pooled(Value x, PoolAttrs attrs) {
  return kind == Pooling::max ? ops::max_pool(x, std::move(attrs)) : ops::average_pool(x, std::move(attrs));
}

template <Pooling kind, std::size_t rank>
class PoolingLayer final : public ConfiguredLayer<PoolingConfig<kind, rank>> {
 public:
  using ConfiguredLayer<PoolingConfig<kind, rank>>::ConfiguredLayer;

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    emit::want_rank(inputs[0], static_cast<int>(rank) + 2);
  }
  Values call(Context&, const CallArguments& arguments) override {
    const auto& c = this->config_;
    const bool first = c.data_format == DataFormat::channels_first;
    const Value x = first ? emit::channels_last(arguments.inputs[0]) : arguments.inputs[0];
    const Value y = pooled<kind>(
        x,
        {.window = sizes_of(c.pool_size), .strides = sizes_of(c.strides.value_or(c.pool_size)), .padding = c.padding});
    return {first ? emit::channels_first(y) : y};
  }
};

template <Pooling kind, std::size_t rank>
class GlobalPoolingLayer final : public ConfiguredLayer<GlobalPoolingConfig<kind, rank>> {
 public:
  using ConfiguredLayer<GlobalPoolingConfig<kind, rank>>::ConfiguredLayer;
  // A mask is used up here.
  static constexpr bool masked = kind == Pooling::average && rank == 1;
  bool supports_masking() const override { return masked; }

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    emit::want_rank(inputs[0], static_cast<int>(rank) + 2);
  }
  Values call(Context&, const CallArguments& arguments) override {
    const auto& c = this->config_;
    const Value x = arguments.inputs[0];
    std::vector<std::int64_t> axes(rank);
    std::iota(axes.begin(), axes.end(), c.data_format == DataFormat::channels_first ? 2 : 1);
    if (kind == Pooling::max) return {ops::max(x, axes, c.keepdims)};
    if (const Value mask = arguments.masks[0]; masked && mask) {
      const Value counts = ops::expand_dims(mask, c.data_format == DataFormat::channels_first ? 1 : 2);
      const Value total = ops::sum(ops::select(counts, x, ops::scalar_like(x, 0)), axes, c.keepdims);
      return {total / ops::sum(ops::cast(counts, x.dtype()), axes, c.keepdims)};
    }
    return {ops::mean(x, axes, c.keepdims)};
  }
  Values compute_masks(Context&, const CallArguments&, const Values& outputs) override {
    return Values(outputs.size());
  }
};

// Window i of n over an axis covers [⌊i·size/n⌋, ⌈(i + 1)·size/n⌉); the axes are pooled one after the other.
template <Pooling kind, std::size_t rank>
class AdaptivePoolingLayer final : public ConfiguredLayer<AdaptivePoolingConfig<kind, rank>> {
 public:
  using ConfiguredLayer<AdaptivePoolingConfig<kind, rank>>::ConfiguredLayer;

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    emit::want_rank(inputs[0], static_cast<int>(rank) + 2);
  }
  Values call(Context&, const CallArguments& arguments) override {
    const bool first = this->config_.data_format == DataFormat::channels_first;
    Value x = first ? emit::channels_last(arguments.inputs[0]) : arguments.inputs[0];
    for (std::size_t i = 0; i < rank; ++i) x = along(x, i);
    return {first ? emit::channels_first(x) : x};
  }

 private:
  Value along(Value x, std::size_t spatial) const {
    const int axis = static_cast<int>(spatial) + 1;
    const std::int64_t size = x.shape()[axis], count = this->config_.output_size[spatial];
    const auto windows = [&](Value part, std::int64_t window) {
      std::vector<std::int64_t> extent(rank, 1);
      extent[spatial] = window;
      return pooled<kind>(part, {.window = extent, .strides = extent});
    };
    if (size == unknown) {
      Shape shape = x.shape();
      shape.set(axis, count);
      return emit::zeros(x.graph(), {x.dtype(), std::move(shape)});
    }
    need(size > 0, "got input {}, wanted elements in axis {}", x.shape(), axis);
    if (size % count == 0) return windows(x, size / count);
    constexpr std::int64_t most = 1 << 16;  // each is a part of the graph
    need(count <= most, "got {} windows of different sizes, wanted at most {}", count, most);
    Values parts;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t begin = i * size / count, end = ((i + 1) * size + count - 1) / count;
      parts.push_back(windows(ops::slice_axis(x, axis, begin, end), end - begin));
    }
    return ops::concat(std::move(parts), axis);
  }
};

template <Pooling kind, std::size_t rank>
LayerRef pooling(PoolingConfig<kind, rank> config, LayerOptions options) {
  return std::make_shared<PoolingLayer<kind, rank>>(std::move(config), std::move(options));
}
template <Pooling kind, std::size_t rank>
LayerRef global_pooling(GlobalPoolingConfig<kind, rank> config, LayerOptions options) {
  return std::make_shared<GlobalPoolingLayer<kind, rank>>(std::move(config), std::move(options));
}

template <Pooling kind, std::size_t rank>
LayerRef adaptive_pooling(AdaptivePoolingConfig<kind, rank> config, LayerOptions options) {
  return std::make_shared<AdaptivePoolingLayer<kind, rank>>(std::move(config), std::move(options));
}

template <Pooling kind, std::size_t rank>
void list(std::vector<ClassInfo<Layer>>& infos, std::string_view alias, std::string_view global_alias) {
  infos.push_back(layer_info<PoolingLayer<kind, rank>>("keras.layers", {alias}));
  infos.push_back(layer_info<GlobalPoolingLayer<kind, rank>>("keras.layers", {global_alias}));
  infos.push_back(layer_info<AdaptivePoolingLayer<kind, rank>>());
}

}  // namespace

LayerRef MaxPooling1D(PoolingConfig<Pooling::max, 1> config, LayerOptions options) { return pooling(config, options); }
LayerRef MaxPooling2D(PoolingConfig<Pooling::max, 2> config, LayerOptions options) { return pooling(config, options); }
LayerRef MaxPooling3D(PoolingConfig<Pooling::max, 3> config, LayerOptions options) { return pooling(config, options); }
LayerRef AveragePooling1D(PoolingConfig<Pooling::average, 1> config, LayerOptions options) {
  return pooling(config, options);
}
LayerRef AveragePooling2D(PoolingConfig<Pooling::average, 2> config, LayerOptions options) {
  return pooling(config, options);
}
LayerRef AveragePooling3D(PoolingConfig<Pooling::average, 3> config, LayerOptions options) {
  return pooling(config, options);
}
LayerRef GlobalMaxPooling1D(GlobalPoolingConfig<Pooling::max, 1> config, LayerOptions options) {
  return global_pooling(config, options);
}
LayerRef GlobalMaxPooling2D(GlobalPoolingConfig<Pooling::max, 2> config, LayerOptions options) {
  return global_pooling(config, options);
}
LayerRef GlobalMaxPooling3D(GlobalPoolingConfig<Pooling::max, 3> config, LayerOptions options) {
  return global_pooling(config, options);
}
LayerRef GlobalAveragePooling1D(GlobalPoolingConfig<Pooling::average, 1> config, LayerOptions options) {
  return global_pooling(config, options);
}
LayerRef GlobalAveragePooling2D(GlobalPoolingConfig<Pooling::average, 2> config, LayerOptions options) {
  return global_pooling(config, options);
}
LayerRef GlobalAveragePooling3D(GlobalPoolingConfig<Pooling::average, 3> config, LayerOptions options) {
  return global_pooling(config, options);
}
LayerRef AdaptiveMaxPooling1D(AdaptivePoolingConfig<Pooling::max, 1> config, LayerOptions options) {
  return adaptive_pooling(config, options);
}
LayerRef AdaptiveMaxPooling2D(AdaptivePoolingConfig<Pooling::max, 2> config, LayerOptions options) {
  return adaptive_pooling(config, options);
}
LayerRef AdaptiveMaxPooling3D(AdaptivePoolingConfig<Pooling::max, 3> config, LayerOptions options) {
  return adaptive_pooling(config, options);
}
LayerRef AdaptiveAveragePooling1D(AdaptivePoolingConfig<Pooling::average, 1> config, LayerOptions options) {
  return adaptive_pooling(config, options);
}
LayerRef AdaptiveAveragePooling2D(AdaptivePoolingConfig<Pooling::average, 2> config, LayerOptions options) {
  return adaptive_pooling(config, options);
}
LayerRef AdaptiveAveragePooling3D(AdaptivePoolingConfig<Pooling::average, 3> config, LayerOptions options) {
  return adaptive_pooling(config, options);
}

std::vector<ClassInfo<Layer>> pool_layers() {
  std::vector<ClassInfo<Layer>> infos;
  list<Pooling::max, 1>(infos, "MaxPool1D", "GlobalMaxPool1D");
  list<Pooling::max, 2>(infos, "MaxPool2D", "GlobalMaxPool2D");
  list<Pooling::max, 3>(infos, "MaxPool3D", "GlobalMaxPool3D");
  list<Pooling::average, 1>(infos, "AvgPool1D", "GlobalAvgPool1D");
  list<Pooling::average, 2>(infos, "AvgPool2D", "GlobalAvgPool2D");
  list<Pooling::average, 3>(infos, "AvgPool3D", "GlobalAvgPool3D");
  return infos;
}

}  // namespace nacre
