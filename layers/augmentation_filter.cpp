#include "layers/augmentation_filter.h"

#include "backend/graph/ops/conv.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "layers/augmentation_draws.h"
#include "layers/emit.h"

namespace nacre {

namespace {

// Every channel by itself with one kernel (rows, columns); zeros lie beyond the edges.
Value filtered(Value pictures, Value kernel) {
  const std::int64_t channels = emit::known_size(pictures.shape(), 3);
  const Shape size = kernel.shape();
  const Value each = ops::broadcast_to(ops::reshape(kernel, {size[0], size[1], 1, 1}), {size[0], size[1], 1, channels});
  return ops::conv(pictures, each,
                   {.strides = {1, 1}, .dilations = {1, 1}, .padding = Padding::same, .groups = channels});
}

class RandomGaussianBlurLayer final : public ImageLayer<RandomGaussianBlurConfig> {
 public:
  explicit RandomGaussianBlurLayer(RandomGaussianBlurConfig config = {}, LayerOptions options = {})
      : ImageLayer(std::move(config), std::move(options)) {
    for (const std::int64_t size : config_.kernel_size.sizes)
      if (size % 2 == 0) throw Error("got {}, wanted odd numbers", size).about("'kernel_size'").usage();
  }

 protected:
  Value transform(Context& context, Value pictures) override {
    const Draws random(context, pictures, path(), config_.seed);
    const Value applies = random.chance(config_.factor);
    const auto bell = [&](std::int64_t size) {
      const Value sigma = random.uniform(config_.sigma.low, config_.sigma.high, {}) + 1e-6;
      const Value x = ops::iota(pictures.graph(), {DType::float32, {size}}, 0) - static_cast<double>(size - 1) / 2;
      const Value values = ops::exp(-0.5 * ops::square(x / sigma));
      return values / ops::sum(values);
    };
    // The first size is that of the rows in Keras's shape of the kernel but not in the product that fills it, so that
    // kernels of two sizes come out skewed; those of one size are what one expects.
    const auto [first, second] = config_.kernel_size.sizes;
    const Value inner = bell(first), outer = bell(second);
    const Value kernel = ops::reshape(ops::expand_dims(outer, 1) * ops::expand_dims(inner, 0), {first, second});
    const Value blurred = ops::select(applies, filtered(pictures, kernel), pictures);
    return ops::clip(blurred, config_.value_range.low, config_.value_range.high);
  }
};

class RandomSharpnessLayer final : public ImageLayer<RandomSharpnessConfig> {
 public:
  using ImageLayer::ImageLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    const Value factor = Draws(context, pictures, path(), config_.seed).uniform(config_.factor) * 2.0;
    constexpr float a = 1.0F / 13, b = 5.0F / 13;
    const Value kernel = pictures.graph().constant(Tensor::of<float>({3, 3}, {a, a, a, a, b, a, a, a, a}));
    const Value result = pictures + (1.0 - factor) * (filtered(pictures, kernel) - pictures);
    return ops::clip(result, config_.value_range.low, config_.value_range.high);
  }
};

}  // namespace

LayerRef RandomGaussianBlur(RandomGaussianBlurConfig config, LayerOptions options) {
  return std::make_shared<RandomGaussianBlurLayer>(std::move(config), std::move(options));
}
LayerRef RandomSharpness(RandomSharpnessConfig config, LayerOptions options) {
  return std::make_shared<RandomSharpnessLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> filter_layers() {
  return {layer_info<RandomGaussianBlurLayer>(), layer_info<RandomSharpnessLayer>()};
}

}  // namespace nacre
