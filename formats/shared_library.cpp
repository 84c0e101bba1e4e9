#include "formats/shared_library.h"

#include <dlfcn.h>

#include "backend/core/error.h"

namespace nacre {

namespace {

std::string reason() {
  const char* const said = ::dlerror();
  return said ? said : "no reason given";
}

}  // namespace

SharedLibrary::SharedLibrary(std::string purpose, std::initializer_list<const char*> names) : purpose_(std::move(purpose)) {
  std::string first;
  for (const char* name : names) {
    handle_ = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (handle_) return;
    if (std::string said = reason(); first.empty()) first = std::move(said);
  }
  throw Error("{}: {}", purpose_, first).hint("install the library");
}

SharedLibrary::Symbol SharedLibrary::operator[](const char* name) const {
  void* const address = ::dlsym(handle_, name);
  if (!address) throw Error("{}: {}", purpose_, reason()).hint("install a newer version of the library");
  return Symbol(address);
}

}  // namespace nacre
