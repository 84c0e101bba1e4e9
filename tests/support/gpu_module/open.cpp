// A module of the GPU backend whose device is the emulated one, or that finds none, for the reason that
// NACRE_TEST_NO_GPU gives: what loads modules is tested with it on any machine.
#include <cstdlib>

#include "backend/cudnn/module.h"
#include "tests/support/emulated_gpu.h"

extern "C" const char* nacre_open_gpu(int interface, std::shared_ptr<nacre::gpu::Device>* device) {
  if (interface != nacre::gpu::module_interface) return "another build of nacre";
  if (const char* const reason = std::getenv("NACRE_TEST_NO_GPU")) return reason;
  *device = nacre::test::emulated_gpu();
  return *device ? nullptr : "no compiler to emulate a GPU with";
}
