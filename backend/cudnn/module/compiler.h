// CUDA source to machine code, by NVRTC. Needs no GPU and no driver.
#pragma once

#include <nvrtc.h>

#include <string>
#include <string_view>
#include <vector>

namespace nacre::gpu {

struct Nvrtc {
  decltype(&nvrtcVersion) version;
  decltype(&nvrtcGetErrorString) error_string;
  decltype(&nvrtcGetNumSupportedArchs) architecture_count;
  decltype(&nvrtcGetSupportedArchs) architectures;
  decltype(&nvrtcCreateProgram) create;
  decltype(&nvrtcDestroyProgram) destroy;
  decltype(&nvrtcCompileProgram) compile;
  decltype(&nvrtcGetProgramLogSize) log_size;
  decltype(&nvrtcGetProgramLog) log;
  decltype(&nvrtcGetCUBINSize) binary_size;
  decltype(&nvrtcGetCUBIN) binary;
  decltype(&nvrtcGetPTXSize) assembly_size;
  decltype(&nvrtcGetPTX) assembly;
};
Nvrtc load_nvrtc();  // throws an Error where there is none

class Compiler {
 public:
  explicit Compiler(const Nvrtc& nvrtc);

  const std::string& version() const { return version_; }  // "13.0"

  // What is compiled for a device: its machine code, or, where the device is newer than the compiler, PTX that the driver
  // translates. "sm_90", "compute_121". Throws an Error for a device that is too old.
  std::string target(int compute_capability) const;
  // The image to load. Throws an InternalError with the compiler's words for source that it does not take.
  std::string compile(std::string_view source, const std::string& target) const;

 private:
  Nvrtc nvrtc_;
  std::string version_;
  std::vector<int> architectures_;  // ascending
};

}  // namespace nacre::gpu
