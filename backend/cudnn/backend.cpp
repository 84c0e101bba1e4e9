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
  Transfer(Device& device, std::size_t bytes, bool within_device)
      : device_(device), bytes_(bytes), within_device_(within_device) {}
  void run(const KernelArguments& arguments) override {
    if (bytes_ > 0) device_.copy(arguments.outputs[0], arguments.inputs[0], bytes_);
  }
  std::int64_t launches() const override { return within_device_; }

 private:
  Device& device_;
  std::size_t bytes_;
  bool within_device_;
};

// Values from the host that come beside other work.
class Arrivals final : public Kernel {
 public:
  explicit Arrivals(std::unique_ptr<Work> work) : work_(std::move(work)) {}
  void run(const KernelArguments& arguments) override { work_->run(arguments.inputs, arguments.outputs, nullptr); }

 private:
  std::unique_ptr<Work> work_;
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
    return std::make_unique<Transfer>(*device_, type.bytes(), !from.is_plain() && !to.is_plain());
  }
  bool has_instructions(DType dtype) const override {
    return dtype == DType::bfloat16 ? device_->facts().architecture >= 80 : true;
  }
  bool multiplies_float8() const override { return device_->facts().architecture >= 89; }
  std::shared_ptr<std::byte[]> allocate(std::size_t bytes) const override {
    if (bytes == 0) return {};
    return {static_cast<std::byte*>(device_->allocate(bytes)),
            [device = device_](std::byte* memory) { device->release(memory); }};
  }
  bool shares_host_memory() const override { return false; }

  Layout row_major(const Type& type) const override { return dense(type); }
  void copy(void* to, const void* from, std::size_t bytes) const override {
    if (bytes > 0) device_->copy(to, from, bytes);
  }
  void clear(void* memory, std::size_t bytes) const override {
    if (bytes > 0) device_->clear(memory, bytes);
  }
  void wait() const override { device_->wait(); }
  std::unique_ptr<Kernel> arrivals(std::span<const Type> types) const override {
    std::vector<std::size_t> bytes;
    for (const Type& type : types) bytes.push_back(type.bytes());
    auto work = device_->arrivals(bytes);
    return work ? std::make_unique<Arrivals>(std::move(work)) : nullptr;
  }
  std::unique_ptr<Fence> fence() const override { return device_->fence(); }
  std::shared_ptr<std::byte[]> result_memory(std::size_t bytes) const override { return device_->host_memory(bytes); }
  Recorder* recorder() const override { return device_.get(); }

  Device& device() const { return *device_; }

 private:
  std::shared_ptr<Device> device_;
  std::string description_;
};

}  // namespace

std::unique_ptr<Backend> backend_on(std::shared_ptr<Device> device) {
  return std::make_unique<GpuBackend>(std::move(device));
}

Layout dense(const Type& type) { return Layout::opaque(std::make_shared<DenseDetail>(type.bytes())); }

Device& device_of(const Backend& backend) {
  const auto* found = dynamic_cast<const GpuBackend*>(&backend);
  ensure(found != nullptr, "a kernel of the gpu backend for the {} backend", backend.name());
  return found->device();
}

}  // namespace nacre::gpu
