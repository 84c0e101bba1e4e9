// Sums over the GPUs of several processes, by NCCL: one process for each GPU. Empty where nacre was built without
// NCCL's headers.
#pragma once

#include <memory>
#include <string>

#include "backend/collective.h"
#include "backend/cudnn/module/context.h"

#ifdef NACRE_NCCL
#include <nccl.h>
#endif

namespace nacre::gpu {

#ifdef NACRE_NCCL
struct Nccl {
  decltype(&ncclGetVersion) version;
  decltype(&ncclGetErrorString) error_string;
  decltype(&ncclGetUniqueId) make_id;
  decltype(&ncclCommInitRank) join;
  decltype(&ncclCommDestroy) leave;
  decltype(&ncclCommAbort) abort;
  decltype(&ncclCommGetAsyncError) failure;
  decltype(&ncclAllReduce) all_reduce;

  // Throws an Error that says what could not be done and NCCL's reason.
  void check(ncclResult_t result, std::string_view action) const;
};
#else
struct Nccl {};
#endif

std::shared_ptr<const Nccl> load_nccl();   // throws an Error where there is none
std::string version_of(const Nccl& nccl);  // "2.28.9"

// The GPUs of processes that train together. Their sums go by a stream of their own, beside the context's: they begin
// when what the context's stream had to do is done, and what it does after waiting for one comes after that.
class GpuGroup {
 public:
  virtual ~GpuGroup() = default;
  virtual std::unique_ptr<Collective::Exchange> sum(std::size_t count, Collective::Number kind) = 0;
};

// All processes call it. With null where this process has no NCCL; null where one of them has none, or where two of
// them share a GPU. Throws in all of them when one cannot join.
std::shared_ptr<GpuGroup> join_gpus(std::shared_ptr<const Nccl> nccl, std::shared_ptr<const Context> context,
                                    Collective& processes);

}  // namespace nacre::gpu
