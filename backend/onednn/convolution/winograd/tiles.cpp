#include "backend/onednn/convolution/winograd/tiles.h"

namespace nacre::onednn {

TileKernel::TileKernel(const ConvolutionLoops& loops, const WinogradLoops& winograd, const Field& x, const Field& y,
                       std::int64_t top, std::int64_t left)
    : loops_(loops),
      winograd_(winograd),
      x_(x),
      y_(y),
      top_(top),
      left_(left),
      tiles_{y.samples, divide_up(y.height, winograd.size), divide_up(y.width, winograd.size), winograd.size},
      order_{winograd.places(), x.channels, {y.channels, loops.group}} {}

void TileKernel::enter(const void* x, std::int64_t begin, std::int64_t end, Tiles to) const {
  for (std::int64_t channel = 0; channel < x_.channels; channel += loops_.group)
    tiles_.runs(begin, end, top_, left_, [&](std::int64_t first, std::int64_t sample, WinogradLoops::Run run) {
      winograd_.enter(at(x, x_.offset(sample, channel)), x_.picture(), run,
                      {to.memory + first * to.tile + channel, to.place, to.tile});
    });
}

std::int64_t TileKernel::block_of(std::int64_t tiles, std::int64_t floats_of_each, std::int64_t room) const {
  const std::int64_t rows = loops_.most_rows;
  const std::int64_t most = std::clamp(room / floats_of_each / rows, std::int64_t{1}, std::int64_t{16}) * rows;
  return divide_up(tiles, divide_up(tiles, most));
}

}  // namespace nacre::onednn
