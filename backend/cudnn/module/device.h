// The machine's GPU through NVIDIA's libraries.
#pragma once

#include "backend/cudnn/device.h"
#include "backend/cudnn/module/blas.h"
#include "backend/cudnn/module/compiler.h"
#include "backend/cudnn/module/dnn.h"
#include "backend/cudnn/module/driver.h"
#include "backend/cudnn/module/kernel_cache.h"

namespace nacre::gpu {

// The first of the devices that CUDA_VISIBLE_DEVICES leaves. Throws an Error with the reason in one line where there is
// none, or the driver is too old for the toolkit.
CUdevice first_device(const Driver& driver);

// Throws an Error with the reason in one line where the device cannot be used. Without cuDNN it has no convolutions.
std::shared_ptr<Device> open_cuda_device(const Driver& driver, CUdevice device, const Nvrtc& nvrtc,
                                         const CublasLt& blas, const Cudnn& cudnn, KernelCache cache);

}  // namespace nacre::gpu
