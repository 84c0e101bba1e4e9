// oneDNN's engine, and its descriptors as our layouts. oneDNN orders the axes of a convolution's tensors
// (batch, channels, spatial…), the graph (batch, spatial…, channels); layouts keep the graph's order, and the
// primitives get permuted views of the same bytes.
#pragma once

#include <dnnl.hpp>
#include <optional>

#include "backend/backend.h"

namespace nacre::onednn {

using Desc = dnnl::memory::desc;
using Dims = dnnl::memory::dims;

// The CPU. Primitives made after the call use nacre's number of threads, whichever thread makes them.
const dnnl::engine& engine();
// A stream of the calling thread. Work on it is done when execute returns.
dnnl::stream& stream();

// oneDNN's name of an element type, when it has one: neither int64 nor float64 is among them. Bool counts as uint8.
std::optional<dnnl::memory::data_type> data_type(DType dtype);

// A layout that is not plain. The axes of `desc` are the value's, in its order; one of them may be split (filters into
// groups and filters of a group, columns of a flattened value into places and channels), which row-major order does not
// notice. Its element type may be narrower than the value's (places within a pooling window).
class BlockedLayout final : public LayoutDetail {
 public:
  explicit BlockedLayout(Desc desc) : desc_(std::move(desc)) {}
  const Desc& desc() const { return desc_; }
  bool equals(const LayoutDetail& other) const override;
  std::size_t bytes() const override { return desc_.get_size(); }
  std::string text() const override;  // axes by stride, then blocks: "aDbc16d"

 private:
  Desc desc_;
};

// A layout of our own kernels', which oneDNN has no descriptor for.
class PackedLayout : public LayoutDetail {
 public:
  // The copy of a value of that type in another layout; null when it has to be made plain before.
  virtual std::unique_ptr<Kernel> packing(const Type& type, const Layout& from) const = 0;
};
inline bool is_packed(const Layout& layout) { return dynamic_cast<const PackedLayout*>(layout.detail()) != nullptr; }

// Row-major; a scalar has one axis of size 1.
Desc plain_desc(const Type& type);
Desc desc_of(const Layout& layout, const Type& type);  // `any` is read as plain
bool is_plain(const Desc& desc);                       // row-major and dense
Layout layout_of(const Desc& desc, const Type& type);  // plain when the bytes lie as in plain layout
// Blocks that are not full hold zeros beyond the value's elements.
bool is_padded(const Desc& desc);

// Views of (batch, spatial…, channels) as (batch, channels, spatial…), and back.
Desc channels_first(const Desc& desc);
Desc channels_last(const Desc& desc);
// The size of the blocks when channels lie in blocks, (batch, channels / block, spatial…, block); none in other orders.
// And a tensor of such sizes in that order. Channels first.
std::optional<std::int64_t> channel_block(const Desc& desc);
Desc in_channel_blocks(const Dims& dims, dnnl::memory::data_type element, std::int64_t block);
// A tensor of this type whose elements lie in the order of another one's, which may differ in the sizes of its spatial
// axes and in its element type; `none` when that order is not one of blocked channels. Channels first.
std::optional<Desc> in_order_of(const Desc& other, const Type& type);
// The layout of a value of this type that has the order of another layout, likewise; of a value of type `other_type`.
std::optional<Layout> layout_in_order_of(const Layout& other, const Type& other_type, const Type& type);
// A layout of a convolution's weights for elements of another type: as many, in the same places. None when oneDNN has
// no name for the order.
std::optional<Layout> weights_layout_for(const Layout& layout, const Type& given, const Type& type);
// Where the axes of a kernel (spatial…, channels, [groups,] filters) go in oneDNN's order, ([groups,] filters,
// channels, spatial…): axis i becomes axis result[i].
std::vector<int> weights_permutation(int axes, bool grouped);
std::vector<int> inverse(const std::vector<int>& permutation);
// The sizes of a value whose channels are last, in oneDNN's order.
Dims channels_first(const Shape& shape);

// A primitive and where its memories come from, resolved when the kernel is planned. The library's own scratch
// memory is taken from the kernel's.
class PrimitiveKernel final : public Kernel {
 public:
  // `scratchpad` is the primitive's; `own_bytes` more are kept before it for `scratch` bindings.
  PrimitiveKernel(const dnnl::primitive& primitive, const Desc& scratchpad, std::size_t own_bytes = 0);

  void input(int argument, int operand, const Desc& desc) { bind(argument, Source::input, operand, desc); }
  void output(int argument, int result, const Desc& desc) { bind(argument, Source::output, result, desc); }
  void scratch(int argument, std::size_t offset, const Desc& desc) {
    bind(argument, Source::scratch, static_cast<std::ptrdiff_t>(offset), desc);
  }
  // The primitive adds to result 0, which begins as this operand.
  void accumulate(int operand, std::size_t bytes) { accumulated_ = operand, accumulated_bytes_ = bytes; }

  std::size_t scratch_bytes() const { return scratch_bytes_; }
  void run(const KernelArguments& arguments) override;

 private:
  enum class Source : std::uint8_t { input, output, scratch };
  struct Binding {
    Source source;
    std::ptrdiff_t place;  // of the operand or result, or an offset into the scratch memory
    dnnl::memory memory;
  };
  void bind(int argument, Source source, std::ptrdiff_t place, const Desc& desc);

  dnnl::primitive primitive_;
  std::vector<Binding> bindings_;
  std::vector<dnnl_exec_arg_t> arguments_;
  std::size_t scratch_bytes_ = 0, accumulated_bytes_ = 0;
  int accumulated_ = -1;
};

// Attributes that every primitive is made with: scratch memory comes from the caller.
dnnl::primitive_attr attributes();

// The plan of a finished kernel that says how much scratch memory it needs.
template <class Finished>
KernelPlan plan_of(std::unique_ptr<Finished> kernel, std::vector<Layout> inputs, std::vector<Layout> outputs) {
  KernelPlan plan{.inputs = std::move(inputs), .outputs = std::move(outputs)};
  plan.scratch_bytes = kernel->scratch_bytes();
  plan.kernel = std::move(kernel);
  return plan;
}

// By all threads; nothing when both are the same memory.
void copy_bytes(const void* from, void* to, std::size_t count);
// A copy from one layout to another.
std::unique_ptr<Kernel> reorder(const Type& type, const Layout& from, const Layout& to);

}  // namespace nacre::onednn
