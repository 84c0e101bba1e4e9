// Matrix products.
#pragma once

#include "backend/graph/ops/epilogue.h"

namespace nacre {

struct MatMulAttrs {
  bool transpose_a = false, transpose_b = false;  // of the last two axes
  Epilogue epilogue;
  bool operator==(const MatMulAttrs&) const = default;
  static void describe(auto&& field) {
    field("transpose_a", &MatMulAttrs::transpose_a, "a is stored (k, m)");
    field("transpose_b", &MatMulAttrs::transpose_b, "b is stored (n, k)");
    field("epilogue", &MatMulAttrs::epilogue, "computed on the product");
  }
};

namespace op {
extern const OpDef<MatMulAttrs> matmul;  // y[..,m,n] = Σₖ a[..,m,k] · b[..,k,n]; leading axes broadcast
}

namespace ops {
Value matmul(Value a, Value b, bool transpose_a = false, bool transpose_b = false);
// x(..., k) · kernel(k, n) over the last axis of x.
Value dense(Value x, Value kernel);
}  // namespace ops

}  // namespace nacre
