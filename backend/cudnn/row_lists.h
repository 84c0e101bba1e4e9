// The updates of each row of a table, by their indices, listed on the device: sums of rows are the same in every run
// and no thread waits for another.
#pragma once

#include <memory>
#include <string>

#include "backend/cudnn/kernels.h"

namespace nacre::gpu {

// The lists lie in device memory as int32: the places of all updates sorted by row, those of a row in index order; then
// for each row where its own begin, then where they end. Indices out of range are in no list.
class RowLists {
 public:
  RowLists(std::int64_t rows, const Type& indices) : rows_(rows), indices_(indices.dtype, {indices.shape.elements()}) {}
  bool fits() const;
  Type type() const { return {DType::int32, {indices_.shape[0] + 2 * rows_}}; }
  std::size_t scratch_bytes() const;  // of the kernel

  // Makes lists of the indices.
  std::unique_ptr<Kernel> kernel(Device& device) const;
  // Statements that do `body` for each update of `row`, whose place is `update`; `lists` is a pointer.
  std::string each(std::string_view lists, std::string_view row, std::string_view body) const;

 private:
  std::int64_t rows_;
  Type indices_;
};

}  // namespace nacre::gpu
