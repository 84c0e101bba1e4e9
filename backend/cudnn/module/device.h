// The machine's GPU through NVIDIA's libraries.
#pragma once

#include "backend/cudnn/device.h"
#include "backend/cudnn/module/blas.h"
#include "backend/cudnn/module/compiler.h"
#include "backend/cudnn/module/dnn.h"
#include "backend/cudnn/module/driver.h"
#include "backend/cudnn/module/kernel_cache.h"
#include "backend/cudnn/module/nccl.h"

namespace nacre::gpu {

// Of the devices that CUDA_VISIBLE_DEVICES leaves, the one for the process with this number among those on this
// machine; a single one is everybody's, since each process may have been given another. Throws an Error with the reason
// in one line where there is none, or the driver is too old for the toolkit.
CUdevice choose_device(const Driver& driver, int local_rank = 0);
// As mpirun and torchrun tell it; 0 where they do not.
int local_rank();

// Throws an Error with the reason in one line where the device cannot be used. Without cuDNN it has no convolutions, and
// without NCCL (null) the hosts sum over processes.
std::shared_ptr<Device> open_cuda_device(const Driver& driver, CUdevice device, const Nvrtc& nvrtc,
                                         const CublasLt& blas, const Cudnn& cudnn, KernelCache cache,
                                         std::shared_ptr<const Nccl> nccl = nullptr);

}  // namespace nacre::gpu
