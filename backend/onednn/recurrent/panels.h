// Kernels of recurrent layers as the products of steps read them: in panels of columns. Where they stay the same from
// call to call, a reorder of the graph packs them once.
#pragma once

#include "backend/core/parallel.h"
#include "backend/graph/ops/recurrent.h"
#include "backend/onednn/engine.h"
#include "backend/onednn/recurrent/loops.h"

namespace nacre::onednn {

// Columns of a kernel (depth, gates · units), or those columns transposed, as floats or, `narrow`, as bfloat16. A panel
// holds the same units of all its gates, so that who has some units needs nothing from others between the product and
// the cell.
class Panels {
 public:
  Panels() = default;
  // Of `gates` gates from gate `first` on, 1, 2 or 4 of them; transposed: of the units, any number of gates deep.
  Panels(DType dtype, std::int64_t depth, std::int64_t units, std::int64_t width, std::int64_t first,
         std::int64_t gates, bool transposed, NarrowProduct narrow);

  bool empty() const { return count() == 0; }
  std::size_t element() const { return narrow_ ? sizeof(std::uint16_t) : sizeof(float); }  // bytes, in panels and in a
  std::size_t bytes() const { return static_cast<std::size_t>(count() * panel() * depth_) * element(); }
  std::int64_t units() const { return panel() / gates_; }  // of a panel

  void pack(const void* kernel, void* to, int part, int parts) const;

  // y = from + a · panels for units [first, last), which begin and end where panels do, or are the last. All begin at
  // the first of the rows, y and `from` at unit 0 of gate 0. ldfrom 0 adds the same to all rows.
  void multiply(const void* panels, std::int64_t first, std::int64_t last, std::int64_t rows, const void* a,
                std::int64_t lda, const float* from, std::int64_t ldfrom, float* y, std::int64_t ldy) const;

 private:
  static constexpr std::int64_t vectors = 4;
  static std::int64_t lanes() { return recurrent_loops().lanes; }
  static std::int64_t panel() { return vectors * lanes(); }
  std::int64_t count() const { return divide_up(all_units_, units()); }
  void pack_panel(const void* kernel, std::int64_t unit, float* to) const;
  void pack_transposed(const void* kernel, std::int64_t unit, float* to) const;
  void pack_pairs(const std::uint16_t* kernel, std::int64_t unit, std::uint16_t* to) const;
  void load(const void* kernel, std::int64_t at, float* to, std::int64_t count) const;

  DType dtype_ = DType::float32;
  bool transposed_ = false;
  NarrowProduct narrow_ = nullptr;  // null: floats
  std::int64_t all_units_ = 0, width_ = 0, first_ = 0, gates_ = 1, depth_ = 0;
};

// A whole kernel: its gates, or all but the candidate, and the candidate.
class KernelPanels {
 public:
  KernelPanels(CellKind cell, DType dtype, std::int64_t depth, std::int64_t units, bool transposed);

  const Panels& gates() const { return gates_; }
  const Panels& candidate() const { return candidate_; }  // of gru and, but for the transposed kernel, gru_reset_after
  const void* candidate(const void* packed) const { return static_cast<const std::byte*>(packed) + gates_.bytes(); }
  std::size_t bytes() const { return gates_.bytes() + candidate_.bytes(); }
  bool narrow() const { return gates_.element() < sizeof(float); }  // multiplies bfloat16 instead of floats
  std::int64_t units() const;                                       // of the widest panel: shares begin at multiples
  void pack(const void* kernel, void* to, int part, int parts) const;
  Layout layout() const;

 private:
  Panels gates_, candidate_;
  std::string text_;
};

}  // namespace nacre::onednn
