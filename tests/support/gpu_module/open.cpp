// A module of the GPU backend whose device is the emulated one, or that finds none, for the reason that
// NACRE_TEST_NO_GPU gives: what loads modules is tested with it on any machine. Its results come late and its inputs
// beside other work, unless there is NACRE_TEST_GPU_AT_ONCE; what it was asked for is written to the file
// NACRE_TEST_GPU_ORDER.
#include <cstdlib>
#include <fstream>

#include "backend/cudnn/module.h"
#include "tests/support/emulated_gpu.h"

namespace {

struct Report {
  std::shared_ptr<nacre::test::EmulatedDevice> device{};
  ~Report() {
    if (const char* const file = std::getenv("NACRE_TEST_GPU_ORDER"); file && device)
      std::ofstream(file) << device->counts().order;
  }
};

}  // namespace

extern "C" const char* nacre_open_gpu(int interface, std::shared_ptr<nacre::gpu::Device>* device) {
  if (interface != nacre::gpu::module_interface) return "another build of nacre";
  if (const char* const reason = std::getenv("NACRE_TEST_NO_GPU")) return reason;
  static Report report;
  report.device = nacre::test::emulated_gpu();
  if (!report.device) return "no compiler to emulate a GPU with";
  if (std::getenv("NACRE_TEST_GPU_AT_ONCE")) report.device->do_all_at_once();
  else report.device->bring_beside(0);
  *device = report.device;
  return nullptr;
}
