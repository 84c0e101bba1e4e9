// A cuDNN that does everything by the real one but what takes a GPU: its handle is for an H200 that is not there, and
// instead of computing it keeps what it was given.
#pragma once

#include <cudnn.h>

#include <cstdint>
#include <vector>

namespace nacre::test {

struct FakeCudnn {
  cudnnStatus_t start = CUDNN_STATUS_SUCCESS;  // what making a handle returns

  int handles = 0, plans_built = 0, plans_read = 0;
  cudaStream_t stream = nullptr;
  struct Execution {
    std::vector<std::int64_t> ids;
    std::vector<void*> places;
    void* workspace = nullptr;
  };
  std::vector<Execution> executions;
};

// The library's function that gives it.
inline constexpr char fake_cudnn_name[] = "nacre_fake_cudnn";
using GetFakeCudnn = FakeCudnn& (*)();

// What cuDNN asks of the driver of an H200, as 9.19 writes it.
inline constexpr char h200[] = R"({"deviceVer":900,"driverVer":13000,"cudaDeviceId":0,"deviceName":"NVIDIA H200",
"totalGlobalMem":150000000000,"maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],"regsPerBlock":65536,
"multiProcessorCount":132,"warpSize":32,"maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":232448,
"reservedSharedMemoryPerBlock":1024,"maxRegistersPerSM":65536,"maxCtasPerSM":32,"maxThreadsPerBlock":1024,
"maxThreadsPerSM":2048,"pciDeviceId":0,"isTccDriver":0,"supportCoopLaunch":1,"smClockRateKHz":1980000,
"memClockRateKHz":3201000,"l2CacheSize":62914560})";

}  // namespace nacre::test
