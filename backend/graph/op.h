// What an op is: a name, attributes, a shape rule and a gradient rule. It never touches memory.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/core/describe.h"
#include "backend/core/shape.h"

namespace nacre {

class Graph;
class Node;
class Value;
using Values = std::vector<Value>;

// The attributes of a node: an immutable described struct, its type erased.
class Attributes {
 public:
  Attributes() = default;
  template <Described A>
  explicit Attributes(A attributes) : holder_(std::make_shared<const Holder<A>>(std::move(attributes))) {}

  template <class A>
  const A& as() const {
    const auto* holder = dynamic_cast<const Holder<A>*>(holder_.get());
    ensure(holder != nullptr, "attributes were read as another type");
    return holder->value;
  }
  std::string text() const { return holder_ ? holder_->text() : ""; }  // equal attributes have equal texts
  bool operator==(const Attributes& other) const {
    return holder_ == other.holder_ || (holder_ && other.holder_ && holder_->equals(*other.holder_));
  }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual std::string text() const = 0;
    virtual bool equals(const Base& other) const = 0;
  };
  template <class A>
  struct Holder final : Base {
    explicit Holder(A attributes) : value(std::move(attributes)) {}
    std::string text() const override { return text_of(value); }
    bool equals(const Base& other) const override {
      const auto* same = dynamic_cast<const Holder*>(&other);
      return same && value == same->value;
    }
    A value;
  };
  std::shared_ptr<const Base> holder_;
};

// Attributes of ops that have none.
struct NoAttributes {
  bool operator==(const NoAttributes&) const = default;
  static void describe(auto&&) {}
};

// One per output of a node: the gradient of the loss with respect to it; absent (a null Value) when nothing that
// matters depends on that output.
using Cotangents = Values;
// One per input of a node; absent where there is none (integers, inputs that the output does not depend on).
using Gradients = Values;

// How an op may be treated by passes and backends that do not know it by name.
enum class OpKind : std::uint8_t {
  leaf,         // input, variable, constant: has no operands
  elementwise,  // every output element depends on the operands' elements at its (broadcast) place alone
  general,
  host,         // runs on the host, also on texts; taken out of a graph before it is compiled (backend/host_part.h)
};

// The type-erased record that graphs, passes and backends see; one constant per op, compared by address.
struct Op {
  std::string_view name;
  std::string_view doc;  // one line: the formula
  OpKind kind = OpKind::general;
  bool keeps_zero = false;  // element-wise with f(0, …, 0) = 0, so the zeros of padded blocks stay zeros

  Types (*infer_erased)(const Op&, const Attributes&, const Types&) = nullptr;
  Gradients (*grad_erased)(const Op&, const Attributes&, const Node&, const Cotangents&) = nullptr;
  Values (*decompose_erased)(const Op&, const Attributes&, const Node&, const Values&) = nullptr;

  bool operator==(const Op& other) const { return this == &other; }
};

// The definition of an op with attributes of type A. Initialised at compile time:
//   inline constexpr OpDef<MatMulAttrs> matmul{{.name = "matmul", .doc = "…"}, infer_matmul, grad_matmul};
// infer:     (attributes, input types) → output types; inputs may have unknown sizes; throws Error when they do not fit
// grad:      (attributes, node, cotangents of its outputs) → gradients of its inputs, in terms of other ops;
//            null: the op has no gradient (its inputs are treated as constants)
// decompose: (attributes, node, its inputs in the new graph) → outputs from simpler ops, for backends without a
//            kernel; null: there is none
template <Described A>
struct OpDef : Op {
  using Attrs = A;
  using Infer = Types (*)(const A&, const Types&);
  using Grad = Gradients (*)(const A&, const Node&, const Cotangents&);
  using Decompose = Values (*)(const A&, const Node&, const Values&);

  // The kind of a rule, not its value, says whether there is one: under sanitizers g++ 12 does not know at compile time
  // that the address of a function is not null.
  template <class GradRule = std::nullptr_t, class DecomposeRule = std::nullptr_t>
  constexpr OpDef(Op base, Infer infer_rule, GradRule grad_rule = nullptr, DecomposeRule decompose_rule = nullptr)
      : Op(base), infer(infer_rule), grad(grad_rule), decompose(decompose_rule) {
    infer_erased = [](const Op& op, const Attributes& attributes, const Types& types) {
      return static_cast<const OpDef&>(op).infer(attributes.as<A>(), types);
    };
    if constexpr (!std::is_null_pointer_v<GradRule>)
      grad_erased = [](const Op& op, const Attributes& attributes, const Node& node, const Cotangents& cotangents) {
        return static_cast<const OpDef&>(op).grad(attributes.as<A>(), node, cotangents);
      };
    if constexpr (!std::is_null_pointer_v<DecomposeRule>)
      decompose_erased = [](const Op& op, const Attributes& attributes, const Node& node, const Values& inputs) {
        return static_cast<const OpDef&>(op).decompose(attributes.as<A>(), node, inputs);
      };
  }

  Infer infer;
  Grad grad;
  Decompose decompose;
};

}  // namespace nacre
