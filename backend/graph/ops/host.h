// Functions of tensors that run on the host: on texts, which no backend knows, and on tables of any size. Before a graph
// is compiled they are taken out of it; see backend/host_part.h.
#pragma once

#include "backend/graph/graph.h"
#include "backend/graph/ops/shape.h"

namespace nacre {

// Immutable, and usable from several threads.
class HostFunction {
 public:
  virtual ~HostFunction() = default;
  virtual std::string_view name() const = 0;  // for messages
  // Sizes that depend on the data are unknown, also where those of the inputs are known. Throws Error for inputs that it
  // does not take.
  virtual Types infer(const Types& inputs) const = 0;
  virtual std::vector<Tensor> run(std::span<const Tensor> inputs) const = 0;
};
using HostFunctionRef = std::shared_ptr<const HostFunction>;

struct HostAttrs {
  HostFunctionRef function;
  Types types;  // of the results, where they are known already; else empty, and the function infers them
  bool operator==(const HostAttrs&) const = default;
  static void describe(auto&& field) {
    field("function", &HostAttrs::function, "from operands to results");
    field("types", &HostAttrs::types, "of the results, where they are known already");
  }
};
std::string text_of(const HostFunctionRef& function);  // its name and address

namespace op {
extern const OpDef<HostAttrs> host;
}  // namespace op

namespace ops {
Values host(HostFunctionRef function, const Values& operands, Types types = {});
}  // namespace ops

// The same elements, texts too, in another shape, of which one size may be unknown.
HostFunctionRef host_reshape(Shape shape);

}  // namespace nacre
