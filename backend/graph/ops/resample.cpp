#include "backend/graph/ops/resample.h"

namespace nacre {
namespace {

void check_places(const Type& places) {
  need(places.dtype == DType::float32 && places.shape.rank() == 4 && same(places.shape[3], 2),
       "got places {}, wanted float32 (batch, rows, columns, 2)", places);
}

Types infer_resample(const ResampleAttrs&, const Types& in) {
  const Type &pictures = in[0], &places = in[1];
  need(is_floating(pictures.dtype) && pictures.shape.rank() == 4, "got {}, wanted pictures of a floating type",
       pictures);
  check_places(places);
  need(same(pictures.shape[0], places.shape[0]), "got {} pictures and the places of {}", pictures.shape[0],
       places.shape[0]);
  Shape shape = places.shape;
  if (shape[0] == unknown) shape.set(0, pictures.shape[0]);
  shape.set(3, pictures.shape[3]);
  return {{pictures.dtype, std::move(shape)}};
}

Gradients grad_resample(const ResampleAttrs& p, const Node& n, const Cotangents& d) {
  return {n.graph().add(op::resample_backward, {p, n.in(0).shape()}, {n.in(1), d[0]}).out(), {}};
}

Types infer_resample_backward(const ResampleBackwardAttrs& p, const Types& in) {
  const Type &places = in[0], &dy = in[1];
  check_places(places);
  need(dy.shape.rank() == 4 && same(dy.shape.first(3), places.shape.first(3)) && same(dy.shape[3], p.shape[3]),
       "got dy {} for places {} of pictures {}", dy, places, p.shape);
  Shape shape = p.shape;
  if (shape[0] == unknown) shape.set(0, dy.shape[0]);
  return {{dy.dtype, std::move(shape)}};
}

// What resample adds for the fill value does not depend on the pictures.
Gradients grad_resample_backward(const ResampleBackwardAttrs& p, const Node& n, const Cotangents& d) {
  ResampleAttrs linear = p.resample;
  linear.fill_value = 0;
  return {{}, ops::resample(d[0], n.in(0), linear)};
}

}  // namespace

namespace op {

constinit const OpDef<ResampleAttrs> resample{
    {.name = "resample", .doc = "y[b, r, c] = pictures[b] at places[b, r, c]"}, infer_resample, grad_resample};
constinit const OpDef<ResampleBackwardAttrs> resample_backward{
    {.name = "resample_backward", .doc = "dx[b] at places[b, r, c] += dy[b, r, c]"},
    infer_resample_backward,
    grad_resample_backward};

}  // namespace op

Value ops::resample(Value pictures, Value places, ResampleAttrs attrs) {
  return pictures.graph().add(op::resample, attrs, {pictures, places}).out();
}

}  // namespace nacre
