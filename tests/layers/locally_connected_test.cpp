// Locally connected layers against their definition, element by element, in all three ways of storing the kernels.
#include "layers/locally_connected.h"

#include <gtest/gtest.h>

#include "backend/executable.h"
#include "backend/graph/passes/pipeline.h"
#include "formats/yaml.h"
#include "tests/support/tensors.h"

namespace nacre {
namespace {

Tensor numbers(const Shape& shape, std::uint32_t which) {
  Tensor tensor = Tensor::uninitialised({DType::float32, shape});
  RandomStream random(RandomKey::of(5, "numbers", which));
  for (float& value : tensor.writable<float>()) value = static_cast<float>(random.normal());
  return tensor;
}

Tensor result_of(Layer& layer, const Tensor& x) {
  Graph graph;
  Context context(graph, false);
  graph.output("y", layer(context, {.inputs = {graph.constant(x)}}).outputs[0]);
  return Executable(*decompose_missing(graph, reference_backend()), reference_backend()).run()[0];
}

// A two-dimensional case: (batch, rows, columns, channels) as at(x, …), whatever the data format.
struct Geometry {
  std::int64_t rows, columns, channels, height, width, row_stride, column_stride;
  bool same, channels_first;
  std::int64_t output(std::int64_t size, std::int64_t window, std::int64_t stride) const {
    return same ? (size + stride - 1) / stride : (size - window) / stride + 1;
  }
  std::int64_t output_rows() const { return output(rows, height, row_stride); }
  std::int64_t output_columns() const { return output(columns, width, column_stride); }
  // The place that the window's element (i, j) at output place (r, c) has in the input; it may lie outside.
  std::int64_t row(std::int64_t r, std::int64_t i) const { return r * row_stride + i - (same ? height / 2 : 0); }
  std::int64_t column(std::int64_t c, std::int64_t j) const { return c * column_stride + j - (same ? width / 2 : 0); }
  bool inside(std::int64_t r, std::int64_t c) const { return r >= 0 && r < rows && c >= 0 && c < columns; }
  std::int64_t input(std::int64_t r, std::int64_t c, std::int64_t k) const {
    return channels_first ? (k * rows + r) * columns + c : (r * columns + c) * channels + k;
  }
};

constexpr std::int64_t filters = 2;

// The output by definition; `weight(r, c, i, j, k, filter)` gives the element of the kernel.
template <class WeightAt>
Tensor expected(const Geometry& g, const Tensor& x, const Tensor& bias, WeightAt&& weight) {
  const std::int64_t rows = g.output_rows(), columns = g.output_columns(), batch = x.shape()[0];
  const Shape shape = g.channels_first ? Shape{batch, filters, rows, columns} : Shape{batch, rows, columns, filters};
  std::vector<float> y(static_cast<std::size_t>(shape.elements()));
  for (std::int64_t b = 0; b < batch; ++b)
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < columns; ++c)
        for (std::int64_t f = 0; f < filters; ++f) {
          double sum = bias.at((r * columns + c) * filters + f);
          for (std::int64_t i = 0; i < g.height; ++i)
            for (std::int64_t j = 0; j < g.width; ++j)
              for (std::int64_t k = 0; k < g.channels; ++k)
                if (g.inside(g.row(r, i), g.column(c, j)))
                  sum += weight(r, c, i, j, k, f) *
                         x.at(b * g.rows * g.columns * g.channels + g.input(g.row(r, i), g.column(c, j), k));
          const std::int64_t at = g.channels_first ? (f * rows + r) * columns + c : (r * columns + c) * filters + f;
          y[static_cast<std::size_t>(b * rows * columns * filters + at)] = static_cast<float>(sum);
        }
  return Tensor::of<float>(shape, y);
}

class LocallyConnected : public testing::TestWithParam<std::tuple<bool, bool, int>> {};

TEST_P(LocallyConnected, ComputesItsDefinition) {
  const auto [same, channels_first, implementation] = GetParam();
  const Geometry g{.rows = 5,
                   .columns = 6,
                   .channels = 3,
                   .height = 3,
                   .width = 2,
                   .row_stride = 1,
                   .column_stride = 2,
                   .same = same,
                   .channels_first = channels_first};
  LocallyConnectedConfig<2> config{.filters = filters, .kernel_size = {{g.height, g.width}}};
  config.strides = {{g.row_stride, g.column_stride}};
  config.padding = same ? Padding::same : Padding::valid;
  config.data_format = channels_first ? DataFormat::channels_first : DataFormat::channels_last;
  config.implementation = static_cast<LocalKernel>(implementation);
  const auto build = [&]() -> LayerRef { return LocallyConnected2D(config); };
  if (same && implementation == 1) {
    EXPECT_THROW(build(), Error);
    return;
  }
  const LayerRef layer = build();
  const Tensor x =
      numbers(channels_first ? Shape{2, g.channels, g.rows, g.columns} : Shape{2, g.rows, g.columns, g.channels}, 0);
  layer->ensure_built({x.shape()});
  const Variable& kernel = *layer->own_weights()[0].variable;
  const std::int64_t rows = g.output_rows(), columns = g.output_columns(), outputs = rows * columns * filters;
  for (std::uint32_t i = 0; i < 2; ++i)
    layer->own_weights()[i].variable->assign(numbers(layer->own_weights()[i].variable->shape(), i + 1));
  const Tensor w = kernel.value(), bias = layer->own_weights()[1].variable->value();
  const auto output = [&](std::int64_t r, std::int64_t c, std::int64_t f) {
    return channels_first ? (f * rows + r) * columns + c : (r * columns + c) * filters + f;
  };

  Tensor want;
  if (implementation == 1) {
    EXPECT_EQ(kernel.shape(), (Shape{rows * columns, g.height * g.width * g.channels, filters}));
    want = expected(g, x, bias, [&](auto r, auto c, auto i, auto j, auto k, auto f) {
      const std::int64_t seen = channels_first ? (k * g.height + i) * g.width + j : (i * g.width + j) * g.channels + k;
      return w.at(((r * columns + c) * g.height * g.width * g.channels + seen) * filters + f);
    });
  } else if (implementation == 2) {
    EXPECT_EQ(kernel.shape(), channels_first ? (Shape{g.channels, g.rows, g.columns, filters, rows, columns})
                                             : (Shape{g.rows, g.columns, g.channels, rows, columns, filters}));
    want = expected(g, x, bias, [&](auto r, auto c, auto i, auto j, auto k, auto f) {
      return w.at(g.input(g.row(r, i), g.column(c, j), k) * outputs + output(r, c, f));
    });
  } else {
    // The elements by place of the output, then of the input.
    std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t> places;
    expected(g, x, bias, [&](auto r, auto c, auto i, auto j, auto k, auto f) {
      places[{output(r, c, f), g.input(g.row(r, i), g.column(c, j), k)}] = 0;
      return 0.0;
    });
    std::int64_t next = 0;
    for (auto& [place, index] : places) index = next++;
    EXPECT_EQ(kernel.shape(), Shape{next});
    want = expected(g, x, bias, [&](auto r, auto c, auto i, auto j, auto k, auto f) {
      return w.at(places.at({output(r, c, f), g.input(g.row(r, i), g.column(c, j), k)}));
    });
  }
  EXPECT_TRUE(test::close(result_of(*layer, x), want, 1e-5));
}

INSTANTIATE_TEST_SUITE_P(Layers, LocallyConnected,
                         testing::Combine(testing::Bool(), testing::Bool(), testing::Values(1, 2, 3)));

TEST(LocallyConnected, OneDimensionalKernelsAreKeras2s) {
  const LayerRef layer = LocallyConnected1D({.filters = 1, .kernel_size = 2, .use_bias = false});
  layer->ensure_built({{1, 3, 2}});
  layer->own_weights()[0].variable->assign(Tensor::of<float>({2, 4, 1}, {1, 2, 3, 4, 5, 6, 7, 8}));
  const Tensor y = result_of(*layer, Tensor::of<float>({1, 3, 2}, {1, 0, 0, 1, 1, 1}));
  EXPECT_TRUE(test::close(y, Tensor::of<float>({1, 2, 1}, {1 + 4, 6 + 7 + 8}), 1e-6));
}

}  // namespace
}  // namespace nacre
