// Winograd's convolutions forward, and their gradient by data: a convolution of dy with kernels turned by 180°,
// channels and filters exchanged.
#include "backend/core/parallel.h"
#include "backend/onednn/convolution/winograd/tiles.h"

namespace nacre::onednn {

namespace {

class Convolution final : public TileKernel {
 public:
  Convolution(const ConvolutionLoops& loops, const WinogradLoops& winograd, const Field& x, const Field& y,
              std::optional<TransformedKernels> kernels, std::int64_t top, std::int64_t left, const Epilogue& epilogue,
              bool narrow_bias)
      : TileKernel(loops, winograd, x, y, top, left),
        kernels_(kernels),
        epilogue_(epilogue),
        narrow_bias_(epilogue.bias && narrow_bias),
        bounds_(*bounds_of(epilogue)) {
    const std::int64_t wanted = threads();
    together_ = wanted > 1 && tiles_.count() < 2 * loops.most_rows * wanted && panels_.count() >= wanted;
    together_ |= order_.floats() > most_kernels;
    workers_ = together_ ? wanted : std::min(wanted, tiles_.count());
    panels_at_once_ = together_ ? panels_.count() : 1;
    block_ = block_of(divide_up(tiles_.count(), parts()), places_ * (entered_row() + product_width()),
                      together_ ? third_cache : second_cache);
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(bias_floats() + kernel_floats() + parts() * part_floats()) * sizeof(float);
  }

  void run(const KernelArguments& arguments) override {
    auto* wide_bias = static_cast<float*>(arguments.scratch);
    float* scratch = wide_bias + bias_floats();
    for (std::int64_t channel = 0; channel < bias_floats(); ++channel)
      wide_bias[channel] = static_cast<float>(static_cast<const BFloat16*>(arguments.inputs[2])[channel]);
    const Operands operands{arguments.inputs[0], kernels_ ? scratch : static_cast<const float*>(arguments.inputs[1]),
                            narrow_bias_     ? wide_bias
                            : epilogue_.bias ? static_cast<const float*>(arguments.inputs[2])
                                             : nullptr,
                            arguments.outputs[0]};
    if (epilogue_.residual)
      copy_bytes(arguments.inputs.back(), arguments.outputs[0],
                 static_cast<std::size_t>(y_.samples * y_.channels * y_.height * y_.width * winograd_.element));
    parallel_team(static_cast<int>(workers_), [&](int thread, int team, auto&& barrier) {
      if (kernels_) {
        kernels_->enter(arguments.inputs[1], share(panels_.count(), thread, team),
                        share(panels_.count(), thread + 1, team), scratch);
        barrier();
      }
      float* memory = scratch + kernel_floats();
      if (together_) return compute(operands, 0, tiles_.count(), memory, thread, team, barrier);
      for (std::int64_t part = thread; part < workers_; part += team)
        compute(operands, share(tiles_.count(), part, workers_), share(tiles_.count(), part + 1, workers_),
                memory + part * part_floats(), 0, 1, [] {});
    });
  }

 private:
  static constexpr std::int64_t most_kernels = 1 << 20;  // floats that threads read for each of their own blocks

  struct Operands {
    const void* x;
    const float *kernels, *bias;
    void* y;
  };

  std::int64_t parts() const { return together_ ? 1 : workers_; }
  std::int64_t bias_floats() const { return narrow_bias_ ? y_.channels : 0; }
  std::int64_t kernel_floats() const { return kernels_ ? kernels_->floats() : 0; }
  std::int64_t product_width() const { return std::min(panels_at_once_ * 2 * loops_.group, y_.channels); }
  std::int64_t entered_row() const { return apart(x_.channels); }
  std::int64_t entered_place() const { return apart(block_ * entered_row()); }
  std::int64_t product_place() const { return apart(block_ * product_width()); }
  std::int64_t part_floats() const { return places_ * (entered_place() + product_place()); }

  // Tiles [first, last), by the members of a team that share each block.
  template <class Barrier>
  void compute(const Operands& operands, std::int64_t first, std::int64_t last, float* memory, std::int64_t member,
               std::int64_t team, Barrier&& barrier) const {
    for (std::int64_t begin = first; begin < last; begin += block_) {
      const std::int64_t tiles = std::min(block_, last - begin);
      const std::int64_t own = share(tiles, member, team), own_end = share(tiles, member + 1, team);
      float *entered = memory, *product = memory + places_ * entered_place();
      enter(operands.x, begin + own, begin + own_end, {entered + own * entered_row(), entered_place(), entered_row()});
      barrier();
      for (std::int64_t panel = 0; panel < panels_.count(); panel += panels_at_once_) {
        multiply(operands.kernels, entered, product, tiles, panel, member, team);
        barrier();
        leave(operands, begin, own, own_end, panel, product);
      }
    }
  }

  // From a panel on, in (place, panel, tile, column).
  void multiply(const float* kernels, const float* entered, float* product, std::int64_t tiles,
                std::int64_t first_panel, std::int64_t member, std::int64_t team) const {
    const std::int64_t units = places_ * panels_at_once_;
    for (std::int64_t unit = share(units, member, team); unit < share(units, member + 1, team); ++unit) {
      const std::int64_t place = unit / panels_at_once_, panel = first_panel + unit % panels_at_once_;
      const int groups = panels_.groups(panel);
      const std::int64_t width = groups * loops_.group;
      const float* of_panel = kernels + order_.offset(panel) + place * order_.place(panel);
      loops_.product({entered + place * entered_place(), entered_row(), 1}, tiles, x_.channels,
                     {of_panel, width, loops_.group, groups},
                     product + place * product_place() + of_panel_in_product(first_panel, panel), {});
    }
  }

  std::int64_t of_panel_in_product(std::int64_t first_panel, std::int64_t panel) const {
    return (panels_.first(panel) - panels_.first(first_panel)) * block_;
  }

  // Tiles [begin, end) of the block that begins with tile `origin`.
  void leave(const Operands& operands, std::int64_t origin, std::int64_t begin, std::int64_t end,
             std::int64_t first_panel, const float* product) const {
    for (std::int64_t panel = first_panel; panel < first_panel + panels_at_once_; ++panel) {
      const std::int64_t width = panels_.groups(panel) * loops_.group;
      const float* of_panel = product + of_panel_in_product(first_panel, panel) + begin * width;
      for (std::int64_t column = 0; column < width; column += loops_.group) {
        const std::int64_t channel = panels_.first(panel) + column;
        tiles_.runs(origin + begin, origin + end, 0, 0,
                    [&](std::int64_t first, std::int64_t sample, WinogradLoops::Run run) {
                      winograd_.leave({of_panel + first * width + column, product_place(), width},
                                      at(operands.y, y_.offset(sample, channel)), y_.picture(), run,
                                      operands.bias ? operands.bias + channel : nullptr, epilogue_.residual, bounds_);
                    });
      }
    }
  }

  std::optional<TransformedKernels> kernels_;  // none when they come transformed
  Epilogue epilogue_;
  bool narrow_bias_;
  Bounds bounds_;
  bool together_ = false;
  std::int64_t workers_ = 1, panels_at_once_ = 1, block_ = 1;
};

}  // namespace

std::unique_ptr<WinogradKernel> make_convolution(const ConvolutionLoops& loops, const WinogradLoops& winograd,
                                                 const Field& x, const Field& y,
                                                 std::optional<TransformedKernels> kernels, std::int64_t top,
                                                 std::int64_t left, const Epilogue& epilogue, bool narrow_bias) {
  return std::make_unique<Convolution>(loops, winograd, x, y, kernels, top, left, epilogue, narrow_bias);
}

}  // namespace nacre::onednn
