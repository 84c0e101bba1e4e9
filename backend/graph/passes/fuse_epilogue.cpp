#include "backend/graph/passes/fuse_epilogue.h"

#include <numbers>
#include <optional>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/passes/number.h"
#include "backend/graph/passes/product.h"

namespace nacre {

namespace {

// An activation and what it is applied to, in the old graph.
struct Activation {
  Value x;
  EpilogueKind kind;
  double alpha = 0, beta = 0;
};

bool is_number(Value value, double wanted) {
  const auto found = number(value);
  return found && *found == Tensor::scalar(wanted).cast(value.dtype()).item();
}

// x · f(x) with x in one place of the product and f in the other.
std::optional<Activation> gated(Value x, Value gate) {
  if (gate.uses() != 1) return {};
  if (gate.is(op::sigmoid) && gate.node().in(0) == x) return Activation{x, EpilogueKind::silu};
  if (const auto clip = clipped(gate); clip && clip->low == 0 && clip->high == 1 && clip->x.uses() == 1) {
    const auto sum = with_number(clip->x, op::add);
    if (!sum || sum->x.uses() != 1) return {};
    const auto product = with_number(sum->x, op::multiply);
    if (product && product->x == x) return Activation{x, EpilogueKind::hard_silu, product->number, sum->number};
  }
  return {};
}

// x/2 · (1 + erf(x / √2))
std::optional<Activation> gelu(Value half, Value rest) {
  const auto x = with_number(half, op::multiply), sum = with_number(rest, op::add);
  if (!x || !sum || x->number != 0.5 || sum->number != 1 || half.uses() != 1 || rest.uses() != 1) return {};
  if (!sum->x.is(op::erf) || sum->x.uses() != 1) return {};
  const Value scaled = sum->x.node().in(0);
  const auto inner = with_number(scaled, op::multiply);
  if (!inner || inner->x != x->x || scaled.uses() != 1) return {};
  if (inner->number != Tensor::scalar(1 / std::numbers::sqrt2).cast(scaled.dtype()).item()) return {};
  return Activation{x->x, EpilogueKind::gelu};
}

// x where it is positive, else f(x).
std::optional<Activation> rectifier(Value condition, Value a, Value b) {
  if (condition.uses() != 1) return {};
  const auto compares = [&](const Op& op, Value x) {
    return condition.is(op) && condition.node().in(0) == x && is_number(condition.node().in(1), 0);
  };
  if (compares(op::greater, a) && b.uses() == 1) {
    const auto scaled = with_number(b, op::multiply);
    if (scaled && scaled->x == a) return Activation{a, EpilogueKind::leaky_relu, scaled->number};
  }
  if (compares(op::less, b) && a.uses() == 1) {
    const WithNumber scaled = with_number(a, op::multiply).value_or(WithNumber{a, 1});
    if (!scaled.x.is(op::expm1) || scaled.x.uses() != 1) return {};
    const Value below = scaled.x.node().in(0);
    const auto bounded = with_number(below, op::minimum);
    if (bounded && bounded->x == b && bounded->number == 0 && below.uses() == 1)
      return Activation{b, EpilogueKind::elu, scaled.number};
  }
  return {};
}

std::optional<Activation> activation_of(const Node& node) {
  if (node.is(op::relu)) return Activation{node.in(0), EpilogueKind::relu};
  if (node.is(op::tanh)) return Activation{node.in(0), EpilogueKind::tanh};
  if (node.is(op::sigmoid)) return Activation{node.in(0), EpilogueKind::sigmoid};
  if (const auto clip = node.is(op::minimum) ? clipped(node.out()) : std::nullopt)
    return Activation{clip->x, EpilogueKind::clip, clip->low, clip->high};
  if (node.is(op::select)) return rectifier(node.in(0), node.in(1), node.in(2));
  if (!node.is(op::multiply)) return {};
  for (int i = 0; i < 2; ++i)
    for (const auto rule : {gated, gelu})
      if (auto found = rule(node.in(i), node.in(1 - i))) return found;
  return {};
}

// How often the activation's own nodes read x: nobody else may.
int reads(EpilogueKind kind) {
  switch (kind) {
    case EpilogueKind::silu:
    case EpilogueKind::hard_silu:
    case EpilogueKind::gelu: return 2;
    case EpilogueKind::leaky_relu:
    case EpilogueKind::elu: return 3;
    default: return 1;
  }
}

// The product that a value is, as it is or in another shape.
Value product_of(Value value) {
  if (value.is(op::reshape) && value.node().in(0).uses() == 1 && is_product(value.node().in(0)))
    return value.node().in(0);
  return is_product(value) ? value : Value();
}

Value with_activation(Value product, const Activation& activation) {
  Epilogue epilogue = epilogue_of(product);
  if (epilogue.activation != EpilogueKind::none) return {};
  epilogue.activation = activation.kind;
  epilogue.alpha = activation.alpha;
  epilogue.beta = activation.beta;
  return with_epilogue(product, product.node().inputs(), epilogue);
}

// Whether an operand of that shape, added to a value in which the last axis of the product may be split (into heads, say),
// is one number for each place of that axis.
bool is_bias(const Shape& addend, const Shape& value, const Shape& product) {
  return addend.rank() > 0 && addend.rank() <= value.rank() && addend == value.from(value.rank() - addend.rank()) &&
         addend.known() && addend.elements() == product[-1];
}

// value + addend, as a bias or a residual of the product that the value is.
Value with_addend(Value product, Value value, Value addend) {
  Epilogue epilogue = epilogue_of(product);
  if (epilogue.activation != EpilogueKind::none || addend.dtype() != product.dtype()) return {};
  Values operands = product.node().inputs();
  if (is_bias(addend.shape(), value.shape(), product.shape()) && !epilogue.bias) {
    epilogue.bias = true;
    operands.insert(operands.begin() + 2, addend.shape().rank() == 1 ? addend : ops::reshape(addend, {product.shape()[-1]}));
  } else if (addend.shape() == product.shape() && !epilogue.residual) {
    epilogue.residual = true;
    operands.push_back(addend);
  } else {
    return {};
  }
  return with_epilogue(product, std::move(operands), epilogue);
}

}  // namespace

std::unique_ptr<Graph> fuse_epilogue(const Graph& graph, const Backend&) {
  return rewrite(graph, [&](const Node& node, Rewriter& rewriter) {
    // `old` becomes the product with more of an epilogue.
    const auto fuse = [&](Value old, int reads, auto&& with) {
      const Value present = rewriter(old), product = product_of(present);
      if (!product || old.uses() != reads || old.shape() != node.types()[0].shape) return false;
      if (old.is(op::reshape) && old.node().in(0).uses() != 1) return false;  // some of them come later
      const Value fused = with(product, present);
      if (!fused) return false;
      rewriter.set(node.out(), product == present ? fused : ops::reshape(fused, present.shape()));
      return true;
    };
    if (const auto activation = activation_of(node))
      return fuse(activation->x, reads(activation->kind),
                  [&](Value product, Value) { return with_activation(product, *activation); });
    if (!node.is(op::add)) return false;
    for (int i : {1, 0})  // of two products the later takes the other
      if (fuse(node.in(i), 1, [&](Value product, Value present) {
            return with_addend(product, present, rewriter(node.in(1 - i)));
          }))
        return true;
    return false;
  });
}

}  // namespace nacre
