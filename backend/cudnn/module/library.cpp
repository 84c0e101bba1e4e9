#include "backend/cudnn/module/library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <vector>

#include "backend/core/error.h"

namespace nacre::gpu {

SharedLibrary::SharedLibrary(std::string file_name, std::string what)
    : file_name_(std::move(file_name)), what_(std::move(what)) {
  std::vector<std::string> places{file_name_};
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"})
    if (const char* const folder = std::getenv(variable); folder && *folder)
      for (const char* part : {"/lib64/", "/lib/"}) places.push_back(folder + (part + file_name_));
  places.push_back("/usr/local/cuda/lib64/" + file_name_);
  std::string first_reason;
  for (const std::string& place : places) {
    handle_ = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_) return;
    if (first_reason.empty()) first_reason = dlerror();
  }
  throw Error("no {}: {}", what_, first_reason);
}

void* SharedLibrary::address(const char* name) const {
  void* const found = dlsym(handle_, name);
  if (!found) throw Error("the {} is too old for this build of nacre: {} has no {}", what_, file_name_, name);
  return found;
}

}  // namespace nacre::gpu
