#include "backend/cudnn/module.h"
#include "backend/cudnn/module/device.h"

namespace {

// Few need it, so its absence is no reason against a GPU.
std::shared_ptr<const nacre::gpu::Nccl> nccl() {
  try {
    return nacre::gpu::load_nccl();
  } catch (const nacre::Error&) {
    return nullptr;
  }
}

}  // namespace

// See backend/cudnn/module.h.
extern "C" __attribute__((visibility("default"))) const char* nacre_open_gpu(
    int interface, std::shared_ptr<nacre::gpu::Device>* device) {
  using namespace nacre;
  static std::string reason;
  try {
    if (interface != gpu::module_interface)
      throw Error("libnacre_cudnn.so belongs to another build of nacre (interface {}, wanted {})",
                  gpu::module_interface, interface);
    const gpu::Driver driver = gpu::load_driver();
    const CUdevice chosen = gpu::choose_device(driver, gpu::local_rank());
    *device = gpu::open_cuda_device(driver, chosen, gpu::load_nvrtc(), gpu::load_cublas_lt(), gpu::load_cudnn(),
                                    gpu::KernelCache(gpu::kernel_folder()), nccl());
    return nullptr;
  } catch (const Error& error) {
    reason = error.line();
  } catch (const std::exception& error) {
    reason = error.what();
  }
  return reason.c_str();
}
