// The epilogue of convolutions and matrix products, as a loop over the finished result.
#pragma once

#include "backend/graph/ops/epilogue.h"
#include "backend/reference/kernel.h"

namespace nacre::reference {

// `first` is the index of the epilogue's first operand.
void apply_epilogue(const Epilogue& epilogue, Operands operands, std::size_t first, const Result& y);

}  // namespace nacre::reference
