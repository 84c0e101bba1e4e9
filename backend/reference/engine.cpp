#include <cstring>

#include "backend/graph/passes/pipeline.h"
#include "backend/reference/kernels.h"

namespace nacre {

namespace {

// Plain layout is the only one here.
class Copy final : public Kernel {
 public:
  explicit Copy(std::size_t bytes) : bytes_(bytes) {}
  void run(const KernelArguments& arguments) override { std::memcpy(arguments.outputs[0], arguments.inputs[0], bytes_); }

 private:
  std::size_t bytes_;
};

class ReferenceBackend final : public Backend {
 public:
  std::string_view name() const override { return "reference"; }
  std::string_view description() const override { return "plain loops in double precision: the specification, slow"; }
  std::span<const KernelRow> table() const override { return reference::table(); }
  std::span<const Pass> passes() const override { return common_passes(); }
  std::unique_ptr<Kernel> reorder(const Type& type, const Layout& from, const Layout& to) const override {
    ensure(from.is_plain() && to.is_plain(), "the reference backend got a value in layout {}", (from.is_plain() ? to : from).text());
    return std::make_unique<Copy>(type.bytes());
  }
  std::shared_ptr<std::byte[]> allocate(std::size_t bytes) const override { return allocate_bytes(bytes); }
};

}  // namespace

const Backend& reference_backend() {
  static const ReferenceBackend backend;
  return backend;
}

}  // namespace nacre
