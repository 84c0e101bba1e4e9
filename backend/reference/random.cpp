#include "backend/graph/ops/random.h"

#include "backend/core/random.h"
#include "backend/reference/kernel.h"
#include "backend/reference/kernels.h"

namespace nacre::reference {

KernelPlan random_uniform(const KernelRequest& request) {
  const auto& p = request.node.attrs<RandomAttrs>();
  return plain_kernel(request, [p, count = request.node.types()[0].shape.elements()](const KernelArguments& arguments) {
    const auto seed = *static_cast<const std::int64_t*>(arguments.inputs[0]);
    const auto step = *static_cast<const std::int64_t*>(arguments.inputs[1]);
    const RandomKey key = RandomKey::of(static_cast<std::uint64_t>(seed), p.path, static_cast<std::uint32_t>(p.call),
                                        static_cast<std::uint32_t>(step));
    auto* y = static_cast<float*>(arguments.outputs[0]);
    for (std::int64_t i = 0; i < count; ++i) y[i] = uniform_from(key.word(static_cast<std::uint64_t>(i)));
  });
}

}  // namespace nacre::reference
