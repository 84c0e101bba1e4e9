// Pictures: (batch, height, width, channels) or one of them.
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
  };
}

}  // namespace nacre::operations
