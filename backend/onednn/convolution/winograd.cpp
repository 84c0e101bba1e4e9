// Blocks of tiles are transformed, multiplied and transformed back while they are near: nothing but the kernels is ever
// transformed as a whole.
#include "backend/onednn/convolution/winograd.h"

#include <algorithm>
#include <optional>

#include "backend/core/parallel.h"
#include "backend/onednn/convolution/field.h"

namespace nacre::onednn {

namespace {

constexpr std::int64_t places = ConvolutionLoops::places;
using Tiles = ConvolutionLoops::Tiles;

// --- memory -------------------------------------------------------------------------------------------------------

// Kernels in memory: filters side by side, blocked or not by them and by channels.
struct Kernels {
  std::int64_t filters, channels;
  std::int64_t filter_block, channel_block;  // distances
  std::int64_t filter_block_width, channel_block_width;
  ConvolutionLoops::Taps taps;

  std::int64_t offset(std::int64_t channel, std::int64_t filter) const {
    return filter / filter_block_width * filter_block + filter % filter_block_width +
           channel / channel_block_width * channel_block + channel % channel_block_width * taps.channel;
  }
};

std::optional<Kernels> kernels_of(const Desc& desc, int group) {
  if (desc.get_data_type() != dnnl::memory::data_type::f32 || desc.get_ndims() != 4 || is_padded(desc)) return {};
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

// --- shares of the work -------------------------------------------------------------------------------------------

// The tiles of a field of results, counted through all samples.
struct Grid {
  std::int64_t samples, high, wide;
  std::int64_t count() const { return samples * high * wide; }

  // body(first of the run within the range, sample, run) of neighbours in a row; `top` and `left` are what a tile
  // begins before its results.
  template <class Body>
  void runs(std::int64_t begin, std::int64_t end, std::int64_t top, std::int64_t left, Body&& body) const {
    for (std::int64_t tile = begin; tile < end;) {
      const std::int64_t column = tile % wide, row = tile / wide % high;
      const std::int64_t count = std::min(wide - column, end - tile);
      body(tile - begin, tile / (wide * high), ConvolutionLoops::Run{2 * row - top, 2 * column - left, count});
      tile += count;
    }
  }
};

// The distance of things of so many floats: an odd number of registers. What lies a power of two apart would share the
// same few lines of the cache.
std::int64_t apart(std::int64_t floats, const ConvolutionLoops& loops) {
  return (floats / loops.group | 1) * loops.group;
}

// How many tiles are transformed at a time: what belongs to them is to stay in the second cache beside what they meet.
std::int64_t block_of(std::int64_t tiles, std::int64_t floats_of_each, const ConvolutionLoops& loops) {
  constexpr std::int64_t near = 160 << 10;  // floats
  const std::int64_t rows = loops.most_rows;
  const std::int64_t most = std::clamp(near / floats_of_each / rows, std::int64_t{1}, std::int64_t{8}) * rows;
  return divide_up(tiles, divide_up(tiles, most));
}

// --- kernels ------------------------------------------------------------------------------------------------------

// Kernels to be transformed. The result is, panel by panel of filters, (place, channel, filter); with `adjoint` the
// kernels are turned by 180°, channels and filters exchanged.
class TransformedKernels {
 public:
  TransformedKernels(const ConvolutionLoops& loops, const Kernels& kernels, bool adjoint)
      : loops_(loops),
        kernels_(kernels),
        adjoint_(adjoint),
        channels_(adjoint ? kernels.filters : kernels.channels),
        panels_{adjoint ? kernels.channels : kernels.filters, loops.group} {}

  std::int64_t floats() const { return places * channels_ * panels_.columns; }
  std::int64_t panels() const { return panels_.count(); }

  void enter(const float* from, std::int64_t first_panel, std::int64_t last_panel, float* to) const {
    for (std::int64_t panel = first_panel; panel < last_panel; ++panel) {
      const std::int64_t width = panels_.groups(panel) * loops_.group;
      float* memory = to + places * channels_ * panels_.first(panel);
      for (std::int64_t column = 0; column < width; column += loops_.group)
        for (std::int64_t channel = 0; channel < channels_; channel += loops_.group) {
          const std::int64_t filter = panels_.first(panel) + column;
          loops_.enter_kernels(from + (adjoint_ ? kernels_.offset(filter, channel) : kernels_.offset(channel, filter)),
                               kernels_.taps, adjoint_,
                               Tiles{memory + channel * width + column, channels_ * width, width});
        }
    }
  }

 private:
  const ConvolutionLoops& loops_;
  Kernels kernels_;
  bool adjoint_;
  std::int64_t channels_;
  Panels panels_;
};

class EnterKernels final : public Kernel {
 public:
  explicit EnterKernels(const TransformedKernels& kernels) : kernels_(kernels) {}
  void run(const KernelArguments& arguments) override {
    parallel_for(kernels_.panels(), 1, [&](std::int64_t begin, std::int64_t end) {
      kernels_.enter(static_cast<const float*>(arguments.inputs[0]), begin, end,
                     static_cast<float*>(arguments.outputs[0]));
    });
  }

 private:
  TransformedKernels kernels_;
};

class WinogradLayout final : public PackedLayout {
 public:
  WinogradLayout(std::int64_t channels, std::int64_t filters, const ConvolutionLoops& loops)
      : loops_(loops), channels_(channels), filters_(filters) {}
  bool equals(const LayoutDetail& other) const override {
    const auto* same = dynamic_cast<const WinogradLayout*>(&other);
    return same && &same->loops_ == &loops_ && same->channels_ == channels_ && same->filters_ == filters_;
  }
  std::size_t bytes() const override { return static_cast<std::size_t>(places * channels_ * filters_) * sizeof(float); }
  std::unique_ptr<Kernel> packing(const Type& type, const Layout& from) const override {
    if (is_packed(from)) return nullptr;
    const auto kernels = kernels_of(desc_of(from, type).permute_axes(weights_permutation(4, false)), loops_.group);
    if (!kernels) return nullptr;
    return std::make_unique<EnterKernels>(TransformedKernels(loops_, *kernels, false));
  }
  std::string text() const override { return fmt::format("Winograd{}", 2 * loops_.group); }

 private:
  const ConvolutionLoops& loops_;
  std::int64_t channels_, filters_;
};

// --- tiles --------------------------------------------------------------------------------------------------------

// What walks over the tiles of x and of the results beside them.
class TileKernel : public WinogradKernel {
 protected:
  TileKernel(const ConvolutionLoops& loops, const Field& x, const Field& y, std::int64_t top, std::int64_t left)
      : loops_(loops),
        x_(x),
        y_(y),
        top_(top),
        left_(left),
        tiles_{y.samples, divide_up(y.height, 2), divide_up(y.width, 2)},
        panels_{y.channels, loops.group} {}

  // Transforms some channels of tiles [begin, end) of x; `to` begins at the first of both.
  void enter(const float* x, std::int64_t begin, std::int64_t end, std::int64_t first_channel,
             std::int64_t last_channel, Tiles to) const {
    for (std::int64_t channel = first_channel; channel < last_channel; channel += loops_.group)
      tiles_.runs(begin, end, top_, left_, [&](std::int64_t first, std::int64_t sample, ConvolutionLoops::Run run) {
        loops_.enter(x + x_.offset(sample, channel), x_.picture(), run,
                     {to.memory + first * to.tile + channel - first_channel, to.place, to.tile});
      });
  }

  const ConvolutionLoops& loops_;
  Field x_, y_;
  std::int64_t top_, left_;
  Grid tiles_;
  Panels panels_;
};

// --- forward, and the gradient by data ----------------------------------------------------------------------------

// The gradient by data is a convolution of dy with kernels turned by 180°, channels and filters exchanged.
class Convolution final : public TileKernel {
 public:
  Convolution(const ConvolutionLoops& loops, const Field& x, const Field& y, std::optional<TransformedKernels> kernels,
              std::int64_t top, std::int64_t left, const Epilogue& epilogue)
      : TileKernel(loops, x, y, top, left), kernels_(kernels), epilogue_(epilogue), bounds_(*bounds_of(epilogue)) {
    // Threads share tiles; when these are few they share panels.
    const std::int64_t wanted = threads();
    if (tiles_.count() >= 2 * loops.most_rows * wanted || panels_.count() < wanted)
      tile_parts_ = std::min(wanted, tiles_.count());
    else panel_parts_ = wanted;
    block_ =
        block_of(divide_up(tiles_.count(), tile_parts_), places * (apart(x.channels, loops) + 2 * loops.group), loops);
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(kernel_floats() + parts() * part_floats()) * sizeof(float);
  }

  void run(const KernelArguments& arguments) override {
    const auto *x = static_cast<const float*>(arguments.inputs[0]),
               *kernels = static_cast<const float*>(arguments.inputs[1]);
    const auto* bias = epilogue_.bias ? static_cast<const float*>(arguments.inputs[2]) : nullptr;
    auto* y = static_cast<float*>(arguments.outputs[0]);
    auto* scratch = static_cast<float*>(arguments.scratch);
    if (epilogue_.residual)
      copy_bytes(arguments.inputs.back(), y,
                 static_cast<std::size_t>(y_.samples * y_.channels * y_.height * y_.width) * sizeof(float));
    parallel_team(static_cast<int>(parts()), [&](int thread, int team, auto&& barrier) {
      if (kernels_) {
        kernels_->enter(kernels, share(panels_.count(), thread, team), share(panels_.count(), thread + 1, team),
                        scratch);
        barrier();
      }
      for (std::int64_t part = thread; part < parts(); part += team) {
        const std::int64_t tile_part = part / panel_parts_, panel_part = part % panel_parts_;
        const std::int64_t end = share(tiles_.count(), tile_part + 1, tile_parts_);
        for (std::int64_t begin = share(tiles_.count(), tile_part, tile_parts_); begin < end; begin += block_)
          compute(x, kernels_ ? scratch : kernels, bias, y, begin, std::min(begin + block_, end), panel_part,
                  scratch + kernel_floats() + part * part_floats());
      }
    });
  }

 private:
  std::int64_t parts() const { return tile_parts_ * panel_parts_; }
  std::int64_t kernel_floats() const { return kernels_ ? kernels_->floats() : 0; }
  std::int64_t entered_row() const { return apart(x_.channels, loops_); }
  std::int64_t entered_place() const { return apart(block_ * entered_row(), loops_); }
  std::int64_t product_place() const { return apart(block_ * 2 * loops_.group, loops_); }
  std::int64_t part_floats() const { return places * (entered_place() + product_place()); }

  void compute(const float* x, const float* kernels, const float* bias, float* y, std::int64_t begin, std::int64_t end,
               std::int64_t panel_part, float* memory) const {
    float *entered = memory, *product = memory + places * entered_place();
    enter(x, begin, end, 0, x_.channels, {entered, entered_place(), entered_row()});
    for (std::int64_t panel = share(panels_.count(), panel_part, panel_parts_);
         panel < share(panels_.count(), panel_part + 1, panel_parts_); ++panel) {
      const int groups = panels_.groups(panel);
      const std::int64_t width = groups * loops_.group;
      const float* of_panel = kernels + places * x_.channels * panels_.first(panel);
      for (std::int64_t place = 0; place < places; ++place)
        loops_.product({entered + place * entered_place(), entered_row(), 1}, end - begin, x_.channels,
                       {of_panel + place * x_.channels * width, width, loops_.group, groups},
                       product + place * product_place(), {});
      for (std::int64_t column = 0; column < width; column += loops_.group) {
        const std::int64_t channel = panels_.first(panel) + column;
        tiles_.runs(begin, end, 0, 0, [&](std::int64_t first, std::int64_t sample, ConvolutionLoops::Run run) {
          loops_.leave({product + first * width + column, product_place(), width}, y + y_.offset(sample, channel),
                       y_.picture(), run, bias ? bias + channel : nullptr, epilogue_.residual, bounds_);
        });
      }
    }
  }

  std::optional<TransformedKernels> kernels_;  // none when they come transformed
  Epilogue epilogue_;
  ConvolutionLoops::Bounds bounds_;
  std::int64_t tile_parts_ = 1, panel_parts_ = 1, block_ = 1;
};

// --- the gradient by weights --------------------------------------------------------------------------------------

// Sums over all tiles, as many as there are transformed kernels. Part of the channels and filters are computed at a
// time, so that their sums stay in the second cache while the tiles pass; the tiles are transformed again for each
// part.
class WeightsGradient final : public TileKernel {
 public:
  WeightsGradient(const ConvolutionLoops& loops, const Field& x, const Field& y, const Kernels& kernels,
                  std::int64_t top, std::int64_t left, bool bias)
      : TileKernel(loops, x, y, top, left),
        kernels_(kernels),
        bias_(bias),
        channel_parts_(divide_up(x.channels, most_channels)),
        filter_parts_(divide_up(y.channels, most_filters)) {
    // Threads share the parts, which are made as many as come out even; when there are too few of them they share
    // tiles, and what each adds up is added in the end.
    const std::int64_t wanted = threads();
    by_tiles_ = parts() == 1 || channel_parts_ * panels_.count() < wanted;
    if (by_tiles_) {
      constexpr std::int64_t most = 16 << 20;  // floats of all sums
      workers_ = std::clamp<std::int64_t>(std::min(tiles_.count() / loops.most_rows, most / sum_floats()), 1, wanted);
    } else {
      workers_ = wanted;
      while (filter_parts_ < panels_.count() && (parts() < workers_ || parts() % workers_ != 0)) ++filter_parts_;
    }
    block_ = block_of(divide_up(tiles_.count(), by_tiles_ ? workers_ : 1), places * (entered_row() + widest_filters()),
                      loops);
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(copies() * (sum_floats() + y_.channels) + workers_ * worker_floats()) *
           sizeof(float);
  }

  void run(const KernelArguments& arguments) override {
    const auto *x = static_cast<const float*>(arguments.inputs[0]),
               *dy = static_cast<const float*>(arguments.inputs[1]);
    auto* kernels = static_cast<float*>(arguments.outputs[0]);
    auto* bias = bias_ ? static_cast<float*>(arguments.outputs[1]) : nullptr;
    auto* sums = static_cast<float*>(arguments.scratch);
    float *bias_sums = sums + copies() * sum_floats(), *memory = bias_sums + copies() * y_.channels;
    parallel_team(static_cast<int>(workers_), [&](int thread, int team, auto&& barrier) {
      for (std::int64_t worker = thread; worker < workers_; worker += team) {
        float* own = memory + worker * worker_floats();
        // Of some tiles all parts, into sums of its own, or of all tiles some parts.
        const std::int64_t copy = by_tiles_ ? worker : 0;
        const std::int64_t first_tile = by_tiles_ ? share(tiles_.count(), worker, workers_) : 0,
                           last_tile = by_tiles_ ? share(tiles_.count(), worker + 1, workers_) : tiles_.count(),
                           first_part = by_tiles_ ? 0 : share(parts(), worker, workers_),
                           last_part = by_tiles_ ? parts() : share(parts(), worker + 1, workers_);
        for (std::int64_t part = first_part; part < last_part; ++part)
          add_up(x, dy, first_tile, last_tile, part, sums + copy * sum_floats(), bias_sums + copy * y_.channels, own);
      }
      barrier();
      for (std::int64_t panel = share(panels_.count(), thread, team); panel < share(panels_.count(), thread + 1, team);
           ++panel)
        leave(sums, panel, kernels);
      if (!bias || thread != 0) return;
      for (std::int64_t channel = 0; channel < y_.channels; ++channel) {
        bias[channel] = bias_sums[channel];
        for (std::int64_t copy = 1; copy < copies(); ++copy) bias[channel] += bias_sums[copy * y_.channels + channel];
      }
    });
  }

 private:
  static constexpr std::int64_t most_channels = 64, most_filters = 128;  // of a part: half a MiB of sums

  std::int64_t parts() const { return channel_parts_ * filter_parts_; }
  std::int64_t copies() const { return by_tiles_ ? workers_ : 1; }
  std::int64_t sum_floats() const { return places * x_.channels * y_.channels; }
  std::int64_t first_channel(std::int64_t part) const {
    return share(x_.channels / loops_.group, part, channel_parts_) * loops_.group;
  }
  std::int64_t widest_channels() const { return divide_up(x_.channels / loops_.group, channel_parts_) * loops_.group; }
  std::int64_t widest_filters() const { return divide_up(panels_.count(), filter_parts_) * 2 * loops_.group; }
  std::int64_t entered_row() const { return apart(widest_channels(), loops_); }
  std::int64_t entered_place() const { return apart(block_ * entered_row(), loops_); }
  std::int64_t gradient_place() const { return apart(block_ * widest_filters(), loops_); }
  std::int64_t worker_floats() const { return places * (entered_place() + gradient_place()); }

  // Sums of a part of the channels and a panel lie together: (place, channel, column).
  std::int64_t sums_of(std::int64_t channel_part, std::int64_t panel) const {
    const std::int64_t first = first_channel(channel_part), channels = first_channel(channel_part + 1) - first;
    return places * (first * y_.channels + channels * panels_.first(panel));
  }

  void add_up(const float* x, const float* dy, std::int64_t first_tile, std::int64_t last_tile, std::int64_t part,
              float* sums, float* bias_sums, float* memory) const {
    const std::int64_t channel_part = part % channel_parts_, filter_part = part / channel_parts_;
    const std::int64_t first_panel = share(panels_.count(), filter_part, filter_parts_),
                       last_panel = share(panels_.count(), filter_part + 1, filter_parts_);
    float* of_bias = channel_part == 0 ? bias_sums : nullptr;  // once
    if (of_bias)
      std::fill(of_bias + panels_.first(first_panel), of_bias + std::min(panels_.first(last_panel), y_.channels), 0.0f);
    for (std::int64_t begin = first_tile; begin < last_tile; begin += block_) {
      const std::int64_t end = std::min(begin + block_, last_tile);
      float *entered = memory, *gradient = memory + places * entered_place();
      enter(x, begin, end, first_channel(channel_part), first_channel(channel_part + 1),
            {entered, entered_place(), entered_row()});
      enter_gradient(dy, begin, end, first_panel, last_panel, gradient, of_bias);
      for (std::int64_t panel = first_panel; panel < last_panel; ++panel)
        multiply(entered, gradient + (panels_.first(panel) - panels_.first(first_panel)) * block_, end - begin,
                 channel_part, panel, begin != first_tile, sums + sums_of(channel_part, panel));
    }
  }

  // Each place has (panel, tile, column).
  void enter_gradient(const float* dy, std::int64_t begin, std::int64_t end, std::int64_t first_panel,
                      std::int64_t last_panel, float* to, float* bias_sums) const {
    for (std::int64_t panel = first_panel; panel < last_panel; ++panel) {
      const std::int64_t width = panels_.groups(panel) * loops_.group;
      for (std::int64_t column = 0; column < width; column += loops_.group) {
        const std::int64_t channel = panels_.first(panel) + column;
        tiles_.runs(begin, end, 0, 0, [&](std::int64_t first, std::int64_t sample, ConvolutionLoops::Run run) {
          loops_.enter_gradient(dy + y_.offset(sample, channel), y_.picture(), run,
                                {to + first * width + column, gradient_place(), width},
                                bias_sums ? bias_sums + channel : nullptr);
        });
      }
      to += width * block_;
    }
  }

  void multiply(const float* entered, const float* gradient, std::int64_t tiles, std::int64_t channel_part,
                std::int64_t panel, bool accumulate, float* sums) const {
    const std::int64_t channels = first_channel(channel_part + 1) - first_channel(channel_part);
    const int groups = panels_.groups(panel);
    for (std::int64_t place = 0; place < places; ++place)
      loops_.product({entered + place * entered_place(), 1, entered_row()}, channels, tiles,
                     {gradient + place * gradient_place(), groups * loops_.group, loops_.group, groups},
                     sums + place * channels * groups * loops_.group, {.accumulate = accumulate});
  }

  void leave(const float* sums, std::int64_t panel, float* kernels) const {
    const std::int64_t width = panels_.groups(panel) * loops_.group;
    for (std::int64_t part = 0; part < channel_parts_; ++part) {
      const std::int64_t origin = first_channel(part), channels = first_channel(part + 1) - origin;
      for (std::int64_t channel = 0; channel < channels; channel += loops_.group)
        for (std::int64_t column = 0; column < width; column += loops_.group)
          loops_.leave_kernels(
              {sums + sums_of(part, panel) + channel * width + column, channels * width, width}, copies(), sum_floats(),
              kernels + kernels_.offset(origin + channel, panels_.first(panel) + column), kernels_.taps);
    }
  }

  Kernels kernels_;
  bool bias_;
  std::int64_t channel_parts_, filter_parts_;
  bool by_tiles_ = true;
  std::int64_t workers_ = 1, block_ = 1;
};

// What all three begin with; `make` gets both fields and the kernels.
template <class Make>
std::unique_ptr<WinogradKernel> where_served(const WinogradShape& shape, const ConvolutionLoops& loops, Make&& make) {
  const auto x = field_of(shape.x), y = field_of(shape.y);
  const auto kernels = kernels_of(shape.kernel, loops.group);
  if (!x || !y || !kernels || !x->in_groups_of(loops.group) || !y->in_groups_of(loops.group)) return nullptr;
  return make(*x, *y, *kernels);
}

}  // namespace

Layout winograd_layout(const WinogradShape& shape, const ConvolutionLoops& loops) {
  const Dims sizes = shape.kernel.get_dims();
  return Layout::opaque(std::make_shared<const WinogradLayout>(sizes[1], sizes[0], loops));
}

std::unique_ptr<WinogradKernel> winograd_forward(const WinogradShape& shape, const Epilogue& epilogue, bool transformed,
                                                 const ConvolutionLoops& loops) {
  if (!bounds_of(epilogue)) return nullptr;
  return where_served(shape, loops, [&](const Field& x, const Field& y, const Kernels& kernels) {
    const auto entered = transformed ? std::nullopt : std::optional(TransformedKernels(loops, kernels, false));
    return std::make_unique<Convolution>(loops, x, y, entered, shape.top, shape.left, epilogue);
  });
}

std::unique_ptr<WinogradKernel> winograd_backward_data(const WinogradShape& shape, const ConvolutionLoops& loops) {
  return where_served(shape, loops, [&](const Field& x, const Field& y, const Kernels& kernels) {
    return std::make_unique<Convolution>(loops, y, x, TransformedKernels(loops, kernels, true), 2 - shape.top,
                                         2 - shape.left, Epilogue{});
  });
}

std::unique_ptr<WinogradKernel> winograd_backward_weights(const WinogradShape& shape, bool bias,
                                                          const ConvolutionLoops& loops) {
  return where_served(shape, loops, [&](const Field& x, const Field& y, const Kernels& kernels) {
    return std::make_unique<WeightsGradient>(loops, x, y, kernels, shape.top, shape.left, bias);
  });
}

// Counted in multiplications and what takes as long as one. Measured on Zen 4 (AVX-512) with two threads, times of
// oneDNN 3.2's direct convolutions over these, forward, by data, by weights:
//   128 × 32² × 16 → 16     1.38 1.09 1.22        16 × 14² × 256 → 256     1.67 1.70 1.66
//   128 × 16² × 32 → 32     1.19 1.05 1.48        16 × 7² × 512 → 512      1.14 1.03 1.28
//   128 × 26² × 32 → 64     1.29 1.21 1.33        4 × 224² × 64 → 64       1.61 1.67 2.04
//   16 × 56² × 64 → 64      1.63 1.68 1.87        4 × 28² × 512 → 512      1.69 1.69 1.63
//   16 × 28² × 128 → 128    1.79 1.77 1.57        4 × 7² × 512 → 512       0.99 0.69 0.86
//   1 × 28² × 32 → 32       0.82 0.78 0.86        1 × 7² × 512 → 512       0.74 0.37 0.62
bool winograd_pays(const WinogradShape& shape, WinogradTask task) {
  // Kernels cost more where they are turned, or made of sums of several threads.
  const std::int64_t kernel_cost = task == WinogradTask::backward ? 96 : task == WinogradTask::forward ? 64 : 16;
  const std::int64_t tile_cost = 10, start_cost = 1 << 22;
  const Dims x = shape.x.get_dims(), y = shape.y.get_dims();
  const std::int64_t kernels = x[1] * y[1];
  const std::int64_t tiles = y[0] * divide_up(y[2], 2) * divide_up(y[3], 2);
  const std::int64_t direct = 9 * y[0] * y[2] * y[3] * kernels;
  return places * (tiles * (kernels + tile_cost * (x[1] + y[1])) + kernel_cost * kernels) + start_cost <
         direct + direct / 10;
}

}  // namespace nacre::onednn
