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
    together_ = wanted > 1 && tiles_.count() < 2 * loops.most_rows * wanted && order_.panels.count() >= wanted;
    together_ |= order_.floats() > most_kernels;
    workers_ = together_ ? wanted : std::min(wanted, tiles_.count());
    panels_at_once_ = together_ ? order_.panels.count() : 1;
    block_ = block_of(divide_up(tiles_.count(), parts()), order_.places * (entered_row() + product_width()),
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
        kernels_->enter(arguments.inputs[1], share(order_.panels.count(), thread, team),
                        share(order_.panels.count(), thread + 1, team), scratch);
        barrier();
      }
      each_block(thread, team, barrier, [&](const Block& block, auto&& meet) {
        compute(operands, block, scratch + kernel_floats() + block.part * part_floats(), meet);
      });
    });
  }

 private:
  static constexpr std::int64_t most_kernels = 1 << 20;  // floats that threads read for each of their own blocks

  struct Operands {
    const void* x;
    const float *kernels, *bias;
    void* y;
  };

  std::int64_t bias_floats() const { return narrow_bias_ ? y_.channels : 0; }
  std::int64_t kernel_floats() const { return kernels_ ? kernels_->floats() : 0; }
  std::int64_t product_width() const { return std::min(panels_at_once_ * 2 * loops_.group, y_.channels); }
  std::int64_t entered_row() const { return apart(x_.channels); }
  std::int64_t entered_place() const { return apart(block_ * entered_row()); }
  std::int64_t product_place() const { return apart(block_ * product_width()); }
  std::int64_t part_floats() const { return order_.places * (entered_place() + product_place()); }

  template <class Meet>
  void compute(const Operands& operands, const Block& block, float* memory, Meet&& meet) const {
    float *entered = memory, *product = memory + order_.places * entered_place();
    enter(operands.x, block.begin + block.own, block.begin + block.own_end,
          {entered + block.own * entered_row(), entered_place(), entered_row()});
    meet();
    for (std::int64_t panel = 0; panel < order_.panels.count(); panel += panels_at_once_) {
      multiply(operands.kernels, entered, product, block, panel);
      meet();
      leave(operands, block, panel, product);
    }
  }

  // From a panel on, in (place, panel, tile, column).
  void multiply(const float* kernels, const float* entered, float* product, const Block& block,
                std::int64_t first_panel) const {
    const std::int64_t units = order_.places * panels_at_once_;
    for (std::int64_t unit = share(units, block.member, block.team); unit < share(units, block.member + 1, block.team);
         ++unit) {
      const std::int64_t place = unit / panels_at_once_, panel = first_panel + unit % panels_at_once_;
      const int groups = order_.panels.groups(panel);
      const std::int64_t width = groups * loops_.group;
      const float* of_panel = kernels + order_.offset(panel) + place * order_.place(panel);
      loops_.product({entered + place * entered_place(), entered_row(), 1}, block.tiles, x_.channels,
                     {of_panel, width, loops_.group, groups},
                     product + place * product_place() + of_panel_in_product(first_panel, panel), {});
    }
  }

  std::int64_t of_panel_in_product(std::int64_t first_panel, std::int64_t panel) const {
    return (order_.panels.first(panel) - order_.panels.first(first_panel)) * block_;
  }

  void leave(const Operands& operands, const Block& block, std::int64_t first_panel, const float* product) const {
    for (std::int64_t panel = first_panel; panel < first_panel + panels_at_once_; ++panel) {
      const std::int64_t width = order_.panels.groups(panel) * loops_.group;
      const float* of_panel = product + of_panel_in_product(first_panel, panel) + block.own * width;
      for (std::int64_t column = 0; column < width; column += loops_.group) {
        const std::int64_t channel = order_.panels.first(panel) + column;
        tiles_.runs(block.begin + block.own, block.begin + block.own_end, 0, 0,
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
  std::int64_t panels_at_once_ = 1;
};

}  // namespace

std::unique_ptr<WinogradKernel> make_convolution(const ConvolutionLoops& loops, const WinogradLoops& winograd,
                                                 const Field& x, const Field& y,
                                                 std::optional<TransformedKernels> kernels, std::int64_t top,
                                                 std::int64_t left, const Epilogue& epilogue, bool narrow_bias) {
  return std::make_unique<Convolution>(loops, winograd, x, y, kernels, top, left, epilogue, narrow_bias);
}

}  // namespace nacre::onednn
