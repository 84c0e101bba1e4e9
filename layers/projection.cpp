#include "layers/projection.h"

#include "backend/graph/ops/shape.h"
#include "layers/emit.h"
#include "layers/image_layer.h"

namespace nacre {

Value read_at(Value pictures, Value rows, Value columns, const ResampleAttrs& attrs) {
  Shape shape = pictures.shape();
  shape.set(3, 1);
  const Value places = ops::concat({emit::broadcast(rows, shape), emit::broadcast(columns, shape)}, 3);
  return ops::resample(pictures, places, attrs);
}

Value projected(Value pictures, const Projection& p, const ResampleAttrs& attrs) {
  const Value x = image::columns(pictures), y = image::rows(pictures);
  Value column = p.a0 * x + p.a1 * y + p.a2, row = p.b0 * x + p.b1 * y + p.b2;
  if (p.c0) {
    const Value depth = p.c0 * x + p.c1 * y + p.c2;
    column = column / depth, row = row / depth;
  }
  return read_at(pictures, row, column, attrs);
}

}  // namespace nacre
