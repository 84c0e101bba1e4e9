#include "backend/graph/ops/host.h"

namespace nacre {

std::string text_of(const HostFunctionRef& function) {
  return fmt::format("{}@{}", function->name(), static_cast<const void*>(function.get()));
}

namespace {

Types infer_host(const HostAttrs& p, const Types& in) { return p.types.empty() ? p.function->infer(in) : p.types; }

class HostReshape final : public HostFunction {
 public:
  explicit HostReshape(Shape shape) : shape_(std::move(shape)) {}
  std::string_view name() const override { return "reshape"; }
  Types infer(const Types& in) const override { return op::reshape.infer({shape_}, in); }
  std::vector<Tensor> run(std::span<const Tensor> in) const override {
    return {in[0].reshaped(infer({in[0].type()})[0].shape)};
  }

 private:
  Shape shape_;
};

}  // namespace

namespace op {
constinit const OpDef<HostAttrs> host{{.name = "host", .doc = "a function that runs on the host", .kind = OpKind::host}, infer_host};
}  // namespace op

namespace ops {

Values host(HostFunctionRef function, const Values& operands, Types types) {
  ensure(!operands.empty(), "the host function {} has no operands", function->name());
  const Node& node = operands.front().graph().add(op::host, HostAttrs{std::move(function), std::move(types)}, operands);
  Values results;
  for (int i = 0; i < static_cast<int>(node.types().size()); ++i) results.push_back(node.out(i));
  return results;
}

}  // namespace ops

HostFunctionRef host_reshape(Shape shape) { return std::make_shared<HostReshape>(std::move(shape)); }

}  // namespace nacre
