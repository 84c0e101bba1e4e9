#include "backend/cudnn/module/nccl.h"

#include <cstring>
#include <optional>
#include <vector>

#include "backend/cudnn/module/library.h"

namespace nacre::gpu {

#ifdef NACRE_NCCL

std::shared_ptr<const Nccl> load_nccl() {
  const SharedLibrary library(fmt::format("libnccl.so.{}", NCCL_MAJOR), "NCCL");
  auto nccl = std::make_shared<Nccl>();
  library.find(nccl->version, "ncclGetVersion");
  library.find(nccl->error_string, "ncclGetErrorString");
  library.find(nccl->make_id, "ncclGetUniqueId");
  library.find(nccl->join, "ncclCommInitRank");
  library.find(nccl->leave, "ncclCommDestroy");
  library.find(nccl->abort, "ncclCommAbort");
  library.find(nccl->failure, "ncclCommGetAsyncError");
  library.find(nccl->all_reduce, "ncclAllReduce");
  return nccl;
}

std::string version_of(const Nccl& nccl) {
  int version = 0;
  if (nccl.version(&version) != ncclSuccess) return "?";
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);  // 22809
}

void Nccl::check(ncclResult_t result, std::string_view action) const {
  if (result != ncclSuccess && result != ncclInProgress)
    throw Error("NCCL failed to {}: {}", action, error_string(result));
}

namespace {

class Group final : public GpuGroup, public std::enable_shared_from_this<Group> {
 public:
  Group(std::shared_ptr<const Nccl> nccl, std::shared_ptr<const Context> context, const ncclUniqueId& id, int rank,
        int size)
      : nccl_(std::move(nccl)), context_(std::move(context)) {
    const Current current(*context_);
    const Driver& driver = context_->driver();
    nccl_->check(nccl_->join(&communicator_, size, id, rank), "join the GPUs of the processes");
    try {
      driver.check(driver.create_stream(&stream_, CU_STREAM_NON_BLOCKING), "make a stream");
    } catch (...) {
      nccl_->abort(communicator_);
      throw;
    }
    context_->watch(this, [this] { look(); });
  }
  ~Group() override {
    try {
      const Current current(*context_);
      leave();
      context_->driver().destroy_stream(stream_);
    } catch (const Error&) {  // the driver has been shut down
    }
    context_->forget(this);
  }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  std::unique_ptr<Collective::Exchange> sum(std::size_t count, Collective::Number kind) override;

  void abort() {
    if (!std::exchange(aborted_, true)) nccl_->abort(communicator_);
  }
  // Whether the other processes are still there: without one of them sums are never over, unless they are given up.
  void look() {
    if (aborted_) return;
    ncclResult_t state = ncclSuccess;
    nccl_->check(nccl_->failure(communicator_, &state), "tell how it is");
    if (state == ncclSuccess || state == ncclInProgress) return;
    abort();
    throw Error("NCCL failed to sum over the GPUs: {}", nccl_->error_string(state))
        .hint("a process that trains with this one may be gone");
  }
  void start(void* numbers, std::size_t count, ncclDataType_t type, CUevent ready, CUevent done) {
    const Driver& driver = context_->driver();
    if (aborted_) throw Error("the exchanges of the GPUs were given up");
    driver.check(driver.record_event(ready, context_->stream()), "record an event");
    driver.check(driver.hold_stream(stream_, ready, 0), "wait for an event");
    nccl_->check(nccl_->all_reduce(numbers, numbers, count, type, ncclSum, communicator_, stream_),
                 "sum over the GPUs");
    driver.check(driver.record_event(done, stream_), "record an event");
  }
  void wait(CUevent done) {
    look();
    const Driver& driver = context_->driver();
    driver.check(driver.hold_stream(context_->stream(), done, 0), "wait for an event");
  }
  const Context& context() const { return *context_; }

 private:
  // After what has begun, unless other processes no longer come to it.
  void leave() {
    if (aborted_) return;
    try {
      context_->wait_for(stream_);
      nccl_->leave(communicator_);
    } catch (const Error&) {
      abort();
    }
  }

  std::shared_ptr<const Nccl> nccl_;
  std::shared_ptr<const Context> context_;
  ncclComm_t communicator_ = nullptr;
  CUstream stream_ = nullptr;
  bool aborted_ = false;
};

class GpuSum final : public Collective::Exchange {
 public:
  GpuSum(std::shared_ptr<Group> group, std::size_t count, ncclDataType_t type)
      : group_(std::move(group)), count_(count), type_(type) {
    const Current current(group_->context());
    const Driver& driver = group_->context().driver();
    driver.check(driver.create_event(&ready_, CU_EVENT_DISABLE_TIMING), "make an event");
    if (const CUresult result = driver.create_event(&done_, CU_EVENT_DISABLE_TIMING); result != CUDA_SUCCESS) {
      driver.destroy_event(ready_);
      driver.check(result, "make an event");
    }
  }
  ~GpuSum() override {
    try {
      const Current current(group_->context());
      const Driver& driver = group_->context().driver();
      if (under_way_) group_->abort();
      driver.destroy_event(ready_);
      driver.destroy_event(done_);
    } catch (const Error&) {  // the driver has been shut down
    }
  }
  GpuSum(const GpuSum&) = delete;
  GpuSum& operator=(const GpuSum&) = delete;

  void start(void* numbers) override {
    const Current current(group_->context());
    under_way_ = true;
    group_->start(numbers, count_, type_, ready_, done_);
  }
  void wait() override {
    const Current current(group_->context());
    group_->wait(done_);
    under_way_ = false;
  }

 private:
  std::shared_ptr<Group> group_;
  std::size_t count_;
  ncclDataType_t type_;
  CUevent ready_ = nullptr, done_ = nullptr;
  bool under_way_ = false;
};

std::unique_ptr<Collective::Exchange> Group::sum(std::size_t count, Collective::Number kind) {
  const ncclDataType_t type = kind == Collective::Number::float32   ? ncclFloat32
                              : kind == Collective::Number::float64 ? ncclFloat64
                                                                    : ncclInt64;
  return std::make_unique<GpuSum>(shared_from_this(), count, type);
}

// Whether each process has a GPU of its own: NCCL serves no others. All of them call it.
bool one_each(const Context& context, Collective& processes) {
  std::vector<CUuuid> gpus(static_cast<std::size_t>(processes.size()));
  for (int rank = 0; rank < processes.size(); ++rank) {
    CUuuid& gpu = gpus[static_cast<std::size_t>(rank)];
    if (rank == processes.rank()) context.driver().device_uuid(&gpu, context.device());
    processes.broadcast(&gpu, sizeof gpu, rank);
  }
  for (std::size_t i = 0; i < gpus.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (std::memcmp(&gpus[i], &gpus[j], sizeof(CUuuid)) == 0) return false;
  return true;
}

// Whether it is so for one of the processes. All of them call it.
bool anywhere(bool here, Collective& processes) {
  std::int64_t found = here ? 1 : 0;
  processes.all_reduce(&found, 1, Collective::Number::int64, Collective::Combine::max);
  return found != 0;
}

}  // namespace

std::shared_ptr<GpuGroup> join_gpus(std::shared_ptr<const Nccl> nccl, std::shared_ptr<const Context> context,
                                    Collective& processes) {
  if (anywhere(!nccl, processes) || !one_each(*context, processes)) return nullptr;
  struct {
    ncclUniqueId id{};
    ncclResult_t result = ncclSuccess;
  } made;  // by the first process
  if (processes.rank() == 0) {
    const Current current(*context);
    made.result = nccl->make_id(&made.id);
  }
  processes.broadcast(&made, sizeof made, 0);
  nccl->check(made.result, "begin");
  std::shared_ptr<Group> group;
  std::optional<Error> failure;
  try {
    group = std::make_shared<Group>(std::move(nccl), std::move(context), made.id, processes.rank(), processes.size());
  } catch (const Error& error) {
    failure = error;
  }
  if (!anywhere(failure.has_value(), processes)) return group;
  if (group) group->abort();  // nobody comes to where it would wait
  throw failure.value_or(Error("the GPU of another process did not join"));
}

#else

std::shared_ptr<const Nccl> load_nccl() { throw Error("nacre was built without NCCL"); }
std::string version_of(const Nccl&) { return ""; }
std::shared_ptr<GpuGroup> join_gpus(std::shared_ptr<const Nccl>, std::shared_ptr<const Context>,
                                    Collective& processes) {
  std::int64_t lacking = 1;  // as the others are told
  processes.all_reduce(&lacking, 1, Collective::Number::int64, Collective::Combine::max);
  return nullptr;
}

#endif

}  // namespace nacre::gpu
