// Sounds as pictures: the frequencies of short pieces of a signal.
#pragma once

#include "backend/graph/ops/conv.h"
#include "layers/fields.h"
#include "layers/symbol.h"
#include "layers/window_functions.h"

namespace nacre {

enum class SpectrogramMode : std::uint8_t { log, magnitude, psd, real, imag, angle, stft };
template <>
struct EnumNames<SpectrogramMode> {
  static constexpr std::string_view names[] = {"log", "magnitude", "psd", "real", "imag", "angle", "stft"};
};
enum class SpectrogramScaling : std::uint8_t { density, spectrum };
template <>
struct EnumNames<SpectrogramScaling> {
  static constexpr std::string_view names[] = {"density", "spectrum"};
};

struct STFTSpectrogramConfig {
  static constexpr std::string_view class_name = "STFTSpectrogram";
  static constexpr std::string_view doc =
      "The short-time Fourier transform of each channel, as convolutions whose kernels can be trained.";
  SpectrogramMode mode = SpectrogramMode::log;
  std::int64_t frame_length = 256;
  std::optional<std::int64_t> frame_step, fft_length;
  SignalWindow window{"hann"};
  bool periodic = false;
  std::optional<SpectrogramScaling> scaling = SpectrogramScaling::density;
  Padding padding = Padding::valid;
  bool expand_dims = false;
  DataFormat data_format = DataFormat::channels_last;
  static void describe(auto&& field) {
    field("mode", &STFTSpectrogramConfig::mode,
          "log: of the magnitude; magnitude; psd: power spectral density; real and imag: the parts; angle: the phase; "
          "stft: both parts, one after the other");
    field("frame_length", &STFTSpectrogramConfig::frame_length, "samples of a frame", at_least(1));
    field("frame_step", &STFTSpectrogramConfig::frame_step, "samples between frames; null: half a frame", at_least(1));
    field("fft_length", &STFTSpectrogramConfig::fft_length,
          "twice the number of frequencies; null: the power of two from frame_length on", at_least(1));
    field("window", &STFTSpectrogramConfig::window, "weights of a frame's samples: a name, numbers, or null for none");
    field("periodic", &STFTSpectrogramConfig::periodic, "the window is that of repeated signals, not symmetric");
    field("scaling", &STFTSpectrogramConfig::scaling,
          "the window is divided by its length (density), its sum (spectrum) or nothing (null)");
    field("padding", &STFTSpectrogramConfig::padding, "valid: frames that fit; same: a frame at each step");
    field("expand_dims", &STFTSpectrogramConfig::expand_dims, "the frequencies get an axis of their own");
    field("data_format", &STFTSpectrogramConfig::data_format, "where the channels are");
  }
};

struct MelSpectrogramConfig {
  static constexpr std::string_view class_name = "MelSpectrogram";
  static constexpr std::string_view doc =
      "(batch, samples) → (batch, mel bins, time): the power of a short-time Fourier transform on the mel scale.";
  std::int64_t fft_length = 2048, sequence_stride = 512;
  std::optional<std::int64_t> sequence_length;
  SignalWindow window{"hann"};
  std::int64_t sampling_rate = 16000, num_mel_bins = 128;
  double min_freq = 20;
  std::optional<double> max_freq;
  bool power_to_db = true;
  double top_db = 80, mag_exp = 2, min_power = 1e-10, ref_power = 1;
  static void describe(auto&& field) {
    field("fft_length", &MelSpectrogramConfig::fft_length, "samples of a transform", at_least(2));
    field("sequence_stride", &MelSpectrogramConfig::sequence_stride, "samples between transforms", at_least(1));
    field("sequence_length", &MelSpectrogramConfig::sequence_length, "samples under the window; null: fft_length",
          at_least(1));
    field("window", &MelSpectrogramConfig::window, "hann, hamming, numbers, or null for none");
    field("sampling_rate", &MelSpectrogramConfig::sampling_rate, "samples per second", at_least(1));
    field("num_mel_bins", &MelSpectrogramConfig::num_mel_bins, "number of mel bins", at_least(1));
    field("min_freq", &MelSpectrogramConfig::min_freq, "lower end of the first bin, in hertz", at_least(0));
    field("max_freq", &MelSpectrogramConfig::max_freq, "upper end of the last bin; null: half the sampling rate");
    field("power_to_db", &MelSpectrogramConfig::power_to_db, "results are decibels");
    field("top_db", &MelSpectrogramConfig::top_db, "decibels below the largest result that results are cut at");
    field("mag_exp", &MelSpectrogramConfig::mag_exp, "exponent of the magnitude: 1, or 2 for the power");
    field("min_power", &MelSpectrogramConfig::min_power, "smallest power before decibels", above(0));
    field("ref_power", &MelSpectrogramConfig::ref_power, "power of 0 decibels");
  }
};

LayerRef STFTSpectrogram(STFTSpectrogramConfig config = {}, LayerOptions options = {});
LayerRef MelSpectrogram(MelSpectrogramConfig config = {}, LayerOptions options = {});

std::vector<ClassInfo<Layer>> spectrogram_layers();

}  // namespace nacre
