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
    block_ = block_of(divide_up(tiles_.count(), copies()), places_ * (entered_row() + y.channels),
                      together_ ? third_cache : second_cache);
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(workers_ * y_.channels + copies() * (sum_floats() + part_floats())) * sizeof(float);
  }

  void run(const KernelArguments& arguments) override {
    const void *x = arguments.inputs[0], *dy = arguments.inputs[1];
    auto* bias_sums = static_cast<float*>(arguments.scratch);
    float *sums = bias_sums + workers_ * y_.channels, *memory = sums + copies() * sum_floats();
    std::fill_n(bias_sums, workers_ * y_.channels, 0.0f);
    parallel_team(static_cast<int>(workers_), [&](int thread, int team, auto&& barrier) {
      if (together_)
        add_up(x, dy, 0, tiles_.count(), sums, bias_sums + thread * y_.channels, memory, thread, team, barrier);
      else
        for (std::int64_t part = thread; part < workers_; part += team)
          add_up(x, dy, share(tiles_.count(), part, workers_), share(tiles_.count(), part + 1, workers_),
                 sums + part * sum_floats(), bias_sums + part * y_.channels, memory + part * part_floats(), 0, 1,
                 [] {});
      barrier();
      for (std::int64_t panel = share(panels_.count(), thread, team); panel < share(panels_.count(), thread + 1, team);
           ++panel)
        leave(sums, panel, arguments.outputs[0]);
      if (!bias_ || thread != 0) return;
      if (narrow_bias_) leave_bias(bias_sums, static_cast<BFloat16*>(arguments.outputs[1]));
      else leave_bias(bias_sums, static_cast<float*>(arguments.outputs[1]));
    });
  }

 private:
  std::int64_t copies() const { return together_ ? 1 : workers_; }
  std::int64_t sum_floats() const { return order_.floats(); }
  std::int64_t entered_row() const { return apart(x_.channels); }
  std::int64_t entered_place() const { return apart(block_ * entered_row()); }
  std::int64_t gradient_place() const { return apart(block_ * y_.channels); }
  std::int64_t part_floats() const { return places_ * (entered_place() + gradient_place()); }

  // Tiles [first, last), by the members of a team that share each block.
  template <class Barrier>
  void add_up(const void* x, const void* dy, std::int64_t first, std::int64_t last, float* sums, float* bias_sums,
              float* memory, std::int64_t member, std::int64_t team, Barrier&& barrier) const {
    for (std::int64_t begin = first; begin < last; begin += block_) {
      const std::int64_t tiles = std::min(block_, last - begin);
      const std::int64_t own = share(tiles, member, team), own_end = share(tiles, member + 1, team);
      float *entered = memory, *gradient = memory + places_ * entered_place();
      enter(x, begin + own, begin + own_end, {entered + own * entered_row(), entered_place(), entered_row()});
      enter_gradient(dy, begin, own, own_end, gradient, bias_sums);
      barrier();
      multiply(entered, gradient, tiles, begin != first, sums, member, team);
      barrier();
    }
  }

  // Tiles [begin, end) of the block that begins with tile `origin`. Each place has (panel, tile, column).
  void enter_gradient(const void* dy, std::int64_t origin, std::int64_t begin, std::int64_t end, float* to,
                      float* bias_sums) const {
    for (std::int64_t panel = 0; panel < panels_.count(); ++panel) {
      const std::int64_t width = panels_.groups(panel) * loops_.group;
      float* of_panel = to + panels_.first(panel) * block_ + begin * width;
      for (std::int64_t column = 0; column < width; column += loops_.group) {
        const std::int64_t channel = panels_.first(panel) + column;
        tiles_.runs(origin + begin, origin + end, 0, 0,
                    [&](std::int64_t first, std::int64_t sample, WinogradLoops::Run run) {
                      winograd_.enter_gradient(at(dy, y_.offset(sample, channel)), y_.picture(), run,
                                               {of_panel + first * width + column, gradient_place(), width},
                                               bias_ ? bias_sums + channel : nullptr);
                    });
      }
    }
  }

  void multiply(const float* entered, const float* gradient, std::int64_t tiles, bool accumulate, float* sums,
                std::int64_t member, std::int64_t team) const {
    const std::int64_t units = places_ * panels_.count();
    for (std::int64_t unit = share(units, member, team); unit < share(units, member + 1, team); ++unit) {
      const std::int64_t place = unit / panels_.count(), panel = unit % panels_.count();
      const int groups = panels_.groups(panel);
      const std::int64_t width = groups * loops_.group;
      loops_.product({entered + place * entered_place(), 1, entered_row()}, x_.channels, tiles,
                     {gradient + place * gradient_place() + panels_.first(panel) * block_, width, loops_.group, groups},
                     sums + order_.offset(panel) + place * order_.place(panel), {.accumulate = accumulate});
    }
  }

  void leave(const float* sums, std::int64_t panel, void* kernels) const {
    const std::int64_t width = panels_.groups(panel) * loops_.group;
    for (std::int64_t channel = 0; channel < x_.channels; channel += loops_.group)
      for (std::int64_t column = 0; column < width; column += loops_.group)
        winograd_.leave_kernels({sums + order_.offset(panel) + channel * width + column, order_.place(panel), width},
                                copies(), sum_floats(),
                                at(kernels, kernels_.offset(channel, panels_.first(panel) + column)), kernels_.taps);
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
  bool bias_, narrow_bias_, together_ = false;
  std::int64_t workers_ = 1, block_ = 1;
};

}  // namespace

std::unique_ptr<WinogradKernel> make_weights_gradient(const ConvolutionLoops& loops, const WinogradLoops& winograd,
                                                      const Field& x, const Field& y, const Kernels& kernels,
                                                      std::int64_t top, std::int64_t left, bool bias,
                                                      bool narrow_bias) {
  return std::make_unique<WeightsGradient>(loops, winograd, x, y, kernels, top, left, bias, narrow_bias);
}

}  // namespace nacre::onednn
