// The one decision about the memory order of activations: channels last (plain) or blocked by channels.
//
// Measured on Zen 4 (AVX-512) with oneDNN 3.2 and two threads, forward + backward by data + by weights; blocked against
// channels last, below 1 is faster:
//   28² × 1 → 32, 3×3 (no backward by data)   0.62        56² × 64 → 256, 1×1                     0.79
//   26² × 32 → 64, 3×3                        0.95        56² × 256 → 64, 1×1                     0.90
//   224² × 3 → 64, 7×7, stride 2 (likewise)   0.82        56² × 24 → 144, 1×1                     0.82
//   56² × 64 → 64, 3×3                        0.99        56² × 128 → 128, 3×3, stride 2          0.92
//   32² × 16 → 16, 3×3                        1.09        24² × 20 → 50, 5×5                      1.41
//   whole training steps: LeNet 0.96; ResNet-20 0.98, in bfloat16 0.97; zoo:mobilenetv2_cifar?alpha=0.5 0.71, in bfloat16
//   0.79 (both on one thread; the latter's batch normalisations and depthwise convolutions want blocks)
// ResNet-50 and MobileNetV2 are blocked throughout since padding came into the convolutions. Their steps took 0.90 and 0.84
// of the time together with other changes of then; the order alone was not measured on whole networks.
// Pooling does not care; element-wise groups pay for the zeros of padded blocks. A change of order in the middle of a
// network costs more than either gains. So the first convolution of a network decides, the one that reads pictures: blocked
// when its filters fill blocks; all that follow keep the order of what they read. Left to itself oneDNN would leave the blocks for the gradient of strided convolutions, which is 0.95 of the time
// but for the two reorders.
#pragma once

#include <cstdint>

namespace nacre::onednn {

// Whether oneDNN chooses the order of a convolution that reads plain activations; else they stay plain.
constexpr bool starts_blocked(std::int64_t channels, std::int64_t filters) {
  constexpr std::int64_t picture = 4, block = 16;  // at most red, green, blue, alpha; floats of the widest register
  return channels <= picture && filters >= block && filters % block == 0;
}

}  // namespace nacre::onednn
