#include "layers/image_layer.h"

#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"

namespace nacre {

namespace {

std::array<double, 2> two_numbers(const Tree& tree, std::string_view wanted) {
  if (!tree.is_sequence() || tree.items().size() != 2)
    throw Error("wanted {}, got {}", wanted, tree.text()).at(tree.mark()).usage();
  return {tree.items()[0].as_number(), tree.items()[1].as_number()};
}

Tree two_numbers_schema() {
  Tree schema = schema_type("array");
  schema.set("items", schema_type("number"));
  schema.set("minItems", 2);
  schema.set("maxItems", 2);
  return schema;
}

}  // namespace

std::vector<double> read_factor(const Tree& tree, double lowest, double highest) {
  const auto refuse = [&] {
    throw Error("wanted a number, or two, from {} to {}, got {}", lowest, highest, tree.text()).at(tree.mark()).usage();
  };
  if (!tree.is_sequence()) {
    const double size = tree.as_number();
    if (!(size >= lowest && size <= highest)) refuse();
    return {size};
  }
  const auto [a, b] = two_numbers(tree, "a number, or two");
  if (!(std::min(a, b) <= highest && std::max(a, b) >= lowest)) refuse();
  return {a, b};
}

Tree factor_schema() {
  Tree schema;
  schema.set("anyOf", Tree::Sequence{schema_type("number"), two_numbers_schema()});
  return schema;
}

void FieldKind<ValueRange>::read(const Tree& tree, ValueRange& value) {
  const auto [a, b] = two_numbers(tree, "the numbers of black and white, such as [0, 255]");
  if (!(a != b)) throw Error("wanted two different numbers, got {}", tree.text()).at(tree.mark()).usage();
  value = {std::min(a, b), std::max(a, b)};
}

Tree FieldKind<ValueRange>::write(const ValueRange& value, Style) { return Tree::Sequence{value.low, value.high}; }

Tree FieldKind<ValueRange>::schema() { return two_numbers_schema(); }

namespace image {

void want_pictures(const Shape& shape) {
  need(shape.rank() == 3 || shape.rank() == 4,
       "got input {}, wanted one picture (height, width, channels) or a batch of them", shape);
}

Value batched(Value pictures, DataFormat format) {
  if (pictures.shape().rank() == 3) pictures = ops::expand_dims(pictures, 0);
  return format == DataFormat::channels_first ? emit::channels_last(pictures) : pictures;
}

Value unbatched(Value pictures, DataFormat format, int rank) {
  if (format == DataFormat::channels_first) pictures = emit::channels_first(pictures);
  return rank == 3 ? ops::squeeze(pictures, 0) : pictures;
}

Value rescaled(Value x, const ValueRange& from, const ValueRange& to) {
  if (from == to) return x;
  return (x - from.low) / from.span() * to.span() + to.low;
}

Value channel(Value pictures, int index) { return ops::slice_axis(pictures, 3, index, index + 1); }

void want_colours(Value pictures, bool or_grey) {
  const std::int64_t channels = pictures.shape()[3];
  need(channels == 3 || channels == unknown || (or_grey && channels == 1),
       "got {} channels, wanted red, green and blue{}", channels, or_grey ? ", or grey" : "");
}

Value taken(Value x, int axis, const std::vector<std::int64_t>& places) {
  const Value indices = x.graph().constant(
      Tensor::of<std::int64_t>({static_cast<std::int64_t>(places.size())}, places).cast(DType::int32));
  return emit::move_axis(ops::gather(emit::move_axis(x, axis, 0), indices), 0, axis);
}

Value rows(Value pictures) {
  return ops::iota(pictures.graph(), {DType::float32, {1, emit::known_size(pictures.shape(), 1), 1, 1}}, 1);
}

Value columns(Value pictures) {
  return ops::iota(pictures.graph(), {DType::float32, {1, 1, emit::known_size(pictures.shape(), 2), 1}}, 2);
}

}  // namespace image

}  // namespace nacre
