// How nacre and the module of the GPU backend, libnacre_cudnn.so, meet. The module has one function, nacre_open_gpu, and
// needs nothing of the program that loads it: one program serves machines with NVIDIA's libraries and without.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "backend/cudnn/device.h"

namespace nacre::gpu {

// Raised with every change of device.h, so that a module of another build is refused.
inline constexpr int module_interface = 5;

// Opens the machine's GPU into `device` and returns null, or returns the reason in one line why it cannot be used, which
// stays valid until the next call. `device` is not touched when the interfaces differ. Nothing is thrown. What the device
// throws are Errors: the module has the class compiled in, and exceptions are told apart by the names of their types.
using OpenGpu = const char* (*)(int interface, std::shared_ptr<Device>* device);
inline constexpr char open_gpu_name[] = "nacre_open_gpu";

// Where the module is looked for, in this order: the folders of NACRE_MODULES (separated by colons), that of the program
// or library that this code is part of, and lib beside that one.
std::vector<std::filesystem::path> module_folders();

// The device that the module opens: the first libnacre_cudnn.so in the folders, else the one that the system's loader
// finds. Throws a usage Error that says in one line why there is none. The module stays loaded.
std::shared_ptr<Device> open_device(const std::vector<std::filesystem::path>& folders = module_folders());

}  // namespace nacre::gpu
