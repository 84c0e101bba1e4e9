#include "backend/branch_kernel.h"

#include "backend/executable.h"
#include "backend/graph/ops/branch.h"

namespace nacre {
namespace {

class BranchKernel final : public Kernel {
 public:
  BranchKernel(const std::vector<Subgraph>& bodies, const Backend& backend, MatmulPrecision precision) {
    const auto workspace = std::make_shared<Workspace>(backend);  // one of them runs at a time
    for (const Subgraph& body : bodies) bodies_.push_back(std::make_unique<Executable>(*body, backend, workspace, precision));
  }
  void run(const KernelArguments& arguments) override {
    const std::int32_t choice = *static_cast<const std::int32_t*>(arguments.inputs[0]);
    const auto last = static_cast<std::int32_t>(bodies_.size()) - 1;
    const auto chosen = static_cast<std::size_t>(choice >= 0 && choice < last ? choice : last);
    bodies_[chosen]->run_raw(arguments.inputs.subspan(1), arguments.outputs);
  }

 private:
  std::vector<std::unique_ptr<Executable>> bodies_;
};

}  // namespace

KernelPlan branch_kernel(const KernelRequest& request) {
  KernelPlan plan;
  plan.kernel = std::make_unique<BranchKernel>(request.node.attrs<BranchAttrs>().bodies, request.backend,
                                               request.precision);
  plan.inputs.assign(request.node.inputs().size(), Layout::plain());
  plan.outputs.assign(request.node.types().size(), Layout::plain());
  return plan;
}

}  // namespace nacre
