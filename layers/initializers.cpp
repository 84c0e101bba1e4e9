#include <algorithm>
#include <cmath>
#include <numeric>

#include "layers/constant_initializer.h"
#include "layers/fields.h"
#include "layers/stft_initializer.h"

namespace nacre {

namespace {

// A tensor of floating elements, each given by `element()` in row-major order.
template <class Element>
Tensor generate(const Shape& shape, DType dtype, Element&& element) {
  Tensor tensor = Tensor::uninitialised({dtype, shape});
  visit(dtype, [&]<class T>(T*) {
    for (T& value : tensor.writable<T>()) value = convert<T>(static_cast<double>(element()));
  });
  return tensor;
}

RandomStream stream_of(RandomKey key, const std::optional<std::int64_t>& seed) {
  if (seed) key.seed = static_cast<std::uint64_t>(*seed);
  return RandomStream(key);
}

// Standard normal, drawn again beyond two standard deviations.
double truncated_normal(RandomStream& random) {
  for (;;)
    if (const double value = random.normal(); std::abs(value) <= 2) return value;
}

// --- constants ----------------------------------------------------------------------------------------------------

struct ZerosConfig {
  static constexpr std::string_view class_name = "Zeros";
  static constexpr std::string_view doc = "All elements are 0.";
  static void describe(auto&&) {}
};
class Zeros final : public Configured<Initializer, ZerosConfig> {
 public:
  using Configured::Configured;
  Tensor operator()(const Shape& shape, DType dtype, RandomKey) const override { return Tensor(dtype, shape); }
};

struct OnesConfig {
  static constexpr std::string_view class_name = "Ones";
  static constexpr std::string_view doc = "All elements are 1.";
  static void describe(auto&&) {}
};
class Ones final : public Configured<Initializer, OnesConfig> {
 public:
  using Configured::Configured;
  Tensor operator()(const Shape& shape, DType dtype, RandomKey) const override {
    return generate(shape, dtype, [] { return 1.0; });
  }
};

struct IdentityConfig {
  static constexpr std::string_view class_name = "Identity";
  static constexpr std::string_view doc = "gain on the diagonal of a matrix, 0 elsewhere.";
  double gain = 1;
  static void describe(auto&& field) { field("gain", &IdentityConfig::gain, "on the diagonal"); }
};
class Identity final : public Configured<Initializer, IdentityConfig> {
 public:
  using Configured::Configured;
  Tensor operator()(const Shape& shape, DType dtype, RandomKey) const override {
    need(shape.rank() == 2, "the Identity initializer got shape {}, wanted a matrix", shape);
    std::int64_t index = 0;
    return generate(shape, dtype, [&] {
      const std::int64_t place = index++;
      return place / shape[1] == place % shape[1] ? config_.gain : 0.0;
    });
  }
};

// --- random -------------------------------------------------------------------------------------------------------

struct RandomNormalConfig {
  static constexpr std::string_view class_name = "RandomNormal";
  static constexpr std::string_view doc = "Normally distributed.";
  double mean = 0, stddev = 0.05;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("mean", &RandomNormalConfig::mean, "of the distribution");
    field("stddev", &RandomNormalConfig::stddev, "standard deviation", at_least(0));
    field("seed", &RandomNormalConfig::seed, "own seed; null: that of the experiment");
  }
};
class RandomNormal final : public Configured<Initializer, RandomNormalConfig> {
 public:
  using Configured::Configured;
  Tensor operator()(const Shape& shape, DType dtype, RandomKey key) const override {
    RandomStream random = stream_of(key, config_.seed);
    return generate(shape, dtype, [&] { return config_.mean + config_.stddev * random.normal(); });
  }
};

struct TruncatedNormalConfig {
  static constexpr std::string_view class_name = "TruncatedNormal";
  static constexpr std::string_view doc = "Normally distributed, drawn again beyond two standard deviations.";
  double mean = 0, stddev = 0.05;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("mean", &TruncatedNormalConfig::mean, "of the distribution");
    field("stddev", &TruncatedNormalConfig::stddev, "standard deviation before truncation", at_least(0));
    field("seed", &TruncatedNormalConfig::seed, "own seed; null: that of the experiment");
  }
};
class TruncatedNormal final : public Configured<Initializer, TruncatedNormalConfig> {
 public:
  using Configured::Configured;
  Tensor operator()(const Shape& shape, DType dtype, RandomKey key) const override {
    RandomStream random = stream_of(key, config_.seed);
    return generate(shape, dtype, [&] { return config_.mean + config_.stddev * truncated_normal(random); });
  }
};

struct RandomUniformConfig {
  static constexpr std::string_view class_name = "RandomUniform";
  static constexpr std::string_view doc = "Uniformly distributed.";
  double minval = -0.05, maxval = 0.05;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("minval", &RandomUniformConfig::minval, "lower bound");
    field("maxval", &RandomUniformConfig::maxval, "upper bound");
    field("seed", &RandomUniformConfig::seed, "own seed; null: that of the experiment");
  }
};
class RandomUniform final : public Configured<Initializer, RandomUniformConfig> {
 public:
  using Configured::Configured;
  Tensor operator()(const Shape& shape, DType dtype, RandomKey key) const override {
    RandomStream random = stream_of(key, config_.seed);
    return generate(shape, dtype, [&] { return random.uniform(config_.minval, config_.maxval); });
  }
};

// --- variance scaling ---------------------------------------------------------------------------------------------

enum class FanMode : std::uint8_t { fan_in, fan_out, fan_avg };
enum class Distribution : std::uint8_t { truncated_normal, untruncated_normal, uniform };

struct Fans {
  double in = 1, out = 1;
};

using OptionalAxes = std::optional<std::vector<std::int64_t>>;

// Inputs and outputs of one unit; in a convolution's kernel (spatial…, in, out) times the places of the window.
Fans fans_of(const Shape& shape, const OptionalAxes& input_axes, const OptionalAxes& output_axes) {
  const auto product = [&](const std::vector<std::int64_t>& axes) {
    double size = 1;
    for (std::int64_t axis : axes) size *= static_cast<double>(shape[static_cast<int>(axis)]);
    return size;
  };
  if (input_axes && output_axes) return {product(*input_axes), product(*output_axes)};
  if (shape.rank() == 0) return {};
  const auto last = static_cast<double>(shape[-1]);
  if (shape.rank() == 1) return {last, last};
  const auto window = static_cast<double>(shape.first(shape.rank() - 2).elements());
  return {window * static_cast<double>(shape[-2]), window * last};
}

// Glorot and Bengio (2010), He et al. (2015): variance = scale / fan.
Tensor scaled(const Shape& shape, DType dtype, RandomStream random, double scale, FanMode mode,
              Distribution distribution, const OptionalAxes& input_axes, const OptionalAxes& output_axes) {
  const Fans fans = fans_of(shape, input_axes, output_axes);
  const double fan = mode == FanMode::fan_in ? fans.in : mode == FanMode::fan_out ? fans.out : (fans.in + fans.out) / 2;
  const double variance = scale / std::max(fan, 1.0);
  if (distribution == Distribution::uniform) {
    const double limit = std::sqrt(3 * variance);
    return generate(shape, dtype, [&] { return random.uniform(-limit, limit); });
  }
  if (distribution == Distribution::untruncated_normal)
    return generate(shape, dtype, [&] { return std::sqrt(variance) * random.normal(); });
  // The standard deviation of a standard normal variable that is cut at ±2.
  constexpr double truncated_deviation = 0.87962566103423978;
  return generate(shape, dtype, [&] { return std::sqrt(variance) / truncated_deviation * truncated_normal(random); });
}

struct VarianceScalingConfig {
  static constexpr std::string_view class_name = "VarianceScaling";
  static constexpr std::string_view doc = "Random with variance scale / fan.";
  double scale = 1;
  FanMode mode = FanMode::fan_in;
  Distribution distribution = Distribution::truncated_normal;
  std::optional<std::int64_t> seed;
  OptionalAxes input_axes, output_axes;
  static void describe(auto&& field) {
    field("scale", &VarianceScalingConfig::scale, "factor of the variance", above(0));
    field("mode", &VarianceScalingConfig::mode, "what the variance is divided by");
    field("distribution", &VarianceScalingConfig::distribution, "drawn from");
    field("seed", &VarianceScalingConfig::seed, "own seed; null: that of the experiment");
    field("input_axes", &VarianceScalingConfig::input_axes, "axes that count as inputs; null: all but the last");
    field("output_axes", &VarianceScalingConfig::output_axes,
          "axes that count as outputs; null: all but the one before the last");
  }
};
class VarianceScaling final : public Configured<Initializer, VarianceScalingConfig> {
 public:
  using Configured::Configured;
  Tensor operator()(const Shape& shape, DType dtype, RandomKey key) const override {
    return scaled(shape, dtype, stream_of(key, config_.seed), config_.scale, config_.mode, config_.distribution,
                  config_.input_axes, config_.output_axes);
  }
};

// The named special cases of VarianceScaling.
struct Glorot {
  static constexpr double scale = 1;
  static constexpr FanMode mode = FanMode::fan_avg;
  static constexpr std::string_view names[] = {"GlorotNormal", "GlorotUniform"};
  static constexpr std::string_view docs[] = {
      "Normal with variance 2 / (inputs + outputs), cut at two standard deviations.",
      "Uniform with variance 2 / (inputs + outputs)."};
};
struct He {
  static constexpr double scale = 2;
  static constexpr FanMode mode = FanMode::fan_in;
  static constexpr std::string_view names[] = {"HeNormal", "HeUniform"};
  static constexpr std::string_view docs[] = {"Normal with variance 2 / inputs, cut at two standard deviations.",
                                              "Uniform with variance 2 / inputs."};
};
struct Lecun {
  static constexpr double scale = 1;
  static constexpr FanMode mode = FanMode::fan_in;
  static constexpr std::string_view names[] = {"LecunNormal", "LecunUniform"};
  static constexpr std::string_view docs[] = {"Normal with variance 1 / inputs, cut at two standard deviations.",
                                              "Uniform with variance 1 / inputs."};
};

template <class Rule, bool uniform>
struct NamedScalingConfig {
  static constexpr std::string_view class_name = Rule::names[uniform];
  static constexpr std::string_view doc = Rule::docs[uniform];
  std::optional<std::int64_t> seed;
  OptionalAxes input_axes, output_axes;
  static void describe(auto&& field) {
    field("seed", &NamedScalingConfig::seed, "own seed; null: that of the experiment");
    field("input_axes", &NamedScalingConfig::input_axes, "axes that count as inputs; null: all but the last");
    field("output_axes", &NamedScalingConfig::output_axes,
          "axes that count as outputs; null: all but the one before the last");
  }
};
template <class Rule, bool uniform>
class NamedScaling final : public Configured<Initializer, NamedScalingConfig<Rule, uniform>> {
 public:
  using Configured<Initializer, NamedScalingConfig<Rule, uniform>>::Configured;
  Tensor operator()(const Shape& shape, DType dtype, RandomKey key) const override {
    const auto& config = this->config_;
    return scaled(shape, dtype, stream_of(key, config.seed), Rule::scale, Rule::mode,
                  uniform ? Distribution::uniform : Distribution::truncated_normal, config.input_axes,
                  config.output_axes);
  }
};

// --- orthogonal ---------------------------------------------------------------------------------------------------

struct OrthogonalConfig {
  static constexpr std::string_view class_name = "Orthogonal";
  static constexpr std::string_view doc = "A random orthogonal matrix (orthonormal rows or columns), times gain.";
  double gain = 1;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) {
    field("gain", &OrthogonalConfig::gain, "factor");
    field("seed", &OrthogonalConfig::seed, "own seed; null: that of the experiment");
  }
};

// Orthonormalises the rows of length `size` in order, each against those before it: the transposed Q of the QR
// decomposition whose R has a positive diagonal. Gram and Schmidt, a second time where the first loses too many digits
// (Daniel et al., 1976).
void orthonormalise(std::span<double> rows, std::size_t size) {
  const auto row = [&](std::size_t i) { return rows.subspan(i * size, size); };
  const auto dot = [](std::span<const double> a, std::span<const double> b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  };
  for (std::size_t i = 0; i < rows.size() / size; ++i) {
    const std::span<double> current = row(i);
    double norm = std::sqrt(dot(current, current)), before = 0;
    do {
      before = norm;
      for (std::size_t j = 0; j < i; ++j) {
        const double along = dot(current, row(j));
        const std::span<double> other = row(j);
        for (std::size_t k = 0; k < size; ++k) current[k] -= along * other[k];
      }
      norm = std::sqrt(dot(current, current));
    } while (norm < 0.7 * before && norm > 0);
    for (double& value : current) value /= norm;
  }
}

// Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks" (2014).
class Orthogonal final : public Configured<Initializer, OrthogonalConfig> {
 public:
  using Configured::Configured;
  Tensor operator()(const Shape& shape, DType dtype, RandomKey key) const override {
    need(shape.rank() >= 2, "the Orthogonal initializer got shape {}, wanted a matrix", shape);
    const auto columns = static_cast<std::size_t>(shape[-1]);
    const auto rows = static_cast<std::size_t>(shape.elements()) / std::max<std::size_t>(columns, 1);
    const std::size_t length = std::max(rows, columns);
    RandomStream random = stream_of(key, config_.seed);
    std::vector<double> vectors(rows * columns);
    for (double& value : vectors) value = random.normal();
    if (!vectors.empty()) orthonormalise(vectors, length);
    std::size_t index = 0;  // the vectors are the rows of a wide matrix, the columns of a tall one
    return generate(shape, dtype, [&] {
      const std::size_t place = index++;
      return config_.gain * (rows < columns ? vectors[place] : vectors[place % columns * length + place / columns]);
    });
  }
};

}  // namespace

template <>
struct EnumNames<FanMode> {
  static constexpr std::string_view names[] = {"fan_in", "fan_out", "fan_avg"};
};
template <>
struct EnumNames<Distribution> {
  static constexpr std::string_view names[] = {"truncated_normal", "untruncated_normal", "uniform"};
};

template <>
Registry<Initializer>& registry<Initializer>() {
  constexpr std::string_view module = "keras.initializers";
  static Registry<Initializer> all(
      "initializer",
      {class_info<Initializer, Zeros>(module, {"zero"}), class_info<Initializer, Ones>(module, {"one"}),
       constant_initializer(), class_info<Initializer, Identity>(module, {"IdentityInitializer"}),
       class_info<Initializer, RandomNormal>(module, {"normal"}),
       class_info<Initializer, RandomUniform>(module, {"uniform"}), class_info<Initializer, TruncatedNormal>(module),
       class_info<Initializer, VarianceScaling>(module), class_info<Initializer, NamedScaling<Glorot, false>>(module),
       class_info<Initializer, NamedScaling<Glorot, true>>(module),
       class_info<Initializer, NamedScaling<He, false>>(module),
       class_info<Initializer, NamedScaling<He, true>>(module),
       class_info<Initializer, NamedScaling<Lecun, false>>(module, {"LeCunNormal"}),
       class_info<Initializer, NamedScaling<Lecun, true>>(module, {"LeCunUniform"}),
       class_info<Initializer, Orthogonal>(module, {"OrthogonalInitializer"}), stft_initializer()});
  return all;
}

}  // namespace nacre
