// Functions that several families of operations are composed of.
#pragma once

#include "backend/graph/ops/elementwise.h"
#include "formats/tree.h"

namespace nacre::operations {

inline Value where(Value condition, Value a, Value b) { return ops::select(condition, a, b); }
inline Value equals(Value x, double number) { return ops::equal(x, ops::scalar_like(x, number)); }
inline Value is_below(Value x, double bound) { return ops::less(x, ops::scalar_like(x, bound)); }
inline Value is_nan(Value x) { return ops::not_equal(x, x); }
inline Value truth(Value x) { return ops::cast(x, DType::boolean); }

Value arctan(Value x);
Value arctan2(Value a, Value b);  // the angle of the point (b, a)
// A number, or nested lists of them, in x's dtype and graph.
Value constant_like(Value x, const Tree& numbers);
// The given axes, in their order, merged into one at the end. Sizes may be unknown.
Value axes_to_end(Value x, const std::vector<std::int64_t>& axes);
// Rows of x along an axis by integers of any shape, which stands in the place of the axis; negative ones count from the
// end.
Value take(Value x, Value indices, int axis);
// The elements at the indices, which have x's rank; other axes broadcast.
Value take_along_axis(Value x, Value indices, int axis);
// Ascending along the axis; floats, integers and bool.
Value sorted(Value x, int axis);
// The places in ascending or descending order.
Value order(Value x, int axis, bool descending);

}  // namespace nacre::operations
