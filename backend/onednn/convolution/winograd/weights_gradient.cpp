// The gradient of Winograd's convolutions by their kernels: sums over all tiles, as many as there are transformed
// kernels.
#include "backend/core/parallel.h"
#include "backend/onednn/convolution/winograd/tiles.h"

namespace nacre::onednn {

namespace {

class WeightsGradient final : public TileKernel {
 public:
  WeightsGradient(const ConvolutionLoops& loops, const WinogradLoops& winograd, const Field& x, const Field& y,
                  const Kernels& kernels, std::int64_t top, std::int64_t left, bool bias, bool narrow_bias)
      : TileKernel(loops, winograd, x, y, top, left), kernels_(kernels), bias_(bias), narrow_bias_(narrow_bias) {
    // Threads with tiles of their own have sums of their own, which are added in the end.
    together_ = sum_floats() > second_cache;
    workers_ = together_ ? threads() : std::clamp<std::int64_t>(tiles_.count() / loops.most_rows, 1, threads());
    block_ = block_of(divide_up(tiles_.count(), parts()), order_.places * (entered_row() + y.channels),
                      together_ ? third_cache : second_cache);
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(workers_ * y_.channels + parts() * (sum_floats() + part_floats())) * sizeof(float);
  }

  void run(const KernelArguments& arguments) override {
    const void *x = arguments.inputs[0], *dy = arguments.inputs[1];
    auto* bias_sums = static_cast<float*>(arguments.scratch);
    float *sums = bias_sums + workers_ * y_.channels, *memory = sums + parts() * sum_floats();
    std::fill_n(bias_sums, workers_ * y_.channels, 0.0f);
    parallel_team(static_cast<int>(workers_), [&](int thread, int team, auto&& barrier) {
      each_block(thread, team, barrier, [&](const Block& block, auto&& meet) {
        add_up(x, dy, block, sums + block.part * sum_floats(), bias_sums + block.worker * y_.channels,
               memory + block.part * part_floats(), meet);
      });
      barrier();
      for (std::int64_t panel = share(order_.panels.count(), thread, team);
           panel < share(order_.panels.count(), thread + 1, team); ++panel)
        leave(sums, panel, arguments.outputs[0]);
      if (!bias_ || thread != 0) return;
      if (narrow_bias_) leave_bias(bias_sums, static_cast<BFloat16*>(arguments.outputs[1]));
      else leave_bias(bias_sums, static_cast<float*>(arguments.outputs[1]));
    });
  }

 private:
  std::int64_t sum_floats() const { return order_.floats(); }
  std::int64_t entered_row() const { return apart(x_.channels); }
  std::int64_t entered_place() const { return apart(block_ * entered_row()); }
  std::int64_t gradient_place() const { return apart(block_ * y_.channels); }
  std::int64_t part_floats() const { return order_.places * (entered_place() + gradient_place()); }

  template <class Meet>
  void add_up(const void* x, const void* dy, const Block& block, float* sums, float* bias_sums, float* memory,
              Meet&& meet) const {
    float *entered = memory, *gradient = memory + order_.places * entered_place();
    enter(x, block.begin + block.own, block.begin + block.own_end,
          {entered + block.own * entered_row(), entered_place(), entered_row()});
    enter_gradient(dy, block, gradient, bias_sums);
    meet();
    multiply(entered, gradient, block, sums);
    meet();
  }

  // Each place has (panel, tile, column).
  void enter_gradient(const void* dy, const Block& block, float* to, float* bias_sums) const {
    for (std::int64_t panel = 0; panel < order_.panels.count(); ++panel) {
      const std::int64_t width = order_.panels.groups(panel) * loops_.group;
      float* of_panel = to + order_.panels.first(panel) * block_ + block.own * width;
      for (std::int64_t column = 0; column < width; column += loops_.group) {
        const std::int64_t channel = order_.panels.first(panel) + column;
        tiles_.runs(block.begin + block.own, block.begin + block.own_end, 0, 0,
                    [&](std::int64_t first, std::int64_t sample, WinogradLoops::Run run) {
                      winograd_.enter_gradient(at(dy, y_.offset(sample, channel)), y_.picture(), run,
                                               {of_panel + first * width + column, gradient_place(), width},
                                               bias_ ? bias_sums + channel : nullptr);
                    });
      }
    }
  }

  void multiply(const float* entered, const float* gradient, const Block& block, float* sums) const {
    const std::int64_t units = order_.places * order_.panels.count();
    for (std::int64_t unit = share(units, block.member, block.team); unit < share(units, block.member + 1, block.team);
         ++unit) {
      const std::int64_t place = unit / order_.panels.count(), panel = unit % order_.panels.count();
      const int groups = order_.panels.groups(panel);
      const std::int64_t width = groups * loops_.group;
      loops_.product(
          {entered + place * entered_place(), 1, entered_row()}, x_.channels, block.tiles,
          {gradient + place * gradient_place() + order_.panels.first(panel) * block_, width, loops_.group, groups},
          sums + order_.offset(panel) + place * order_.place(panel), {.accumulate = !block.first});
    }
  }

  void leave(const float* sums, std::int64_t panel, void* kernels) const {
    const std::int64_t width = order_.panels.groups(panel) * loops_.group;
    for (std::int64_t channel = 0; channel < x_.channels; channel += loops_.group)
      for (std::int64_t column = 0; column < width; column += loops_.group)
        winograd_.leave_kernels(
            {sums + order_.offset(panel) + channel * width + column, order_.place(panel), width}, parts(), sum_floats(),
            at(kernels, kernels_.offset(channel, order_.panels.first(panel) + column)), kernels_.taps);
  }

  template <class Element>
  void leave_bias(const float* sums, Element* bias) const {
    for (std::int64_t channel = 0; channel < y_.channels; ++channel) {
      float sum = sums[channel];
      for (std::int64_t worker = 1; worker < workers_; ++worker) sum += sums[worker * y_.channels + channel];
      bias[channel] = Element(sum);
    }
  }

  Kernels kernels_;
  bool bias_, narrow_bias_;
};

}  // namespace

std::unique_ptr<WinogradKernel> make_weights_gradient(const ConvolutionLoops& loops, const WinogradLoops& winograd,
                                                      const Field& x, const Field& y, const Kernels& kernels,
                                                      std::int64_t top, std::int64_t left, bool bias,
                                                      bool narrow_bias) {
  return std::make_unique<WeightsGradient>(loops, winograd, x, y, kernels, top, left, bias, narrow_bias);
}

}  // namespace nacre::onednn
