// What batch normalisation does to rows of channels, compiled for several instruction sets (see ../elementwise/loops.h,
// whose rule about the standard library holds here too).
#pragma once

#include <cstdint>

namespace nacre::onednn {

struct BatchNormLoops {
  // Rows of `width` channels each; elements are float32 or bfloat16. Pointers begin at the first channel of the rows.
  struct Rows {
    std::int64_t count, width;
  };
  // Of each channel.
  struct Channels {
    const float *mean, *scale, *shift;  // y = (x - mean) · scale + shift
  };
  enum class Activation : std::uint8_t { none, relu, clip };
  struct Bounds {
    Activation activation = Activation::none;
    float low = 0, high = 0;  // of clip
  };

  // Adds the rows to the mean and the sum of squared deviations from it of `before` rows.
  void (*observe)(const void* x, Rows rows, float before, float* mean, float* deviations);
  // y = activation((x - mean) · scale + shift [+ residual])
  void (*normalise)(const void* x, const void* residual, void* y, Rows rows, Channels channels, Bounds bounds);
  // Adds Σ dy and Σ dy · (x - mean) over the rows, dy counting where the activation passed x on: as y says, which is
  // null unless there was a residual, else as x does. `passed`, which goes with y, becomes the dy that counts.
  void (*gather)(const void* x, const void* dy, const void* y, void* passed, Rows rows, Channels channels, Bounds bounds,
                 float* sum, float* product);
  // dx = dy · scale + (x - mean) · slope + offset, dy counting as x says.
  void (*differentiate)(const void* x, const void* dy, void* dx, Rows rows, Channels channels, Bounds bounds,
                        const float* slope, const float* offset);
};

// Those that go with loops(), for elements of float32 or bfloat16.
const BatchNormLoops& batch_norm_loops(bool bfloat16);

// The first for float32, the second for bfloat16.
extern const BatchNormLoops batch_norm_baseline[2], batch_norm_avx2[2], batch_norm_avx512[2];

}  // namespace nacre::onednn
