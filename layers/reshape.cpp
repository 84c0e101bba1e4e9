#include "layers/reshape.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/graph/ops/shape.h"
#include "layers/emit.h"

namespace nacre {

namespace {

class FlattenLayer final : public ConfiguredLayer<FlattenConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;

 protected:
  void check(const std::vector<Shape>& inputs) const override { emit::want_rank_at_least(inputs[0], 1); }
  Values call(Context&, const CallArguments& arguments) override {
    Value x = arguments.inputs[0];
    if (config_.data_format == DataFormat::channels_first && x.shape().rank() > 2) x = emit::channels_last(x);
    const Shape sample = x.shape().from(1);
    return {emit::reshape(x, {x.shape()[0], sample.known() ? sample.elements() : unknown})};
  }
};

class ReshapeLayer final : public ConfiguredLayer<ReshapeConfig> {
 public:
  explicit ReshapeLayer(ReshapeConfig config = {}, LayerOptions options = {})
      : ConfiguredLayer(std::move(config), std::move(options)) {
    const std::vector<std::int64_t>& sizes = config_.target_shape;
    if (std::count(sizes.begin(), sizes.end(), -1) > 1 ||
        std::any_of(sizes.begin(), sizes.end(), [](std::int64_t size) { return size < -1; }))
      throw Error("got [{}], wanted sizes of which one may be -1", fmt::join(sizes, ", "))
          .about("'target_shape'")
          .usage();
  }

 protected:
  Shape target(const Shape& input) const {
    Shape target(config_.target_shape);
    const Shape sample = input.from(1);
    if (!sample.known()) return target;
    std::int64_t given = 1;
    int open = -1;
    for (int axis = 0; axis < target.rank(); ++axis)
      if (target[axis] == unknown) open = axis;
      else given *= target[axis];
    const std::int64_t elements = sample.elements();
    need(open < 0 ? given == elements : given > 0 && elements % given == 0,
         "got input {} with {} elements per sample, which do not fit into {}", input, elements, target);
    if (open >= 0) target.set(open, elements / given);
    return target;
  }
  void check(const std::vector<Shape>& inputs) const override {
    emit::want_rank_at_least(inputs[0], 1);
    target(inputs[0]);
  }
  Values call(Context&, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0];
    return {emit::reshape(x, Shape{x.shape()[0]} + target(x.shape()))};
  }
};

class PermuteLayer final : public ConfiguredLayer<PermuteConfig> {
 public:
  explicit PermuteLayer(PermuteConfig config = {}, LayerOptions options = {})
      : ConfiguredLayer(std::move(config), std::move(options)) {
    std::vector<std::int64_t> sorted = config_.dims;
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t i = 0; i < sorted.size(); ++i)
      if (sorted[i] != static_cast<std::int64_t>(i) + 1)
        throw Error("got [{}], wanted a permutation of 1 … {}", fmt::join(config_.dims, ", "), sorted.size())
            .about("'dims'")
            .usage();
  }

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    emit::want_rank(inputs[0], static_cast<int>(config_.dims.size()) + 1);
  }
  Values call(Context&, const CallArguments& arguments) override {
    std::vector<std::int64_t> axes{0};
    axes.insert(axes.end(), config_.dims.begin(), config_.dims.end());
    return {ops::transpose(arguments.inputs[0], std::move(axes))};
  }
};

class RepeatVectorLayer final : public ConfiguredLayer<RepeatVectorConfig> {
 public:
  using ConfiguredLayer::ConfiguredLayer;

 protected:
  void check(const std::vector<Shape>& inputs) const override { emit::want_rank(inputs[0], 2); }
  Values call(Context&, const CallArguments& arguments) override {
    return {emit::repeat(ops::expand_dims(arguments.inputs[0], 1), 1, config_.n)};
  }
};

// What adds or cuts margins: the first spatial axis is 1, or 2 where the channels come first.
template <class Config, std::size_t rank>
class MarginLayer : public ConfiguredLayer<Config> {
 public:
  using ConfiguredLayer<Config>::ConfiguredLayer;

 protected:
  std::size_t first_axis() const {
    if constexpr (requires { this->config_.data_format; })
      return this->config_.data_format == DataFormat::channels_first ? 2 : 1;
    else return 1;
  }
  void check(const std::vector<Shape>& inputs) const override {
    emit::want_rank(inputs[0], static_cast<int>(rank) + 2);
  }
};

template <class Config, std::size_t rank>
class ZeroPaddingLayer final : public MarginLayer<Config, rank> {
 public:
  using MarginLayer<Config, rank>::MarginLayer;

 protected:
  Values call(Context&, const CallArguments& arguments) override {
    std::vector<std::int64_t> before(rank + 2, 0), after(rank + 2, 0);
    for (std::size_t i = 0; i < rank; ++i) {
      before[this->first_axis() + i] = this->config_.padding.sides[i][0];
      after[this->first_axis() + i] = this->config_.padding.sides[i][1];
    }
    return {ops::pad(arguments.inputs[0], std::move(before), std::move(after))};
  }
};

template <class Config, std::size_t rank>
class CroppingLayer final : public MarginLayer<Config, rank> {
 public:
  using MarginLayer<Config, rank>::MarginLayer;

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    MarginLayer<Config, rank>::check(inputs);
    for (std::size_t i = 0; i < rank; ++i) {
      const auto [before, after] = this->config_.cropping.sides[i];
      const int axis = static_cast<int>(this->first_axis() + i);
      need(inputs[0][axis] == unknown || inputs[0][axis] > before + after,
           "got input {}, wanted more than {} in axis {}", inputs[0], before + after, axis);
    }
  }
  Values call(Context&, const CallArguments& arguments) override {
    Value x = arguments.inputs[0];
    for (std::size_t i = 0; i < rank; ++i) {
      const auto [before, after] = this->config_.cropping.sides[i];
      if (before || after)
        x = ops::slice_axis(x, static_cast<int>(this->first_axis() + i), before, after ? -after : whole_axis);
    }
    return {x};
  }
};

template <class Config, std::size_t rank>
class UpSamplingLayer final : public MarginLayer<Config, rank> {
 public:
  using MarginLayer<Config, rank>::MarginLayer;

 protected:
  Values call(Context&, const CallArguments& arguments) override {
    Value x = arguments.inputs[0];
    for (std::size_t i = 0; i < rank; ++i) {
      const int axis = static_cast<int>(this->first_axis() + i);
      Resampling interpolation = Resampling::nearest;
      if constexpr (rank == 2) interpolation = this->config_.interpolation;
      const std::int64_t size = x.shape()[axis];
      x = interpolation == Resampling::nearest || size == unknown
              ? emit::repeat(x, axis, factor(i))
              : image::resized_axis(x, axis, size * factor(i), interpolation);
    }
    return {x};
  }

 private:
  std::int64_t factor(std::size_t i) const {
    if constexpr (rank == 1) return this->config_.size;
    else return this->config_.size[i];
  }
};

}  // namespace

LayerRef Flatten(FlattenConfig config, LayerOptions options) {
  return std::make_shared<FlattenLayer>(std::move(config), std::move(options));
}
LayerRef Reshape(ReshapeConfig config, LayerOptions options) {
  return std::make_shared<ReshapeLayer>(std::move(config), std::move(options));
}
LayerRef Permute(PermuteConfig config, LayerOptions options) {
  return std::make_shared<PermuteLayer>(std::move(config), std::move(options));
}
LayerRef RepeatVector(RepeatVectorConfig config, LayerOptions options) {
  return std::make_shared<RepeatVectorLayer>(std::move(config), std::move(options));
}
LayerRef ZeroPadding1D(ZeroPadding1DConfig config, LayerOptions options) {
  return std::make_shared<ZeroPaddingLayer<ZeroPadding1DConfig, 1>>(std::move(config), std::move(options));
}
LayerRef ZeroPadding2D(ZeroPaddingConfig<2> config, LayerOptions options) {
  return std::make_shared<ZeroPaddingLayer<ZeroPaddingConfig<2>, 2>>(std::move(config), std::move(options));
}
LayerRef ZeroPadding3D(ZeroPaddingConfig<3> config, LayerOptions options) {
  return std::make_shared<ZeroPaddingLayer<ZeroPaddingConfig<3>, 3>>(std::move(config), std::move(options));
}
LayerRef Cropping1D(Cropping1DConfig config, LayerOptions options) {
  return std::make_shared<CroppingLayer<Cropping1DConfig, 1>>(std::move(config), std::move(options));
}
LayerRef Cropping2D(CroppingConfig<2> config, LayerOptions options) {
  return std::make_shared<CroppingLayer<CroppingConfig<2>, 2>>(std::move(config), std::move(options));
}
LayerRef Cropping3D(CroppingConfig<3> config, LayerOptions options) {
  return std::make_shared<CroppingLayer<CroppingConfig<3>, 3>>(std::move(config), std::move(options));
}
LayerRef UpSampling1D(UpSampling1DConfig config, LayerOptions options) {
  return std::make_shared<UpSamplingLayer<UpSampling1DConfig, 1>>(std::move(config), std::move(options));
}
LayerRef UpSampling2D(UpSampling2DConfig config, LayerOptions options) {
  return std::make_shared<UpSamplingLayer<UpSampling2DConfig, 2>>(std::move(config), std::move(options));
}
LayerRef UpSampling3D(UpSampling3DConfig config, LayerOptions options) {
  return std::make_shared<UpSamplingLayer<UpSampling3DConfig, 3>>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> reshape_layers() {
  return {layer_info<FlattenLayer>(),
          layer_info<ReshapeLayer>(),
          layer_info<PermuteLayer>(),
          layer_info<RepeatVectorLayer>(),
          layer_info<ZeroPaddingLayer<ZeroPadding1DConfig, 1>>(),
          layer_info<ZeroPaddingLayer<ZeroPaddingConfig<2>, 2>>(),
          layer_info<ZeroPaddingLayer<ZeroPaddingConfig<3>, 3>>(),
          layer_info<CroppingLayer<Cropping1DConfig, 1>>(),
          layer_info<CroppingLayer<CroppingConfig<2>, 2>>(),
          layer_info<CroppingLayer<CroppingConfig<3>, 3>>(),
          layer_info<UpSamplingLayer<UpSampling1DConfig, 1>>(),
          layer_info<UpSamplingLayer<UpSampling2DConfig, 2>>(),
          layer_info<UpSamplingLayer<UpSampling3DConfig, 3>>()};
}

}  // namespace nacre
