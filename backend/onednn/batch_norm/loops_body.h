// The loops themselves, for the instruction set that the including file is compiled for. A group of neighbouring channels
// is walked down the rows at a time, so that all that belongs to its channels stays in registers.
#include "backend/onednn/batch_norm/loops.h"
#include "backend/onednn/elementwise/lanes.h"

namespace nacre::onednn {

namespace {

using Rows = BatchNormLoops::Rows;
using Channels = BatchNormLoops::Channels;
using Bounds = BatchNormLoops::Bounds;
using Activation = BatchNormLoops::Activation;

// --- channels side by side ----------------------------------------------------------------------------------------

// Calls columns<lanes>(channel) for groups of channels that together are all of `width`.
template <class Columns>
inline void by_columns(std::int64_t width, Columns&& columns) {
  std::int64_t c = 0;
  for (; c + widest <= width; c += widest) columns.template operator()<widest>(c);
  if constexpr (widest > 4)
    for (; c + 4 <= width; c += 4) columns.template operator()<4>(c);
  for (; c < width; ++c) columns.template operator()<1>(c);
}

template <int lanes>
struct Parameters {
  Lanes<lanes> mean, scale, shift;
  Parameters(Channels channels, std::int64_t c)
      : mean(load<lanes>(channels.mean + c)), scale(load<lanes>(channels.scale + c)), shift(load<lanes>(channels.shift + c)) {}
};

template <Activation activation, class Value>
inline Value activated(Value y, Bounds bounds) {
  const Value zero = {};
  if constexpr (activation == Activation::relu) return y <= zero ? zero : y;
  if constexpr (activation == Activation::clip) return clamped(y, bounds.low, bounds.high);
  return y;
}
// dy where the activation passed y on.
template <Activation activation, class Value>
inline Value passed_on(Value dy, Value y, Bounds bounds) {
  const Value zero = {}, low = zero + bounds.low, high = zero + bounds.high;
  if constexpr (activation == Activation::relu) return y > zero ? dy : zero;
  if constexpr (activation == Activation::clip) {
    const Value bounded = y <= high ? dy : zero;
    return y >= low ? bounded : zero;
  }
  return dy;
}

// --- the loops ----------------------------------------------------------------------------------------------------

// Σ of(x) over the rows.
template <int lanes, class T>
inline Lanes<lanes> sum_of(const T* x, Rows rows, auto&& of) {
  Lanes<lanes> sums[4] = {};
  std::int64_t row = 0;
  for (; row + 4 <= rows.count; row += 4, x += 4 * rows.width)
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) sums[i] += of(load<lanes>(x + i * rows.width));
  for (; row < rows.count; ++row, x += rows.width) sums[0] += of(load<lanes>(x));
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

template <class T>
void observe(const void* from, Rows rows, float before, float* mean, float* deviations) {
  const T* x = static_cast<const T*>(from);
  const float count = static_cast<float>(rows.count), part = count / (before + count), both = before * part;
  by_columns(rows.width, [&]<int lanes>(std::int64_t c) {
    using Value = Lanes<lanes>;
    const Value own = sum_of<lanes>(x + c, rows, [](Value v) { return v; }) / count;
    const Value squares = sum_of<lanes>(x + c, rows, [own](Value v) { return (v - own) * (v - own); });
    // Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979).
    const Value earlier = load<lanes>(mean + c), difference = own - earlier;
    store<lanes>(mean + c, earlier + difference * part);
    store<lanes>(deviations + c, load<lanes>(deviations + c) + squares + difference * difference * both);
  });
}

template <class T, Activation activation, bool adds>
void normalise_as(const T* x, const T* residual, T* y, Rows rows, Channels channels, Bounds bounds) {
  by_columns(rows.width, [&]<int lanes>(std::int64_t c) {
    const Parameters<lanes> of(channels, c);
    for (std::int64_t row = 0, at = c; row < rows.count; ++row, at += rows.width) {
      auto value = (load<lanes>(x + at) - of.mean) * of.scale + of.shift;
      if constexpr (adds) value += load<lanes>(residual + at);
      store<lanes>(y + at, activated<activation>(value, bounds));
    }
  });
}

template <class T>
void normalise(const void* x, const void* residual, void* y, Rows rows, Channels channels, Bounds bounds) {
  using Loop = void (*)(const T*, const T*, T*, Rows, Channels, Bounds);
  constexpr Loop variants[3][2] = {
      {normalise_as<T, Activation::none, false>, normalise_as<T, Activation::none, true>},
      {normalise_as<T, Activation::relu, false>, normalise_as<T, Activation::relu, true>},
      {normalise_as<T, Activation::clip, false>, normalise_as<T, Activation::clip, true>}};
  variants[static_cast<int>(bounds.activation)][residual ? 1 : 0](
      static_cast<const T*>(x), static_cast<const T*>(residual), static_cast<T*>(y), rows, channels, bounds);
}

template <class T, Activation activation, bool by_result>
void gather_as(const T* x, const T* dy, const T* y, T* passed, Rows rows, Channels channels, Bounds bounds, float* sum,
               float* product) {
  by_columns(rows.width, [&]<int lanes>(std::int64_t c) {
    using Value = Lanes<lanes>;
    const Parameters<lanes> of(channels, c);
    Value sums[2] = {}, products[2] = {};
    const auto add = [&](int to, std::int64_t at) {
      const Value centred = load<lanes>(x + at) - of.mean;
      Value value;
      if constexpr (by_result) value = load<lanes>(y + at);
      else value = centred * of.scale + of.shift;
      const Value d = passed_on<activation>(load<lanes>(dy + at), value, bounds);
      if constexpr (by_result) store<lanes>(passed + at, d);
      sums[to] += d;
      products[to] += d * centred;
    };
    std::int64_t row = 0, at = c;
    for (; row + 2 <= rows.count; row += 2, at += 2 * rows.width) add(0, at), add(1, at + rows.width);
    if (row < rows.count) add(0, at);
    store<lanes>(sum + c, load<lanes>(sum + c) + (sums[0] + sums[1]));
    store<lanes>(product + c, load<lanes>(product + c) + (products[0] + products[1]));
  });
}

template <class T>
void gather(const void* x, const void* dy, const void* y, void* passed, Rows rows, Channels channels, Bounds bounds,
            float* sum, float* product) {
  using Loop = void (*)(const T*, const T*, const T*, T*, Rows, Channels, Bounds, float*, float*);
  constexpr Loop variants[3] = {gather_as<T, Activation::none, false>, gather_as<T, Activation::relu, false>,
                                gather_as<T, Activation::clip, false>};
  const Loop loop = y ? gather_as<T, Activation::relu, true> : variants[static_cast<int>(bounds.activation)];
  loop(static_cast<const T*>(x), static_cast<const T*>(dy), static_cast<const T*>(y), static_cast<T*>(passed), rows,
       channels, bounds, sum, product);
}

template <class T, Activation activation>
void differentiate_as(const T* x, const T* dy, T* dx, Rows rows, Channels channels, Bounds bounds, const float* slopes,
                      const float* offsets) {
  by_columns(rows.width, [&]<int lanes>(std::int64_t c) {
    const Parameters<lanes> of(channels, c);
    const Lanes<lanes> slope = load<lanes>(slopes + c), offset = load<lanes>(offsets + c);
    for (std::int64_t row = 0, at = c; row < rows.count; ++row, at += rows.width) {
      const Lanes<lanes> centred = load<lanes>(x + at) - of.mean;
      const Lanes<lanes> d = passed_on<activation>(load<lanes>(dy + at), centred * of.scale + of.shift, bounds);
      store<lanes>(dx + at, d * of.scale + (centred * slope + offset));
    }
  });
}

template <class T>
void differentiate(const void* x, const void* dy, void* dx, Rows rows, Channels channels, Bounds bounds,
                   const float* slope, const float* offset) {
  using Loop = void (*)(const T*, const T*, T*, Rows, Channels, Bounds, const float*, const float*);
  constexpr Loop variants[3] = {differentiate_as<T, Activation::none>, differentiate_as<T, Activation::relu>,
                                differentiate_as<T, Activation::clip>};
  variants[static_cast<int>(bounds.activation)](static_cast<const T*>(x), static_cast<const T*>(dy), static_cast<T*>(dx),
                                                rows, channels, bounds, slope, offset);
}

template <class T>
constexpr BatchNormLoops make_batch_norm_loops() {
  return {observe<T>, normalise<T>, gather<T>, differentiate<T>};
}

}  // namespace

}  // namespace nacre::onednn
