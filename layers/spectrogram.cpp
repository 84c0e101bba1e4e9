#include "layers/spectrogram.h"

#include <bit>
#include <cmath>
#include <numbers>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"
#include "layers/operations/functions.h"

namespace nacre {

namespace {

class STFTSpectrogramLayer final : public ConfiguredLayer<STFTSpectrogramConfig> {
 public:
  explicit STFTSpectrogramLayer(STFTSpectrogramConfig config = {}, LayerOptions options = {})
      : ConfiguredLayer(std::move(config), std::move(options)) {
    if (config_.frame_step.value_or(1) > config_.frame_length)
      throw Error("got {}, wanted at most frame_length = {}", *config_.frame_step, config_.frame_length)
          .about("'frame_step'")
          .usage();
    if (step() < 1) throw Error("wanted a frame_step, as half a frame of one sample is none").usage();
    if (config_.fft_length.value_or(config_.frame_length) < config_.frame_length)
      throw Error("got {}, wanted at least frame_length = {}", *config_.fft_length, config_.frame_length)
          .about("'fft_length'")
          .usage();
  }

 protected:
  void check(const std::vector<Shape>& inputs) const override { emit::want_rank(inputs[0], 3); }
  void build(const std::vector<Shape>& inputs) override {
    emit::known_size(inputs[0], channels_first() ? 1 : -1);
    const auto length = static_cast<std::uint64_t>(config_.frame_length);
    const std::int64_t fft = config_.fft_length.value_or(static_cast<std::int64_t>(std::bit_ceil(length)));
    const auto kernel = [&](std::string_view side) {
      Tree fields = write_config(config_, Style::keras), chosen, initializer;
      for (std::string_view key : {"window", "scaling", "periodic"}) chosen.set(std::string(key), fields[key]);
      chosen.set("side", side);
      initializer.set("STFT", std::move(chosen));
      return add_weight(fmt::format("{}_kernel", side), {config_.frame_length, 1, fft / 2 + 1},
                        read_object<Initializer>(initializer));
    };
    if (config_.mode != SpectrogramMode::imag) real_kernel_ = kernel("real");
    if (config_.mode != SpectrogramMode::real) imag_kernel_ = kernel("imag");
  }
  Values call(Context& context, const CallArguments& arguments) override {
    Value x = arguments.inputs[0];
    if (!channels_first()) x = emit::channels_first(x);
    const Value real = real_kernel_ ? transformed(context, x, real_kernel_) : Value();
    const Value imag = imag_kernel_ ? transformed(context, x, imag_kernel_) : Value();
    return {arranged(result(real, imag))};
  }

 private:
  bool channels_first() const { return config_.data_format == DataFormat::channels_first; }
  std::int64_t step() const { return config_.frame_step.value_or(config_.frame_length / 2); }

  // (batch, channels, samples) → (batch, channels, frames, frequencies)
  Value transformed(Context& context, Value x, const VariableRef& kernel) const {
    const Shape& shape = x.shape();
    const std::int64_t signals = shape[0] == unknown ? unknown : shape[0] * shape[1];
    const Value y = ops::conv(emit::reshape(x, {signals, shape[2], 1}), value(context, kernel),
                              {.strides = {step()}, .dilations = {1}, .padding = config_.padding});
    return emit::reshape(y, shape.first(2) + y.shape().from(1));
  }
  Value result(Value real, Value imag) const {
    constexpr double epsilon = 1e-7;
    const auto floored = [&](Value x) { return ops::maximum(x, ops::scalar_like(x, epsilon)); };
    switch (config_.mode) {
      case SpectrogramMode::real: return real;
      case SpectrogramMode::imag: return imag;
      case SpectrogramMode::angle: return operations::arctan2(imag, real);
      case SpectrogramMode::stft: return ops::concat({real, imag}, -1);
      default: break;
    }
    const Value power = ops::square(real) + ops::square(imag);
    if (config_.mode == SpectrogramMode::psd) {
      // The frequencies between the ends stand for their negative ones too.
      need(power.shape()[-1] > 1, "psd wants an fft_length of 2 or more");
      return power + ops::pad(ops::slice_axis(power, -1, 1, -1), {0, 0, 0, 1}, {0, 0, 0, 1});
    }
    const Value magnitude = ops::sqrt(floored(power));
    return config_.mode == SpectrogramMode::magnitude ? magnitude : ops::log(floored(magnitude));
  }
  // (batch, channels, frames, frequencies) in the order that the config asks for.
  Value arranged(Value y) const {
    const Shape& shape = y.shape();
    if (config_.expand_dims) return channels_first() ? y : ops::transpose(y, {0, 2, 3, 1});
    const std::int64_t both = shape[1] * shape[3];
    if (channels_first()) return emit::reshape(ops::transpose(y, {0, 1, 3, 2}), {shape[0], both, shape[2]});
    return emit::reshape(ops::transpose(y, {0, 2, 1, 3}), {shape[0], shape[2], both});
  }

  VariableRef real_kernel_, imag_kernel_;
};

class MelSpectrogramLayer final : public ConfiguredLayer<MelSpectrogramConfig> {
 public:
  explicit MelSpectrogramLayer(MelSpectrogramConfig config = {}, LayerOptions options = {})
      : ConfiguredLayer(std::move(config), std::move(options)) {
    if (const std::int64_t length = config_.sequence_length.value_or(0); length > config_.fft_length)
      throw Error("got {}, wanted at most fft_length = {}", length, config_.fft_length)
          .about("'sequence_length'")
          .usage();
    const SignalWindow& window = config_.window;
    if (!window.name.empty() && window.name != "hann" && window.name != "hamming")
      throw Error("got '{}', wanted hann, hamming, numbers or null", window.name).about("'window'").usage();
    if (!window.values.empty() && std::ssize(window.values) != length())
      throw Error("got {} numbers, wanted sequence_length = {}", window.values.size(), length())
          .about("'window'")
          .usage();
  }

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    const Shape& x = inputs[0];
    need(x.rank() == 1 || x.rank() == 2, "got input {}, wanted (batch, samples), or (samples)", x);
    need(x[-1] == unknown || x[-1] > config_.fft_length / 2, "got {} samples, wanted more than half of fft_length = {}",
         x[-1], config_.fft_length);
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const DType result = dtype().compute(), inner = result == DType::float64 ? result : DType::float32;
    Value x = ops::cast(arguments.inputs[0], inner);
    const bool single = x.shape().rank() == 1;
    if (single) x = ops::expand_dims(x, 0);
    if (x.shape()[1] == unknown) {
      const Shape bins{config_.num_mel_bins, unknown};
      return {emit::zeros(context.graph(), {result, single ? bins : Shape{x.shape()[0]} + bins})};
    }
    Value y = ops::dense(spectrum(mirrored(x)), context.graph().constant(mel_weights().cast(inner)));
    if (config_.power_to_db) y = decibels(y);
    y = ops::cast(ops::transpose(y, {0, 2, 1}), result);
    return {single ? ops::squeeze(y, 0) : y};
  }

 private:
  // Samples under the window; without one all count.
  std::int64_t length() const {
    return config_.window.given() ? config_.sequence_length.value_or(config_.fft_length) : config_.fft_length;
  }
  std::int64_t bins() const { return config_.fft_length / 2 + 1; }

  // With half a transform added at both ends, mirrored at the first and the last sample.
  Value mirrored(Value x) const {
    const std::int64_t size = x.shape()[1], more = config_.fft_length / 2;
    const auto part = [&](std::int64_t begin, std::int64_t end) {
      return ops::reverse(ops::slice_axis(x, 1, begin, end), {1});
    };
    return ops::concat({part(1, more + 1), x, part(size - 1 - more, size - 1)}, 1);
  }

  // (batch, samples) → (batch, time, frequencies): |transform|^mag_exp
  Value spectrum(Value x) const {
    const Value both = ops::conv(ops::expand_dims(x, 2), x.graph().constant(waves().cast(x.dtype())),
                                 {.strides = {config_.sequence_stride}, .dilations = {1}});
    const Value power =
        ops::square(ops::slice_axis(both, -1, 0, bins())) + ops::square(ops::slice_axis(both, -1, bins(), 2 * bins()));
    if (config_.mag_exp == 2) return power;
    return ops::power(power, ops::scalar_like(power, config_.mag_exp / 2));
  }

  // (fft_length, 1, 2·frequencies): cosines, then sines, under the window in the middle.
  Tensor waves() const {
    const std::int64_t size = config_.fft_length, before = (size - length()) / 2;
    // TensorFlow's windows of odd size are symmetric.
    const std::vector<double> window = config_.window.of_size(length(), length() % 2 == 0);
    std::vector<double> cosines, sines;
    for (std::int64_t i = 0; i < size; ++i) {
      const double angle = 2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(size);
      cosines.push_back(std::cos(angle)), sines.push_back(std::sin(angle));
    }
    Tensor kernel(Type{DType::float64, {size, 1, 2 * bins()}});
    const std::span<double> values = kernel.writable<double>();
    for (std::int64_t time = 0; time < length(); ++time)
      for (std::int64_t i = 0; i < bins(); ++i) {
        const auto phase = static_cast<std::size_t>((time + before) * i % size);
        const auto place = static_cast<std::size_t>((time + before) * 2 * bins() + i);
        values[place] = cosines[phase] * window[static_cast<std::size_t>(time)];
        values[place + static_cast<std::size_t>(bins())] = sines[phase] * window[static_cast<std::size_t>(time)];
      }
    return kernel;
  }

  // (frequencies, mel bins): triangles between neighbouring edges, which are evenly spaced on the mel scale of the
  // Hidden Markov Model Toolkit, 1127·ln(1 + f/700). The constant part of the signal, frequency 0, counts nowhere. All
  // in float32, as in Keras, whose roundings show where a triangle meets a single frequency.
  Tensor mel_weights() const {
    const auto mel = [](float hertz) { return 1127.0f * std::log(1.0f + hertz / 700.0f); };
    const auto spaced = [](float from, float to, std::int64_t index, std::int64_t count) {
      return from + (to - from) / static_cast<float>(count - 1) * static_cast<float>(index);
    };
    const double highest = config_.max_freq.value_or(static_cast<double>(config_.sampling_rate / 2));
    const float low = mel(static_cast<float>(config_.min_freq)), high = mel(static_cast<float>(highest));
    const std::int64_t edges = config_.num_mel_bins + 2;
    Tensor weights(Type{DType::float32, {bins(), config_.num_mel_bins}});
    const std::span<float> values = weights.writable<float>();
    for (std::int64_t i = 1; i < bins(); ++i) {
      const float at = mel(spaced(0, static_cast<float>(config_.sampling_rate) / 2, i, bins()));
      for (std::int64_t bin = 0; bin < config_.num_mel_bins; ++bin) {
        const float lower = spaced(low, high, bin, edges), centre = spaced(low, high, bin + 1, edges),
                    upper = spaced(low, high, bin + 2, edges);
        values[static_cast<std::size_t>(i * config_.num_mel_bins + bin)] =
            std::max(0.0f, std::min((at - lower) / (centre - lower), (upper - at) / (upper - centre)));
      }
    }
    return weights;
  }

  // 10·log10(power / ref_power), cut top_db below the largest of the whole batch.
  Value decibels(Value power) const {
    const double scale = 10 / std::numbers::ln10;
    const double reference = 10 * std::log10(std::max(std::abs(config_.ref_power), config_.min_power));
    const Value y = ops::log(ops::maximum(power, ops::scalar_like(power, config_.min_power))) * scale - reference;
    return ops::maximum(y, ops::max(y) - config_.top_db);
  }
};

}  // namespace

LayerRef STFTSpectrogram(STFTSpectrogramConfig config, LayerOptions options) {
  return std::make_shared<STFTSpectrogramLayer>(std::move(config), std::move(options));
}
LayerRef MelSpectrogram(MelSpectrogramConfig config, LayerOptions options) {
  return std::make_shared<MelSpectrogramLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> spectrogram_layers() {
  return {layer_info<STFTSpectrogramLayer>(), layer_info<MelSpectrogramLayer>()};
}

}  // namespace nacre
