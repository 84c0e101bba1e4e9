#include "layers/emit.h"

#include <algorithm>
#include <numeric>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"

namespace nacre::emit {

namespace {

Value placeholder(Graph& graph, Type type) {
  return graph.input(fmt::format("placeholder{}", graph.inputs().size()), std::move(type));
}

}  // namespace

Value zeros(Graph& graph, const Type& type) {
  return type.shape.known() ? ops::broadcast_to(graph.scalar(0, type.dtype), type.shape) : placeholder(graph, type);
}

Value reshape(Value x, const Shape& shape) {
  if (std::count(shape.begin(), shape.end(), unknown) <= 1) return ops::reshape(x, shape);
  return ops::reshape_like(x, placeholder(x.graph(), {x.dtype(), shape}));
}

Value broadcast(Value x, const Shape& shape) {
  if (x.shape() == shape && shape.known()) return x;
  return shape.known() ? ops::broadcast_to(x, shape)
                       : ops::broadcast_like(x, placeholder(x.graph(), {x.dtype(), shape}));
}

Value repeat(Value x, int axis, std::int64_t times) {
  if (times == 1) return x;
  axis = x.shape().checked(axis);
  Shape wide = x.shape().first(axis + 1), shape = x.shape();
  wide.append(times);
  if (shape[axis] != unknown) shape.set(axis, shape[axis] * times);
  return reshape(broadcast(ops::expand_dims(x, axis + 1), wide + x.shape().from(axis + 1)), shape);
}

Value any(Value x, std::vector<std::int64_t> axes, bool keepdims) {
  return ops::cast(ops::max(ops::cast(x, DType::int32), std::move(axes), keepdims), DType::boolean);
}

Value move_axis(Value x, int from, int to) {
  std::vector<std::int64_t> axes(static_cast<std::size_t>(x.shape().rank()));
  std::iota(axes.begin(), axes.end(), 0);
  from = x.shape().checked(from), to = x.shape().checked(to);
  if (from == to) return x;
  axes.erase(axes.begin() + from);
  axes.insert(axes.begin() + to, from);
  return ops::transpose(x, std::move(axes));
}

Value channels_last(Value x) { return move_axis(x, 1, -1); }

Value channels_first(Value x) { return move_axis(x, -1, 1); }

namespace {

[[noreturn]] void refuse_rank(const Shape& shape, int rank, std::string_view bound) {
  Error error("got input {}, wanted rank {}{}", shape, bound, rank);
  if (rank == 2) error.hint("put a Flatten layer before it");
  else
    error.hint(
        fmt::format("put a Reshape layer before it that {} axes", shape.rank() < rank ? "adds the missing" : "merges"));
  throw error;
}

}  // namespace

void want_rank(const Shape& shape, int rank) {
  if (shape.rank() != rank) refuse_rank(shape, rank, "");
}

void want_rank_at_least(const Shape& shape, int rank) {
  if (shape.rank() < rank) refuse_rank(shape, rank, "at least ");
}

void want_size(const Shape& shape, int axis, std::int64_t size) {
  need(same(shape[axis], size), "got input {}, wanted {} in axis {}, as when the layer was built", shape, size, axis);
}

std::int64_t known_size(const Shape& shape, int axis) {
  need(shape[axis] != unknown, "got input {}, wanted a known size in axis {}", shape, axis);
  return shape[axis];
}

std::int64_t product(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) throw Error("{} × {} is too large for a size", a, b);
  return result;
}

}  // namespace nacre::emit
