// The products and depthwise rows of our own convolutions, for every instruction set.
#include "backend/core/random.h"
#include "backend/onednn/convolution/loops.h"
#include "tests/backend/onednn/harness.h"
#include "tests/backend/onednn/instruction_sets.h"

namespace nacre::test {
namespace {

using onednn::Bounds;
using onednn::ConvolutionLoops;

std::vector<float> numbers(std::int64_t count, std::uint64_t seed) {
  const Tensor tensor = random_tensor({DType::float32, {count}}, seed);
  return {tensor.data<float>().begin(), tensor.data<float>().end()};
}

float bounded(float value, Bounds bounds) {
  return bounds.bounded ? std::min(std::max(value, bounds.low), bounds.high) : value;
}

constexpr Bounds both[] = {{false, 0, 0}, {true, -0.25f, 0.5f}};

TEST(ConvolutionLoops, Products) {
  for (const ConvolutionLoops* loops : convolution_instruction_sets())
    for (const int panels : {1, 2})
      for (const std::int64_t rows : {1, 5, 14, 23})
        for (const bool with_bias : {false, true})
          for (const bool accumulate : {false, true})
            for (const auto& bounds : both) {
              const std::int64_t depth = 7, group = loops->group, width = panels * group;
              const std::vector<float> a = numbers(rows * depth, 1), b = numbers(depth * width, 2),
                                       bias = numbers(width, 3);
              std::vector<float> y = numbers(rows * width, 4), expected = y;
              for (std::int64_t row = 0; row < rows; ++row)
                for (std::int64_t column = 0; column < width; ++column) {
                  float& sum = expected[static_cast<std::size_t>(row * width + column)];
                  if (!accumulate) sum = 0;
                  if (with_bias) sum += bias[static_cast<std::size_t>(column)];
                  for (std::int64_t k = 0; k < depth; ++k)
                    sum += a[static_cast<std::size_t>(k * rows + row)] *
                           b[static_cast<std::size_t>((column / group * depth + k) * group + column % group)];
                  sum = bounded(sum, bounds);
                }
              loops->product({a.data(), 1, rows}, rows, depth, {b.data(), group, depth * group, panels}, y.data(),
                             {with_bias ? bias.data() : nullptr, accumulate, bounds});
              for (std::size_t i = 0; i < y.size(); ++i)
                ASSERT_NEAR(y[i], expected[i], 1e-5) << group << " lanes, " << rows << " rows, element " << i;
            }
}

TEST(ConvolutionLoops, RowsOfDepthwiseConvolutions) {
  for (const ConvolutionLoops* loops : convolution_instruction_sets())
    for (const int size : {3, 5})
      for (const std::int64_t stride : {1, 2})
        for (const bool with_bias : {false, true})
          for (const auto& bounds : both) {
            const std::int64_t group = loops->group, count = 9, line = (count - 1) * stride + size;
            const std::vector<float> x = numbers(size * line * group, 1), taps = numbers(size * size * group, 2),
                                     bias = numbers(group, 3);
            std::vector<float> y(static_cast<std::size_t>(count * group)), expected = y;
            for (std::int64_t i = 0; i < count; ++i)
              for (std::int64_t c = 0; c < group; ++c) {
                float sum = with_bias ? bias[static_cast<std::size_t>(c)] : 0;
                for (std::int64_t tap = 0; tap < size * size; ++tap)
                  sum += x[static_cast<std::size_t>((tap / size * line + stride * i + tap % size) * group + c)] *
                         taps[static_cast<std::size_t>(tap * group + c)];
                expected[static_cast<std::size_t>(i * group + c)] = bounded(sum, bounds);
              }
            loops->depthwise({x.data(), line * group, group}, stride, count, {taps.data(), group, size},
                             with_bias ? bias.data() : nullptr, bounds, y.data(), group);
            for (std::size_t i = 0; i < y.size(); ++i)
              ASSERT_NEAR(y[i], expected[i], 1e-5) << group << " lanes, size " << size << ", element " << i;
          }
}

}  // namespace
}  // namespace nacre::test
