#include "layers/window_functions.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <span>

#include "backend/core/error.h"

namespace nacre {

namespace {

using std::numbers::pi;

// Each gives the value at place n of a symmetric window of m > 1 places.

// Σ coefficient[k] cos(k φ), φ from -π to π.
double cosine_sum(std::span<const double> coefficients, double n, double m) {
  double sum = 0;
  for (std::size_t k = 0; k < coefficients.size(); ++k)
    sum += coefficients[k] * std::cos(static_cast<double>(k) * (2 * pi * n / (m - 1) - pi));
  return sum;
}
double blackman(double n, double m) { return cosine_sum(std::array{0.42, 0.5, 0.08}, n, m); }
double hann(double n, double m) { return cosine_sum(std::array{0.5, 0.5}, n, m); }
double hamming(double n, double m) { return cosine_sum(std::array{0.54, 0.46}, n, m); }
double blackman_harris(double n, double m) {
  return cosine_sum(std::array{0.35875, 0.48829, 0.14128, 0.01168}, n, m);
}
double nuttall(double n, double m) { return cosine_sum(std::array{0.3635819, 0.4891775, 0.1365995, 0.0106411}, n, m); }
double flat_top(double n, double m) {
  return cosine_sum(std::array{0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368}, n, m);
}

double rectangle(double, double) { return 1; }
double bartlett(double n, double m) { return 1 - std::abs(2 * n / (m - 1) - 1); }
double triangle(double n, double m) {
  const bool odd = std::fmod(m, 2) == 1;
  return 1 - std::abs(2 * n - (m - 1)) / (odd ? m + 1 : m);
}
double parzen(double n, double m) {
  const double distance = std::abs(n - (m - 1) / 2), x = distance / (m / 2);
  return distance <= (m - 1) / 4 ? 1 - 6 * x * x + 6 * x * x * x : 2 * std::pow(1 - x, 3);
}
double bohman(double n, double m) {
  const double x = std::abs(2 * n / (m - 1) - 1);
  return x == 1 ? 0 : (1 - x) * std::cos(pi * x) + std::sin(pi * x) / pi;
}
double bartlett_hann(double n, double m) {
  const double x = std::abs(n / (m - 1) - 0.5);
  return 0.62 - 0.48 * x + 0.38 * std::cos(2 * pi * x);
}
double cosine(double n, double m) { return std::sin(pi / m * (n + 0.5)); }
double exponential(double n, double m) { return std::exp(-std::abs(n - (m - 1) / 2)); }
double lanczos(double n, double m) {
  const double x = pi * (2 * n / (m - 1) - 1);
  return x == 0 ? 1 : std::sin(x) / x;
}
// The middle half is flat.
double tukey(double n, double m) {
  const double taper = std::floor((m - 1) / 4), from_end = std::min(n, m - 1 - n);
  return from_end > taper ? 1 : 0.5 * (1 + std::cos(pi * (4 * from_end / (m - 1) - 1)));
}
// Four side lobes of nearly one height, 30 dB below the main one.
double taylor(double n, double m) {
  constexpr int lobes = 4;
  const double a = std::acosh(std::pow(10, 30.0 / 20)) / pi;
  const double width = lobes * lobes / (a * a + (lobes - 0.5) * (lobes - 0.5));
  const auto at = [&](double place) {
    double sum = 1;
    for (int i = 1; i < lobes; ++i) {
      double above = i % 2 == 1 ? 1 : -1, below = 2;
      for (int j = 1; j < lobes; ++j) {
        above *= 1 - i * i / width / (a * a + (j - 0.5) * (j - 0.5));
        if (j != i) below *= 1 - static_cast<double>(i * i) / (j * j);
      }
      sum += 2 * above / below * std::cos(2 * pi * i * (place - m / 2 + 0.5) / m);
    }
    return sum;
  };
  return at(n) / at((m - 1) / 2);
}

struct Window {
  std::vector<std::string_view> names;
  double (*at)(double n, double m);
};

const std::vector<Window>& windows() {
  static const std::vector<Window> all{
      {{"hann", "han"}, hann},
      {{"hamming", "hamm", "ham"}, hamming},
      {{"blackman", "black", "blk"}, blackman},
      {{"blackmanharris", "blackharr", "bkh"}, blackman_harris},
      {{"nuttall", "nutl", "nut"}, nuttall},
      {{"flattop", "flat", "flt"}, flat_top},
      {{"boxcar", "box", "ones", "rect", "rectangular"}, rectangle},
      {{"bartlett", "bart", "brt"}, bartlett},
      {{"triang", "triangle", "tri"}, triangle},
      {{"parzen", "parz", "par"}, parzen},
      {{"bohman", "bman", "bmn"}, bohman},
      {{"barthann", "brthan", "bth"}, bartlett_hann},
      {{"cosine", "halfcosine"}, cosine},
      {{"exponential", "poisson"}, exponential},
      {{"tukey", "tuk"}, tukey},
      {{"taylor", "taylorwin"}, taylor},
      {{"lanczos", "sinc"}, lanczos},
  };
  return all;
}

}  // namespace

std::vector<double> window_function(std::string_view name, std::int64_t size, bool periodic) {
  const auto window = std::ranges::find_if(windows(), [&](const Window& candidate) {
    return std::ranges::find(candidate.names, name) != candidate.names.end();
  });
  if (window == windows().end()) {
    std::vector<std::string_view> known;
    for (const Window& candidate : windows()) known.push_back(candidate.names.front());
    throw Error("unknown window '{}'", name).hint(suggestion(name, known)).usage();
  }
  if (size == 1) return {1};
  std::vector<double> values;
  for (std::int64_t n = 0; n < size; ++n)
    values.push_back(window->at(static_cast<double>(n), static_cast<double>(size + (periodic ? 1 : 0))));
  return values;
}

std::vector<double> SignalWindow::of_size(std::int64_t size, bool periodic) const {
  if (!name.empty()) return window_function(name, size, periodic);
  if (values.empty()) return std::vector<double>(static_cast<std::size_t>(size), 1.0);
  need(std::ssize(values) == size, "got a window of {} values for a frame of {}", values.size(), size);
  return values;
}

// Keras writes an array as {class_name: __numpy__, config: {value: […]}}.
void FieldKind<SignalWindow>::read(const Tree& tree, SignalWindow& value) {
  value = {};
  const Tree& window = tree.is_mapping() ? tree["config"]["value"] : tree;
  if (window.is_sequence()) FieldKind<std::vector<double>>::read(window, value.values);
  else if (!window.is_null()) value.name = window.as_string();
  if (!value.name.empty()) window_function(value.name, 1, false);  // or the error
}

Tree FieldKind<SignalWindow>::write(const SignalWindow& value, Style style) {
  if (!value.values.empty()) return FieldKind<std::vector<double>>::write(value.values, style);
  return value.name.empty() ? Tree() : Tree(value.name);
}

Tree FieldKind<SignalWindow>::schema() {
  Tree schema;
  schema.set("anyOf", Tree::Sequence{schema_type("string"), FieldKind<std::vector<double>>::schema(),
                                     schema_type("null")});
  return schema;
}

}  // namespace nacre
