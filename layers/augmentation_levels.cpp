#include "layers/augmentation_levels.h"

#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "layers/augmentation_draws.h"
#include "layers/emit.h"

namespace nacre {

namespace {

constexpr ValueRange levels{0, 255};

// --- histograms ------------------------------------------------------------------------------------------------------

// How often each index occurs, float32 (count).
Value counted(Value indices, std::int64_t count) {
  const Value ones = ops::fill_like(ops::cast(indices, DType::float32), 1);
  return indices.graph().add(op::scatter_add, RowsAttrs{count}, {indices, ones}).out();
}

// Sums of the elements up to each one, along the last axis.
Value cumulated(Value x) {
  const std::int64_t size = x.shape()[-1];
  const Value place = ops::iota(x.graph(), {DType::int32, {size}}, 0);
  const Value upper = ops::less_equal(ops::expand_dims(place, 1), ops::expand_dims(place, 0));
  return ops::dense(x, ops::cast(upper, x.dtype()));
}

// `stride` times the index along an axis, of a shape that is 1 elsewhere: parts of an index into a flattened tensor.
Value offsets(Graph& graph, int rank, int axis, std::int64_t size, std::int64_t stride) {
  Shape shape(std::vector<std::int64_t>(static_cast<std::size_t>(rank), 1));
  shape.set(axis, size);
  const Value place = ops::iota(graph, {DType::int32, shape}, axis);
  return place * graph.constant(Tensor::scalar(static_cast<std::int32_t>(stride)));
}

// --- layers ----------------------------------------------------------------------------------------------------------

class AutoContrastLayer final : public ImageLayer<AutoContrastConfig, Active::always> {
 public:
  using ImageLayer::ImageLayer;

 protected:
  Value transform(Context&, Value pictures) override {
    const Value x = image::rescaled(pictures, config_.value_range, levels);
    const Value low = ops::min(x, {1, 2}, true), high = ops::max(x, {1, 2}, true);
    const Value varied = ops::greater(high, low);
    const Value scale = 255.0 / ops::select(varied, high - low, ops::scalar_like(x, 1));
    const Value stretched = ops::clip(x * scale + -low * scale, 0, 255);
    return ops::select(varied, image::rescaled(stretched, levels, config_.value_range), pictures);
  }
};

class EqualizationLayer final : public ImageLayer<EqualizationConfig> {
 public:
  using ImageLayer::ImageLayer;

 protected:
  Value transform(Context&, Value pictures) override {
    Graph& graph = pictures.graph();
    const std::int64_t bins = config_.bins, channels = emit::known_size(pictures.shape(), 3);
    const double last = static_cast<double>(bins) - 1;
    const Value x = scaled(pictures, config_.value_range, levels);
    const Value table = offsets(graph, 4, 3, channels, bins);  // where a channel's begins
    const auto bin = [&](Value place) { return ops::cast(ops::clip(place, 0, last), DType::int32) + table; };

    const Value histogram = ops::reshape(counted(bin(x * last / 255.0), channels * bins), {channels, bins});
    const Value zero = ops::scalar_like(x, 0), one = ops::scalar_like(x, 1);
    const Value used = ops::greater(histogram, zero);
    const Value sums = cumulated(histogram);
    const Value total = ops::max(sums, {1}, true), first = ops::min(ops::select(used, sums, total), {1}, true);
    const Value varied = ops::greater(ops::sum(ops::cast(used, x.dtype()), {1}),
                                      one);  // more than one level
    const Value rest = total - first, divisor = ops::select(ops::greater(rest, zero), rest, one);
    const Value lookup = ops::clip(ops::round((sums - first) * 255.0 / divisor), 0, 255);
    const Value equalized = ops::gather(ops::reshape(lookup, {channels * bins}), bin(x / 255.0 * last));
    return scaled(ops::select(varied, equalized, x), levels, config_.value_range);
  }

 private:
  // In one multiplication and one addition, as Keras has it here: the last bit decides which bin counts.
  static Value scaled(Value x, const ValueRange& from, const ValueRange& to) {
    const double scale = to.span() / from.span();
    return x * scale + (to.low - from.low * scale);
  }
};

// Zuiderveld, "Contrast limited adaptive histogram equalization" (1994).
class ClaheLayer final : public ImageLayer<ContrastLimitedAdaptiveHistogramEqualizationConfig, Active::always> {
 public:
  using ImageLayer::ImageLayer;

 protected:
  bool keeps_dtype() const override { return true; }
  Value transform(Context&, Value pictures) override {
    const Shape shape = pictures.shape();
    for (const int axis : {1, 2}) {
      const std::int64_t tiles = config_.tile_grid_size[static_cast<std::size_t>(axis - 1)];
      need(
          shape[axis] == unknown || tiles <= 2 * shape[axis],
          "got {} tiles for an axis of {} elements, wanted at most {}: they may reach beyond a picture by its own size",
          tiles, shape[axis], 2 * shape[axis]);
    }
    if (!shape.known()) return pictures;
    const std::int64_t down = config_.tile_grid_size[0], across = config_.tile_grid_size[1];
    const std::int64_t tile_height = (shape[1] + down - 1) / down, tile_width = (shape[2] + across - 1) / across;
    const Tiling rows{down, tile_height, shape[1]}, columns{across, tile_width, shape[2]};
    const Value x = ops::cast(image::rescaled(pictures, config_.value_range, levels), DType::float32);
    const Value whole = image::taken(image::taken(x, 1, rows.mirrored()), 2, columns.mirrored());
    const Value level = ops::cast(ops::clip(whole, 0, 255), DType::int32);
    const Value tables = lookup_tables(level, rows, columns);
    Value y = interpolated(tables, level, rows, columns);
    y = ops::slice_axis(ops::slice_axis(y, 1, 0, shape[1]), 2, 0, shape[2]);
    return ops::cast(image::rescaled(y, levels, config_.value_range), pictures.dtype());
  }

 private:
  // An axis cut into tiles, the last of which may reach beyond its end.
  struct Tiling {
    std::int64_t tiles, length, size;  // of a tile; of the axis
    std::int64_t padded() const { return tiles * length; }
    // The elements of the axis, then its last ones backwards.
    std::vector<std::int64_t> mirrored() const {
      std::vector<std::int64_t> places;
      for (std::int64_t i = 0; i < padded(); ++i)
        places.push_back(i < size ? i : std::max<std::int64_t>(2 * size - 1 - i, 0));
      return places;
    }
    // The tile whose centre comes at or before an element, 0 being one before the first tile; and the distance in
    // tiles.
    double place(std::int64_t element) const {
      const auto tile = static_cast<float>(length);
      return (static_cast<float>(element) - tile / 2) / tile + 1;
    }
    std::int64_t table(std::int64_t element, std::int64_t step) const {
      const std::int64_t tile = static_cast<std::int64_t>(std::floor(place(element))) + step - 1;
      return std::clamp<std::int64_t>(tile, 0, tiles - 1);
    }
  };

  // What each level of each tile becomes, flattened from (batch, down, across, channels, 256).
  Value lookup_tables(Value level, const Tiling& rows, const Tiling& columns) const {
    Graph& graph = level.graph();
    const std::int64_t batch = level.shape()[0], channels = level.shape()[3];
    const Value tiled = ops::reshape(level, {batch, rows.tiles, rows.length, columns.tiles, columns.length, channels});
    const std::int64_t per_tile = 256 * channels, per_picture = per_tile * rows.tiles * columns.tiles;
    const Value index = tiled + offsets(graph, 6, 5, channels, 256) + offsets(graph, 6, 3, columns.tiles, per_tile) +
                        offsets(graph, 6, 1, rows.tiles, per_tile * columns.tiles) +
                        offsets(graph, 6, 0, batch, per_picture);
    Value histogram =
        ops::reshape(counted(index, batch * per_picture), {batch, rows.tiles, columns.tiles, channels, 256});
    const auto elements = static_cast<double>(rows.length * columns.length);
    if (config_.clip_limit > 0) {
      const Value cut = ops::clip(histogram, 0, config_.clip_limit * elements / 256);
      histogram = cut + ops::sum(histogram - cut, {4}, true) / 256.0;
    }
    const Value sums = cumulated(histogram), first = ops::min(sums, {4}, true);
    const Value rest = elements - first, zero = ops::scalar_like(rest, 0);
    const Value divisor = ops::select(ops::equal(rest, zero), ops::scalar_like(rest, 1), rest);
    return ops::reshape(ops::clip((sums - first) * 255.0 / divisor, 0, 255), {batch * per_picture});
  }

  // Between the tables of the four tiles around each element.
  static Value interpolated(Value tables, Value level, const Tiling& rows, const Tiling& columns) {
    Graph& graph = level.graph();
    const std::int64_t batch = level.shape()[0], channels = level.shape()[3];
    const std::int64_t per_tile = 256 * channels, per_picture = per_tile * rows.tiles * columns.tiles;
    const Value base = level + offsets(graph, 4, 3, channels, 256) + offsets(graph, 4, 0, batch, per_picture);
    // Constants along an axis: the start of the tile's tables, and its weight.
    const auto along = [&](const Tiling& tiling, int axis, auto number) {
      std::vector<double> numbers;
      for (std::int64_t i = 0; i < tiling.padded(); ++i) numbers.push_back(number(i));
      Shape shape{1, 1, 1, 1};
      shape.set(axis, tiling.padded());
      return Tensor::of<double>(shape, numbers);
    };
    const auto start = [&](const Tiling& tiling, int axis, std::int64_t step, std::int64_t stride) {
      const auto number = [&](std::int64_t i) { return static_cast<double>(tiling.table(i, step) * stride); };
      return graph.constant(along(tiling, axis, number).cast(DType::int32));
    };
    const auto weight = [&](const Tiling& tiling, int axis, std::int64_t step) {
      const auto number = [&](std::int64_t i) {
        const double fraction = tiling.place(i) - std::floor(tiling.place(i));
        return step == 1 ? fraction : 1 - fraction;
      };
      return graph.constant(along(tiling, axis, number).cast(DType::float32));
    };
    Value y;
    for (const std::int64_t below : {0, 1}) {
      const Value row = base + start(rows, 1, below, per_tile * columns.tiles);
      Value line;
      for (const std::int64_t right : {0, 1}) {
        const Value index = row + start(columns, 2, right, per_tile);
        const Value part = ops::gather(tables, index) * weight(columns, 2, right);
        line = line ? line + part : part;
      }
      const Value part = line * weight(rows, 1, below);
      y = y ? y + part : part;
    }
    return y;
  }
};

class SolarizationLayer final : public ImageLayer<SolarizationConfig> {
 public:
  using ImageLayer::ImageLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    const Draws random(context, pictures, path(), config_.seed);
    // Only the upper end is scaled, as in Keras.
    const auto drawn = [&](const Factor<0, 1>& factor) { return random.uniform(factor.low, factor.high * 255); };
    const Value addition = drawn(config_.addition_factor), threshold = drawn(config_.threshold_factor);
    const Value x = ops::clip(image::rescaled(pictures, config_.value_range, levels) + addition, 0, 255);
    return image::rescaled(ops::select(ops::less(x, threshold), x, 255.0 - x), levels, config_.value_range);
  }
};

class RandomPosterizationLayer final : public ImageLayer<RandomPosterizationConfig> {
 public:
  using ImageLayer::ImageLayer;

 protected:
  Value transform(Context& context, Value pictures) override {
    const Draws random(context, pictures, path(), config_.seed);
    const auto low = static_cast<std::int64_t>(config_.factor.low),
               high = static_cast<std::int64_t>(config_.factor.high);
    const Value bits = random.integer(low, high, random.each());
    const Value steps = pictures.graph().constant(Tensor::of<float>({9}, {256, 128, 64, 32, 16, 8, 4, 2, 1}));
    const Value step = ops::gather(steps, bits);  // between two levels
    const Value x = ops::clip(image::rescaled(pictures, config_.value_range, levels), 0, 255);
    return image::rescaled(ops::floor(x / step) * step, levels, config_.value_range);
  }
};

}  // namespace

LayerRef AutoContrast(AutoContrastConfig config, LayerOptions options) {
  return std::make_shared<AutoContrastLayer>(std::move(config), std::move(options));
}
LayerRef Equalization(EqualizationConfig config, LayerOptions options) {
  return std::make_shared<EqualizationLayer>(std::move(config), std::move(options));
}
LayerRef ContrastLimitedAdaptiveHistogramEqualization(ContrastLimitedAdaptiveHistogramEqualizationConfig config,
                                                      LayerOptions options) {
  return std::make_shared<ClaheLayer>(std::move(config), std::move(options));
}
LayerRef Solarization(SolarizationConfig config, LayerOptions options) {
  return std::make_shared<SolarizationLayer>(std::move(config), std::move(options));
}
LayerRef RandomPosterization(RandomPosterizationConfig config, LayerOptions options) {
  return std::make_shared<RandomPosterizationLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> level_layers() {
  return {layer_info<AutoContrastLayer>(), layer_info<EqualizationLayer>(), layer_info<ClaheLayer>(),
          layer_info<SolarizationLayer>(), layer_info<RandomPosterizationLayer>()};
}

}  // namespace nacre
