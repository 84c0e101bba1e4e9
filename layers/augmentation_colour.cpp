#include "layers/augmentation_colour.h"

#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "layers/augmentation_draws.h"

namespace nacre {

namespace {

// --- colour spaces ---------------------------------------------------------------------------------------------------

// The brightness that eyes see (ITU-R BT.601), (batch, height, width, 1); of grey pictures they themselves.
Value grey(Value pictures) {
  if (pictures.shape()[3] == 1) return pictures;
  return 0.2989 * image::channel(pictures, 0) + 0.587 * image::channel(pictures, 1) +
         0.114 * image::channel(pictures, 2);
}

// Smith, "Color gamut transform pairs" (1978); each (batch, height, width, 1), the hue in full turns.
struct Hsv {
  Value hue, saturation, value;
};

Hsv to_hsv(Value pictures) {
  const Value red = image::channel(pictures, 0), green = image::channel(pictures, 1),
              blue = image::channel(pictures, 2);
  const Value zero = ops::scalar_like(pictures, 0), one = ops::scalar_like(pictures, 1);
  const Value value = ops::max(pictures, {3}, true), range = value - ops::min(pictures, {3}, true);
  const auto where_positive = [&](Value x) {
    return ops::select(ops::greater(x, zero), x, one);
  };  // never divides by 0
  const Value saturation = ops::select(ops::greater(value, zero), range / where_positive(value), zero);
  const Value sixth = (1.0 / 6) / where_positive(range);
  Value hue = ops::select(ops::equal(value, green), sixth * (blue - red) + 2.0 / 6, sixth * (red - green) + 4.0 / 6);
  hue = ops::select(ops::equal(value, red), sixth * (green - blue), hue);
  hue = ops::select(ops::greater(range, zero), hue, zero);
  return {ops::select(ops::less(hue, zero), hue + 1.0, hue), saturation, value};
}

Value to_rgb(const Hsv& hsv) {
  const Value h = hsv.hue * 6.0;
  const auto part = [&](Value share) {
    return (1.0 - hsv.saturation + hsv.saturation * ops::clip(share, 0, 1)) * hsv.value;
  };
  return ops::concat({part(ops::abs(h - 3.0) - 1.0), part(2.0 - ops::abs(h - 2.0)), part(2.0 - ops::abs(h - 4.0))}, 3);
}

// --- layers ----------------------------------------------------------------------------------------------------------

template <class Config>
class ColourLayer : public ImageLayer<Config> {
 public:
  using ImageLayer<Config>::ImageLayer;

 protected:
  Draws draws(Context& context, Value pictures) const {
    return Draws(context, pictures, this->path(), this->config_.seed);
  }
  Value clipped(Value pictures) const {
    return ops::clip(pictures, this->config_.value_range.low, this->config_.value_range.high);
  }
};

class RandomBrightnessLayer final : public ColourLayer<RandomBrightnessConfig> {
 public:
  using ColourLayer::ColourLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    return clipped(pictures + draws(context, pictures).uniform(config_.factor) * config_.value_range.span());
  }
};

class RandomContrastLayer final : public ColourLayer<RandomContrastConfig> {
 public:
  using ColourLayer::ColourLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    const Value factor = draws(context, pictures).uniform(1 - config_.factor.low, 1 + config_.factor.high);
    const Value mean = ops::mean(pictures, {1, 2}, true);
    return clipped((pictures - mean) * factor + mean);
  }
};

class RandomHueLayer final : public ColourLayer<RandomHueConfig> {
 public:
  using ColourLayer::ColourLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    image::want_colours(pictures, false);
    const Draws random = draws(context, pictures);
    const Value sign = random.sign(), turn = sign * random.uniform(config_.factor) * 0.5;
    const ValueRange unit{0, 1};
    Hsv hsv = to_hsv(image::rescaled(pictures, config_.value_range, unit));
    hsv.hue = hsv.hue + turn;
    hsv.hue = ops::select(ops::greater(hsv.hue, random.scalar(1)), hsv.hue - 1.0, hsv.hue);
    hsv.hue = ops::select(ops::less(hsv.hue, random.scalar(0)), hsv.hue + 1.0, hsv.hue);
    return image::rescaled(ops::clip(to_rgb(hsv), 0, 1), unit, config_.value_range);
  }
};

class RandomSaturationLayer final : public ColourLayer<RandomSaturationConfig> {
 public:
  using ColourLayer::ColourLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    image::want_colours(pictures, false);
    const Value share = draws(context, pictures).uniform(config_.factor);
    Hsv hsv = to_hsv(pictures);
    hsv.saturation = clipped(hsv.saturation * (share / (1.0 - share + 1e-7)));
    return to_rgb(hsv);
  }
};

class RandomColorDegenerationLayer final : public ColourLayer<RandomColorDegenerationConfig> {
 public:
  using ColourLayer::ColourLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    image::want_colours(pictures, true);
    return clipped(pictures + draws(context, pictures).uniform(config_.factor) * (grey(pictures) - pictures));
  }
};

class RandomGrayscaleLayer final : public ColourLayer<RandomGrayscaleConfig> {
 public:
  using ColourLayer::ColourLayer;

 protected:
  bool keeps_dtype() const override { return true; }
  Value transform(Context& context, Value pictures) override {
    image::want_colours(pictures, true);
    const Draws random = draws(context, pictures);
    return ops::select(ops::less(random.uniform(0, 1), random.scalar(config_.factor)), grey(pictures), pictures);
  }
};

class RandomInvertLayer final : public ColourLayer<RandomInvertConfig> {
 public:
  using ColourLayer::ColourLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    const Value applies = draws(context, pictures).chance(config_.factor);
    return ops::select(applies, config_.value_range.high - pictures, pictures);
  }
};

class RandomColorJitterLayer final : public ColourLayer<RandomColorJitterConfig> {
 public:
  explicit RandomColorJitterLayer(RandomColorJitterConfig config = {}, LayerOptions options = {})
      : ColourLayer(std::move(config), std::move(options)) {
    const auto add = [&]<class Part>(const auto& factor, Part*) {
      if (!factor) return;
      typename Part::Config part;
      part.factor = *factor, part.value_range = config_.value_range, part.seed = config_.seed;
      parts_.push_back(std::make_shared<Part>(std::move(part)));
    };
    add(config_.brightness_factor, static_cast<RandomBrightnessLayer*>(nullptr));
    add(config_.contrast_factor, static_cast<RandomContrastLayer*>(nullptr));
    add(config_.saturation_factor, static_cast<RandomSaturationLayer*>(nullptr));
    add(config_.hue_factor, static_cast<RandomHueLayer*>(nullptr));
  }
  std::vector<std::shared_ptr<Layer>> sublayers() const override { return parts_; }

 protected:
  Value transform(Context& context, Value pictures) override {
    for (const auto& part : parts_) pictures = (*part)(context, {.inputs = {pictures}}).outputs[0];
    return pictures;
  }

 private:
  std::vector<std::shared_ptr<Layer>> parts_;
};

}  // namespace

LayerRef RandomBrightness(RandomBrightnessConfig config, LayerOptions options) {
  return std::make_shared<RandomBrightnessLayer>(std::move(config), std::move(options));
}
LayerRef RandomContrast(RandomContrastConfig config, LayerOptions options) {
  return std::make_shared<RandomContrastLayer>(std::move(config), std::move(options));
}
LayerRef RandomHue(RandomHueConfig config, LayerOptions options) {
  return std::make_shared<RandomHueLayer>(std::move(config), std::move(options));
}
LayerRef RandomSaturation(RandomSaturationConfig config, LayerOptions options) {
  return std::make_shared<RandomSaturationLayer>(std::move(config), std::move(options));
}
LayerRef RandomColorDegeneration(RandomColorDegenerationConfig config, LayerOptions options) {
  return std::make_shared<RandomColorDegenerationLayer>(std::move(config), std::move(options));
}
LayerRef RandomGrayscale(RandomGrayscaleConfig config, LayerOptions options) {
  return std::make_shared<RandomGrayscaleLayer>(std::move(config), std::move(options));
}
LayerRef RandomInvert(RandomInvertConfig config, LayerOptions options) {
  return std::make_shared<RandomInvertLayer>(std::move(config), std::move(options));
}
LayerRef RandomColorJitter(RandomColorJitterConfig config, LayerOptions options) {
  return std::make_shared<RandomColorJitterLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> colour_layers() {
  return {layer_info<RandomBrightnessLayer>(),
          layer_info<RandomContrastLayer>(),
          layer_info<RandomHueLayer>(),
          layer_info<RandomSaturationLayer>(),
          layer_info<RandomColorDegenerationLayer>(),
          layer_info<RandomGrayscaleLayer>(),
          layer_info<RandomInvertLayer>(),
          layer_info<RandomColorJitterLayer>()};
}

}  // namespace nacre
