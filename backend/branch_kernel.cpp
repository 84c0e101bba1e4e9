#include "backend/branch_kernel.h"

#include "backend/discarded.h"
#include "backend/executable.h"
#include "backend/graph/ops/branch.h"

namespace nacre {
namespace {

class BranchKernel final : public Kernel {
 public:
  BranchKernel(const std::vector<Subgraph>& bodies, const Backend& backend, Numerics numerics)
      : backend_(backend) {
    const auto workspace = std::make_shared<Workspace>(backend);  // one of them runs at a time
    for (const Subgraph& body : bodies)
      bodies_.push_back(std::make_unique<Executable>(*body, backend, workspace, numerics, Borders::row_major));
  }
  void run(const KernelArguments& arguments) override {
    std::int32_t choice = 0;
    backend_.copy(&choice, arguments.inputs[0], sizeof choice);
    backend_.wait();
    const auto last = static_cast<std::int32_t>(bodies_.size()) - 1;
    const auto chosen = static_cast<std::size_t>(choice >= 0 && choice < last ? choice : last);
    bodies_[chosen]->run_raw(arguments.inputs.subspan(1), arguments.outputs);
  }

 private:
  const Backend& backend_;
  std::vector<std::unique_ptr<Executable>> bodies_;
};

}  // namespace

KernelPlan branch_kernel(const KernelRequest& request) {
  KernelPlan plan = row_major_plan(request);
  plan.kernel =
      std::make_unique<BranchKernel>(request.node.attrs<BranchAttrs>().bodies, request.backend, request.numerics);
  return plan;
}

}  // namespace nacre
