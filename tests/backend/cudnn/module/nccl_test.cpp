// Sums over the GPUs of several processes, with a faked NCCL and a faked driver.
#include "backend/cudnn/module/nccl.h"

#include <gtest/gtest.h>

#include <utility>

#include "tests/backend/cudnn/module/fake_driver.h"
#include "tests/support/paths.h"
#include "tests/support/tensors.h"

namespace nacre::test {
namespace {

TEST(Gpus, EachProcessOfAMachineHasItsOwn) {
  const gpu::Driver driver = new_fake_driver();
  EXPECT_EQ(gpu::choose_device(driver, 3), 0);  // the only one
  fake_driver().devices = 4;
  EXPECT_EQ(gpu::choose_device(driver, 0), 0);
  EXPECT_EQ(gpu::choose_device(driver, 3), 3);
  EXPECT_EQ(message_of([&] { gpu::choose_device(driver, 4); }),
            "there are 4 GPUs, and this is process 5 of this machine: start one for each GPU");
  EXPECT_EQ(gpu::local_rank(), 0);
  for (const char* variable : {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "LOCAL_RANK"}) {
    ::setenv(variable, "2", 1);
    EXPECT_EQ(gpu::local_rank(), 2) << variable;
    for (const char* wrong : {"", "-1", "x", "99999999999999"}) {
      ::setenv(variable, wrong, 1);
      EXPECT_EQ(gpu::local_rank(), 0) << wrong;
    }
    ::unsetenv(variable);
  }
}

#ifdef NACRE_NCCL

struct FakeNccl {
  ncclResult_t join = ncclSuccess, state = ncclSuccess;
  int communicators = 0, aborted = 0, rank = -1, size = 0;
} fake;

int aborts = 0;  // of all tests: work that was aborted is not done when its stream goes on

// The other process's GPU has the same numbers.
ncclResult_t double_them(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t operation,
                         ncclComm_t, cudaStream_t stream) {
  if (operation != ncclSum || fake_driver().depth == 0) return ncclInvalidArgument;
  const auto add = [=]<class T>(T) {
    queue_on_fake(stream, [=, before = aborts] {
      if (aborts != before) return;
      for (std::size_t i = 0; i < count; ++i) static_cast<T*>(to)[i] = 2 * static_cast<const T*>(from)[i];
    });
  };
  if (type == ncclFloat32) add(float());
  else if (type == ncclFloat64) add(double());
  else return ncclInvalidArgument;
  return ncclSuccess;
}

std::shared_ptr<const gpu::Nccl> fake_nccl() {
  gpu::Nccl nccl{};
  nccl.version = [](int* version) { return *version = 22809, ncclSuccess; };
  nccl.error_string = [](ncclResult_t) { return "a fake error"; };
  nccl.make_id = [](ncclUniqueId* id) { return id->internal[0] = 'i', ncclSuccess; };
  nccl.join = [](ncclComm_t* made, int size, ncclUniqueId id, int rank) {
    if (id.internal[0] != 'i' || fake_driver().depth == 0) return ncclInvalidArgument;
    fake.rank = rank, fake.size = size;
    if (fake.join == ncclSuccess) ++fake.communicators, *made = reinterpret_cast<ncclComm_t>(13);
    return fake.join;
  };
  nccl.leave = [](ncclComm_t) { return --fake.communicators, ncclSuccess; };
  nccl.abort = [](ncclComm_t) { return --fake.communicators, ++fake.aborted, ++aborts, ncclSuccess; };
  nccl.failure = [](ncclComm_t, ncclResult_t* state) { return *state = fake.state, ncclSuccess; };
  nccl.all_reduce = double_them;
  return std::make_shared<gpu::Nccl>(nccl);
}

// One of two; the other one's GPU is that of this number.
class Processes final : public Collective {
 public:
  explicit Processes(bool other_lacks_it = false, int other_gpu = 1)
      : other_gpu_(other_gpu), other_lacks_it_(other_lacks_it) {}
  int rank() const override { return 0; }
  int size() const override { return 2; }
  Collective& machine() override { return *this; }
  void all_reduce(void* numbers, std::size_t, Number, Combine) override {
    ++calls;
    if (other_lacks_it_) *static_cast<std::int64_t*>(numbers) = 1;
  }
  std::unique_ptr<Exchange> exchange(std::size_t, Number, Combine) override { return nullptr; }
  void broadcast(void* bytes, std::size_t count, int from) override {
    if (from == 0) return;
    ASSERT_EQ(count, sizeof(CUuuid));
    *static_cast<CUuuid*>(bytes) = {{'G', static_cast<char>(other_gpu_)}};
  }
  int calls = 0;

 private:
  int other_gpu_;
  bool other_lacks_it_;
};

class NcclSums : public testing::Test {
 protected:
  void TearDown() override {
    device_.reset();
    EXPECT_EQ(fake.communicators, 0);
    EXPECT_EQ(fake_driver().streams, 0);
    EXPECT_EQ(fake_driver().events, 0);
    EXPECT_EQ(fake_driver().contexts, 0);
    EXPECT_EQ(fake_driver().depth, 0);
  }
  gpu::Device& open(std::shared_ptr<const gpu::Nccl> nccl) {
    device_.reset();
    EXPECT_EQ(std::exchange(fake, {}).communicators, 0);
    const gpu::Driver driver = new_fake_driver();
    device_ = gpu::open_cuda_device(driver, gpu::choose_device(driver), gpu::load_nvrtc(), fake_cublas_lt(), {},
                                    gpu::KernelCache(folder_ / "kernels"), std::move(nccl));
    return *device_;
  }
  TemporaryFolder folder_;
  std::shared_ptr<gpu::Device> device_;
};

// Whichever of the streams is early: a sum begins after what came before, and is over before what comes after the wait.
TEST_F(NcclSums, GoBesideTheDevicesOtherWork) {
  for (const bool early : {false, true}) {
    gpu::Device& device = open(fake_nccl());
    const auto processes = std::make_shared<Processes>();
    const auto sum = device.sum_over(processes, 3, Collective::Number::float32);
    ASSERT_TRUE(sum);
    const auto wide = device.sum_over(processes, 1, Collective::Number::float64);
    EXPECT_EQ(processes->calls, 2);  // whether there is NCCL, and whether all have joined: once
    EXPECT_EQ(fake.size, 2);
    EXPECT_EQ(fake.rank, 0);
    auto* const numbers = static_cast<float*>(device.allocate(3 * sizeof(float)));
    auto* const other = static_cast<double*>(device.allocate(sizeof(double)));
    for (const float scale : {1.0f, 10.0f}) {
      const float before[3] = {scale, 2 * scale, 3 * scale};
      const double before_wide = scale / 4;
      float after[3] = {};
      double after_wide = 0;
      device.copy(numbers, before, sizeof before);
      sum->start(numbers);
      device.copy(other, &before_wide, sizeof before_wide);
      wide->start(other);
      if (early) run_newest_stream_first();
      wide->wait();
      sum->wait();
      device.copy(after, numbers, sizeof after);
      device.copy(&after_wide, other, sizeof after_wide);
      device.wait();
      for (int i = 0; i < 3; ++i) EXPECT_EQ(after[i], 2 * before[i]);
      EXPECT_EQ(after_wide, 2 * before_wide);
    }
    device.release(numbers);
    device.release(other);
  }
}

TEST_F(NcclSums, AreNotThereWhereOneProcessHasNoNccl) {
  const auto processes = std::make_shared<Processes>(), others = std::make_shared<Processes>(true);
  EXPECT_NE(open(fake_nccl()).facts().libraries.find(", NCCL 2.28.9, "), std::string::npos)
      << device_->facts().libraries;
  EXPECT_FALSE(device_->sum_over(others, 3, Collective::Number::float32));
  EXPECT_FALSE(device_->sum_over(others, 3, Collective::Number::float32));
  EXPECT_EQ(others->calls, 1);
  EXPECT_TRUE(device_->sum_over(processes, 3, Collective::Number::float32));
  EXPECT_NE(open(nullptr).facts().libraries.find(", no NCCL, "), std::string::npos) << device_->facts().libraries;
  EXPECT_FALSE(device_->sum_over(processes, 3, Collective::Number::float32));
  EXPECT_EQ(processes->calls, 3);  // the others are told
}

TEST_F(NcclSums, AreNotThereWhereProcessesShareAGpu) {
  open(fake_nccl());
  EXPECT_FALSE(device_->sum_over(std::make_shared<Processes>(false, 0), 3, Collective::Number::float32));
  EXPECT_EQ(fake.size, 0);  // NCCL was not asked
}

TEST_F(NcclSums, FailIfAnotherProcessDoesNotJoin) {
  class Fails final : public Collective {
   public:
    int rank() const override { return 0; }
    int size() const override { return 2; }
    Collective& machine() override { return *this; }
    void all_reduce(void* numbers, std::size_t, Number, Combine) override {
      *static_cast<std::int64_t*>(numbers) = fake.communicators;  // as soon as this one has joined
    }
    std::unique_ptr<Exchange> exchange(std::size_t, Number, Combine) override { return nullptr; }
    void broadcast(void* bytes, std::size_t, int from) override {
      if (from == 1) *static_cast<CUuuid*>(bytes) = {{'x'}};
    }
  };
  open(fake_nccl());
  EXPECT_EQ(message_of([&] { device_->sum_over(std::make_shared<Fails>(), 3, Collective::Number::float32); }),
            "the GPU of another process did not join");
  EXPECT_EQ(fake.aborted, 1);
}

TEST_F(NcclSums, FailuresAreTold) {
  gpu::Device& device = open(fake_nccl());
  fake.join = ncclInvalidUsage;
  const auto processes = std::make_shared<Processes>();
  EXPECT_EQ(message_of([&] { device.sum_over(processes, 3, Collective::Number::float32); }),
            "NCCL failed to join the GPUs of the processes: a fake error");
  fake.join = ncclSuccess;
  const auto sum = device.sum_over(processes, 3, Collective::Number::float32);
  void* const numbers = device.allocate(3 * sizeof(float));
  sum->start(numbers);
  fake.state = ncclRemoteError;
  EXPECT_TRUE(message_of([&] { sum->wait(); }).starts_with("NCCL failed to sum over the GPUs: a fake error"));
  EXPECT_EQ(fake.aborted, 1);
  EXPECT_EQ(message_of([&] { sum->start(numbers); }), "the exchanges of the GPUs were given up");
  device.release(numbers);
}

// A process is gone while this one waits for its device, which waits for the other's numbers.
TEST_F(NcclSums, ALostProcessEndsTheWaiting) {
  gpu::Device& device = open(fake_nccl());
  const auto sum = device.sum_over(std::make_shared<Processes>(), 3, Collective::Number::float32);
  void* const numbers = device.allocate(3 * sizeof(float));
  const auto fence = device.fence();
  const auto wait_by_fence = [&] { fence->set(), fence->wait(); };
  fake_driver().queries = 3;
  wait_by_fence();
  fake_driver().queries = 3;
  device.wait();
  EXPECT_LT(fake_driver().queries, 0);
  sum->start(numbers);
  sum->wait();
  fake_driver().queries = 1000000;  // it never becomes ready
  fake.state = ncclRemoteError;
  EXPECT_TRUE(message_of(wait_by_fence).starts_with("NCCL failed to sum over the GPUs: a fake error"));
  EXPECT_EQ(fake.aborted, 1);
  fake_driver().queries = 0;
  device.wait();  // what is there goes on
  device.release(numbers);
}

// Of the groups of two trainings one after the other, the second is watched when the first is forgotten.
TEST_F(NcclSums, ALostProcessOfALaterGroupEndsTheWaiting) {
  gpu::Device& device = open(fake_nccl());
  const auto first = std::make_shared<Processes>(), second = std::make_shared<Processes>();
  device.sum_over(first, 3, Collective::Number::float32);
  const auto sum = device.sum_over(second, 3, Collective::Number::float32);
  EXPECT_EQ(fake.communicators, 1);
  fake_driver().queries = 3;
  fake.state = ncclRemoteError;
  EXPECT_THROW(device.wait(), Error);
  EXPECT_EQ(fake.aborted, 1);
  fake_driver().queries = 0;
}

// What has begun is never over, and nobody waits for it when the device is closed.
TEST_F(NcclSums, ALostProcessDoesNotKeepTheOthers) {
  gpu::Device& device = open(fake_nccl());
  auto sum = device.sum_over(std::make_shared<Processes>(), 3, Collective::Number::float32);
  void* const numbers = device.allocate(3 * sizeof(float));
  sum->start(numbers);
  sum->wait();
  device.release(numbers);
  fake_driver().queries = 3;
  fake.state = ncclRemoteError;
  sum.reset(), device_.reset();
  EXPECT_EQ(fake.aborted, 1);
  fake_driver().queries = 0;
}

TEST_F(NcclSums, WhatIsUnderWayIsGivenUp) {
  gpu::Device& device = open(fake_nccl());
  const auto processes = std::make_shared<Processes>();
  auto sum = device.sum_over(processes, 3, Collective::Number::float32),
       other = device.sum_over(processes, 3, Collective::Number::float32);
  void* const numbers = device.allocate(3 * sizeof(float));
  sum->start(numbers);
  sum.reset();
  EXPECT_EQ(fake.aborted, 1);
  EXPECT_THROW(other->start(numbers), Error);
  device.release(numbers);
}

TEST(Nccl, IsFoundWhereTheBuildFoundIt) {
  try {
    EXPECT_TRUE(gpu::version_of(*gpu::load_nccl()).starts_with("2.")) << gpu::version_of(*gpu::load_nccl());
  } catch (const Error& error) {
    GTEST_SKIP() << "skipped: " << error.line();
  }
}

#endif

}  // namespace
}  // namespace nacre::test
