#include "layers/augmentation_geometry.h"

#include <numbers>

#include "backend/graph/ops/conv.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "layers/augmentation_draws.h"
#include "layers/emit.h"
#include "layers/image_resize.h"
#include "layers/projection.h"

namespace nacre {

namespace {

// Half of the way from the first to the last element of an axis.
double middle(Value pictures, int axis) {
  return (static_cast<double>(emit::known_size(pictures.shape(), axis)) - 1) / 2;
}

template <class Config>
class GeometryLayer : public ImageLayer<Config> {
 public:
  using ImageLayer<Config>::ImageLayer;

 protected:
  Draws draws(Context& context, Value pictures) const {
    return Draws(context, pictures, this->path(), this->config_.seed);
  }
  ResampleAttrs sampling() const {
    const auto& c = this->config_;
    FillMode mode = FillMode::constant;
    if constexpr (requires { c.fill_mode; }) mode = c.fill_mode;
    return {c.interpolation, mode, c.fill_value};
  }
};

class RandomFlipLayer final : public GeometryLayer<RandomFlipConfig> {
 public:
  using GeometryLayer::GeometryLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    std::vector<std::int64_t> axes;
    if (config_.mode != FlipMode::horizontal) axes.push_back(1);
    if (config_.mode != FlipMode::vertical) axes.push_back(2);
    const Draws random = draws(context, pictures);
    const Value flips = ops::less_equal(random.uniform(0, 1), random.scalar(0.5));
    return ops::select(flips, ops::reverse(pictures, axes), pictures);
  }
};

class RandomRotationLayer final : public GeometryLayer<RandomRotationConfig> {
 public:
  using GeometryLayer::GeometryLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    const Value angle = draws(context, pictures).uniform(config_.factor) * (2 * std::numbers::pi);
    const Value c = ops::cos(angle), s = ops::sin(angle);
    const double x = middle(pictures, 2), y = middle(pictures, 1);
    return projected(pictures, {c, -s, x - x * c + y * s, s, c, y - x * s - y * c}, sampling());
  }
};

class RandomZoomLayer final : public GeometryLayer<RandomZoomConfig> {
 public:
  using GeometryLayer::GeometryLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    const Draws random = draws(context, pictures);
    const Value height = 1.0 + random.uniform(config_.height_factor);
    const Value width = config_.width_factor ? 1.0 + random.uniform(*config_.width_factor) : height;
    const Value zero = random.scalar(0);
    return projected(
        pictures,
        {width, zero, middle(pictures, 2) * (1.0 - width), zero, height, middle(pictures, 1) * (1.0 - height)},
        sampling());
  }
};

class RandomTranslationLayer final : public GeometryLayer<RandomTranslationConfig> {
 public:
  using GeometryLayer::GeometryLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    const Draws random = draws(context, pictures);
    const auto shift = [&](const Factor<-1, 1>& factor, int axis) {
      return random.uniform(factor) * static_cast<double>(emit::known_size(pictures.shape(), axis));
    };
    const Value down = shift(config_.height_factor, 1), right = shift(config_.width_factor, 2);
    const Value zero = random.scalar(0), one = random.scalar(1);
    return projected(pictures, {one, zero, -right, zero, one, -down}, sampling());
  }
};

class RandomShearLayer final : public GeometryLayer<RandomShearConfig> {
 public:
  using GeometryLayer::GeometryLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    const Draws random = draws(context, pictures);
    const Value sign = random.sign();
    const Value down = random.uniform(config_.y_factor) * sign, right = random.uniform(config_.x_factor) * sign;
    const Value zero = random.scalar(0), one = random.scalar(1);
    return projected(pictures, {one, right, zero, down, one, zero}, sampling());
  }
};

// The projection that takes the corners of a quadrilateral, (0, 0) and three others, to those of the unit square: the
// inverse of the square's own projection, after Heckbert, "Fundamentals of texture mapping and image warping" (1989).
struct Corner {
  Value x, y;
};
Projection to_unit_square(const Corner& right, const Corner& below, const Corner& opposite) {
  const Value dx1 = right.x - opposite.x, dx2 = below.x - opposite.x, sum_x = opposite.x - right.x - below.x;
  const Value dy1 = right.y - opposite.y, dy2 = below.y - opposite.y, sum_y = opposite.y - right.y - below.y;
  const Value area = dx1 * dy2 - dx2 * dy1;
  const Value g = (sum_x * dy2 - dx2 * sum_y) / area, h = (dx1 * sum_y - sum_x * dy1) / area;
  const Value a = right.x * (1.0 + g), b = below.x * (1.0 + h), d = right.y * (1.0 + g), e = below.y * (1.0 + h);
  const Value zero = right.x.graph().scalar(0, right.x.dtype());
  return {e, -b, zero, -d, a, zero, d * h - e * g, b * g - a * h, a * e - b * d};
}

class RandomPerspectiveLayer final : public GeometryLayer<RandomPerspectiveConfig> {
 public:
  using GeometryLayer::GeometryLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    const Draws random = draws(context, pictures);
    const Value applies = random.chance(config_.factor);
    const double width = 2 * middle(pictures, 2), height = 2 * middle(pictures, 1);
    const auto moved = [&](double length) {
      return random.uniform(-0.5 * config_.scale, 0.5 * config_.scale) * length + length;
    };
    const Value zero = random.scalar(0);
    const Corner right{moved(width), zero}, below{zero, moved(height)}, opposite{moved(width), moved(height)};
    Projection p = to_unit_square(right, below, opposite);
    p.a0 = p.a0 * width, p.a1 = p.a1 * width, p.b0 = p.b0 * height, p.b1 = p.b1 * height;
    return ops::select(applies, projected(pictures, p, sampling()), pictures);
  }
};

// Simard, Steinkraus and Platt, "Best practices for convolutional neural networks" (2003): random displacements, made
// smooth by a Gaussian filter. Keras draws one displacement for both axes, so that elements move along the diagonal;
// here they are independent, as in the paper.
class RandomElasticTransformLayer final : public GeometryLayer<RandomElasticTransformConfig> {
 public:
  using GeometryLayer::GeometryLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    if (config_.scale.high == 0 || config_.factor.high == 0) return pictures;
    const Draws random = draws(context, pictures);
    const Value applies = random.chance(config_.factor);
    const Value strength = random.uniform(config_.scale.low, config_.scale.high, {});
    const std::int64_t height = emit::known_size(pictures.shape(), 1), width = emit::known_size(pictures.shape(), 2);
    const Value alpha = strength * (0.1 * static_cast<double>(std::max(height, width)));
    const double per_strength = 0.05 * static_cast<double>(std::min(height, width));
    const Value sigma = strength * per_strength;
    const auto radius = 3 * static_cast<std::int64_t>(config_.scale.high * per_strength);
    const Shape field{random.batch(), height, width, 1};
    const auto displacement = [&] { return alpha * smoothed(random.normal(field) * sigma, sigma, radius); };
    const Value rows = image::rows(pictures) + displacement(), columns = image::columns(pictures) + displacement();
    const Value warped = ops::select(applies, read_at(pictures, rows, columns, sampling()), pictures);
    return ops::clip(warped, config_.value_range.low, config_.value_range.high);
  }

 private:
  // Filtered along both axes; zeros lie beyond the edges. As in Keras the filter ends at three times the whole part of
  // sigma, of which `radius` is the largest possible value.
  static Value smoothed(Value field, Value sigma, std::int64_t radius) {
    const std::int64_t size = 2 * radius + 1;
    const Value x = ops::iota(field.graph(), {DType::float32, {size}}, 0) - static_cast<double>(radius);
    const Value within = ops::less_equal(ops::abs(x), 3.0 * ops::floor(sigma));
    const Value bell = ops::select(within, ops::exp(-0.5 * ops::square(x / sigma)), ops::scalar_like(x, 0));
    // A sigma of 0 leaves nothing but 0 / 0, of a field that is 0 anyhow.
    const Value safe = ops::select(ops::greater(sigma, ops::scalar_like(sigma, 0)), bell, ops::scalar_like(bell, 1));
    const Value kernel = safe / ops::sum(safe);
    const ConvAttrs attrs{.strides = {1, 1}, .dilations = {1, 1}, .padding = Padding::same};
    field = ops::conv(field, ops::reshape(kernel, {size, 1, 1, 1}), attrs);
    return ops::conv(field, ops::reshape(kernel, {1, size, 1, 1}), attrs);
  }
};

class RandomCropLayer final : public ImageLayer<RandomCropConfig, Active::always> {
 public:
  using ImageLayer::ImageLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    const std::int64_t height = pictures.shape()[1], width = pictures.shape()[2];
    if (!context.training() || height <= config_.height || width <= config_.width)
      return image::smart_resized(pictures, config_.height, config_.width, Resampling::bilinear);
    const Draws random(context, pictures, path(), config_.seed);
    const auto cut = [&](Value x, int axis, std::int64_t size) {
      const Value begin = random.integer(0, x.shape()[axis] - size + 1, {});
      const Value places = begin + ops::iota(x.graph(), {DType::int32, {size}}, 0);
      return emit::move_axis(ops::gather(emit::move_axis(x, axis, 0), places), 0, axis);
    };
    return cut(cut(pictures, 1, config_.height), 2, config_.width);
  }
};

}  // namespace

LayerRef RandomFlip(RandomFlipConfig config, LayerOptions options) {
  return std::make_shared<RandomFlipLayer>(std::move(config), std::move(options));
}
LayerRef RandomRotation(RandomRotationConfig config, LayerOptions options) {
  return std::make_shared<RandomRotationLayer>(std::move(config), std::move(options));
}
LayerRef RandomZoom(RandomZoomConfig config, LayerOptions options) {
  return std::make_shared<RandomZoomLayer>(std::move(config), std::move(options));
}
LayerRef RandomTranslation(RandomTranslationConfig config, LayerOptions options) {
  return std::make_shared<RandomTranslationLayer>(std::move(config), std::move(options));
}
LayerRef RandomShear(RandomShearConfig config, LayerOptions options) {
  return std::make_shared<RandomShearLayer>(std::move(config), std::move(options));
}
LayerRef RandomPerspective(RandomPerspectiveConfig config, LayerOptions options) {
  return std::make_shared<RandomPerspectiveLayer>(std::move(config), std::move(options));
}
LayerRef RandomElasticTransform(RandomElasticTransformConfig config, LayerOptions options) {
  return std::make_shared<RandomElasticTransformLayer>(std::move(config), std::move(options));
}
LayerRef RandomCrop(RandomCropConfig config, LayerOptions options) {
  return std::make_shared<RandomCropLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> geometry_layers() {
  return {layer_info<RandomFlipLayer>(),
          layer_info<RandomRotationLayer>(),
          layer_info<RandomZoomLayer>(),
          layer_info<RandomTranslationLayer>(),
          layer_info<RandomShearLayer>(),
          layer_info<RandomPerspectiveLayer>(),
          layer_info<RandomElasticTransformLayer>(),
          layer_info<RandomCropLayer>()};
}

}  // namespace nacre
