// The updates of each row of a table, by their indices.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace nacre::onednn {

// Lists in index order, in scratch memory. Each range of rows can be linked by a thread of its own. Indices out of range
// are in no list.
class RowLists {
 public:
  RowLists(std::int64_t rows, std::int64_t count) : rows_(rows), count_(count) {}
  bool fits() const { return std::max(rows_, count_) < std::numeric_limits<std::int32_t>::max(); }
  std::size_t scratch_bytes() const { return static_cast<std::size_t>(rows_ + count_) * sizeof(std::int32_t); }

  template <class Index>
  void link(const Index* index, std::int64_t begin, std::int64_t end, void* scratch) const {
    auto* first = static_cast<std::int32_t*>(scratch);  // by row
    std::int32_t* next = first + rows_;                 // by update
    std::fill(first + begin, first + end, none);
    for (std::int64_t i = count_ - 1; i >= 0; --i) {
      if (index[i] < begin || index[i] >= end) continue;
      next[i] = first[index[i]];
      first[index[i]] = static_cast<std::int32_t>(i);
    }
  }
  // Calls function with the number of each update of a row that was linked.
  template <class Function>
  void each(std::int64_t row, const void* scratch, Function&& function) const {
    const auto* first = static_cast<const std::int32_t*>(scratch);
    const std::int32_t* next = first + rows_;
    for (std::int32_t number = first[row]; number != none; number = next[number]) function(number);
  }

 private:
  static constexpr std::int32_t none = -1;
  std::int64_t rows_, count_;
};

}  // namespace nacre::onednn
