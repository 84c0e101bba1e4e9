// What the reference backend computes on the host.
#include "backend/cudnn/backend.h"
#include "backend/cudnn/kernels.h"

namespace nacre::gpu {

namespace {

// A kernel of the host, whose operands come from the device and whose results go there.
class BorrowedKernel final : public Kernel {
 public:
  BorrowedKernel(Device& device, std::unique_ptr<Kernel> kernel, const Node& node, std::size_t scratch_bytes)
      : device_(device), kernel_(std::move(kernel)), scratch_(allocate_bytes(scratch_bytes)) {
    for (Value value : node.inputs()) operands_.push_back(Tensor::uninitialised(value.type()));
    for (const Type& type : node.types()) results_.push_back(Tensor::uninitialised(type));
    for (Tensor& operand : operands_) inputs_.push_back(operand.raw_writable());
    for (Tensor& result : results_) outputs_.push_back(result.raw_writable());
  }
  void run(const KernelArguments& arguments) override {
    for (std::size_t i = 0; i < operands_.size(); ++i)
      if (operands_[i].bytes() > 0)
        device_.copy(const_cast<void*>(inputs_[i]), arguments.inputs[i], operands_[i].bytes());
    device_.wait();
    kernel_->run({.inputs = inputs_, .outputs = outputs_, .scratch = scratch_.get()});
    for (std::size_t i = 0; i < results_.size(); ++i)
      if (results_[i].bytes() > 0) device_.copy(arguments.outputs[i], outputs_[i], results_[i].bytes());
  }

 private:
  Device& device_;
  std::unique_ptr<Kernel> kernel_;
  std::shared_ptr<std::byte[]> scratch_;
  std::vector<Tensor> operands_, results_;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

}  // namespace

KernelPlan borrowed(const KernelRequest& request) {
  const KernelRow* row = reference_backend().row(request.node);
  if (!row) throw Error("the gpu backend has no kernel for '{}'", request.node.op().name).about(request.node.label());
  const std::vector<Layout> plain(request.inputs.size(), Layout::plain());
  KernelPlan host = row->build({.node = request.node, .inputs = plain, .backend = request.backend});
  KernelPlan plan = plan_on_device(request);
  if (!host.kernel) return plan;  // a view is one here too
  plan.kernel =
      std::make_unique<BorrowedKernel>(device_of(request), std::move(host.kernel), request.node, host.scratch_bytes);
  plan.borrowed = true;
  return plan;
}

}  // namespace nacre::gpu
