// Batches that come to the device while it computes, and results that come while the next step is under way, with a
// faked driver: who waits for whom, and that nothing is overwritten that somebody still reads.
#include "backend/cudnn/module/lane.h"

#include <gtest/gtest.h>

#include "backend/cudnn/backend.h"
#include "backend/cudnn/module/device.h"
#include "backend/executable.h"
#include "backend/graph/ops/ops.h"
#include "tests/backend/cudnn/module/fake_driver.h"
#include "tests/support/paths.h"
#include "tests/support/tensors.h"

namespace nacre::test {
namespace {

class CudaLane : public testing::Test {
 protected:
  void SetUp() override { open(); }
  void TearDown() override { close(); }
  void open() {
    driver_ = new_fake_driver();
    device_ = gpu::open_cuda_device(driver_, gpu::choose_device(driver_), gpu::load_nvrtc(), fake_cublas_lt(), {},
                                    gpu::KernelCache(folder_ / "kernels"));
    backend_ = gpu::backend_on(device_);
  }
  void close() {
    backend_.reset();
    device_.reset();
    const FakeDriver& after = fake_driver();
    EXPECT_EQ(after.used, 0u);
    EXPECT_EQ(after.pinned, 0u);
    EXPECT_EQ(after.lost, 0);
    EXPECT_EQ(after.contexts, 0);
    EXPECT_EQ(after.streams, 0);
    EXPECT_EQ(after.events, 0);
    EXPECT_EQ(after.depth, 0);
  }
  std::vector<std::string> take_calls() { return std::exchange(fake_driver().calls, {}); }

  TemporaryFolder folder_;
  gpu::Driver driver_{};
  std::shared_ptr<gpu::Device> device_;
  std::unique_ptr<Backend> backend_;
};

constexpr std::size_t sizes[] = {300001, (std::size_t{5} << 20) + 3};  // more than is staged at once

std::vector<std::byte> generation(int number, std::size_t bytes) {
  std::vector<std::byte> made(bytes);
  for (std::size_t i = 0; i < bytes; ++i)
    made[i] = static_cast<std::byte>((i >> 8) + static_cast<std::size_t>(number) * 7);
  return made;
}

// Whichever of the streams is early: a step reads its own batch, and results stay until they are read.
TEST_F(CudaLane, EveryStepHasItsOwnBatch) {
  enum class Early { nobody, lane, device, both };
  for (const Early early : {Early::nobody, Early::lane, Early::device, Early::both}) {
    close(), open();
    gpu::Device& device = *device_;
    const auto arrivals = device.arrivals(sizes);
    ASSERT_TRUE(arrivals);
    void* const places[] = {device.allocate(sizes[0]), device.allocate(sizes[1])};
    struct Step {
      std::shared_ptr<std::byte[]> results[2];
      std::unique_ptr<Fence> fence;
    } steps[2];
    for (Step& step : steps) {
      for (int i : {0, 1}) step.results[i] = device.host_memory(sizes[i]);
      step.fence = device.fence();
      step.fence->wait();  // it was never set
    }
    const auto expect = [&](int number) {
      Step& step = steps[number % 2];
      step.fence->wait();
      for (int i : {0, 1})
        ASSERT_TRUE(std::ranges::equal(std::span(step.results[i].get(), sizes[i]), generation(number, sizes[i])))
            << "step " << number << ", input " << i << ", early: " << static_cast<int>(early);
    };
    for (int number = 0; number < 7; ++number) {
      std::vector<std::byte> batch[] = {generation(number, sizes[0]), generation(number, sizes[1])};
      const void* const from[] = {batch[0].data(), batch[1].data()};
      arrivals->run(from, places, nullptr);
      for (auto& part : batch) std::ranges::fill(part, std::byte{0xff});  // it is the caller's again
      if (early == Early::lane || early == Early::both) run_on_fake(1);
      for (int i : {0, 1}) device.copy(steps[number % 2].results[i].get(), places[i], sizes[i]);
      steps[number % 2].fence->set();
      if (early == Early::device) run_on_fake(0);
      if (early == Early::both) run_newest_stream_first();
      if (number > 0) expect(number - 1);
    }
    expect(6);
    for (void* place : places) device.release(place);
  }
}

TEST_F(CudaLane, LittleComesInLine) {
  constexpr std::size_t little[] = {100, 2000};
  EXPECT_FALSE(device_->arrivals(little));
}

// What is on its way to the host is waited for only by those who read it.
TEST_F(CudaLane, CopiesToTheHostHoldNobodyElseUp) {
  gpu::Device& device = *device_;
  void *const a = device.allocate(4), *const b = device.allocate(4);
  const int sent = 5, other = 6;
  int back = 0;
  const auto result = device.host_memory(4);
  device.copy(a, &sent, 4);
  device.copy(result.get(), a, 4);
  fake_driver().keeps_calls = true;
  device.copy(b, &other, 4);
  EXPECT_EQ(take_calls(), (std::vector<std::string>{"pinned>device on 0"}));
  device.copy(b, result.get(), 4);
  EXPECT_EQ(take_calls(), (std::vector<std::string>{"wait for stream 0", "pinned>device on 0"}));
  device.copy(&back, b, 4);
  device.wait();
  EXPECT_EQ(back, sent);
  device.release(a), device.release(b);
}

// Memory that results are on their way to may be given up.
TEST_F(CudaLane, ResultsThatNobodyWants) {
  void* const a = device_->allocate(100);
  for (int i = 0; i < 3; ++i) device_->copy(device_->host_memory(100).get(), a, 100);
  fake_driver().pins = false;
  EXPECT_TRUE(device_->host_memory(100));
  device_->release(a);
}

// --- executables ---------------------------------------------------------------------------------------------------

// Gives what it was given the time before the last: two variables pass it on, of which the first is multiplied with
// one.
struct Delay {
  static constexpr std::int64_t count = 100000;
  static Type type() { return {DType::float32, {count, 1}}; }
  VariableRef first = variable("first"), second = variable("second");
  static VariableRef variable(std::string path) {
    auto made = std::make_shared<Variable>(std::move(path), type(), true);
    made->assign(Tensor(made->type()));
    return made;
  }
  std::unique_ptr<Executable> on(const Backend& backend) const {
    Graph graph;
    const Value x = graph.input("x", type()), one = graph.constant(Tensor::of<float>({1, 1}, {1}));
    graph.output("before", graph.variable(second));
    graph.update(second, graph.variable(first));
    graph.update(first, ops::matmul(x, one));
    return std::make_unique<Executable>(graph, backend);
  }
  static Tensor batch(int number) {
    Tensor made(type());
    for (std::int64_t i = 0; float& value : made.writable<float>())
      value = static_cast<float>(number * 1000 + i++ % 1000);
    return made;
  }
  static Tensor expected(int number) { return number < 2 ? Tensor(type()) : batch(number - 2); }
};

TEST_F(CudaLane, TheNextBatchComesBeforeAStepIsWaitedFor) {
  const Delay delay;
  const auto step = delay.on(*backend_);
  Results results[] = {Results(*backend_), Results(*backend_)};
  EXPECT_TRUE(results[0].late());
  int allocations = 0;
  for (int number = 0; number < 8; ++number) {
    if (number == 3) fake_driver().keeps_calls = true, allocations = fake_driver().allocations;
    step->start(std::vector{Delay::batch(number)}, results[number % 2]);
    if (number == 0) continue;
    EXPECT_TRUE(results[(number - 1) % 2].wait()[0].identical(Delay::expected(number - 1))) << number;
    // a, b: the fences of the results; e: all of a batch has arrived; f: it has been taken
    if (number < 3) continue;
    EXPECT_EQ(
        take_calls(),
        (std::vector<std::string>{
            "hold 1 for f", "pinned>device on 1", "record e on 1", "hold 0 for e", "device>device on 0",
            "record f on 0", "device>device on 0", "device>pinned on 0", "device>device on 0", "device>device on 0",
            number % 2 ? "record b on 0" : "record a on 0", number % 2 ? "wait for a" : "wait for b"}))
        << step->text();
  }
  EXPECT_EQ(fake_driver().allocations, allocations);
  EXPECT_TRUE(results[1].wait()[0].identical(Delay::expected(7)));
}

// Without memory for a second batch, or pinned memory, all goes on one after the other.
TEST_F(CudaLane, LackOfMemoryTakesNothingAway) {
  for (const bool pins : {true, false}) {
    close(), open();
    fake_driver().pins = pins;
    const Delay delay;
    const auto step = delay.on(*backend_);
    step->prepare();
    if (pins) fake_driver().memory = fake_driver().used + fake_driver().in_pool + 1000;
    Results results(*backend_);
    for (int number = 0; number < 4; ++number) {
      fake_driver().keeps_calls = number > 0;
      const Tensor batch = Delay::batch(number);
      step->start({&batch, 1}, results);
      EXPECT_TRUE(results.wait()[0].identical(Delay::expected(number))) << number;
    }
    const auto calls = take_calls();
    EXPECT_EQ(std::ranges::count(calls, pins ? "pinned>device on 0" : "host>device on 1"), 3);
    EXPECT_EQ(std::ranges::count(calls, "pinned>device on 1"), 0);
  }
}

// What is only there to be faster gives way.
TEST_F(CudaLane, GivesItsMemoryBack) {
  const Delay delay;
  const auto step = delay.on(*backend_);
  Results results(*backend_);
  void* other = nullptr;
  for (int number = 0; number < 6; ++number) {
    const Tensor batch = Delay::batch(number);
    step->start({&batch, 1}, results);
    if (number == 2) {
      fake_driver().memory = fake_driver().used + fake_driver().in_pool + 1000;
      other = device_->allocate(200000);
    }
    EXPECT_TRUE(results.wait()[0].identical(Delay::expected(number))) << number;
  }
  device_->release(other);
}

// A larger batch, a smaller one, another executable: they use the same landing.
TEST_F(CudaLane, BatchesOfAnySize) {
  constexpr std::size_t small[] = {300000}, large[] = {std::size_t{6} << 20};
  const auto few = device_->arrivals(small), many = device_->arrivals(large);
  void* const place = device_->allocate(large[0]);
  const auto fence = device_->fence();
  for (int number = 0; number < 12; ++number) {
    const bool is_large = number % 3 == 1;
    const std::size_t bytes = (is_large ? large : small)[0];
    const std::vector<std::byte> batch = generation(number, bytes);
    const void* const from = batch.data();
    (is_large ? many : few)->run({&from, 1}, {&place, 1}, nullptr);
    std::vector<std::byte> back(bytes);
    device_->copy(back.data(), place, bytes);
    fence->set();
    if (number % 2) run_on_fake(1);
    fence->wait();
    EXPECT_EQ(back, batch) << number;
  }
  device_->release(place);
}

// A batch that came for nothing, since the device failed before it took it, does not come for the next step, nor when
// the memory where it lands has gone.
TEST_F(CudaLane, GoesOnAfterAFailure) {
  static thread_local int fails;
  static decltype(driver_.hold_stream) hold;
  hold = driver_.hold_stream, fails = 0;
  close();
  driver_ = new_fake_driver();
  hold = driver_.hold_stream;
  driver_.hold_stream = [](CUstream stream, CUevent event, unsigned flags) {
    return stream == reinterpret_cast<CUstream>(std::size_t{100}) && fails-- > 0 ? CUDA_ERROR_UNKNOWN
                                                                                 : hold(stream, event, flags);
  };
  device_ = gpu::open_cuda_device(driver_, gpu::choose_device(driver_), gpu::load_nvrtc(), fake_cublas_lt(), {},
                                  gpu::KernelCache(folder_ / "kernels"));
  backend_ = gpu::backend_on(device_);
  const Delay delay;
  const auto step = delay.on(*backend_);
  Results results(*backend_);
  for (int number = 0, done = 0; number < 6; ++number) {
    fails = number == 3;
    const Tensor batch = Delay::batch(done);
    if (number == 3) {
      EXPECT_THROW(step->start(std::vector{Delay::batch(99)}, results), Error);
      constexpr std::size_t large[] = {std::size_t{2} << 20};
      const std::vector<std::byte> other = generation(1, large[0]);
      const void* const from = other.data();
      void* const place = device_->allocate(large[0]);
      device_->arrivals(large)->run({&from, 1}, {&place, 1}, nullptr);
      run_on_fake(0);
      device_->release(place);
      continue;
    }
    step->start({&batch, 1}, results);
    EXPECT_TRUE(results.wait()[0].identical(Delay::expected(done++))) << number;
  }
}

// Nobody waits for the last steps of a training that failed.
TEST_F(CudaLane, StepsThatNobodyWaitsFor) {
  const Delay delay;
  const auto step = delay.on(*backend_);
  Results results[] = {Results(*backend_), Results(*backend_)};
  for (int number = 0; number < 3; ++number) step->start(std::vector{Delay::batch(number)}, results[number % 2]);
}

}  // namespace
}  // namespace nacre::test
