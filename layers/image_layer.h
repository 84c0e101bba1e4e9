// What layers on pictures share: their fields, and a base that brings any picture into one form.
#pragma once

#include "backend/graph/ops/elementwise.h"
#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

// How strong a random change is: a number in [low, high]. Written as one number f it means [-f, f], cut at `lowest`:
// Keras's reading of its `factor` arguments.
template <int lowest, int highest>
struct Factor {
  double low = std::max(0, lowest), high = std::max(0, lowest);
  Factor() = default;
  Factor(double size) : low(std::max(-std::abs(size), double{lowest})), high(std::abs(size)) {}
  Factor(double from, double to) : low(std::min(from, to)), high(std::max(from, to)) {}
  bool fixed() const { return low == high; }
  bool operator==(const Factor&) const = default;
};
// A number within the bounds, or two that do not lie beyond them altogether.
std::vector<double> read_factor(const Tree& tree, double lowest, double highest);
Tree factor_schema();
template <int lowest, int highest>
struct FieldKind<Factor<lowest, highest>> {
  using Value = Factor<lowest, highest>;
  static void read(const Tree& tree, Value& value) {
    const std::vector<double> given = read_factor(tree, lowest, highest);
    value = given.size() == 1 ? Value(given[0]) : Value(given[0], given[1]);
  }
  static Tree write(const Value& value, Style) {
    if (value == Value(value.high)) return number(value.high);
    return Tree::Sequence{number(value.low), number(value.high)};
  }
  static Tree schema() { return factor_schema(); }

 private:
  // Factors from 1 up count bits: Keras wants them whole.
  static Tree number(double value) { return lowest >= 1 ? Tree(static_cast<std::int64_t>(value)) : Tree(value); }
};

// The numbers that stand for black and white: [0, 255].
struct ValueRange {
  double low = 0, high = 255;
  double span() const { return high - low; }
  bool operator==(const ValueRange&) const = default;
};
template <>
struct FieldKind<ValueRange> {
  static void read(const Tree& tree, ValueRange& value);
  static Tree write(const ValueRange& value, Style style);
  static Tree schema();
};

// The order of a box's numbers; `rel`: in shares of the picture's width and height.
enum class BoxFormat : std::uint8_t {
  xyxy,
  yxyx,
  xywh,
  center_xywh,
  center_yxhw,
  rel_xyxy,
  rel_yxyx,
  rel_xywh,
  rel_center_xywh
};
template <>
struct EnumNames<BoxFormat> {
  static constexpr std::string_view names[] = {"xyxy",     "yxyx",     "xywh",     "center_xywh",    "center_yxhw",
                                               "rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh"};
};

// Keras's fields of every layer on pictures.
struct ImageConfig {
  DataFormat data_format = DataFormat::channels_last;
  std::optional<BoxFormat> bounding_box_format;
  static void describe(auto&& field) {
    field("data_format", &ImageConfig::data_format, "where the channels are");
    field("bounding_box_format", &ImageConfig::bounding_box_format,
          "how Keras's data pipelines write the boxes that travel with the pictures; kept for them");
  }
};

namespace image {

// Throws Error unless that is one picture (height, width, channels) or a batch of them.
void want_pictures(const Shape& shape);
// The picture or pictures as (batch, height, width, channels), and back.
Value batched(Value pictures, DataFormat format);
Value unbatched(Value pictures, DataFormat format, int rank);
// From [from.low, from.high] to [to.low, to.high].
Value rescaled(Value x, const ValueRange& from, const ValueRange& to);
// One channel (batch, height, width, 1), and several of them together.
Value channel(Value pictures, int index);
// Throws Error unless there are three channels, or (where that will do) one.
void want_colours(Value pictures, bool or_grey);
// x with the elements of an axis taken from these places.
Value taken(Value x, int axis, const std::vector<std::int64_t>& places);
// Row and column of each element: (1, height, 1, 1) and (1, 1, width, 1) float32.
Value rows(Value pictures);
Value columns(Value pictures);

}  // namespace image

// A layer of one picture or a batch of them.
template <class Config>
class PictureLayer : public ConfiguredLayer<Config> {
 public:
  using ConfiguredLayer<Config>::ConfiguredLayer;
  Tree config_tree(Style style) const override {
    Tree tree = ConfiguredLayer<Config>::config_tree(style);
    // As Keras does, whose versions before 3.8 do not know the key.
    if (style == Style::keras && !this->config_.bounding_box_format) tree.erase("bounding_box_format");
    return tree;
  }

 protected:
  void check(const std::vector<Shape>& inputs) const override { image::want_pictures(inputs[0]); }
  // An input as (batch, height, width, channels) of that dtype, and a result in the form of the input.
  Value prepared(Value x, DType dtype) const { return image::batched(ops::cast(x, dtype), this->config_.data_format); }
  Value finished(Value y, Value x, DType dtype) const {
    return ops::cast(image::unbatched(y, this->config_.data_format, x.shape().rank()), dtype);
  }
};

// When a layer on pictures does its work; otherwise it passes its input on.
enum class Active : std::uint8_t { in_training, always };

// A layer that does the same to every picture, whose integers become numbers of the compute dtype. `transform` gets
// (batch, height, width, channels) in float32, as random numbers are, so that grey levels stay exact under the smaller
// dtypes too; layers that are always active also get float64.
template <class Config, Active active = Active::in_training>
class ImageLayer : public PictureLayer<Config> {
 public:
  using PictureLayer<Config>::PictureLayer;

 protected:
  virtual Value transform(Context& context, Value pictures) = 0;
  // Whether integers stay integers, by truncation.
  virtual bool keeps_dtype() const { return false; }

  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0];
    const DType result = keeps_dtype() ? x.dtype() : this->dtype().compute();
    if (active == Active::in_training && !context.training()) return {ops::cast(x, result)};
    const bool wide = active == Active::always && result == DType::float64;
    const Value pictures = this->prepared(x, wide ? DType::float64 : DType::float32);
    return {this->finished(transform(context, pictures), x, result)};
  }
};

}  // namespace nacre
