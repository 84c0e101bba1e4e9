// Two numbers for each column of a matrix, of all its rows, as normalisations need them. Neighbouring threads read
// neighbouring columns; columns are cut into parts, which are joined, where there are too few to keep a device busy.
#pragma once

#include "backend/cudnn/kernels.h"

namespace nacre::gpu {

struct Columns {
  std::int64_t rows = 0, columns = 0;
  DType number = DType::float32;  // that is computed with, or float64
  // A running value `state`, a struct with a template parameter (columns.cpp) and the struct that joins two of them;
  // statements before the rows of the column `line` and for its row `r`; the two numbers, as expressions of `state`.
  std::string_view state, join;
  std::string before{}, take{};
  std::string first{}, second{};
};

// A plan that writes the two numbers to results 1 and 2 of the request's node. Then, where `last` is not empty, it is
// done for each element `i` of a matrix of that size, column `column`, with both as `first` and `second`.
KernelPlan over_columns(const KernelRequest& request, const Columns& columns, std::string_view last = {});

}  // namespace nacre::gpu
