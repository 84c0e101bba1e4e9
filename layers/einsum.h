// Einstein's summation convention on ops.
#pragma once

#include <string_view>

#include "backend/graph/graph.h"

namespace nacre::emit {

// "abc,cde->abde" names the axes of each operand and of the result by letters; letters that the result lacks are summed
// over, a letter twice in one operand takes its diagonal, and "..." stands for any number of axes, which broadcast.
// Without "->" the result has the letters that occur once, in alphabetical order. Products of two operands become one
// matrix product wherever an axis is summed over. Sizes may be unknown.
Value einsum(std::string_view equation, const Values& operands);

}  // namespace nacre::emit
