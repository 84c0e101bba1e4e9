#include "backend/cudnn/module/compiler.h"

#include <cuda.h>

#include <algorithm>

#include "backend/core/error.h"
#include "backend/cudnn/module/library.h"

namespace nacre::gpu {

namespace {

// A program of NVRTC while it is compiled.
class Program {
 public:
  Program(const Nvrtc& nvrtc, const std::string& source) : nvrtc_(nvrtc) {
    const nvrtcResult result = nvrtc_.create(&program_, source.c_str(), "nacre.cu", 0, nullptr, nullptr);
    if (result != NVRTC_SUCCESS) throw Error("NVRTC failed: {}", nvrtc_.error_string(result));
  }
  ~Program() { nvrtc_.destroy(&program_); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  nvrtcResult compile(const std::vector<const char*>& options) {
    return nvrtc_.compile(program_, static_cast<int>(options.size()), options.data());
  }
  std::string text(decltype(&nvrtcGetPTXSize) size_of, decltype(&nvrtcGetPTX) copy) const {
    std::size_t size = 0;
    std::string text;
    if (size_of(program_, &size) != NVRTC_SUCCESS || size == 0) return text;
    text.resize(size);
    if (copy(program_, text.data()) != NVRTC_SUCCESS) text.clear();
    return text;
  }

 private:
  const Nvrtc& nvrtc_;
  nvrtcProgram program_ = nullptr;
};

}  // namespace

Nvrtc load_nvrtc() {
  const SharedLibrary library(fmt::format("libnvrtc.so.{}", CUDA_VERSION / 1000), "NVRTC");
  Nvrtc nvrtc{};
  library.find(nvrtc.version, "nvrtcVersion");
  library.find(nvrtc.error_string, "nvrtcGetErrorString");
  library.find(nvrtc.architecture_count, "nvrtcGetNumSupportedArchs");
  library.find(nvrtc.architectures, "nvrtcGetSupportedArchs");
  library.find(nvrtc.create, "nvrtcCreateProgram");
  library.find(nvrtc.destroy, "nvrtcDestroyProgram");
  library.find(nvrtc.compile, "nvrtcCompileProgram");
  library.find(nvrtc.log_size, "nvrtcGetProgramLogSize");
  library.find(nvrtc.log, "nvrtcGetProgramLog");
  library.find(nvrtc.binary_size, "nvrtcGetCUBINSize");
  library.find(nvrtc.binary, "nvrtcGetCUBIN");
  library.find(nvrtc.assembly_size, "nvrtcGetPTXSize");
  library.find(nvrtc.assembly, "nvrtcGetPTX");
  return nvrtc;
}

Compiler::Compiler(const Nvrtc& nvrtc) : nvrtc_(nvrtc) {
  int major = 0, minor = 0, count = 0;
  nvrtc_.version(&major, &minor);
  version_ = fmt::format("{}.{}", major, minor);
  if (nvrtc_.architecture_count(&count) == NVRTC_SUCCESS && count > 0) {
    architectures_.resize(static_cast<std::size_t>(count));
    if (nvrtc_.architectures(architectures_.data()) != NVRTC_SUCCESS) architectures_.clear();
  }
  if (architectures_.empty()) throw Error("NVRTC {} names no architecture that it compiles for", version_);
  std::ranges::sort(architectures_);
}

std::string Compiler::target(int compute_capability) const {
  const auto after = std::ranges::upper_bound(architectures_, compute_capability);
  if (after == architectures_.begin())
    throw Error("the GPU is too old for CUDA {}: its compute capability is {}.{}, wanted {}.{} or more", version_,
                compute_capability / 10, compute_capability % 10, architectures_[0] / 10, architectures_[0] % 10);
  // Machine code runs on later devices of the same generation.
  const int nearest = *std::prev(after);
  return fmt::format("{}_{}", nearest / 10 == compute_capability / 10 ? "sm" : "compute", nearest);
}

std::string Compiler::compile(std::string_view source, const std::string& target) const {
  Program program(nvrtc_, std::string(source));
  const std::string architecture = "--gpu-architecture=" + target;
  const nvrtcResult result = program.compile({architecture.c_str(), "--std=c++17"});
  if (result != NVRTC_SUCCESS) {
    std::string log = program.text(nvrtc_.log_size, nvrtc_.log);
    constexpr std::size_t longest = 2000;
    if (log.size() > longest) log.resize(longest);
    throw InternalError("NVRTC {} for {}: {}\n{}", version_, target, nvrtc_.error_string(result), log.c_str());
  }
  std::string image = target.starts_with("sm_") ? program.text(nvrtc_.binary_size, nvrtc_.binary)
                                                : program.text(nvrtc_.assembly_size, nvrtc_.assembly);
  if (image.empty()) throw Error("NVRTC {} compiled nothing for {}", version_, target);
  return image;
}

}  // namespace nacre::gpu
