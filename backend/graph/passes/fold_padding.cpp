#include "backend/graph/passes/fold_padding.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>

#include "backend/graph/ops/conv.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/normalization.h"
#include "backend/graph/ops/pool.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/passes/readers.h"

namespace nacre {

namespace {

using Sizes = std::vector<std::int64_t>;

// Elements before and after each spatial axis.
struct Sides {
  Sizes before, after;
};

// Sides of all axes → of the spatial ones; none when batch or channels have some too.
std::optional<Sides> spatial(const Sizes& before, const Sizes& after) {
  if (before.size() < 3 || before.front() || before.back() || after.front() || after.back()) return {};
  return Sides{{before.begin() + 1, before.end() - 1}, {after.begin() + 1, after.end() - 1}};
}

std::optional<Sides> zeros_around(const Node& node) {
  if (!node.is(op::pad) || node.attrs<PadAttrs>().value != 0) return {};
  return spatial(node.attrs<PadAttrs>().before, node.attrs<PadAttrs>().after);
}

// What a slice without gaps cuts off.
std::optional<Sides> cut_off(const Node& slice) {
  const auto& p = slice.attrs<SliceAttrs>();
  const Shape& shape = slice.in(0).shape();
  if (std::any_of(p.stride.begin(), p.stride.end(), [](std::int64_t stride) { return stride != 1; })) return {};
  Sizes after;
  for (int axis = 0; axis < shape.rank(); ++axis)
    after.push_back(shape[axis] - p.begin[static_cast<std::size_t>(axis)] - slice.types()[0].shape[axis]);
  return spatial(p.begin, after);
}

template <class Attrs>
Attrs padded(Attrs attrs, const Sides& sides) {
  const auto add = [](Sizes& to, const Sizes& more) {
    to.resize(more.size(), 0);
    std::transform(to.begin(), to.end(), more.begin(), to.begin(), std::plus<>());
  };
  add(attrs.before, sides.before);
  add(attrs.after, sides.after);
  return attrs;
}

// At most half of a window is padding: each covers elements that are not, and oneDNN's fast code goes no further.
bool within_windows(const std::vector<WindowAxis>& axes, const Sizes& extents) {
  for (std::size_t i = 0; i < axes.size(); ++i)
    if (2 * axes[i].before > extents[i] || 2 * axes[i].after > extents[i]) return false;
  return true;
}

std::optional<ConvAttrs> padded_conv(const ConvAttrs& attrs, const Shape& x, const Shape& kernel, const Sides& sides) {
  if (!x.known()) return {};
  ConvAttrs result = padded(attrs, sides);
  Sizes extents;
  for (std::size_t i = 0; i < attrs.strides.size(); ++i)
    extents.push_back((kernel[static_cast<int>(i)] - 1) * attrs.dilations[i] + 1);
  if (!within_windows(window_axes(result, x, kernel), extents)) return {};
  return result;
}

bool rectifies(const BatchNormAttrs& p) { return p.epilogue.activation == EpilogueKind::relu; }

// No element is below 0, as far as a few nodes show.
bool nowhere_negative(Value value, int depth = 4) {
  const Node& node = value.node();
  if (depth == 0) return false;
  const auto in = [&](int index) { return nowhere_negative(node.in(index), depth - 1); };
  if (node.is(op::constant)) return value.shape().rank() == 0 && node.attrs<ConstantAttrs>().value.item() >= 0;
  if (node.is(op::maximum)) return in(0) || in(1);
  if (node.is(op::minimum) || node.is(op::add)) return in(0) && in(1);
  if (node.is(op::batch_norm)) return value.index() == 0 && rectifies(node.attrs<BatchNormAttrs>());
  return node.is(op::relu) || node.is(op::sigmoid) || node.is(op::abs) || node.is(op::square);
}

class Folding {
 public:
  explicit Folding(const Graph& graph) : readers_(graph) {
    for (const Node* node : graph.nodes())
      if (node->is(op::max_pool))
        if (auto sides = pool_sides(*node)) pools_.emplace(node, *std::move(sides));
  }

  bool rewritten(const Node& node, Rewriter& rewriter) const {
    const Graph::Label label(rewriter.to(), node.label());
    const auto replace = [&](Value by) {
      if (by) rewriter.set(node.out(), by);
      return static_cast<bool>(by);
    };
    if (node.is(op::conv)) return replace(conv(node, rewriter));
    if (node.is(op::conv_backward_weights)) return backward_weights(node, rewriter);
    if (node.is(op::slice) && node.in(0).is(op::conv_backward_data)) return replace(backward_data(node, rewriter));
    if (node.is(op::max_pool)) return max_pool(node, rewriter);
    if (node.is(op::max_pool_backward)) return max_pool_backward(node, rewriter);
    // The gradient of a folded pooling has the size that its slice would cut out of it.
    if (node.is(op::slice) && node.in(0).is(op::max_pool_backward) && sides_of(node.in(0).node().in(0).node()))
      return replace(rewriter(node.in(0)));
    return false;
  }

 private:
  // Operands without the op that pads the first.
  static Values unpadded(const Node& node, Rewriter& rewriter) {
    Values operands = rewriter(node.inputs());
    operands[0] = rewriter(node.in(0).node().in(0));
    return operands;
  }

  static Value conv(const Node& node, Rewriter& rewriter) {
    const auto sides = zeros_around(node.in(0).node());
    if (!sides) return {};
    const Shape& x = node.in(0).node().in(0).shape();
    auto attrs = padded_conv(node.attrs<ConvAttrs>(), x, node.in(1).shape(), *sides);
    if (!attrs) return {};
    return rewriter.to().add(op::conv, *std::move(attrs), unpadded(node, rewriter)).out();
  }

  static bool backward_weights(const Node& node, Rewriter& rewriter) {
    const auto sides = zeros_around(node.in(0).node());
    if (!sides) return false;
    auto attrs = node.attrs<ConvBackwardWeightsAttrs>();
    auto conv = padded_conv(attrs.conv, node.in(0).node().in(0).shape(), attrs.shape, *sides);
    if (!conv) return false;
    attrs.conv = *std::move(conv);
    const Node& made = rewriter.to().add(op::conv_backward_weights, std::move(attrs), unpadded(node, rewriter));
    for (int i = 0; i < static_cast<int>(node.types().size()); ++i) rewriter.set(node.out(i), made.out(i));
    return true;
  }

  static Value backward_data(const Node& slice, Rewriter& rewriter) {
    const Node& node = slice.in(0).node();
    const auto sides = cut_off(slice);
    if (!sides || node.uses(0) != 1) return {};
    auto attrs = node.attrs<ConvBackwardDataAttrs>();
    auto conv = padded_conv(attrs.conv, slice.types()[0].shape, node.in(1).shape(), *sides);
    if (!conv) return {};
    attrs = {*std::move(conv), slice.types()[0].shape};
    return rewriter.to().add(op::conv_backward_data, std::move(attrs), rewriter(node.inputs())).out();
  }

  bool max_pool(const Node& node, Rewriter& rewriter) const {
    const Sides* sides = sides_of(node);
    if (!sides) return false;
    const Node& made =
        rewriter.to().add(op::max_pool, padded(node.attrs<PoolAttrs>(), *sides), unpadded(node, rewriter));
    rewriter.set(node.out(0), made.out(0));
    rewriter.set(node.out(1), made.out(1));
    return true;
  }

  bool max_pool_backward(const Node& node, Rewriter& rewriter) const {
    const Node& forward = node.in(0).node();
    const Sides* sides = sides_of(forward);
    if (!sides) return false;
    PoolBackwardAttrs attrs{padded(forward.attrs<PoolAttrs>(), *sides), forward.in(0).node().in(0).shape()};
    rewriter.set(node.out(), rewriter.to().add(op::max_pool_backward, std::move(attrs), rewriter(node.inputs())).out());
    return true;
  }

  // The padding that a pooling can take over.
  std::optional<Sides> pool_sides(const Node& pool) const {
    const auto sides = zeros_around(pool.in(0).node());
    if (!sides) return {};
    const Value x = pool.in(0).node().in(0);
    const auto& attrs = pool.attrs<PoolAttrs>();
    if (!x.shape().known() || !nowhere_negative(x) ||
        !within_windows(window_axes(padded(attrs, *sides), x.shape()), attrs.window))
      return {};
    for (const Node* reader : readers_.of(pool))
      if (reader->is(op::max_pool_backward) && reader->in(0) == pool.out(1) && !only_where_positive(*reader, x, *sides))
        return {};
    return sides;
  }

  // Of the gradient only what stands over the elements of x is used, and of that only where x is above 0.
  bool only_where_positive(const Node& backward, Value x, const Sides& sides) const {
    if (static_cast<std::size_t>(backward.uses(0)) != readers_.of(backward).size()) return false;
    for (const Node* slice : readers_.of(backward)) {
      if (!slice->is(op::slice)) return false;
      const auto cut = cut_off(*slice);
      if (!cut || cut->before != sides.before || cut->after != sides.after) return false;
      if (static_cast<std::size_t>(slice->uses(0)) != readers_.of(*slice).size()) return false;
      for (const Node* reader : readers_.of(*slice))
        if (!selects_where_positive(*reader, slice->out(), x) && !rectifies_gradient(*reader, slice->out(), x))
          return false;
    }
    return true;
  }

  static bool selects_where_positive(const Node& node, Value d, Value x) {
    if (!node.is(op::select) || node.in(1) != d || node.in(2) == d) return false;
    const Value condition = node.in(0);
    return condition.is(op::greater) && condition.node().in(0) == x && nowhere_negative(condition.node().in(1));
  }
  // The gradient of the normalisation that x is the rectified result of.
  static bool rectifies_gradient(const Node& node, Value d, Value x) {
    if (!node.is(op::batch_norm_backward) || !x.is(op::batch_norm) || node.in(4) != d) return false;
    const auto others = node.inputs().size() - static_cast<std::size_t>(std::ranges::count(node.inputs(), d));
    return others + 1 == node.inputs().size() && rectifies(node.attrs<BatchNormAttrs>()) &&
           node.in(0) == x.node().in(0) && node.in(2) == x.node().out(1);
  }

  // The padding that a pooling takes over, or null.
  const Sides* sides_of(const Node& pool) const {
    const auto found = pools_.find(&pool);
    return found == pools_.end() ? nullptr : &found->second;
  }

  Readers readers_;
  std::map<const Node*, Sides> pools_;
};

}  // namespace

std::unique_ptr<Graph> fold_padding(const Graph& graph, const Backend&) {
  const Folding folding(graph);
  return rewrite(graph, [&](const Node& node, Rewriter& rewriter) { return folding.rewritten(node, rewriter); });
}

}  // namespace nacre
