#include "backend/onednn/engine.h"

namespace nacre::onednn {
namespace {

class Copy final : public Kernel {
 public:
  explicit Copy(std::size_t bytes) : bytes_(bytes) {}
  void run(const KernelArguments& arguments) override { copy_bytes(arguments.inputs[0], arguments.outputs[0], bytes_); }

 private:
  std::size_t bytes_;
};

// Two descriptors whose axes were split differently meet in row-major order.
class TwoSteps final : public Kernel {
 public:
  TwoSteps(std::unique_ptr<Kernel> first, std::unique_ptr<Kernel> second, std::size_t bytes)
      : first_(std::move(first)), second_(std::move(second)), between_(allocate_bytes(bytes)) {}
  void run(const KernelArguments& arguments) override {
    void* target = between_.get();
    const void* source = between_.get();
    first_->run({.inputs = arguments.inputs, .outputs = {&target, 1}, .scratch = nullptr});
    second_->run({.inputs = {&source, 1}, .outputs = arguments.outputs, .scratch = nullptr});
  }

 private:
  std::unique_ptr<Kernel> first_, second_;
  std::shared_ptr<std::byte[]> between_;
};

std::unique_ptr<Kernel> reorder_descs(const Desc& from, const Desc& to) {
  // Reorders run without scratch memory of the caller's, so the library keeps its own.
  const dnnl::reorder::primitive_desc made(engine(), from, engine(), to);
  auto kernel = std::make_unique<PrimitiveKernel>(dnnl::reorder(made), made.scratchpad_desc());
  kernel->input(DNNL_ARG_FROM, 0, from);
  kernel->output(DNNL_ARG_TO, 0, to);
  return kernel;
}

}  // namespace

std::unique_ptr<Kernel> reorder(const Type& type, const Layout& from, const Layout& to) {
  if (from == to) return std::make_unique<Copy>(from.bytes(type));
  if (const auto* packed = dynamic_cast<const PackedLayout*>(to.detail())) {
    if (auto packing = packed->packing(type, from)) return packing;
    return std::make_unique<TwoSteps>(reorder(type, from, Layout::plain()), packed->packing(type, Layout::plain()),
                                      type.bytes());
  }
  const Desc source = desc_of(from, type), target = desc_of(to, type);
  if (source.get_dims() == target.get_dims()) return reorder_descs(source, target);
  if (from.is_plain()) return reorder_descs(source.reshape(target.get_dims()), target);
  if (to.is_plain()) return reorder_descs(source, target.reshape(source.get_dims()));
  return std::make_unique<TwoSteps>(reorder(type, from, Layout::plain()), reorder(type, Layout::plain(), to),
                                    type.bytes());
}

}  // namespace nacre::onednn
