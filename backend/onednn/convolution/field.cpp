#include "backend/onednn/convolution/field.h"

#include <limits>

namespace nacre::onednn {

std::optional<Field> field_of(const Desc& desc, dnnl::memory::data_type element) {
  if (desc.get_data_type() != element || desc.get_ndims() != 4) return {};
  const Dims dims = desc.get_dims(), strides = desc.get_strides(), blocks = desc.get_inner_blks();
  Field field{dims[0], dims[1], dims[2], dims[3], strides[0], strides[1], strides[2], strides[3], dims[1]};
  if (blocks.empty() ? strides[1] != 1 : blocks.size() != 1 || desc.get_inner_idxs()[0] != 1) return {};
  if (!blocks.empty()) field.block_width = blocks[0];
  return field;
}

std::optional<Bounds> bounds_of(const Epilogue& epilogue) {
  constexpr float endless = std::numeric_limits<float>::infinity();
  switch (epilogue.activation) {
    case EpilogueKind::none: return Bounds{.bounded = false, .low = -endless, .high = endless};
    case EpilogueKind::relu: return Bounds{.bounded = true, .low = 0, .high = endless};
    case EpilogueKind::clip:
      return Bounds{
          .bounded = true, .low = static_cast<float>(epilogue.alpha), .high = static_cast<float>(epilogue.beta)};
    default: return {};
  }
}

}  // namespace nacre::onednn
