// Reduced precision of products. oneDNN's own modes for it (fpmath) change nothing but where there is AMX, so operands are
// rounded by reorders, which the products that share an operand share too; sums are float32.
#include "backend/graph/flops.h"
#include "backend/onednn/kernels.h"

namespace nacre::onednn {

namespace {

bool at_least(dnnl::cpu_isa wanted) {
  const dnnl::cpu_isa isa = dnnl::get_effective_cpu_isa();
  return (static_cast<unsigned>(isa) & static_cast<unsigned>(wanted)) == static_cast<unsigned>(wanted);
}

}  // namespace

bool multiplies_tiles() { return at_least(dnnl::cpu_isa::avx512_core_amx); }

bool has_instructions(DType dtype) {
  switch (dtype) {
    case DType::bfloat16: return at_least(dnnl::cpu_isa::avx512_core_bf16);
    case DType::float16: return false;  // oneDNN 3.2 has no fast backward products of them
    default: return true;
  }
}

bool rounds_factors(const KernelRequest& request) {
  // Multiplications per rounded element. Training of products of 64×512 by 512×512 (57) took 0.63 of its time on Zen 4, two
  // threads.
  constexpr std::int64_t worth = 32;
  const Value a = request.node.in(0), b = request.node.in(1);
  return request.numerics.matmul_precision == MatmulPrecision::medium && a.dtype() == DType::float32 && b.dtype() == DType::float32 &&
         has_instructions(DType::bfloat16) &&
         flops_of(request.node) >= 2 * worth * (a.shape().elements() + b.shape().elements());
}

}  // namespace nacre::onednn
