// Discrete Fourier transforms by products with matrices of cosines and sines. A complex tensor is a pair of real ones,
// as Keras hands them out.
#include <cmath>
#include <numbers>

#include "backend/graph/ops/matmul.h"
#include "layers/operations/functions.h"
#include "layers/operations/operation.h"
#include "layers/window_functions.h"

namespace nacre::operations {

namespace {

constexpr Family math("keras.src.ops.math");
constexpr std::int64_t longest = 4096;          // of a transform: its matrix has the square of it
constexpr std::int64_t most_samples = 1 << 24;  // of all frames together

struct SequenceFields {
  std::int64_t sequence_length = 0, sequence_stride = 0;
  static void describe(auto&& field) {
    field("sequence_length", &SequenceFields::sequence_length, "of a sequence", at_least(1), required());
    field("sequence_stride", &SequenceFields::sequence_stride, "from sequence to sequence", at_least(1), required());
  }
};
struct LengthField {
  std::optional<std::int64_t> fft_length;
  static void describe(auto&& field) {
    field("fft_length", &LengthField::fft_length, "samples that are transformed; null: all", at_least(1));
  }
};
struct ShortTimeFields {
  std::int64_t sequence_length = 0, sequence_stride = 0, fft_length = 0;
  SignalWindow window{.name = "hann"};
  bool center = true;
  static void describe(auto&& field) {
    field("sequence_length", &ShortTimeFields::sequence_length, "of a frame", between(1, longest), required());
    field("sequence_stride", &ShortTimeFields::sequence_stride, "from frame to frame", between(1, most_samples),
          required());
    field("fft_length", &ShortTimeFields::fft_length, "of the transform; frames stand in its middle",
          between(1, longest), required());
    field("window", &ShortTimeFields::window, "hann, hamming, numbers or null: weights of the samples of a frame");
    field("center", &ShortTimeFields::center, "frames begin half a transform before the signal, which is mirrored");
  }
  // Of fft_length places.
  std::vector<double> weights() const {
    need(fft_length >= sequence_length, "got fft_length {}, wanted at least sequence_length = {}", fft_length,
         sequence_length);
    const auto before = static_cast<std::size_t>((fft_length - sequence_length) / 2);
    std::vector<double> all(static_cast<std::size_t>(fft_length), window.given() ? 0.0 : 1.0);
    if (!window.given()) return all;
    // TensorFlow's windows of odd size are symmetric.
    const std::vector<double> inner = window.of_size(sequence_length, sequence_length % 2 == 0);
    std::copy(inner.begin(), inner.end(), all.begin() + static_cast<std::ptrdiff_t>(before));
    return all;
  }
};
struct InverseFields : ShortTimeFields {
  std::optional<std::int64_t> length;
  static void describe(auto&& field) {
    ShortTimeFields::describe(field);
    field("length", &InverseFields::length, "of the signal; null: as far as the frames go");
  }
};

struct Complex {
  Value real, imag;
};

Complex complex_operand(const Operands& in) {
  const Values parts = in.list(0);
  need(parts.size() == 2, "got {} tensors, wanted the real and the imaginary parts", parts.size());
  return {real(parts[0]), real(parts[1])};
}

// cos and sin of 2π j k / n times a weight, j the row, k the column.
struct Waves {
  Value cosines, sines;
};
Waves waves(Value like, std::int64_t n, std::int64_t rows, std::int64_t columns,
            const std::function<double(std::int64_t, std::int64_t)>& weight) {
  const Type type{DType::float32, {rows, columns}};
  Tensor cosines(type), sines(type);
  const std::span<float> c = cosines.writable<float>(), s = sines.writable<float>();
  std::size_t at = 0;
  for (std::int64_t j = 0; j < rows; ++j)
    for (std::int64_t k = 0; k < columns; ++k, ++at) {
      const double angle = 2 * std::numbers::pi * static_cast<double>(j * k % n) / static_cast<double>(n);
      const double factor = weight(j, k);
      c[at] = static_cast<float>(factor * std::cos(angle));
      s[at] = static_cast<float>(factor * std::sin(angle));
    }
  const auto constant = [&](const Tensor& tensor) { return like.graph().constant(tensor.cast(like.dtype())); };
  return {constant(cosines), constant(sines)};
}

std::int64_t transformable(std::int64_t size) {
  need(size >= 1 && size <= longest, "got {} elements, wanted 1 to {}: the transform is a product with a matrix", size,
       longest);
  return size;
}

// Over the last axis.
Complex transform(Complex x) {
  const std::int64_t n = x.real.shape()[-1];
  if (n == unknown) return x;
  const Waves w = waves(x.real, transformable(n), n, n, [](auto, auto) { return 1.0; });
  return {ops::dense(x.real, w.cosines) + ops::dense(x.imag, w.sines),
          ops::dense(x.imag, w.cosines) - ops::dense(x.real, w.sines)};
}
Complex transform_plane(Complex x) {
  emit::want_rank_at_least(x.real.shape(), 2);
  const auto turned = [](Complex z) {
    return Complex{emit::move_axis(z.real, -1, -2), emit::move_axis(z.imag, -1, -2)};
  };
  return turned(transform(turned(transform(x))));
}

// The last axis cut, or filled with zeros, to a size.
Value sized(Value x, std::int64_t size) {
  const std::int64_t own = x.shape()[-1];
  if (own == size || own == unknown) return x;
  if (own > size) return ops::slice_axis(x, -1, 0, size);
  std::vector<std::int64_t> before(static_cast<std::size_t>(x.shape().rank()), 0), after = before;
  after.back() = size - own;
  return ops::pad(x, before, after);
}

Value of_unknown(Value x, int more, std::int64_t last) {
  Shape shape = x.shape().first(x.shape().rank() - 1);
  for (int i = 0; i < more; ++i) shape.append(unknown);
  shape.append(last);
  return emit::zeros(x.graph(), {x.dtype(), shape});
}

// The frequencies from 0 to half of the size; x is real. `weights` of the samples.
Complex half_transform(Value x, std::int64_t n, const std::vector<double>& weights = {}) {
  const std::int64_t bins = transformable(n) / 2 + 1;
  if (x.shape()[-1] == unknown) return {of_unknown(x, 0, bins), of_unknown(x, 0, bins)};
  const Waves w = waves(x, n, n, bins, [&](std::int64_t j, auto) {
    return weights.empty() ? 1.0 : weights[static_cast<std::size_t>(j)];
  });
  x = sized(x, n);
  return {ops::dense(x, w.cosines), -ops::dense(x, w.sines)};
}
// Its inverse: the frequencies between the ends stand for their negative ones too.
Value from_half(Complex x, std::int64_t n) {
  const std::int64_t bins = transformable(n) / 2 + 1;
  if (x.real.shape()[-1] == unknown) return of_unknown(x.real, 0, n);
  const Waves w = waves(x.real, n, bins, n, [&](std::int64_t k, auto) {
    return (k == 0 || 2 * k == n ? 1.0 : 2.0) / static_cast<double>(n);
  });
  return ops::dense(sized(x.real, bins), w.cosines) - ops::dense(sized(x.imag, bins), w.sines);
}

// Pieces of the last axis on a new one, `margin` mirrored elements before and after counted in.
Value frames(Value x, std::int64_t length, std::int64_t stride, std::int64_t margin = 0) {
  emit::want_rank_at_least(x.shape(), 1);
  const std::int64_t size = x.shape()[-1];
  if (size == unknown) return of_unknown(x, 1, length);
  need(margin < size, "got {} samples, wanted more than the {} that are mirrored", size, margin);
  const std::int64_t all = size + 2 * margin;
  need(length <= all, "got {} samples, wanted at least one sequence of {}", all, length);
  const std::int64_t count = (all - length) / stride + 1;
  need(length <= most_samples && count <= most_samples / length, "got {} sequences of {}, wanted at most {} elements",
       count, length, most_samples);
  Tensor places(Type{DType::int32, {count, length}});
  const std::span<std::int32_t> index = places.writable<std::int32_t>();
  for (std::int64_t i = 0; i < count * length; ++i) {
    std::int64_t at = i / length * stride + i % length - margin;
    if (at < 0) at = -at;
    if (at >= size) at = 2 * (size - 1) - at;
    index[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(at);
  }
  return take(x, x.graph().constant(places), x.shape().rank() - 1);
}

// (…, frames, length) added up, each `stride` after the one before.
Value overlapped(Value x, std::int64_t stride) {
  const std::int64_t count = x.shape()[-2], length = x.shape()[-1];
  if (count == unknown) return of_unknown(ops::slice_axis(x, -1, 0, 1), 0, unknown);
  const std::int64_t parts = count_of_parts((length + stride - 1) / stride);
  const Shape batch = x.shape().first(x.shape().rank() - 2);
  x = emit::reshape(sized(x, parts * stride), batch + Shape{count, parts, stride});
  std::vector<std::int64_t> before(static_cast<std::size_t>(batch.rank()) + 1, 0), after = before;
  Value sum;
  for (std::int64_t part = 0; part < parts; ++part) {
    const Value row = emit::reshape(ops::slice_axis(x, -2, part, part + 1), batch + Shape{count * stride});
    before.back() = part * stride, after.back() = (parts - 1 - part) * stride;
    const Value placed = ops::pad(row, before, after);
    sum = part == 0 ? placed : sum + placed;
  }
  return sized(sum, length + stride * (count - 1));
}

Value inverse_short_time(const InverseFields& f, Complex x) {
  emit::want_rank_at_least(x.real.shape(), 2);
  std::vector<double> weights = f.weights();
  if (f.window.given()) {  // divided by what overlapping squares add up to, so that the signal comes back
    const auto stride = static_cast<std::size_t>(f.sequence_stride);
    std::vector<double> squares(std::min(stride, weights.size()), 0.0);
    for (std::size_t i = 0; i < weights.size(); ++i) squares[i % stride] += weights[i] * weights[i];
    for (std::size_t i = 0; i < weights.size(); ++i)
      if (weights[i] != 0) weights[i] /= squares[i % stride];  // no frame reaches some samples: they are 0
  }
  Value signal = from_half(x, f.fft_length);
  const Tensor window = Tensor::of<double>({f.fft_length}, std::span<const double>(weights));
  signal = overlapped(signal * x.real.graph().constant(window.cast(signal.dtype())), f.sequence_stride);
  const std::int64_t margin = f.center ? f.fft_length / 2 : 0;
  if (f.length) {
    need(*f.length >= 0 && *f.length <= most_samples, "got length {}, wanted up to {}", *f.length, most_samples);
    return ops::slice_axis(signal, -1, margin, margin + *f.length);
  }
  return ops::slice_axis(signal, -1, margin, margin == 0 ? whole_axis : -margin);
}

Values both(Complex x) { return {x.real, x.imag}; }

}  // namespace

Rows spectral() {
  return {
      math.plain("FFT", "[x]", "The Fourier transform over the last axis, real and imaginary parts.",
                 [](const Operands& in) { return both(transform(complex_operand(in))); }),
      math.plain("FFT2", "[x]", "The Fourier transform over the last two axes.",
                 [](const Operands& in) { return both(transform_plane(complex_operand(in))); }),
      math.plain("IFFT2", "[x]", "The inverse Fourier transform over the last two axes.",
                 [](const Operands& in) {
                   const Complex x = complex_operand(in);
                   const Complex y = transform_plane({x.real, -x.imag});
                   const std::int64_t height = x.real.shape()[-2], width = x.real.shape()[-1];
                   if (height == unknown || width == unknown) return both(y);
                   const double elements = static_cast<double>(height) * static_cast<double>(width);
                   return Values{y.real / elements, -y.imag / elements};
                 }),
      math.operation<LengthField>("RFFT", "x", "The frequencies from 0 on of a real signal, real and imaginary parts.",
                                  [](const LengthField& f, const Operands& in) {
                                    const Value x = real(in[0]);
                                    emit::want_rank_at_least(x.shape(), 1);
                                    const std::int64_t size = f.fft_length.value_or(x.shape()[-1]);
                                    if (size == unknown)
                                      return Values{of_unknown(x, 0, unknown), of_unknown(x, 0, unknown)};
                                    return both(half_transform(x, size));
                                  }),
      math.operation<LengthField>("IRFFT", "[x]", "The real signal of its frequencies from 0 on.",
                                  [](const LengthField& f, const Operands& in) {
                                    const Complex x = complex_operand(in);
                                    emit::want_rank_at_least(x.real.shape(), 1);
                                    const std::int64_t bins = x.real.shape()[-1];
                                    if (!f.fft_length && bins == unknown) return of_unknown(x.real, 0, unknown);
                                    return from_half(x, f.fft_length.value_or(2 * (bins - 1)));
                                  }),
      math.operation<SequenceFields>("ExtractSequences", "x", "Pieces of the last axis, which may overlap.",
                                     [](const SequenceFields& f, const Operands& in) {
                                       return frames(in[0], f.sequence_length, f.sequence_stride);
                                     }),
      math.operation<ShortTimeFields>(
          "STFT", "x", "The Fourier transforms of frames of a signal, real and imaginary parts.",
          [](const ShortTimeFields& f, const Operands& in) {
            const std::vector<double> weights = f.weights();
            const Value pieces = frames(real(in[0]), f.fft_length, f.sequence_stride, f.center ? f.fft_length / 2 : 0);
            return both(half_transform(pieces, f.fft_length, weights));
          }),
      math.operation<InverseFields>(
          "ISTFT", "[x]", "The signal of the Fourier transforms of its frames.",
          [](const InverseFields& f, const Operands& in) { return inverse_short_time(f, complex_operand(in)); }),
  };
}

}  // namespace nacre::operations
