#include "backend/onednn/convolution/winograd/kernels.h"

namespace nacre::onednn {

bool is_served(dnnl::memory::data_type element) {
  return element == dnnl::memory::data_type::f32 || element == dnnl::memory::data_type::bf16;
}

const WinogradLoops& winograd_of(const ConvolutionLoops& loops, int size, dnnl::memory::data_type element) {
  return loops.winograd[size == 4][element == dnnl::memory::data_type::bf16];
}

std::optional<Kernels> kernels_of(const Desc& desc, int group) {
  if (!is_served(desc.get_data_type()) || desc.get_ndims() != 4 || is_padded(desc)) return {};
  const Dims dims = desc.get_dims(), strides = desc.get_strides(), blocks = desc.get_inner_blks(),
             blocked = desc.get_inner_idxs();
  if (dims[2] != 3 || dims[3] != 3) return {};
  Kernels kernels{dims[0], dims[1], strides[0], strides[1], dims[0], dims[1], {strides[2], strides[3], strides[1]}};
  if (blocks.empty() && strides[0] == 1) {
  } else if (blocked == Dims{0}) {
    kernels.filter_block_width = blocks[0];
  } else if (blocked == Dims{1, 0}) {
    kernels.filter_block_width = blocks[1];
    kernels.channel_block_width = blocks[0];
    kernels.taps.channel = blocks[1];
  } else {
    return {};
  }
  if (kernels.filter_block_width % group != 0 || kernels.channel_block_width % group != 0) return {};
  return kernels;
}

void TransformedKernels::enter(const void* from, std::int64_t first_panel, std::int64_t last_panel, float* to) const {
  const std::int64_t group = order_.panels.group;
  for (std::int64_t panel = first_panel; panel < last_panel; ++panel) {
    const std::int64_t width = order_.width(panel);
    for (std::int64_t column = 0; column < width; column += group)
      for (std::int64_t channel = 0; channel < order_.channels; channel += group) {
        const std::int64_t filter = order_.panels.first(panel) + column,
                           offset = adjoint_ ? kernels_.offset(filter, channel) : kernels_.offset(channel, filter);
        winograd_.enter_kernels(static_cast<const std::byte*>(from) + offset * winograd_.element, kernels_.taps,
                                adjoint_,
                                {to + order_.offset(panel) + channel * width + column, order_.place(panel), width});
      }
  }
}

namespace {

class EnterKernels final : public Kernel {
 public:
  explicit EnterKernels(const TransformedKernels& kernels) : kernels_(kernels) {}
  void run(const KernelArguments& arguments) override {
    parallel_for(kernels_.panels(), 1, [&](std::int64_t begin, std::int64_t end) {
      kernels_.enter(arguments.inputs[0], begin, end, static_cast<float*>(arguments.outputs[0]));
    });
  }

 private:
  TransformedKernels kernels_;
};

class TransformedLayout final : public PackedLayout {
 public:
  TransformedLayout(std::int64_t channels, std::int64_t filters, int size, const ConvolutionLoops& loops)
      : loops_(loops), channels_(channels), filters_(filters), size_(size) {}
  bool equals(const LayoutDetail& other) const override {
    const auto* same = dynamic_cast<const TransformedLayout*>(&other);
    return same && &same->loops_ == &loops_ && same->channels_ == channels_ && same->filters_ == filters_ &&
           same->size_ == size_;
  }
  std::size_t bytes() const override {
    const TransformedOrder order{(size_ + 2) * (size_ + 2), channels_, {filters_, loops_.group}};
    return static_cast<std::size_t>(order.floats()) * sizeof(float);
  }
  std::unique_ptr<Kernel> packing(const Type& type, const Layout& from) const override {
    if (is_packed(from)) return nullptr;
    const auto kernels = kernels_of(desc_of(from, type).permute_axes(weights_permutation(4, false)), loops_.group);
    if (!kernels) return nullptr;
    return std::make_unique<EnterKernels>(
        TransformedKernels(loops_, winograd_of(loops_, size_, *data_type(type.dtype)), *kernels, false));
  }
  std::string text() const override { return fmt::format("Winograd{}x{}", size_, 2 * loops_.group); }

 private:
  const ConvolutionLoops& loops_;
  std::int64_t channels_, filters_;
  int size_;
};

}  // namespace

Layout transformed_layout(std::int64_t channels, std::int64_t filters, int size, const ConvolutionLoops& loops) {
  return Layout::opaque(std::make_shared<const TransformedLayout>(channels, filters, size, loops));
}

}  // namespace nacre::onednn
