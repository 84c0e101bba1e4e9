// A library of NVIDIA's, opened when it is needed, so that a machine without it can be told what it lacks.
#pragma once

#include <string>

namespace nacre::gpu {

// Stays open: NVIDIA's libraries do not stand being closed while the process lives.
class SharedLibrary {
 public:
  // Looks where the system's loader looks, in the toolkit that the module was built with, and below CUDA_HOME, CUDA_PATH
  // and /usr/local/cuda. `what` names it in the Error thrown when it is nowhere: "no NVRTC: …".
  SharedLibrary(std::string file_name, std::string what);

  void* handle() const { return handle_; }  // dlopen's
  template <class Function>
  void find(Function*& function, const char* name) const {
    function = reinterpret_cast<Function*>(address(name));
  }

 private:
  void* address(const char* name) const;  // throws an Error when the library lacks it

  std::string file_name_, what_;
  void* handle_ = nullptr;
};

}  // namespace nacre::gpu
