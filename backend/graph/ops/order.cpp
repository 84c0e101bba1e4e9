#include "backend/graph/ops/order.h"

namespace nacre {

namespace {

Types infer_after(const NoAttributes&, const Types& in) { return {in[0]}; }
Gradients grad_after(const NoAttributes&, const Node&, const Cotangents& d) { return {d[0], {}}; }

}  // namespace

constinit const OpDef<NoAttributes> op::after{{.name = "after", .doc = "a, once b has been computed"}, infer_after, grad_after};

Value ops::after(Value x, Value earlier) { return x.graph().add(op::after, NoAttributes{}, {x, earlier}).out(); }

}  // namespace nacre
