#pragma once

#include "layers/initializer.h"

namespace nacre {

// The registry entry of STFT: kernels of one-dimensional convolutions that compute a short-time Fourier transform.
ClassInfo<Initializer> stft_initializer();

}  // namespace nacre
