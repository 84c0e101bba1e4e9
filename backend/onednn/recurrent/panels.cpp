#include "backend/onednn/recurrent/panels.h"

#include <algorithm>

#include "backend/core/parallel.h"
#include "backend/onednn/elementwise/loops.h"

namespace nacre::onednn {

Panels::Panels(DType dtype, std::int64_t depth, std::int64_t units, std::int64_t width, std::int64_t first,
               std::int64_t gates, bool transposed, NarrowProduct narrow)
    : dtype_(dtype),
      transposed_(transposed),
      narrow_(narrow),
      all_units_(units),
      width_(width),
      first_(first * units),
      gates_(transposed ? 1 : gates),
      depth_(transposed ? gates * units : depth) {}

void Panels::load(const void* kernel, std::int64_t at, float* to, std::int64_t count) const {
  const auto* from = static_cast<const std::byte*>(kernel) + static_cast<std::size_t>(at) * size_of(dtype_);
  loops().load[static_cast<int>(dtype_)](from, to, count);
}

void Panels::pack(const void* kernel, void* to, int part, int parts) const {
  for (std::int64_t p = count() * part / parts; p < count() * (part + 1) / parts; ++p) {
    const std::int64_t place_of_panel = p * panel() * depth_;
    if (narrow_) {
      pack_pairs(static_cast<const std::uint16_t*>(kernel), p * units(),
                 static_cast<std::uint16_t*>(to) + place_of_panel);
      continue;
    }
    float* place = static_cast<float*>(to) + place_of_panel;
    if (transposed_) pack_transposed(kernel, p * units(), place);
    else pack_panel(kernel, p * units(), place);
  }
}

void Panels::pack_panel(const void* kernel, std::int64_t unit, float* to) const {
  for (std::int64_t k = 0; k < depth_; ++k)
    for (std::int64_t block = unit; block < unit + units(); block += lanes())
      for (std::int64_t gate = 0; gate < gates_; ++gate, to += lanes()) {
        const std::int64_t some = std::clamp<std::int64_t>(all_units_ - block, 0, lanes());
        load(kernel, k * width_ + first_ + gate * all_units_ + block, to, some);
        std::fill(to + some, to + lanes(), 0.0f);
      }
}

void Panels::pack_transposed(const void* kernel, std::int64_t unit, float* to) const {
  constexpr std::int64_t block = 16;
  float line[block];
  for (std::int64_t k = 0; k < depth_; k += block) {
    const std::int64_t length = std::min(block, depth_ - k);
    for (std::int64_t i = 0; i < panel(); ++i) {
      if (unit + i < all_units_) load(kernel, (unit + i) * width_ + first_ + k, line, length);
      else std::fill_n(line, length, 0.0f);
      for (std::int64_t j = 0; j < length; ++j) to[(k + j) * panel() + i] = line[j];
    }
  }
}

void Panels::pack_pairs(const std::uint16_t* kernel, std::int64_t unit, std::uint16_t* to) const {
  for (std::int64_t i = 0; i < panel(); ++i) {
    const std::int64_t at = unit + i / lanes() / gates_ * lanes() + i % lanes();
    const std::int64_t column = first_ + i / lanes() % gates_ * all_units_ + at;
    const std::uint16_t* from = transposed_ ? kernel + at * width_ + first_ : kernel + column;
    for (std::int64_t k = 0; k < depth_; ++k)
      to[(k / 2 * panel() + i) * 2 + k % 2] = at < all_units_ ? from[transposed_ ? k : k * width_] : 0;
  }
}

void Panels::multiply(const void* panels, std::int64_t first, std::int64_t last, std::int64_t rows, const void* a,
                      std::int64_t lda, const float* from, std::int64_t ldfrom, float* y, std::int64_t ldy) const {
  const RecurrentLoops& cells = recurrent_loops();
  for (std::int64_t unit = first; unit < last; unit += units()) {
    PanelColumns columns;
    for (std::int64_t i = 0; i < vectors; ++i) {
      const std::int64_t block = std::min(unit + i / gates_ * cells.lanes, all_units_);
      columns.at[i] = y + i % gates_ * all_units_ + block;
      columns.from[i] = from + i % gates_ * all_units_ + block;
      columns.count[i] = std::min(cells.lanes, all_units_ - block);
    }
    const std::int64_t panel = unit * gates_ * depth_;
    if (narrow_)
      narrow_(static_cast<const std::uint16_t*>(a), lda, rows, depth_,
              static_cast<const std::uint16_t*>(panels) + panel, columns, ldfrom, ldy);
    else
      cells.product(static_cast<const float*>(a), lda, rows, depth_, static_cast<const float*>(panels) + panel, columns,
                    ldfrom, ldy);
  }
}

KernelPanels::KernelPanels(CellKind cell, DType dtype, std::int64_t depth, std::int64_t units, bool transposed)
    : text_(fmt::format("panels of {} for {}: {} × {} units {}{}", recurrent_loops().lanes,
                        EnumNames<CellKind>::names[static_cast<int>(cell)], depth, units, dtype,
                        transposed ? " transposed" : "")) {
  const std::int64_t all = nacre::gates(cell), width = all * units;
  const bool apart = cell == CellKind::gru || (cell == CellKind::gru_reset_after && !transposed);
  const bool pairs = dtype == DType::bfloat16 && (transposed ? units : depth) % 2 == 0;
  const NarrowProduct product = pairs ? narrow_product() : nullptr;
  gates_ = Panels(dtype, depth, units, width, 0, apart ? all - 1 : all, transposed, product);
  if (apart) candidate_ = Panels(dtype, depth, units, width, all - 1, 1, transposed, product);
}

std::int64_t KernelPanels::units() const {
  return std::max(gates_.units(), candidate_.empty() ? 0 : candidate_.units());
}

void KernelPanels::pack(const void* kernel, void* to, int part, int parts) const {
  gates_.pack(kernel, to, part, parts);
  candidate_.pack(kernel, static_cast<std::byte*>(to) + gates_.bytes(), part, parts);
}

namespace {

class PanelsLayout final : public PackedLayout {
 public:
  PanelsLayout(KernelPanels panels, std::string text) : panels_(std::move(panels)), text_(std::move(text)) {}
  bool equals(const LayoutDetail& other) const override {
    const auto* panels = dynamic_cast<const PanelsLayout*>(&other);
    return panels && panels->text_ == text_;
  }
  std::size_t bytes() const override { return panels_.bytes(); }
  std::string text() const override { return text_; }
  std::unique_ptr<Kernel> packing(const Type&, const Layout& from) const override {
    return from.is_plain() ? std::make_unique<Packing>(panels_) : nullptr;
  }

 private:
  class Packing final : public Kernel {
   public:
    explicit Packing(const KernelPanels& panels) : panels_(panels) {}
    void run(const KernelArguments& arguments) override {
      panels_.pack(arguments.inputs[0], arguments.outputs[0], 0, 1);
    }

   private:
    KernelPanels panels_;
  };

  KernelPanels panels_;
  std::string text_;
};

}  // namespace

Layout KernelPanels::layout() const { return Layout::opaque(std::make_shared<const PanelsLayout>(*this, text_)); }

}  // namespace nacre::onednn
