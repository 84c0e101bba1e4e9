// CUDA source: what kernels that are written as text have in common.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "backend/core/shape.h"
#include "backend/core/tensor.h"

namespace nacre::gpu {

// Types and functions that every source begins with: element types in memory, their conversions, Philox.
std::string_view prelude();

// As elements lie in memory, and as they are computed with: float for the short floating types, double, long long for
// integers, bool.
std::string_view memory_type(DType dtype);
std::string_view compute_type(DType dtype);
// The compute type, or integer for bool.
std::string_view sum_type(DType dtype);
// Expressions: the element at an index of a pointer; the statement that stores a value of the compute type there.
std::string load(DType dtype, std::string_view pointer, std::string_view index);
std::string store(DType dtype, std::string_view pointer, std::string_view index, std::string_view value);
// A literal of the compute type.
std::string literal(DType dtype, double value);

// An expression for the offset in an operand while a row-major index `index` walks over `space`; a step along axis i of
// it is one by strides[i] of the operand.
std::string offset(std::string_view index, const Shape& space, const std::vector<std::int64_t>& strides,
                   std::int64_t base = 0);

// The head of a kernel over operands of these types, inputs in0 … and outputs out0 …, up to and without its brace.
std::string signature(std::string_view name, const Types& inputs, const Types& outputs);

}  // namespace nacre::gpu
