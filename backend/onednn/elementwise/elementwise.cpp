#include "backend/onednn/elementwise/elementwise.h"

#include <algorithm>

#include "backend/graph/ops/fused.h"
#include "backend/graph/ops/random.h"
#include "backend/onednn/elementwise/blocked.h"
#include "backend/onednn/elementwise/exactness.h"
#include "backend/onednn/elementwise/integers.h"
#include "backend/onednn/elementwise/program.h"
#include "backend/onednn/kernels.h"

namespace nacre::onednn {

namespace {

class ElementwiseKernel final : public Kernel {
 public:
  explicit ElementwiseKernel(Program program) : program_(std::move(program)) {}
  void run(const KernelArguments& arguments) override { program_.run(arguments); }

 private:
  Program program_;
};

KernelPlan plan(const Graph& body, const KernelRequest& request) {
  KernelPlan plan;
  std::optional<BlockedBody> blocked = blocked_body(body, request);
  plan.inputs = blocked ? std::move(blocked->operands) : std::vector(body.inputs().size(), Layout::plain());
  plan.outputs = blocked ? std::move(blocked->results) : std::vector(body.outputs().size(), Layout::plain());
  Program program = compile_program(blocked ? *blocked->body : body, loops());
  for (int output = 0; output < static_cast<int>(plan.outputs.size()); ++output)
    for (int input = 0; input < static_cast<int>(plan.inputs.size()); ++input)
      if (program.may_overwrite(output, input)) plan.in_place.push_back({output, input});
  plan.scratch_bytes = program.scratch_bytes;
  plan.kernel = std::make_unique<ElementwiseKernel>(std::move(program));
  return plan;
}

}  // namespace

bool fuses(const Node& node) { return computes_exactly(node); }

bool sums_rows(const Node& node) {
  const DType index = node.in(0).dtype(), element = node.types()[0].dtype;
  const Shape& table = node.types()[0].shape;
  return (index == DType::int32 || index == DType::int64) && is_floating(element) && element != DType::float64 &&
         RowLists(table[0], node.in(0).shape().elements()).fits();
}

KernelPlan elementwise(const KernelRequest& request) {
  if (computes_exactly(request.node)) return plan(*group_of(request.node), request);
  return computes_on_integers(request.node) ? integers(request) : borrowed(request);
}

KernelPlan fused(const KernelRequest& request) { return plan(*request.node.attrs<FusedAttrs>().body, request); }

}  // namespace nacre::onednn
