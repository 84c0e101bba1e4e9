#include "backend/cudnn/module.h"

#include <dlfcn.h>

#include <cstdlib>

namespace nacre::gpu {

namespace fs = std::filesystem;

namespace {

constexpr char file_name[] = "libnacre_cudnn.so";

// The folder of the file that this code was loaded from; "" where that is not known.
fs::path own_folder() {
  Dl_info info{};
  std::error_code error;
  if (!dladdr(reinterpret_cast<const void*>(&module_folders), &info) || !info.dli_fname) return {};
  // A program's name is what it was called by.
  if (fs::path(info.dli_fname).is_relative()) return fs::read_symlink("/proc/self/exe", error).parent_path();
  return fs::canonical(info.dli_fname, error).parent_path();
}

// An open library, for good: threads and memory of NVIDIA's libraries may be about until the process ends.
void* load(const std::vector<fs::path>& folders) {
  for (const fs::path& folder : folders) {
    const fs::path file = folder / file_name;
    std::error_code error;
    if (!fs::is_regular_file(file, error)) continue;
    if (void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
    throw Error("the GPU's module cannot be loaded: {}", dlerror()).usage();
  }
  if (void* const library = dlopen(file_name, RTLD_NOW | RTLD_LOCAL)) return library;
  throw Error("no GPU backend in this build: use --device cpu").usage();
}

}  // namespace

std::vector<fs::path> module_folders() {
  std::vector<fs::path> folders;
  if (const char* const named = std::getenv("NACRE_MODULES")) {
    const std::string_view list = named;
    for (std::size_t begin = 0; begin <= list.size();) {
      const std::size_t end = std::min(list.find(':', begin), list.size());
      if (end > begin) folders.emplace_back(list.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  if (const fs::path own = own_folder(); !own.empty()) {
    folders.push_back(own);
    folders.push_back(own.parent_path() / "lib");
  }
  return folders;
}

std::shared_ptr<Device> open_device(const std::vector<fs::path>& folders) {
  void* const library = load(folders);
  const auto open = reinterpret_cast<OpenGpu>(dlsym(library, open_gpu_name));
  if (!open) throw Error("{} is not a module of nacre", file_name).usage();
  std::shared_ptr<Device> device;
  if (const char* const reason = open(module_interface, &device)) throw Error(std::string(reason)).usage();
  ensure(device != nullptr, "the GPU's module opened nothing");
  return device;
}

}  // namespace nacre::gpu
