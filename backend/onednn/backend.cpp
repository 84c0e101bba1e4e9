#include <fmt/format.h>

#include "backend/graph/passes/pipeline.h"
#include "backend/onednn/kernels.h"
#include "backend/onednn/onednn.h"

namespace nacre {

namespace onednn {

KernelPlan borrowed(const KernelRequest& request) {
  const KernelRow* row = reference_backend().row(request.node);
  if (!row) throw Error("the cpu backend has no kernel for '{}'", request.node.op().name).about(request.node.label());
  const std::vector<Layout> plain(request.inputs.size(), Layout::plain());
  KernelPlan plan = row->build({.node = request.node, .inputs = plain, .backend = request.backend});
  plan.borrowed = plan.kernel != nullptr;
  return plan;
}

namespace {

std::string_view instruction_set() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41: return "SSE4.1";
    case dnnl::cpu_isa::avx: return "AVX";
    case dnnl::cpu_isa::avx2: return "AVX2";
    case dnnl::cpu_isa::avx2_vnni: return "AVX2 with VNNI";
    case dnnl::cpu_isa::avx2_vnni_2: return "AVX2 with VNNI and bfloat16 conversion";
    case dnnl::cpu_isa::avx512_core: return "AVX-512";
    case dnnl::cpu_isa::avx512_core_vnni: return "AVX-512 with VNNI";
    case dnnl::cpu_isa::avx512_core_bf16: return "AVX-512 with bfloat16";
    case dnnl::cpu_isa::avx512_core_fp16: return "AVX-512 with bfloat16 and float16";
    case dnnl::cpu_isa::avx512_core_amx: return "AVX-512 with AMX";
    case dnnl::cpu_isa::avx512_core_amx_fp16: return "AVX-512 with AMX and float16";
    default: return "generic x86-64";
  }
}

class OneDnnBackend final : public Backend {
 public:
  std::string_view name() const override { return "cpu"; }
  std::string_view description() const override { return description_; }
  std::span<const KernelRow> table() const override { return onednn::table(); }
  std::span<const Pass> passes() const override { return fusing_passes(); }
  std::unique_ptr<Kernel> reorder(const Type& type, const Layout& from, const Layout& to) const override {
    return onednn::reorder(type, from, to);
  }
  bool has_instructions(DType dtype) const override { return onednn::has_instructions(dtype); }
  std::shared_ptr<std::byte[]> allocate(std::size_t bytes) const override { return allocate_bytes(bytes); }

 private:
  std::string description_ = fmt::format("oneDNN {}.{}.{} on {}", dnnl::version()->major, dnnl::version()->minor,
                                         dnnl::version()->patch, instruction_set());
};

}  // namespace
}  // namespace onednn

const Backend& onednn_backend() {
  static const onednn::OneDnnBackend backend;
  return backend;
}

}  // namespace nacre
