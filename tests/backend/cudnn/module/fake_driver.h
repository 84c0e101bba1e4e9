// A CUDA driver on the host, in the place of the real one, and a cuBLASLt whose descriptions are the real library's and
// whose products are plain loops. Its streams are lazy: what is asked of one happens when somebody waits for it, which is the
// latest that a GPU may do it, so what relies on more than the driver promises is found out.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "backend/cudnn/module/device.h"

namespace nacre::test {

struct FakeDriver {
  // What it is like.
  int version = CUDA_VERSION;
  CUresult start = CUDA_SUCCESS;
  CUresult context = CUDA_SUCCESS;
  CUresult launched = CUDA_SUCCESS, copied = CUDA_SUCCESS;  // what it says when that is asked for
  int devices = 1;
  int architecture = 90;
  bool pools = true;
  bool pins = true;                          // host memory
  int queries = 0;                           // how often it answers that it is not ready
  bool captures = true, instantiates = true, uploads = true;
  std::size_t memory = std::size_t{1} << 30;  // bytes

  // What happened.
  std::size_t used = 0, in_pool = 0;  // bytes of the device: taken, and released to the pool
  std::size_t pinned = 0;
  int contexts = 0, streams = 0, events = 0, modules = 0, images_refused = 0, matmuls = 0;
  int graphs = 0, executable_graphs = 0, replays = 0;
  int allocations = 0;  // of the device's memory and of pinned memory
  int lost = 0;         // copies that came when their memory was given back, or before it was there
  // The order of calls, while it is kept: "host>device on 1" (the stream by its number, the context's is 0), where pinned
  // memory is told from other memory of the host; "record a on 0", "hold 1 for a" (events by letters), "wait for a",
  // "wait for stream 0", "replay".
  bool keeps_calls = false;
  std::vector<std::string> calls;
  int depth = 0;  // of the stack of contexts
  cublasComputeType_t compute_type{};
  struct Launch {
    unsigned blocks, threads;
    std::vector<void*> arguments;
  };
  std::vector<Launch> launches;
};

// There is one; a test begins with a new one.
FakeDriver& fake_driver();
gpu::Driver new_fake_driver();
gpu::CublasLt fake_cublas_lt();
// What a library asks of a stream.
void queue_on_fake(CUstream stream, std::function<void()> work);
// What one stream does early and the others late: by its number, which is 0 for the context's.
void run_on_fake(std::size_t stream);
void run_newest_stream_first();

}  // namespace nacre::test
