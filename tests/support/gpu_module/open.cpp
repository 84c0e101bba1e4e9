// A module of the GPU backend whose device is the emulated one: what loads modules is tested with it on any machine.
#include "backend/cudnn/module.h"
#include "tests/support/emulated_gpu.h"

extern "C" const char* nacre_open_gpu(int interface, std::shared_ptr<nacre::gpu::Device>* device) {
  if (interface != nacre::gpu::module_interface) return "another build of nacre";
  *device = nacre::test::emulated_gpu();
  return *device ? nullptr : "no compiler to emulate a GPU with";
}
