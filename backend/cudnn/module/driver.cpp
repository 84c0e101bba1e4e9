#include "backend/cudnn/module/driver.h"

#include "backend/cudnn/module/library.h"

namespace nacre::gpu {

// The versions of the functions are those that cuda.h means by their plain names.
Driver load_driver(const char* file_name) {
  const SharedLibrary library(file_name, "NVIDIA driver");
  Driver driver{};
  library.find(driver.init, "cuInit");
  library.find(driver.version, "cuDriverGetVersion");
  library.find(driver.error_string, "cuGetErrorString");
  library.find(driver.device_count, "cuDeviceGetCount");
  library.find(driver.device, "cuDeviceGet");
  library.find(driver.device_name, "cuDeviceGetName");
  library.find(driver.device_uuid, "cuDeviceGetUuid_v2");
  library.find(driver.device_attribute, "cuDeviceGetAttribute");
  library.find(driver.device_memory, "cuDeviceTotalMem_v2");
  library.find(driver.retain_context, "cuDevicePrimaryCtxRetain");
  library.find(driver.release_context, "cuDevicePrimaryCtxRelease_v2");
  library.find(driver.push_context, "cuCtxPushCurrent_v2");
  library.find(driver.pop_context, "cuCtxPopCurrent_v2");
  library.find(driver.create_stream, "cuStreamCreate");
  library.find(driver.destroy_stream, "cuStreamDestroy_v2");
  library.find(driver.wait_for_stream, "cuStreamSynchronize");
  library.find(driver.query_stream, "cuStreamQuery");
  library.find(driver.hold_stream, "cuStreamWaitEvent");
  library.find(driver.create_event, "cuEventCreate");
  library.find(driver.destroy_event, "cuEventDestroy_v2");
  library.find(driver.record_event, "cuEventRecord");
  library.find(driver.wait_for_event, "cuEventSynchronize");
  library.find(driver.query_event, "cuEventQuery");
  library.find(driver.default_pool, "cuDeviceGetDefaultMemPool");
  library.find(driver.set_pool_attribute, "cuMemPoolSetAttribute");
  library.find(driver.trim_pool, "cuMemPoolTrimTo");
  library.find(driver.allocate_in_order, "cuMemAllocAsync");
  library.find(driver.release_in_order, "cuMemFreeAsync");
  library.find(driver.allocate, "cuMemAlloc_v2");
  library.find(driver.release, "cuMemFree_v2");
  library.find(driver.memory_info, "cuMemGetInfo_v2");
  library.find(driver.allocate_host, "cuMemAllocHost_v2");
  library.find(driver.release_host, "cuMemFreeHost");
  library.find(driver.copy, "cuMemcpyAsync");
  library.find(driver.set_bytes, "cuMemsetD8Async");
  library.find(driver.pointer_attribute, "cuPointerGetAttribute");
  library.find(driver.load_module, "cuModuleLoadData");
  library.find(driver.unload_module, "cuModuleUnload");
  library.find(driver.module_function, "cuModuleGetFunction");
  library.find(driver.launch, "cuLaunchKernel");
  library.find(driver.begin_capture, "cuStreamBeginCapture_v2");
  library.find(driver.end_capture, "cuStreamEndCapture");
  library.find(driver.instantiate_graph, "cuGraphInstantiateWithFlags");
  library.find(driver.destroy_graph, "cuGraphDestroy");
  library.find(driver.upload_graph, "cuGraphUpload");
  library.find(driver.launch_graph, "cuGraphLaunch");
  library.find(driver.destroy_executable_graph, "cuGraphExecDestroy");
  return driver;
}

std::string Driver::reason(CUresult result) const {
  if (result == CUDA_ERROR_STUB_LIBRARY) return "it is the toolkit's stub, not a driver";  // which knows no texts
  const char* text = nullptr;
  return error_string(result, &text) == CUDA_SUCCESS && text ? text : fmt::format("error {}", static_cast<int>(result));
}

namespace {

// After which the driver answers every call with the same.
bool lasts(CUresult result) {
  switch (result) {
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED: return true;
    default: return false;
  }
}

}  // namespace

void Driver::check(CUresult result, std::string_view action) const {
  if (result == CUDA_SUCCESS) return;
  std::string failure = fmt::format("{}: {}", action, reason(result));
  if (!lasts(result)) throw Error("the GPU failed to {}", failure);
  const std::lock_guard lock(loss->mutex);
  if (loss->failure.empty()) loss->failure = std::move(failure);
  throw Error("the GPU failed to {}", loss->failure)
      .hint("what was asked of it before may be the cause; it does nothing more for this process: start again");
}

}  // namespace nacre::gpu
