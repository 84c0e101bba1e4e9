#include "api/data/digits.h"

#include <array>
#include <cmath>
#include <numbers>

#include "backend/core/parallel.h"

namespace nacre {

namespace {

struct Point {
  double x, y;
};
using Stroke = std::vector<Point>;

// An arc of an ellipse, angles in degrees, 0 to the right, 90 down; from `begin` to `end` in either direction.
Stroke arc(double x, double y, double width, double height, double begin, double end) {
  constexpr int pieces = 10;
  Stroke stroke;
  for (int i = 0; i <= pieces; ++i) {
    const double angle = (begin + (end - begin) * i / pieces) * std::numbers::pi / 180;
    stroke.push_back({x + width * std::cos(angle), y + height * std::sin(angle)});
  }
  return stroke;
}

Stroke joined(Stroke first, const Stroke& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

// The strokes of a digit in a box from (-1, -1) to (1, 1), y downward. Some digits are written in more than one way.
std::vector<Stroke> strokes_of(int digit, RandomStream& random) {
  const bool variant = random.below(3) == 0;
  switch (digit) {
    case 0: return {arc(0, 0, 0.62, 0.95, -100, 260)};
    case 1: return variant ? std::vector<Stroke>{{{0, -0.95}, {0, 0.95}}} : std::vector<Stroke>{{{-0.42, -0.5}, {0.08, -0.95}, {0.08, 0.95}}};
    case 2: return {joined(arc(0, -0.42, 0.58, 0.52, 190, 395), {{-0.6, 0.92}, {0.66, 0.92}})};
    case 3: return {joined(arc(-0.05, -0.46, 0.55, 0.47, 205, 440), arc(-0.05, 0.44, 0.64, 0.5, 280, 520))};
    case 4:
      return variant ? std::vector<Stroke>{{{-0.5, -0.9}, {-0.55, 0.15}, {0.62, 0.15}}, {{0.35, -0.6}, {0.3, 0.95}}}
                     : std::vector<Stroke>{{{0.32, 0.95}, {0.32, -0.95}, {-0.65, 0.35}, {0.7, 0.35}}};
    case 5: return {joined({{0.52, -0.92}, {-0.42, -0.92}, {-0.5, -0.1}}, arc(-0.05, 0.36, 0.6, 0.55, 220, 500))};
    case 6: return {joined({{0.38, -0.95}, {-0.15, -0.5}, {-0.5, 0.15}}, arc(0, 0.42, 0.52, 0.5, 190, -190))};
    case 7: {
      std::vector<Stroke> seven{{{-0.62, -0.9}, {0.6, -0.9}, {-0.12, 0.95}}};
      if (variant) seven.push_back({{-0.35, 0.02}, {0.5, 0.02}});
      return seven;
    }
    case 8: return {arc(0, -0.47, 0.46, 0.46, 90, 450), arc(0, 0.47, 0.57, 0.48, -90, 270)};
    default: return {joined(arc(0, -0.42, 0.52, 0.5, 10, -350), {{0.5, -0.2}, {0.38, 0.4}, {0.1, 0.95}})};
  }
}

double distance_to_segment(Point p, Point a, Point b) {
  const double dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
  const double t = length > 0 ? std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / length, 0.0, 1.0) : 0.0;
  return std::hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}

// Adds the ink of a stroke to the pixels within its reach.
void draw_stroke(const Stroke& stroke, double radius, int side, std::span<float> ink) {
  for (std::size_t i = 1; i < stroke.size(); ++i) {
    const Point a = stroke[i - 1], b = stroke[i];
    const double reach = radius + 1;
    const auto low = [&](double v) { return std::clamp(static_cast<int>(std::floor(v - reach)), 0, side - 1); };
    const auto high = [&](double v) { return std::clamp(static_cast<int>(std::ceil(v + reach)), 0, side - 1); };
    for (int y = low(std::min(a.y, b.y)); y <= high(std::max(a.y, b.y)); ++y)
      for (int x = low(std::min(a.x, b.x)); x <= high(std::max(a.x, b.x)); ++x) {
        const double distance = distance_to_segment({static_cast<double>(x), static_cast<double>(y)}, a, b);
        float& pixel = ink[static_cast<std::size_t>(y * side + x)];
        pixel = std::max(pixel, static_cast<float>(std::clamp(radius + 0.5 - distance, 0.0, 1.0)));
      }
  }
}

// Close to a normal number with deviation 1: the sum of the four bytes of a word.
double grain(std::uint32_t word) {
  const std::uint32_t sum = (word & 255) + ((word >> 8) & 255) + ((word >> 16) & 255) + (word >> 24);
  return (static_cast<double>(sum) - 510.0) / 147.8;
}

}  // namespace

void draw_digit(int digit, RandomStream& random, std::span<std::uint8_t> pixels, int side) {
  ensure(digit >= 0 && digit <= 9 && pixels.size() == static_cast<std::size_t>(side) * static_cast<std::size_t>(side),
         "digit {} into {} pixels", digit, pixels.size());
  const double unit = side / 28.0;
  const double slant = random.uniform(-0.4, 0.4), turn = random.uniform(-0.25, 0.25);
  const double width = random.uniform(5.0, 10.5) * unit, height = random.uniform(6.5, 11.0) * unit;
  const double center = (side - 1) / 2.0;
  const double shift_x = random.uniform(-2.5, 2.5) * unit, shift_y = random.uniform(-2.2, 2.2) * unit;
  const double tremor = random.uniform(0.02, 0.1), radius = random.uniform(0.5, 1.7) * unit;
  // A slow wave bends the whole figure, so that no two are related by a linear map.
  const double wave = random.uniform(0.0, 0.18), wave_phase = random.uniform(0, 2 * std::numbers::pi);

  std::vector<float> ink(pixels.size(), 0.0f);
  auto place = [&](Point p) -> Point {
    p.x += tremor * random.normal() * 0.5 + wave * std::sin(2.2 * p.y + wave_phase);
    p.y += tremor * random.normal() * 0.5 + wave * std::sin(2.2 * p.x + wave_phase);
    const double x = (p.x - slant * p.y) * width, y = p.y * height;
    return {center + shift_x + x * std::cos(turn) - y * std::sin(turn), center + shift_y + x * std::sin(turn) + y * std::cos(turn)};
  };
  for (const Stroke& stroke : strokes_of(digit, random)) {
    Stroke placed;
    for (const Point& point : stroke) placed.push_back(place(point));
    draw_stroke(placed, radius, side, ink);
  }
  // Blots: short strokes that belong to nothing.
  const std::uint64_t blots = random.below(2);
  for (std::uint64_t i = 0; i < blots; ++i) {
    const Point from{random.uniform(0, side - 1), random.uniform(0, side - 1)};
    const double length = random.uniform(1, 6) * unit, angle = random.uniform(0, 2 * std::numbers::pi);
    draw_stroke({from, {from.x + length * std::cos(angle), from.y + length * std::sin(angle)}}, random.uniform(0.3, 1.1) * unit, side, ink);
  }
  const double background = random.uniform(0, 0.25), contrast = random.uniform(0.55, 1.0) * (1 - background);
  const double noise = random.uniform(0.02, 0.12);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const double value = background + contrast * ink[i] + noise * grain(random.word());
    pixels[i] = static_cast<std::uint8_t>(std::lround(255 * std::clamp(value, 0.0, 1.0)));
  }
}

DatasetRef digits(std::int64_t count, std::uint64_t seed) {
  constexpr std::int64_t side = 28;
  need(count >= 1 && count <= 10'000'000, "digits: a count of {}, wanted 1 to 10000000", count);
  Tensor pictures = Tensor::uninitialised({DType::uint8, {count, side, side, 1}});
  Tensor labels = Tensor::uninitialised({DType::int32, {count}});
  const std::span<std::uint8_t> pixels = pictures.writable<std::uint8_t>();
  const std::span<std::int32_t> digit = labels.writable<std::int32_t>();
  parallel_for(count, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      RandomStream random(RandomKey::of(seed, "digits", static_cast<std::uint32_t>(i)));
      const auto index = static_cast<std::size_t>(i);
      digit[index] = static_cast<std::int32_t>(random.below(10));
      draw_digit(digit[index], random, pixels.subspan(index * side * side, side * side));
    }
  });
  return array_dataset({.inputs = {pictures}, .targets = {labels}, .weights = {}, .input_names = {}, .target_names = {}, .description = "digits"});
}

}  // namespace nacre
