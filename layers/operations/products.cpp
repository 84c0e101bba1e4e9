// Products of matrices and tensors.
#include <algorithm>

#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/reduce.h"
#include "layers/einsum.h"
#include "layers/operations/functions.h"
#include "layers/operations/operation.h"

namespace nacre::operations {

namespace {

constexpr Family numpy("keras.src.ops.numpy"), einops("keras.src.ops.einops"), math("keras.src.ops.math");

struct EinsumFields {
  std::string subscripts;
  static void describe(auto&& field) {
    field("subscripts", &EinsumFields::subscripts, "letters for the axes of operands and result: 'abc,cd->abd'",
          required());
  }
};
struct TensordotFields {
  Tree axes = 2;
  static void describe(auto&& field) {
    field("axes", &TensordotFields::axes, "summed over: so many last and first ones, or [axes of x1, axes of x2]");
  }
};
struct CrossFields {
  std::int64_t axisa = -1, axisb = -1, axisc = -1;
  std::optional<std::int64_t> axis;
  static void describe(auto&& field) {
    field("axisa", &CrossFields::axisa, "of x1's vectors");
    field("axisb", &CrossFields::axisb, "of x2's vectors");
    field("axisc", &CrossFields::axisc, "of the result's vectors");
    field("axis", &CrossFields::axis, "all three");
  }
};
struct DiffFields {
  std::int64_t n = 1, axis = -1;
  static void describe(auto&& field) {
    field("n", &DiffFields::n, "how often", at_least(0));
    field("axis", &DiffFields::axis, "along which");
  }
};
struct TrapezoidFields {
  Tree x;
  double dx = 1;
  std::int64_t axis = -1;
  static void describe(auto&& field) {
    field("x", &TrapezoidFields::x, "where the values are taken; null: dx apart");
    field("dx", &TrapezoidFields::dx, "distance of neighbours");
    field("axis", &TrapezoidFields::axis, "along which");
  }
};
struct ModeField {
  std::string mode = "valid";
  static void describe(auto&& field) {
    field("mode", &ModeField::mode, "which overlaps count", one_of({"valid", "same", "full"}));
  }
};

using Sizes = std::vector<std::int64_t>;

std::int64_t times(std::int64_t a, std::int64_t b) { return a == unknown || b == unknown ? unknown : a * b; }

// Σ over pairs of axes; the other axes of a, then those of b.
Value contract(Value a, Value b, Sizes axes_a, Sizes axes_b) {
  need(axes_a.size() == axes_b.size(), "got {} and {} axes to sum over", axes_a.size(), axes_b.size());
  const auto counted = [](Value x, Sizes& axes) {
    for (std::int64_t& axis : axes) axis = x.shape().checked(static_cast<int>(axis));
  };
  counted(a, axes_a), counted(b, axes_b);
  for (std::size_t i = 0; i < axes_a.size(); ++i)
    need(same(a.shape()[static_cast<int>(axes_a[i])], b.shape()[static_cast<int>(axes_b[i])]),
         "cannot sum over axis {} of {} with axis {} of {}", axes_a[i], a.shape(), axes_b[i], b.shape());
  const auto free = [](Value x, const Sizes& axes) {
    Shape shape;
    for (int axis = 0; axis < x.shape().rank(); ++axis)
      if (std::find(axes.begin(), axes.end(), axis) == axes.end()) shape.append(x.shape()[axis]);
    return shape;
  };
  const auto rows = [&](Value x, const Sizes& axes) {  // (free, summed)
    const Value merged = axes_to_end(x, axes);
    std::int64_t count = 1;
    for (std::int64_t size : free(x, axes)) count = times(count, size);
    return emit::reshape(merged, {count, merged.shape()[-1]});
  };
  return emit::reshape(ops::matmul(rows(a, axes_a), rows(b, axes_b), false, true), free(a, axes_a) + free(b, axes_b));
}

// NumPy's: vectors are rows on the left and columns on the right.
Value matmul(Value a, Value b) {
  a = number(a), b = number(b);
  const bool row = a.shape().rank() == 1, column = b.shape().rank() == 1;
  need(a.shape().rank() > 0 && b.shape().rank() > 0, "got {} and {}, wanted at least vectors", a.shape(), b.shape());
  if (row) a = ops::expand_dims(a, 0);
  if (column) b = ops::expand_dims(b, 1);
  const DType dtype = a.dtype();
  Value y = ops::cast(ops::matmul(real(a), real(b)), dtype);
  if (column) y = ops::squeeze(y, -1);
  return row ? ops::squeeze(y, column ? -1 : -2) : y;
}

// The last axis of a with the last but one of b.
Value dot(Value a, Value b) {
  a = number(a), b = number(b);
  if (a.shape().rank() == 0 || b.shape().rank() == 0) return a * b;
  const DType dtype = a.dtype();
  return ops::cast(contract(real(a), real(b), {-1}, {b.shape().rank() == 1 ? -1 : -2}), dtype);
}
Value inner(Value a, Value b) {
  a = number(a), b = number(b);
  if (a.shape().rank() == 0 || b.shape().rank() == 0) return a * b;
  const DType dtype = a.dtype();
  return ops::cast(contract(real(a), real(b), {-1}, {-1}), dtype);
}
Value vdot(Value a, Value b) {
  return ops::sum(number(emit::reshape(a, {unknown})) * number(emit::reshape(b, {unknown})));
}
Value outer(Value a, Value b) {
  return number(emit::reshape(a, {unknown, 1})) * number(emit::reshape(b, {1, unknown}));
}
Value kron(Value a, Value b) {
  while (a.shape().rank() < b.shape().rank()) a = ops::expand_dims(a, 0);
  while (b.shape().rank() < a.shape().rank()) b = ops::expand_dims(b, 0);
  Shape merged;
  const int rank = a.shape().rank();
  for (int axis = 0; axis < rank; ++axis) merged.append(times(a.shape()[axis], b.shape()[axis]));
  for (int axis = 0; axis < rank; ++axis) {
    a = ops::expand_dims(a, 2 * axis + 1);
    b = ops::expand_dims(b, 2 * axis);
  }
  return emit::reshape(number(a) * number(b), merged);
}

Value tensordot(const TensordotFields& f, const Operands& in) {
  const auto [a, b] = in.pair();
  const DType dtype = number(a).dtype();
  Sizes left, right;
  if (f.axes.is_number()) {
    const std::int64_t count = f.axes.as_integer();
    need(count >= 0 && count <= std::min(a.shape().rank(), b.shape().rank()), "got {} axes to sum over for {} and {}",
         count, a.shape(), b.shape());
    for (std::int64_t i = 0; i < count; ++i) left.push_back(i - count), right.push_back(i);
  } else {
    const auto list = [](const Tree& tree) {
      Sizes axes;
      if (tree.is_number()) return axes.push_back(tree.as_integer()), axes;
      for (const Tree& axis : tree.items()) axes.push_back(axis.as_integer());
      return axes;
    };
    if (f.axes.items().size() != 2)
      throw Error("got {}, wanted [axes of x1, axes of x2]", f.axes.text()).at(f.axes.mark());
    left = list(f.axes.items()[0]), right = list(f.axes.items()[1]);
  }
  return ops::cast(contract(real(a), real(b), left, right), dtype);
}

// Of vectors of 2 or 3 elements, the third of which is else 0.
Value cross(const CrossFields& f, const Operands& in) {
  auto [a, b] = in.pair();
  a = emit::move_axis(number(a), static_cast<int>(f.axis.value_or(f.axisa)), -1);
  b = emit::move_axis(number(b), static_cast<int>(f.axis.value_or(f.axisb)), -1);
  const auto part = [](Value x, int i) {
    return i < x.shape()[-1] ? ops::slice_axis(x, -1, i, i + 1) : ops::fill_like(ops::slice_axis(x, -1, 0, 1), 0);
  };
  const auto turn = [&](int i, int j) { return part(a, i) * part(b, j) - part(a, j) * part(b, i); };
  for (const Value& x : {a, b})
    need(x.shape()[-1] == 2 || x.shape()[-1] == 3, "got vectors {}, wanted 2 or 3 elements", x.shape());
  if (a.shape()[-1] == 2 && b.shape()[-1] == 2) return ops::squeeze(turn(0, 1), -1);
  return emit::move_axis(ops::concat({turn(1, 2), turn(2, 0), turn(0, 1)},
                                     a.shape().rank() > b.shape().rank() ? a.shape().rank() - 1 : b.shape().rank() - 1),
                         -1, static_cast<int>(f.axis.value_or(f.axisc)));
}

// Neighbours, the later ones first.
std::pair<Value, Value> neighbours(Value x, int axis) {
  axis = x.shape().checked(axis);
  return {ops::slice_axis(x, axis, 1, whole_axis), ops::slice_axis(x, axis, 0, -1)};
}

Value diff(Value x, const DiffFields& f) {
  const std::int64_t size = x.shape()[static_cast<int>(f.axis)];
  need(f.n <= (size == unknown ? count_of_parts(f.n) : size), "cannot take differences {} times along axis {} of {}",
       f.n, f.axis, x.shape());
  for (std::int64_t i = 0; i < f.n; ++i) {
    const auto [later, earlier] = neighbours(x, static_cast<int>(f.axis));
    x = x.dtype() == DType::boolean ? ops::not_equal(later, earlier) : later - earlier;
  }
  return x;
}

Value trapezoid(const TrapezoidFields& f, const Operands& in) {
  const Value y = real(in[0]);
  const int axis = y.shape().checked(static_cast<int>(f.axis));
  const auto [later, earlier] = neighbours(y, axis);
  const Value means = (later + earlier) * 0.5;
  if (f.x.is_null()) return ops::sum(means * f.dx, {axis});
  Value places = constant_like(y, f.x);
  const int own = places.shape().rank() == 1 ? 0 : axis;
  const auto [next, before] = neighbours(places, own);
  Value widths = next - before;
  if (own != axis || places.shape().rank() < y.shape().rank())
    for (int i = axis + 1; i < y.shape().rank(); ++i) widths = ops::expand_dims(widths, -1);
  return ops::sum(means * widths, {axis});
}

// Σ x1[i + k] x2[i]
Value correlate(const ModeField& f, const Operands& in) {
  auto [a, b] = in.real_pair();
  const std::int64_t n = emit::known_size(a.shape(), 0), m = emit::known_size(b.shape(), 0);
  const Value padded = ops::pad(a, {m - 1}, {m - 1});
  Values rows;
  for (std::int64_t i = 0; i < m; ++i)
    rows.push_back(ops::expand_dims(ops::slice_axis(padded, 0, i, i + n + m - 1), 0));
  const Value full =
      ops::squeeze(ops::matmul(ops::expand_dims(b, 0), ops::concat(std::move(rows), 0)), 0);  // n + m - 1
  if (f.mode == "full") return full;
  const std::int64_t size = f.mode == "same" ? std::max(n, m) : n - m + 1;
  const std::int64_t first = f.mode == "same" ? (n + m - 1 - size) / 2 : m - 1;
  return ops::slice_axis(full, 0, first, first + size);
}

Value corrcoef(Value x) {
  x = real(x);
  const Value centred = x - ops::mean(x, {-1}, true);
  const Value covariance = ops::matmul(centred, centred, false, true);
  const Value scale = ops::sqrt(ops::sum(ops::square(centred), {-1}, true));
  return covariance / (scale * emit::move_axis(scale, -1, -2));
}

// Euclidean distances of the rows of x and y.
Value distances(Value x, Value y) {
  const Value apart = ops::expand_dims(x, -2) - ops::expand_dims(y, -3);
  return ops::sqrt(ops::sum(ops::square(apart), {-1}));
}

// --- rearrange: "b (h p) c -> b h (p c)" --------------------------------------------------------------------------

using Groups = std::vector<std::vector<std::string>>;

Groups parse_pattern(std::string_view text, const Mark& mark) {
  Groups groups;
  bool open = false;
  std::string word;
  const auto finish = [&] {
    if (word.empty()) return;
    if (!open) groups.emplace_back();
    groups.back().push_back(std::exchange(word, ""));
  };
  for (char c : text) {
    if (c == ' ') finish();
    else if (c == '(') finish(), groups.emplace_back(), open = true;
    else if (c == ')') finish(), open = false;
    else word += c;
  }
  finish();
  if (open) throw Error("the pattern '{}' has an open parenthesis", text).at(mark);
  return groups;
}

Value rearrange(const Operands& in) {
  const Value x = in[0];
  const Tree& pattern = in.constant(1);
  const std::string& text = pattern.as_string();
  const std::size_t arrow = text.find("->");
  if (arrow == std::string::npos) throw Error("the pattern '{}' has no '->'", text).at(pattern.mark());
  const Groups from = parse_pattern(text.substr(0, arrow), pattern.mark()),
               to = parse_pattern(text.substr(arrow + 2), pattern.mark());
  need(static_cast<int>(from.size()) == x.shape().rank(), "the pattern '{}' has {} axes, got {}", text, from.size(),
       x.shape());
  const Tree& lengths = in.constant(2);
  std::vector<std::string> names;
  Shape split;
  for (int axis = 0; axis < x.shape().rank(); ++axis) {
    const auto& group = from[static_cast<std::size_t>(axis)];
    std::int64_t known = 1, open = -1;
    for (const std::string& name : group) {
      const Tree* length = lengths.find(name);
      if (group.size() == 1) split.append(x.shape()[axis]);
      else if (length) split.append(length->as_integer()), known *= length->as_integer();
      else open = split.rank(), split.append(unknown);
      names.push_back(name);
    }
    need(known > 0, "the lengths of axes in '{}' must be at least 1", text);
    if (open >= 0 && x.shape()[axis] != unknown) split.set(static_cast<int>(open), x.shape()[axis] / known);
  }
  std::vector<std::int64_t> order;
  Shape merged;
  for (const auto& group : to) {
    std::int64_t size = 1;
    for (const std::string& name : group) {
      const auto found = std::find(names.begin(), names.end(), name);
      if (found == names.end())
        throw Error("the axis '{}' of '{}' does not stand before '->'", name, text).at(pattern.mark());
      order.push_back(found - names.begin());
      size = times(size, split[static_cast<int>(order.back())]);
    }
    merged.append(size);
  }
  need(order.size() == names.size(), "the pattern '{}' loses axes", text);
  return emit::reshape(ops::transpose(emit::reshape(x, split), std::move(order)), merged);
}

}  // namespace

Rows products() {
  return {
      numpy.binary("Matmul", "The product of matrices in the last two axes.", matmul),
      numpy.binary("Dot", "Σ over the last axis of x1 and the last but one of x2.", dot),
      numpy.binary("Inner", "Σ over the last axes.", inner),
      numpy.binary("Vdot", "Σ of the products of all elements.", vdot),
      numpy.binary("Outer", "The products of all pairs of elements.", outer),
      numpy.binary("Kron", "Each element of x1 times the whole of x2.", kron),
      numpy.operation<TensordotFields>("Tensordot", "x1, x2", "Σ over pairs of axes.", tensordot),
      numpy.operation<EinsumFields>("Einsum", "*operands", "Products and sums in Einstein's notation.",
                                    [](const EinsumFields& f, const Operands& in) {
                                      Values operands = in.list(0);
                                      const DType dtype = number(operands[0]).dtype();
                                      for (Value& operand : operands) operand = real(operand);
                                      return ops::cast(emit::einsum(f.subscripts, operands), dtype);
                                    }),
      numpy.operation<CrossFields>("Cross", "x1, x2", "The cross product of vectors.", cross),
      numpy.operation<DiffFields>("Diff", "a", "The differences of neighbours.",
                                  [](const DiffFields& f, const Operands& in) { return diff(in[0], f); }),
      numpy.operation<TrapezoidFields>("Trapezoid", "y", "The integral by the trapezoidal rule.", trapezoid),
      numpy.operation<ModeField>("Correlate", "x1, x2", "The cross-correlation of two vectors.", correlate),
      numpy.plain("Corrcoef", "x", "The correlations of the rows.", [](const Operands& in) { return corrcoef(in[0]); }),
      math.real_binary("CDist", "The Euclidean distances of the rows of x and y.", distances),
      einops.plain("Rearrange", "tensor, pattern, **axes_lengths",
                   "Axes split, reordered and merged by a pattern: 'b (h p) c -> b h (p c)'.", rearrange),
  };
}

}  // namespace nacre::operations
