#include "layers/stft_initializer.h"

#include <cmath>
#include <numbers>

#include "layers/window_functions.h"

namespace nacre {

namespace {

enum class Side : std::uint8_t { real, imag };
enum class Scaling : std::uint8_t { density, spectrum };

struct StftConfig {
  static constexpr std::string_view class_name = "STFT";
  static constexpr std::string_view doc =
      "The cosine or sine waves of a short-time Fourier transform, under a window: shape (frame, 1, frequencies).";
  Side side = Side::real;
  SignalWindow window{"hann"};
  std::optional<Scaling> scaling = Scaling::density;
  bool periodic = false;
  static void describe(auto&& field) {
    field("side", &StftConfig::side, "cosines or sines");
    field("window", &StftConfig::window, "name of a window (hann, hamming, blackman, …), its values, or null");
    field("scaling", &StftConfig::scaling, "the window is divided by its length (density) or its sum (spectrum)");
    field("periodic", &StftConfig::periodic, "the window is that of a signal that repeats itself");
  }
};

class Stft final : public Configured<Initializer, StftConfig> {
 public:
  using Configured::Configured;
  Tensor operator()(const Shape& shape, DType dtype, RandomKey) const override {
    need(shape.rank() == 3 && shape[1] == 1, "the STFT initializer got shape {}, wanted (frame, 1, frequencies)", shape);
    const std::vector<double> window = config_.window.of_size(shape[0], config_.periodic);
    const double scale = config_.window.given() && config_.scaling ? size_of(window) : 1;

    Tensor kernel = Tensor::uninitialised({dtype, shape});
    visit(dtype, [&]<class T>(T*) {
      const std::span<T> values = kernel.writable<T>();
      const std::int64_t frequencies = shape[2];
      for (std::int64_t time = 0; time < shape[0]; ++time)
        for (std::int64_t i = 0; i < frequencies; ++i) {
          const double angle = -std::numbers::pi * static_cast<double>(time * i) / static_cast<double>(frequencies - 1);
          const double wave = config_.side == Side::real ? std::cos(angle) : std::sin(angle);
          values[static_cast<std::size_t>(time * frequencies + i)] =
              convert<T>(wave * window[static_cast<std::size_t>(time)] / scale);
        }
    });
    return kernel;
  }

 private:
  double size_of(const std::vector<double>& window) const {
    double sum = 0;
    for (const double value : window) sum += *config_.scaling == Scaling::density ? value * value : std::abs(value);
    return *config_.scaling == Scaling::density ? std::sqrt(sum) : sum;
  }
};

}  // namespace

template <>
struct EnumNames<Side> {
  static constexpr std::string_view names[] = {"real", "imag"};
};
template <>
struct EnumNames<Scaling> {
  static constexpr std::string_view names[] = {"density", "spectrum"};
};

ClassInfo<Initializer> stft_initializer() {
  return class_info<Initializer, Stft>("keras.initializers", {"STFTInitializer"});
}

}  // namespace nacre
