#include "backend/cudnn/backend.h"

#include <fmt/format.h>

#include "backend/cudnn/kernels.h"
#include "backend/graph/passes/pipeline.h"

namespace nacre::gpu {

namespace {

class DenseDetail final : public LayoutDetail {
 public:
  explicit DenseDetail(std::size_t size) : size_(size) {}
  bool equals(const LayoutDetail& other) const override { return dynamic_cast<const DenseDetail*>(&other) != nullptr; }
  std::size_t bytes() const override { return size_; }
  std::string text() const override { return "device"; }

 private:
  std::size_t size_;
};

// A value from the host to the device, back, or within one of them.
class Transfer final : public Kernel {
 public:
  Transfer(Device& device, std::size_t bytes, bool to_host) : device_(device), bytes_(bytes), to_host_(to_host) {}
  void run(const KernelArguments& arguments) override {
    if (bytes_ > 0) device_.copy(arguments.outputs[0], arguments.inputs[0], bytes_);
    if (to_host_) device_.wait();
  }

 private:
  Device& device_;
  std::size_t bytes_;
  bool to_host_;
};

class GpuBackend final : public Backend {
 public:
  explicit GpuBackend(std::shared_ptr<Device> device)
      : device_(std::move(device)),
        description_(fmt::format("{} with {}", device_->facts().name, device_->facts().libraries)) {}

  std::string_view name() const override { return "gpu"; }
  std::string_view description() const override { return description_; }
  std::span<const KernelRow> table() const override { return gpu::table(); }
  std::span<const Pass> passes() const override { return fusing_passes(); }
  std::unique_ptr<Kernel> reorder(const Type& type, const Layout& from, const Layout& to) const override {
    ensure(!from.is_any() && !to.is_any(), "a copy of a value that has no layout");
    return std::make_unique<Transfer>(*device_, type.bytes(), to.is_plain());
  }
  bool has_instructions(DType dtype) const override {
    return dtype == DType::bfloat16 ? device_->facts().architecture >= 80 : true;
  }
  std::shared_ptr<std::byte[]> allocate(std::size_t bytes) const override {
    if (bytes == 0) return {};
    return {static_cast<std::byte*>(device_->allocate(bytes)),
            [device = device_](std::byte* memory) { device->release(memory); }};
  }
  bool shares_host_memory() const override { return false; }

  Device& device() const { return *device_; }

 private:
  std::shared_ptr<Device> device_;
  std::string description_;
};

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

std::unique_ptr<Backend> backend_on(std::shared_ptr<Device> device) {
  return std::make_unique<GpuBackend>(std::move(device));
}

Layout dense(const Type& type) { return Layout::opaque(std::make_shared<DenseDetail>(type.bytes())); }

Device& device_of(const KernelRequest& request) {
  const auto* backend = dynamic_cast<const GpuBackend*>(&request.backend);
  ensure(backend != nullptr, "a kernel of the gpu backend for the {} backend", request.backend.name());
  return backend->device();
}

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
