// Pictures: (batch, height, width, channels) or one of them.
#include <cmath>

#include "backend/graph/ops/conv.h"
#include "backend/graph/ops/reduce.h"
#include "layers/operations/functions.h"
#include "layers/operations/operation.h"

namespace nacre::operations {

namespace {

constexpr Family pictures("keras.src.ops.image"), neural("keras.src.ops.nn");

struct FormatField {
  std::optional<DataFormat> data_format;
  static void describe(auto&& field) {
    field("data_format", &FormatField::data_format, "where the channels are; null: last");
  }
};
struct ResizeFields {
  std::vector<std::int64_t> size;
  std::string interpolation = "bilinear";
  bool antialias = false, crop_to_aspect_ratio = false, pad_to_aspect_ratio = false;
  std::string fill_mode = "constant";
  double fill_value = 0;
  std::optional<DataFormat> data_format;
  static void describe(auto&& field) {
    field("size", &ResizeFields::size, "[height, width] of the result", required());
    field("interpolation", &ResizeFields::interpolation, "how elements between others are computed");
    field("antialias", &ResizeFields::antialias, "widen the filter when the picture shrinks");
    field("crop_to_aspect_ratio", &ResizeFields::crop_to_aspect_ratio, "keep proportions by using a piece");
    field("pad_to_aspect_ratio", &ResizeFields::pad_to_aspect_ratio, "keep proportions by margins");
    field("fill_mode", &ResizeFields::fill_mode, "what the margins are");
    field("fill_value", &ResizeFields::fill_value, "of the margins");
    field("data_format", &ResizeFields::data_format, "where the channels are; null: last");
  }
};
struct PatchFields {
  Tree size, strides, dilation_rate = 1;
  std::string padding = "valid";
  std::optional<DataFormat> data_format;
  static void describe(auto&& field) {
    field("size", &PatchFields::size, "of a patch, one or [height, width]", required());
    field("strides", &PatchFields::strides, "from patch to patch; null: their size");
    field("dilation_rate", &PatchFields::dilation_rate, "distance of the elements of a patch");
    field("padding", &PatchFields::padding, "at the border", one_of({"valid", "same"}));
    field("data_format", &PatchFields::data_format, "where the channels are; null: last");
  }
};
struct UnfoldFields {
  Tree kernel_size, dilation = 1, padding = 0, stride = 1;
  static void describe(auto&& field) {
    field("kernel_size", &UnfoldFields::kernel_size, "of a block, one or [height, width]", required());
    field("dilation", &UnfoldFields::dilation, "distance of the elements of a block");
    field("padding", &UnfoldFields::padding, "zeros around the picture");
    field("stride", &UnfoldFields::stride, "from block to block");
  }
};
struct FoldFields {
  Tree output_size, kernel_size, dilation = 1, padding = 0, stride = 1;
  static void describe(auto&& field) {
    field("output_size", &FoldFields::output_size, "of the picture, one or [height, width]", required());
    field("kernel_size", &FoldFields::kernel_size, "of a block, one or [height, width]", required());
    field("dilation", &FoldFields::dilation, "distance of the elements of a block");
    field("padding", &FoldFields::padding, "cut off around the picture");
    field("stride", &FoldFields::stride, "from block to block");
  }
};
struct BlurFields {
  std::vector<std::int64_t> kernel_size{3, 3};
  std::vector<double> sigma{1, 1};
  std::optional<DataFormat> data_format;
  static void describe(auto&& field) {
    field("kernel_size", &BlurFields::kernel_size, "[height, width] of the filter");
    field("sigma", &BlurFields::sigma, "standard deviations, in points");
    field("data_format", &BlurFields::data_format, "where the channels are; null: last");
  }
};
struct SimilarityFields {
  double max_val = 1;
  std::int64_t filter_size = 11;
  double filter_sigma = 1.5, k1 = 0.01, k2 = 0.03;
  std::optional<DataFormat> data_format;
  static void describe(auto&& field) {
    field("max_val", &SimilarityFields::max_val, "the largest value of a point");
    field("filter_size", &SimilarityFields::filter_size, "of the Gaussian window", between(1, 255));
    field("filter_sigma", &SimilarityFields::filter_sigma, "standard deviation of the window, in points");
    field("k1", &SimilarityFields::k1, "steadies the comparison of means");
    field("k2", &SimilarityFields::k2, "steadies that of variances");
    field("data_format", &SimilarityFields::data_format, "where the channels are; null: last");
  }
};
// Two of the three numbers of either axis tell the third.
struct PadFields {
  std::optional<std::int64_t> top_padding, left_padding, bottom_padding, right_padding, target_height, target_width;
  std::optional<DataFormat> data_format;
  static void describe(auto&& field) {
    field("top_padding", &PadFields::top_padding, "rows put above");
    field("left_padding", &PadFields::left_padding, "columns put on the left");
    field("bottom_padding", &PadFields::bottom_padding, "rows put below");
    field("right_padding", &PadFields::right_padding, "columns put on the right");
    field("target_height", &PadFields::target_height, "of the result");
    field("target_width", &PadFields::target_width, "of the result");
    field("data_format", &PadFields::data_format, "where the channels are; null: last");
  }
};
struct CropFields {
  std::optional<std::int64_t> top_cropping, left_cropping, bottom_cropping, right_cropping, target_height, target_width;
  std::optional<DataFormat> data_format;
  static void describe(auto&& field) {
    field("top_cropping", &CropFields::top_cropping, "rows taken off above");
    field("left_cropping", &CropFields::left_cropping, "columns taken off on the left");
    field("bottom_cropping", &CropFields::bottom_cropping, "rows taken off below");
    field("right_cropping", &CropFields::right_cropping, "columns taken off on the right");
    field("target_height", &CropFields::target_height, "of the result");
    field("target_width", &CropFields::target_width, "of the result");
    field("data_format", &CropFields::data_format, "where the channels are; null: last");
  }
};

// The work on (batch, height, width, channels), whatever the picture is in.
template <class Function>
Value on_batches(const std::optional<DataFormat>& format, Value x, Function function) {
  const bool first = format == DataFormat::channels_first, single = x.shape().rank() == 3;
  need(single || x.shape().rank() == 4, "got {}, wanted a picture or a batch of them", x.shape());
  if (single) x = ops::expand_dims(x, 0);
  Value y = function(first ? emit::channels_last(x) : x);
  if (first) y = emit::channels_first(y);
  return single ? ops::squeeze(y, 0) : y;
}

Value resize(const ResizeFields& f, const Operands& in) {
  need(f.size.size() == 2, "got {} sizes, wanted height and width", f.size.size());
  Tree config;
  config.set("height", f.size[0]);
  config.set("width", f.size[1]);
  config.set("interpolation", f.interpolation);
  config.set("antialias", f.antialias);
  config.set("crop_to_aspect_ratio", f.crop_to_aspect_ratio);
  config.set("pad_to_aspect_ratio", f.pad_to_aspect_ratio);
  config.set("fill_mode", f.fill_mode);
  config.set("fill_value", f.fill_value);
  const auto layer = registry<Layer>().get("Resizing").make(config);
  return on_batches(f.data_format, in[0], [&](Value x) {
    Context context(x.graph(), false);
    return ops::cast((*layer)(context, {.inputs = {real(x)}}).outputs.front(), real(x).dtype());
  });
}

// ITU-R BT.601, as TensorFlow rounds it.
Value grayscale(const FormatField& f, const Operands& in) {
  return on_batches(f.data_format, in[0], [](Value x) {
    need(same(x.shape()[-1], 3), "got {}, wanted three channels", x.shape());
    const Value weights = x.graph().constant(Tensor::of<float>({3}, {0.2989f, 0.5870f, 0.1140f}));
    return ops::sum(real(x) * ops::cast(weights, real(x).dtype()), {-1}, true);
  });
}

Value channel(Value x, int i) { return ops::slice_axis(x, -1, i, i + 1); }

// Smith, "Color gamut transform pairs" (1978); all numbers from 0 to 1.
Value rgb_to_hsv(const FormatField& f, const Operands& in) {
  return on_batches(f.data_format, in[0], [](Value x) {
    const Value red = channel(x, 0), green = channel(x, 1), blue = channel(x, 2);
    const Value value = ops::max(x, {-1}, true), range = value - ops::min(x, {-1}, true);
    const Value zero = ops::scalar_like(x, 0), one = ops::scalar_like(x, 1);
    const Value saturation = where(ops::greater(value, zero), range / where(equals(value, 0), one, value), zero);
    const Value step = ops::reciprocal(6.0 * where(equals(range, 0), one, range));
    const Value hue =
        where(ops::equal(value, red), step * (green - blue),
              where(ops::equal(value, green), step * (blue - red) + 2.0 / 6, step * (red - green) + 4.0 / 6));
    const Value grey = equals(range, 0);
    return ops::concat({where(grey, zero, where(is_below(hue, 0), hue + 1.0, hue)), saturation, value}, 3);
  });
}
Value hsv_to_rgb(const FormatField& f, const Operands& in) {
  return on_batches(f.data_format, in[0], [](Value x) {
    const Value hue = channel(x, 0) * 6.0, saturation = channel(x, 1), value = channel(x, 2);
    const auto part = [&](Value share) { return value * (1.0 - saturation + saturation * ops::clip(share, 0, 1)); };
    return ops::concat(
        {part(ops::abs(hue - 3.0) - 1.0), part(2.0 - ops::abs(hue - 2.0)), part(2.0 - ops::abs(hue - 4.0))}, 3);
  });
}

std::array<std::int64_t, 2> two(const Tree& tree) {
  if (tree.is_number()) return {tree.as_integer(), tree.as_integer()};
  if (tree.items().size() != 2) throw Error("got {}, wanted [height, width]", tree.text()).at(tree.mark());
  return {tree.items()[0].as_integer(), tree.items()[1].as_integer()};
}

struct Windows {
  std::array<std::int64_t, 2> size, stride, dilation;
};
// The elements of each window, one after another in the last axis: row, column, channel.
Value windows(Value x, const Windows& w) {
  for (std::size_t i = 0; i < 2; ++i)  // their numbers, and that a window fits
    window_axis(x.shape()[static_cast<int>(i) + 1], w.size[i], w.stride[i], w.dilation[i], Padding::valid);
  count_of_parts(w.size[0] * w.size[1]);
  Values parts;
  for (std::int64_t row = 0; row < w.size[0]; ++row)
    for (std::int64_t column = 0; column < w.size[1]; ++column) {
      const std::array<std::int64_t, 2> place{row * w.dilation[0], column * w.dilation[1]};
      std::vector<std::int64_t> begin{0, place[0], place[1], 0}, end(4, whole_axis),
          stride{1, w.stride[0], w.stride[1], 1};
      for (std::size_t i = 0; i < 2; ++i)  // as far as whole windows go
        if (const std::int64_t left = (w.size[i] - 1) * w.dilation[i] - place[i]; left > 0) end[i + 1] = -left;
      parts.push_back(ops::slice(x, std::move(begin), std::move(end), std::move(stride)));
    }
  return ops::concat(std::move(parts), 3);
}

Value patches(const PatchFields& f, const Operands& in) {
  const Windows w{two(f.size), two(f.strides.is_null() ? f.size : f.strides), two(f.dilation_rate)};
  return on_batches(f.data_format, in[0], [&](Value x) {
    if (f.padding == "same") {
      std::vector<std::int64_t> before(4, 0), after(4, 0);
      for (std::size_t i = 0; i < 2; ++i) {
        const WindowAxis axis =
            window_axis(x.shape()[static_cast<int>(i) + 1], w.size[i], w.stride[i], w.dilation[i], Padding::same);
        before[i + 1] = axis.before, after[i + 1] = axis.after;
      }
      x = ops::pad(x, before, after);
    }
    return windows(x, w);
  });
}

// Blocks of a picture with its channels first: (batch, channels · block, number of blocks).
Value unfold(const UnfoldFields& f, const Operands& in) {
  const Windows w{two(f.kernel_size), two(f.stride), two(f.dilation)};
  const auto padding = two(f.padding);
  emit::want_rank(in[0].shape(), 4);
  const Value x = emit::channels_last(in[0]);
  const std::int64_t channels = emit::known_size(x.shape(), 3);
  const std::vector<std::int64_t> margins{0, padding[0], padding[1], 0};
  const Value found = windows(ops::pad(x, margins, margins), w);  // batch, rows, columns, block · channels
  const std::int64_t rows = found.shape()[1], columns = found.shape()[2];
  const Value blocks =
      emit::reshape(found, {found.shape()[0], rows == unknown || columns == unknown ? unknown : rows * columns,
                            w.size[0] * w.size[1], channels});
  const Value turned = ops::transpose(blocks, {0, 3, 2, 1});
  return emit::reshape(turned, {turned.shape()[0], channels * w.size[0] * w.size[1], turned.shape()[3]});
}

// Blocks as `unfold` cuts them, added up where they overlap: (batch, channels, height, width).
Value fold(const FoldFields& f, const Operands& in) {
  const auto size = two(f.output_size), kernel = two(f.kernel_size), dilation = two(f.dilation),
             padding = two(f.padding), stride = two(f.stride);
  emit::want_rank(in[0].shape(), 3);
  std::array<std::int64_t, 2> blocks{}, padded{};
  for (std::size_t i = 0; i < 2; ++i) {
    constexpr std::int64_t most = 1 << 16;
    need(padding[i] >= 0 && padding[i] <= most && size[i] >= 1 && size[i] <= most,
         "got output_size {} and padding {}, wanted sizes up to {}", size[i], padding[i], most);
    padded[i] = size[i] + 2 * padding[i];
    blocks[i] = window_axis(padded[i], kernel[i], stride[i], dilation[i], Padding::valid).output;
  }
  const std::int64_t parts = count_of_parts(kernel[0] * kernel[1]);
  const std::int64_t rows = emit::known_size(in[0].shape(), 1);
  need(rows % parts == 0, "got {} rows, wanted a multiple of the {} elements of a block", rows, parts);
  emit::want_size(in[0].shape(), 2, blocks[0] * blocks[1]);
  const std::int64_t batch = in[0].shape()[0], channels = rows / parts;
  const Value x = emit::reshape(in[0], {batch, channels, parts, blocks[0], blocks[1]});
  Value sum;
  for (std::int64_t part = 0; part < parts; ++part) {
    Value y = ops::squeeze(ops::slice_axis(x, 2, part, part + 1), 2);  // batch, channels, rows, columns
    const std::array<std::int64_t, 2> place{part / kernel[1] * dilation[0], part % kernel[1] * dilation[1]};
    std::vector<std::int64_t> before(4, 0), after(4, 0);
    for (int i = 0; i < 2; ++i) {  // zeros between the blocks
      const auto at = static_cast<std::size_t>(i);
      std::vector<std::int64_t> gap(5, 0);
      gap[at + 3] = stride[at] - 1;
      y = ops::pad(ops::expand_dims(y, i + 3), std::vector<std::int64_t>(5, 0), gap);
      Shape spread = y.shape().first(i + 2);
      spread.append(blocks[at] * stride[at]);
      y = emit::reshape(y, spread + y.shape().from(i + 4));
      y = ops::slice_axis(y, i + 2, 0, (blocks[at] - 1) * stride[at] + 1);
      before[at + 2] = place[at];
      after[at + 2] = padded[at] - place[at] - y.shape()[i + 2];
    }
    y = ops::pad(y, before, after);
    sum = part == 0 ? y : sum + y;
  }
  return ops::slice(sum, {0, 0, padding[0], padding[1]},
                    {whole_axis, whole_axis, padding[0] + size[0], padding[1] + size[1]});
}

// exp(-½ (x / sigma)²) around the middle, with sum 1.
std::vector<double> gaussian(std::int64_t size, double sigma) {
  std::vector<double> weights;
  double total = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    const double x = (static_cast<double>(i) - static_cast<double>(size - 1) / 2) / sigma;
    weights.push_back(std::exp(-0.5 * x * x));
    total += weights.back();
  }
  for (double& weight : weights) weight /= total;
  return weights;
}

// Each channel on its own by one kernel.
Value filtered(Value x, std::array<std::int64_t, 2> size, const std::vector<double>& kernel, Padding padding) {
  const std::int64_t channels = emit::known_size(x.shape(), 3);
  std::vector<double> repeated;
  for (double weight : kernel)
    repeated.insert(repeated.end(), static_cast<std::size_t>(count_of_parts(channels)), weight);
  const Tensor weights = Tensor::of<double>({size[0], size[1], 1, channels}, std::span<const double>(repeated));
  return ops::conv(x, x.graph().constant(weights.cast(x.dtype())),
                   {.strides = {1, 1}, .dilations = {1, 1}, .padding = padding, .groups = channels});
}

std::vector<double> outer(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> products;
  for (double x : a)
    for (double y : b) products.push_back(x * y);
  return products;
}

Value gaussian_blur(const BlurFields& f, const Operands& in) {
  need(f.kernel_size.size() == 2 && f.sigma.size() == 2, "got {} sizes and {} sigmas, wanted two", f.kernel_size.size(),
       f.sigma.size());
  for (std::int64_t size : f.kernel_size) need(size >= 1 && size <= 255, "got kernel_size {}, wanted 1 to 255", size);
  const std::array<std::int64_t, 2> size{f.kernel_size[0], f.kernel_size[1]};
  // As Keras lays it out, which for sizes that differ is no product of a column and a row.
  const std::vector<double> kernel = outer(gaussian(size[1], f.sigma[1]), gaussian(size[0], f.sigma[0]));
  return on_batches(f.data_format, real(in[0]), [&](Value x) { return filtered(x, size, kernel, Padding::same); });
}

// Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity" (2004).
Value similarity(const SimilarityFields& f, const Operands& in) {
  auto [a, b] = in.real_pair();
  const bool single = a.shape().rank() == 3;
  need((single || a.shape().rank() == 4) && a.shape().rank() == b.shape().rank(),
       "got {} and {}, wanted two pictures or batches of them", a.shape(), b.shape());
  for (Value* x : {&a, &b}) {
    if (single) *x = ops::expand_dims(*x, 0);
    if (f.data_format == DataFormat::channels_first) *x = emit::channels_last(*x);
  }
  const std::vector<double> line = gaussian(f.filter_size, f.filter_sigma), kernel = outer(line, line);
  const auto mean = [&](Value x) { return filtered(x, {f.filter_size, f.filter_size}, kernel, Padding::valid); };
  const double c1 = std::pow(f.k1 * f.max_val, 2), c2 = std::pow(f.k2 * f.max_val, 2);
  const Value mean_a = mean(a), mean_b = mean(b), both = mean_a * mean_b;
  const Value squares = ops::square(mean_a) + ops::square(mean_b);
  const Value covariance = mean(a * b) - both, variances = mean(ops::square(a)) + mean(ops::square(b)) - squares;
  const Value map = ((both * 2.0 + c1) * (covariance * 2.0 + c2)) / ((squares + c1) * (variances + c2));
  const Value y = ops::cast(ops::mean(map, {1, 2, 3}), in[0].dtype());
  return single ? ops::squeeze(y, 0) : y;
}

// How steep the picture is downwards and to the right, by Sobel's filters, on a new last axis.
Value sobel_edges(const FormatField& f, const Operands& in) {
  emit::want_rank(in[0].shape(), 4);
  const bool first = f.data_format == DataFormat::channels_first;
  Value x = real(first ? emit::channels_last(in[0]) : in[0]);
  for (int axis : {1, 2})  // mirrored at the border
    x = ops::concat({ops::slice_axis(x, axis, 1, 2), x, ops::slice_axis(x, axis, -2, -1)}, axis);
  const Value down = filtered(x, {3, 3}, outer({-1, 0, 1}, {1, 2, 1}), Padding::valid);
  const Value right = filtered(x, {3, 3}, outer({1, 2, 1}, {-1, 0, 1}), Padding::valid);
  const Value y = ops::concat({ops::expand_dims(down, 4), ops::expand_dims(right, 4)}, 4);
  return first ? ops::transpose(y, {0, 3, 1, 2, 4}) : y;
}

// What stands before and after an axis, of which two of three numbers are given.
std::array<std::int64_t, 2> sides(std::optional<std::int64_t> before, std::optional<std::int64_t> after,
                                  std::optional<std::int64_t> rest) {
  if (before && after) return {*before, *after};
  need(rest.has_value() && (before || after),
       "wanted two of: what stands before, what stands after, the size of the result");
  return before ? std::array{*before, *rest - *before} : std::array{*rest - *after, *after};
}

Value pad_images(const PadFields& f, const Operands& in) {
  return on_batches(f.data_format, in[0], [&](Value x) {
    const auto missing = [&](int axis, const std::optional<std::int64_t>& target) -> std::optional<std::int64_t> {
      return target ? std::optional(*target - emit::known_size(x.shape(), axis)) : std::nullopt;
    };
    const auto rows = sides(f.top_padding, f.bottom_padding, missing(1, f.target_height));
    const auto columns = sides(f.left_padding, f.right_padding, missing(2, f.target_width));
    return ops::pad(x, {0, rows[0], columns[0], 0}, {0, rows[1], columns[1], 0});
  });
}
Value crop_images(const CropFields& f, const Operands& in) {
  return on_batches(f.data_format, in[0], [&](Value x) {
    const auto surplus = [&](int axis, const std::optional<std::int64_t>& target) -> std::optional<std::int64_t> {
      return target ? std::optional(emit::known_size(x.shape(), axis) - *target) : std::nullopt;
    };
    const auto rows = sides(f.top_cropping, f.bottom_cropping, surplus(1, f.target_height));
    const auto columns = sides(f.left_cropping, f.right_cropping, surplus(2, f.target_width));
    for (const std::int64_t cut : {rows[0], rows[1], columns[0], columns[1]})
      need(cut >= 0, "cannot take {} elements off {}", cut, x.shape());
    const auto end = [](std::int64_t cut) { return cut == 0 ? whole_axis : -cut; };
    return ops::slice(x, {0, rows[0], columns[0], 0}, {whole_axis, end(rows[1]), end(columns[1]), whole_axis});
  });
}

}  // namespace

Rows images() {
  return {
      pictures.operation<ResizeFields>("Resize", "images", "Pictures of another size.", resize),
      pictures.operation<FormatField>("RGBToGrayscale", "images", "How light each point is.", grayscale),
      pictures.operation<FormatField>("RGBToHSV", "images", "Hue, saturation and value of each point.", rgb_to_hsv),
      pictures.operation<FormatField>("HSVToRGB", "images", "Red, green and blue of each point.", hsv_to_rgb),
      pictures.operation<PatchFields>("ExtractPatches", "images", "The elements of each patch, along the channels.",
                                      patches),
      pictures.operation<PadFields>("PadImages", "images", "Zeros around pictures.", pad_images),
      pictures.operation<CropFields>("CropImages", "images", "Pictures with their margins taken off.", crop_images),
      neural.operation<UnfoldFields>("Unfold", "x", "The blocks of a picture, channels first, as columns.", unfold),
      neural.operation<FoldFields>("Fold", "x", "Blocks put back into a picture, channels first, and added up.", fold),
      pictures.operation<BlurFields>("GaussianBlur", "images", "Pictures through a Gaussian filter.", gaussian_blur),
      pictures.operation<SimilarityFields>("SSIM", "image1, image2", "How alike two pictures are in structure.",
                                           similarity),
      pictures.operation<FormatField>("SobelEdges", "images", "The slopes of pictures, downwards and to the right.",
                                      sobel_edges),
  };
}

}  // namespace nacre::operations
