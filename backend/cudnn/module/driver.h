// The CUDA driver's functions, found at run time. Tests put others in their place.
#pragma once

#include <cuda.h>

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "backend/core/error.h"

namespace nacre::gpu {

struct Driver {
  decltype(&cuInit) init;
  decltype(&cuDriverGetVersion) version;
  decltype(&cuGetErrorString) error_string;
  decltype(&cuDeviceGetCount) device_count;
  decltype(&cuDeviceGet) device;
  decltype(&cuDeviceGetName) device_name;
  decltype(&cuDeviceGetUuid) device_uuid;
  decltype(&cuDeviceGetAttribute) device_attribute;
  decltype(&cuDeviceTotalMem) device_memory;
  decltype(&cuDevicePrimaryCtxRetain) retain_context;
  decltype(&cuDevicePrimaryCtxRelease) release_context;
  decltype(&cuCtxPushCurrent) push_context;
  decltype(&cuCtxPopCurrent) pop_context;
  decltype(&cuStreamCreate) create_stream;
  decltype(&cuStreamDestroy) destroy_stream;
  decltype(&cuStreamSynchronize) wait_for_stream;
  decltype(&cuStreamQuery) query_stream;
  decltype(&cuStreamWaitEvent) hold_stream;
  decltype(&cuEventCreate) create_event;
  decltype(&cuEventDestroy) destroy_event;
  decltype(&cuEventRecord) record_event;
  decltype(&cuEventSynchronize) wait_for_event;
  decltype(&cuEventQuery) query_event;
  decltype(&cuDeviceGetDefaultMemPool) default_pool;
  decltype(&cuMemPoolSetAttribute) set_pool_attribute;
  decltype(&cuMemPoolTrimTo) trim_pool;
  decltype(&cuMemAllocAsync) allocate_in_order;
  decltype(&cuMemFreeAsync) release_in_order;
  decltype(&cuMemAlloc) allocate;
  decltype(&cuMemFree) release;
  decltype(&cuMemGetInfo) memory_info;
  decltype(&cuMemAllocHost) allocate_host;
  decltype(&cuMemFreeHost) release_host;
  decltype(&cuMemcpyAsync) copy;
  decltype(&cuMemsetD8Async) set_bytes;
  decltype(&cuPointerGetAttribute) pointer_attribute;
  decltype(&cuModuleLoadData) load_module;
  decltype(&cuModuleUnload) unload_module;
  decltype(&cuModuleGetFunction) module_function;
  decltype(&cuLaunchKernel) launch;
  decltype(&cuStreamBeginCapture) begin_capture;
  decltype(&cuStreamEndCapture) end_capture;
  decltype(&cuGraphInstantiate) instantiate_graph;
  decltype(&cuGraphDestroy) destroy_graph;
  decltype(&cuGraphUpload) upload_graph;
  decltype(&cuGraphLaunch) launch_graph;
  decltype(&cuGraphExecDestroy) destroy_executable_graph;

  // Throws an Error that says what could not be done and the driver's reason. After some failures nothing works any
  // more in this process: all that follow tell of the first.
  void check(CUresult result, std::string_view action) const;
  std::string reason(CUresult result) const;

  // Of a driver and its copies. Threads may find it at the same time.
  struct Loss {
    std::mutex mutex;
    std::string failure;  // empty: the device works
  };
  std::shared_ptr<Loss> loss = std::make_shared<Loss>();
};

// Opens the machine's driver. Throws an Error where there is none.
Driver load_driver(const char* file_name = "libcuda.so.1");

}  // namespace nacre::gpu
