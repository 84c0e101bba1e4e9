// The device of the GPU's module on a faked driver: why it cannot be opened, memory, copies, kernels, products.
#include "backend/cudnn/module/device.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>

#include "backend/core/random.h"
#include "tests/backend/cudnn/module/fake_driver.h"
#include "tests/support/eight_bits.h"
#include "tests/support/op_cases.h"
#include "tests/support/paths.h"
#include "tests/support/tensors.h"

namespace nacre::test {

namespace {

std::atomic<int> compilations = 0, wanted_at_once = 0;
gpu::Nvrtc counting_nvrtc() {
  static const gpu::Nvrtc real = gpu::load_nvrtc();
  gpu::Nvrtc nvrtc = real;
  nvrtc.compile = [](nvrtcProgram program, int count, const char* const* options) {
    ++compilations;
    for (int ms = 0; ms < 10000 && compilations < wanted_at_once; ++ms)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return real.compile(program, count, options);
  };
  return nvrtc;
}

constexpr const char* source = "extern \"C\" __global__ void run(float* x, const float* y) { x[0] = y[0]; }\n";

void start(gpu::Function& function) {
  void* const nothing = nullptr;
  void* const arguments[] = {const_cast<void**>(&nothing), const_cast<void**>(&nothing)};
  function.launch(1, 1, arguments);
}

class CudaDevice : public testing::Test {
 protected:
  void SetUp() override { driver_ = new_fake_driver(); }
  void TearDown() override {
    device_.reset();
    const FakeDriver& after = fake_driver();
    EXPECT_EQ(after.used, 0u);
    EXPECT_EQ(after.pinned, 0u);
    EXPECT_EQ(after.contexts, 0);
    EXPECT_EQ(after.streams, 0);
    EXPECT_EQ(after.events, 0);
    EXPECT_EQ(after.modules, 0);
    EXPECT_EQ(after.graphs, 0);
    EXPECT_EQ(after.executable_graphs, 0);
    EXPECT_EQ(after.depth, 0);
  }
  gpu::Device& open() {
    device_ = gpu::open_cuda_device(driver_, gpu::choose_device(driver_), counting_nvrtc(), fake_cublas_lt(), cudnn_,
                                    gpu::KernelCache(folder_ / "kernels"));
    return *device_;
  }
  std::string reason() {
    return message_of([&] { open(); });
  }

  TemporaryFolder folder_;
  gpu::Driver driver_{};
  gpu::Cudnn cudnn_{.version = "9.99.0"};
  std::shared_ptr<gpu::Device> device_;
};

TEST_F(CudaDevice, WhyItCannotBeOpened) {
  FakeDriver& fake = fake_driver();
  fake.version = 11080;
  EXPECT_EQ(reason(), fmt::format("the NVIDIA driver is too old: it is for CUDA 11.8, wanted {}.0 or later", CUDA_VERSION / 1000));
  fake.version = CUDA_VERSION;
  fake.start = CUDA_ERROR_NO_DEVICE;
  EXPECT_EQ(reason(), "no NVIDIA GPU (CUDA_VISIBLE_DEVICES may hide one)");
  fake.start = CUDA_ERROR_STUB_LIBRARY;
  EXPECT_EQ(reason(), "the NVIDIA driver does not start: it is the toolkit's stub, not a driver");
  fake.start = CUDA_SUCCESS, fake.devices = 0;
  EXPECT_EQ(reason(), "no NVIDIA GPU (CUDA_VISIBLE_DEVICES may hide one)");
  fake.devices = 1, fake.architecture = 35;
  EXPECT_TRUE(reason().starts_with("the GPU is too old for CUDA ")) << reason();
  fake.architecture = 90, fake.context = CUDA_ERROR_OUT_OF_MEMORY;
  EXPECT_EQ(reason(), "the GPU has no memory left: other programs have taken all of it");
  fake.context = CUDA_ERROR_UNKNOWN;
  EXPECT_EQ(reason(), "the GPU failed to make a context: a fake error");
}

TEST_F(CudaDevice, LibrariesThatAreNotThere) {
  const std::string none = message_of([] { gpu::load_driver("libnacre_has_no_such.so.1"); });
  EXPECT_TRUE(none.starts_with("no NVIDIA driver: libnacre_has_no_such.so.1: ")) << none;
  EXPECT_EQ(message_of([] { gpu::load_driver("libm.so.6"); }),
            "the NVIDIA driver is too old for this build of nacre: libm.so.6 has no cuInit");
}

// The names that functions are found by are those of the toolkit's own driver, which does nothing.
TEST_F(CudaDevice, EveryFunctionIsOneOfTheDriver) {
  const std::filesystem::path stub = "/usr/local/cuda/lib64/stubs/libcuda.so";
  if (!std::filesystem::exists(stub)) GTEST_SKIP() << "skipped: no " << stub;
  const gpu::Driver driver = gpu::load_driver(stub.c_str());
  EXPECT_EQ(message_of([&] { gpu::choose_device(driver); }),
            "the NVIDIA driver does not start: it is the toolkit's stub, not a driver");
}

TEST_F(CudaDevice, SaysWhatItIs) {
  const gpu::DeviceFacts& facts = open().facts();
  EXPECT_EQ(facts.name, "Fake H200");
  EXPECT_EQ(facts.architecture, 90);
  EXPECT_EQ(facts.processors, 132);
  EXPECT_EQ(facts.memory, std::size_t{1} << 30);
  EXPECT_TRUE(facts.libraries.starts_with("CUDA ")) << facts.libraries;
  EXPECT_EQ(facts.parameter_bytes, 32764u);  // of CUDA 12.1 and later
  EXPECT_TRUE(facts.libraries.ends_with(", cuDNN 9.99.0")) << facts.libraries;
}

TEST_F(CudaDevice, DoesWithoutCudnn) {
  cudnn_ = gpu::load_cudnn("libnacre_has_no_such.so.9");
  EXPECT_EQ(cudnn_.version, "");
  EXPECT_TRUE(cudnn_.reason.starts_with("no cuDNN: libnacre_has_no_such.so.9: ")) << cudnn_.reason;
  EXPECT_EQ(cudnn_.reason.find('\n'), std::string::npos);
  gpu::Device& device = open();
  EXPECT_TRUE(device.facts().libraries.ends_with(cudnn_.reason + ", so the host computes convolutions"))
      << device.facts().libraries;
  EXPECT_FALSE(device.convolution({.axes = {{}, {}}}));
  cudnn_ = gpu::load_cudnn("libm.so.6");
  EXPECT_EQ(cudnn_.reason, "the cuDNN is too old for this build of nacre: libm.so.6 has no cudnnGetVersion");
}

// --- memory -------------------------------------------------------------------------------------------------------

TEST_F(CudaDevice, LackOfMemoryNamesWhatIsWantedAndFree) {
  gpu::Device& device = open();
  void* const most = device.allocate(std::size_t{1000} << 20);
  EXPECT_EQ(message_of([&] { device.allocate(std::size_t{100} << 20); }),
            "the GPU has not enough memory: wanted 100 MiB, and 24 MiB of its 1024 MiB are free");
  device.release(most);
}

TEST_F(CudaDevice, TakesMemoryBackFromThePool) {
  gpu::Device& device = open();
  device.release(device.allocate(std::size_t{1000} << 20));
  EXPECT_GT(fake_driver().in_pool, 0u);
  device.release(device.allocate(std::size_t{100} << 20));  // does not fit beside what lies in the pool
  device.release(device.allocate(std::size_t{1024} << 20));
  start(*device.compile(source, "run"));
}

TEST_F(CudaDevice, DoesWithoutPools) {
  fake_driver().pools = false;
  driver_.allocate_in_order = nullptr, driver_.release_in_order = nullptr;
  gpu::Device& device = open();
  device.release(device.allocate(1000));
  EXPECT_EQ(fake_driver().in_pool, 0u);
}

// --- copies -------------------------------------------------------------------------------------------------------

std::vector<std::byte> pattern(std::size_t bytes, unsigned seed) {
  std::vector<std::byte> made(bytes);
  for (std::size_t i = 0; i < bytes; ++i) made[i] = static_cast<std::byte>((i * 2654435761u + seed) >> 13);
  return made;
}

// There and back, and what was read from the host is changed at once.
void there_and_back(gpu::Device& device, std::size_t bytes) {
  std::vector<std::byte> sent = pattern(bytes, 1), came(bytes);
  const std::vector<std::byte> expected = sent;
  void* const memory = device.allocate(bytes);
  device.copy(memory, sent.data(), bytes);
  std::ranges::fill(sent, std::byte{0});
  void* const second = device.allocate(bytes);
  device.copy(second, memory, bytes);
  device.release(memory);
  device.copy(came.data(), second, bytes);
  device.wait();
  EXPECT_EQ(came, expected) << bytes;
  device.release(second);
}

TEST_F(CudaDevice, CopiesOfAnySize) {
  for (const bool pins : {true, false}) {
    device_.reset();
    driver_ = new_fake_driver();
    fake_driver().pins = pins;
    gpu::Device& device = open();
    for (const std::size_t bytes : {1, 63, 64, 65, 100000, 4 << 20, (4 << 20) + 1, (21 << 20) + 7}) there_and_back(device, bytes);
    EXPECT_EQ(fake_driver().pinned > 0, pins);
  }
}

TEST_F(CudaDevice, ManyCopiesUnderWay) {
  gpu::Device& device = open();
  constexpr std::size_t count = 300, bytes = 70001;  // 20 MiB, more than is staged at once
  std::vector<void*> memories;
  std::vector<std::byte> buffer;
  for (std::size_t i = 0; i < count; ++i) {
    buffer = pattern(bytes, static_cast<unsigned>(i));
    memories.push_back(device.allocate(bytes));
    device.copy(memories.back(), buffer.data(), bytes);
  }
  for (std::size_t i = 0; i < count; ++i) {
    std::ranges::fill(buffer, std::byte{0});
    device.copy(buffer.data(), memories[i], bytes);
    device.wait();
    EXPECT_EQ(buffer, pattern(bytes, static_cast<unsigned>(i)));
    device.release(memories[i]);
  }
}

TEST_F(CudaDevice, CopiesComeInTheirOrder) {
  gpu::Device& device = open();
  int first = 1, host = 0, other = 0;
  void *const a = device.allocate(4), *const b = device.allocate(4);
  device.copy(a, &first, 4);
  device.copy(&host, a, 4);
  device.copy(b, &host, 4);  // reads what the copy before brings
  device.copy(&host, b, 4);
  device.copy(&other, &host, 4);
  EXPECT_EQ(other, 1);
  device.release(a), device.release(b);
}

// --- kernels ------------------------------------------------------------------------------------------------------

TEST_F(CudaDevice, KernelsAreCompiledOnce) {
  compilations = 0;
  const auto first = open().compile(source, "run");
  EXPECT_EQ(device_->compile(source, "run"), first);
  start(*first), start(*first);
  EXPECT_EQ(compilations, 1);
  EXPECT_EQ(fake_driver().launches.size(), 2u);
  open();  // another process
  start(*device_->compile(source, "run"));
  EXPECT_EQ(compilations, 1);
  fake_driver().architecture = 80;
  start(*open().compile(source, "run"));
  EXPECT_EQ(compilations, 2);
}

TEST_F(CudaDevice, KernelsAreCompiledBesideOneAnother) {
  if (std::thread::hardware_concurrency() < 2) GTEST_SKIP() << "skipped: one processor";
  gpu::Device& device = open();
  compilations = 0, wanted_at_once = 2;
  const auto begun = std::chrono::steady_clock::now();
  std::vector<std::shared_ptr<gpu::Function>> functions;
  for (int i = 0; i < 6; ++i) functions.push_back(device.compile(fmt::format("{}// {}\n", source, i), "run"));
  const auto unused = device.compile("extern \"C\" __global__ void run(float* x) { x[0] = 3; }\n", "run");
  const auto recording = device.record([&] {
    for (const auto& function : functions) start(*function);
  });
  wanted_at_once = 0;
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(9)) << "each waited for another";
  ASSERT_TRUE(recording) << "what is to be recorded is loaded before";
  recording->replay();
  device.wait();
  EXPECT_EQ(fake_driver().launches.size(), 6u);
}

// It is told when the kernel is wanted, as often as it is.
TEST_F(CudaDevice, SourceThatDoesNotCompile) {
  const auto function = open().compile("wrong", "run");
  for (int i = 0; i < 2; ++i) EXPECT_NE(message_of([&] { start(*function); }).find("NVRTC"), std::string::npos);
}

TEST_F(CudaDevice, WhatTheDriverRefusesIsCompiledAgain) {
  compilations = 0;
  gpu::Device& device = open();
  gpu::KernelCache cache(folder_ / "kernels");
  const gpu::Compiler compiler(counting_nvrtc());
  cache.keep(source, fmt::format("sm_90 by NVRTC {}", compiler.version()), "of another kind");
  start(*device.compile(source, "run"));
  EXPECT_EQ(fake_driver().images_refused, 1);
  EXPECT_EQ(compilations, 1);
  start(*open().compile(source, "run"));
  EXPECT_EQ(compilations, 1);
}

TEST_F(CudaDevice, KernelsAreStarted) {
  gpu::Device& device = open();
  const auto function = device.compile(source, "run");
  float x, y;
  void *to = &x, *from = &y;
  void* const arguments[] = {&to, &from};
  function->launch(3, 128, arguments);
  function->launch(0, 128, arguments);  // over no elements
  ASSERT_EQ(fake_driver().launches.size(), 1u);
  EXPECT_EQ(fake_driver().launches[0].blocks, 3u);
  EXPECT_EQ(fake_driver().launches[0].threads, 128u);
  EXPECT_EQ(fake_driver().launches[0].arguments, (std::vector<void*>{&x, &y}));
  EXPECT_EQ(message_of([&] { start(*device.compile(source, "walk")); }),
            "the GPU failed to find a kernel: a fake error");
}

// The driver says the same of everything that comes after: what came first is told, not who asked next.
TEST_F(CudaDevice, TellsWhatEndedIt) {
  gpu::Device& device = open();
  const auto function = device.compile(source, "run");
  const auto start_it = [&] { start(*function); };
  start_it();
  fake_driver().launched = CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;  // of this kernel alone
  EXPECT_EQ(message_of(start_it), "the GPU failed to start a kernel: a fake error");
  fake_driver().launched = CUDA_ERROR_ILLEGAL_ADDRESS;
  const std::string ended = message_of(start_it);
  EXPECT_TRUE(ended.starts_with("the GPU failed to start a kernel: a fake error")) << ended;
  EXPECT_NE(ended.find("start again"), std::string::npos) << ended;
  fake_driver().copied = CUDA_ERROR_ILLEGAL_ADDRESS;
  void* const memory = device.allocate(8);
  EXPECT_EQ(message_of([&] { device.copy(memory, memory, 8); }), ended);
  fake_driver().copied = CUDA_SUCCESS;
  device.release(memory);
}

// --- recordings ---------------------------------------------------------------------------------------------------

// A copy and a kernel, which read what lies there when they are replayed.
TEST_F(CudaDevice, ReplaysWhatItRecorded) {
  gpu::Device& device = open();
  const auto function = device.compile(source, "run");
  void *const from = device.allocate(4), *const to = device.allocate(4);
  void* arguments_at[] = {to, from};
  void* const arguments[] = {&arguments_at[0], &arguments_at[1]};
  int sent = 0, came = -1;
  const auto recording = device.record([&] {
    device.copy(to, from, 4);
    function->launch(2, 64, arguments);
  });
  ASSERT_TRUE(recording);
  EXPECT_EQ(fake_driver().graphs, 0) << "of which the executable graph is made";
  EXPECT_TRUE(fake_driver().launches.empty()) << "nothing is done yet";
  arguments_at[0] = nullptr;  // a recording has its own copy
  for (sent = 1; sent < 4; ++sent) {
    device.copy(from, &sent, 4);
    recording->replay();
    device.copy(&came, to, 4);
    device.wait();
    EXPECT_EQ(came, sent);
  }
  EXPECT_EQ(fake_driver().replays, 3);
  ASSERT_EQ(fake_driver().launches.size(), 3u);
  EXPECT_EQ(fake_driver().launches[2].arguments, (std::vector<void*>{to, from}));
  device.release(from), device.release(to);
}

TEST_F(CudaDevice, RecordsThoughThePoolHoldsAllMemory) {
  gpu::Device& device = open();
  void* const memory = device.allocate(4);
  device.release(device.allocate(std::size_t{1023} << 20));
  EXPECT_TRUE(device.record([&] { device.clear(memory, 4); }));
  device.release(memory);
}

// What ends meanwhile, as temporary kernels may, is no part of what is replayed.
TEST_F(CudaDevice, MemoryReleasedWhileItRecordsIsReleasedOnce) {
  gpu::Device& device = open();
  void *const memory = device.allocate(4), *const other = device.allocate(100);
  const std::size_t used = fake_driver().used;
  const auto recording = device.record([&] {
    device.clear(memory, 4);
    device.release(other);
  });
  ASSERT_TRUE(recording);
  EXPECT_EQ(fake_driver().used, used - 100);
  for (int i = 0; i < 2; ++i) recording->replay();
  device.wait();
  EXPECT_FALSE(device.record([&] {
    device.release(memory);
    throw Error("it failed");
  }));
  EXPECT_EQ(fake_driver().used, used - 104);
}

TEST_F(CudaDevice, ClearsMemory) {
  gpu::Device& device = open();
  const std::vector<std::byte> sent = pattern(100, 1);
  std::vector<std::byte> came(100);
  auto* const memory = static_cast<std::byte*>(device.allocate(100));
  device.copy(memory, sent.data(), 100);
  device.clear(memory + 10, 50);
  device.copy(came.data(), memory, 100);
  device.wait();
  for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(came[i], i >= 10 && i < 60 ? std::byte{0} : sent[i]);
  device.release(memory);
}

// The host's part in it, memory, and whatever the driver refuses. The device goes on as before.
TEST_F(CudaDevice, WhatItCannotRecord) {
  gpu::Device& device = open();
  int host = 5, back = 0;
  void* const memory = device.allocate(4);
  EXPECT_FALSE(device.record([&] { device.copy(memory, &host, 4); }));
  EXPECT_FALSE(device.record([&] { device.copy(&host, memory, 4); }));
  EXPECT_FALSE(device.record([&] { device.wait(); }));
  EXPECT_FALSE(device.record([&] { device.allocate(4); }));
  EXPECT_FALSE(device.record([&] { device.compile(source, "run"); }));
  EXPECT_FALSE(device.record([&] {
    EXPECT_FALSE(device.record([] {})) << "within another";
    throw Error("it failed");
  }));
  EXPECT_THROW(device.record([]() { throw InternalError("a broken promise"); }), InternalError);
  for (bool FakeDriver::*works : {&FakeDriver::captures, &FakeDriver::instantiates, &FakeDriver::uploads}) {
    fake_driver().*works = false;
    EXPECT_FALSE(device.record([&] { device.clear(memory, 4); }));
    fake_driver().*works = true;
  }
  // Spoiled behind the device's back.
  EXPECT_FALSE(device.record([&] { driver_.wait_for_stream(nullptr); }));
  device.copy(memory, &host, 4);
  ASSERT_TRUE(device.record([&] { device.clear(memory, 4); }));
  device.copy(&back, memory, 4);
  device.wait();
  EXPECT_EQ(back, 5);
  device.release(memory);
}

// --- products -----------------------------------------------------------------------------------------------------

// Row by row, as the description says.
std::vector<double> product(const gpu::MatMulDescription& d, const Tensor& a, const Tensor& b, const Tensor& bias,
                            const Tensor& residual) {
  std::vector<double> y;
  for (std::int64_t n = 0; n < d.batch; ++n)
    for (std::int64_t i = 0; i < d.m; ++i)
      for (std::int64_t j = 0; j < d.n; ++j) {
        double sum = (d.bias ? bias.at(j) : 0) + (d.residual ? residual.at((n * d.m + i) * d.n + j) : 0);
        for (std::int64_t l = 0; l < d.k; ++l)
          sum += a.at(n * d.stride_a + (d.transpose_a ? l * d.m + i : i * d.k + l)) *
                 b.at(n * d.stride_b + (d.transpose_b ? j * d.k + l : l * d.n + j));
        y.push_back(d.relu && sum < 0 ? 0 : sum);
      }
  return y;
}

class OnDevice {
 public:
  OnDevice(gpu::Device& device, std::size_t bytes) : device_(device), memory_(device.allocate(bytes)) {}
  OnDevice(gpu::Device& device, const Tensor& tensor) : OnDevice(device, tensor.bytes()) {
    device.copy(memory_, tensor.raw(), tensor.bytes());
  }
  ~OnDevice() { device_.release(memory_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  void* get() const { return memory_; }

 private:
  gpu::Device& device_;
  void* memory_;
};

TEST_F(CudaDevice, Products) {
  gpu::Device& device = open();
  RandomStream random(RandomKey::of(1, "products"));
  int products = 0;
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16, DType::float64})
    for (int variant = 0; variant < 128; ++variant) {
      const auto is = [&](int bit) { return (variant >> bit & 1) != 0; };
      gpu::MatMulDescription d{.m = 5, .n = 3, .k = 4, .transpose_a = is(0), .transpose_b = is(1), .dtype = dtype,
                               .bias = is(4), .residual = is(6), .relu = is(5)};
      if (is(2) || is(3)) d.batch = 3, d.stride_a = is(2) ? 20 : 0, d.stride_b = is(3) ? 12 : 0;
      SCOPED_TRACE(fmt::format("{} variant {}", dtype, variant));
      const Tensor a = draw_tensor(random, {dtype, {60}}), b = draw_tensor(random, {dtype, {36}}), bias = draw_tensor(random, {dtype, {3}}),
                   residual = draw_tensor(random, {dtype, {d.batch * d.m * d.n}});
      Tensor y = Tensor::uninitialised({dtype, {d.batch * d.m * d.n}});
      const auto work = device.matmul(d);
      ASSERT_TRUE(work);
      EXPECT_EQ(fake_driver().compute_type, dtype == DType::float64 ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F);
      const OnDevice on_a(device, a), on_b(device, b), on_bias(device, bias), on_residual(device, residual),
          on_y(device, y.bytes()), scratch(device, work->scratch_bytes());
      std::vector<const void*> inputs{on_a.get(), on_b.get()};
      if (d.bias) inputs.push_back(on_bias.get());
      if (d.residual) inputs.push_back(on_residual.get());
      void* const outputs[] = {on_y.get()};
      work->run(inputs, outputs, scratch.get());
      device.copy(y.raw_writable(), on_y.get(), y.bytes());
      device.wait();
      const std::vector<double> expected = product(d, a, b, bias, residual);
      for (std::int64_t i = 0; i < y.size(); ++i)
        ASSERT_NEAR(y.at(i), expected[static_cast<std::size_t>(i)], 0.01 * (4 + std::abs(expected[static_cast<std::size_t>(i)])) * (dtype == DType::bfloat16 ? 1 : 0.1));
      ++products;
    }
  EXPECT_EQ(fake_driver().matmuls, products);
}

TEST_F(CudaDevice, ProductsOfEightBits) {
  gpu::Device& device = open();
  RandomStream random(RandomKey::of(1, "eight bits"));
  constexpr Float8Format e4m3 = Float8Format::e4m3fn, e5m2 = Float8Format::e5m2;
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16})
    for (const auto& [first, second] : {std::pair{e4m3, e4m3}, {e4m3, e5m2}, {e5m2, e4m3}}) {
      const gpu::MatMulDescription d{.m = 16,
                                     .n = 32,
                                     .k = 48,
                                     .transpose_b = true,
                                     .dtype = dtype,
                                     .eight_bits = gpu::MatMulDescription::EightBits{first, second}};
      // Bits of numbers up to 2: neither infinite nor NaN.
      const Tensor a = draw_tensor(random, {DType::uint8, {16, 48}}, {0, 60}),
                   b = draw_tensor(random, {DType::uint8, {32, 48}}, {0, 60});
      const Tensor scale_a = Tensor::scalar(0.5f), scale_b = Tensor::scalar(3.0f);
      Tensor y = Tensor::uninitialised({dtype, {16, 32}});
      const auto work = device.matmul(d);
      ASSERT_TRUE(work);
      const OnDevice on_a(device, a), on_b(device, b), on_scale_a(device, scale_a), on_scale_b(device, scale_b),
          on_y(device, y.bytes()), scratch(device, work->scratch_bytes());
      const void* const inputs[] = {on_a.get(), on_b.get(), on_scale_a.get(), on_scale_b.get()};
      void* const outputs[] = {on_y.get()};
      work->run(inputs, outputs, scratch.get());
      device.copy(y.raw_writable(), on_y.get(), y.bytes());
      device.wait();
      for (std::int64_t i = 0; i < 16; ++i)
        for (std::int64_t j = 0; j < 32; ++j) {
          double sum = 0;
          for (std::int64_t k = 0; k < 48; ++k)
            sum += decoded(static_cast<std::uint8_t>(a.at(i * 48 + k)), first) *
                   decoded(static_cast<std::uint8_t>(b.at(j * 48 + k)), second);
          ASSERT_NEAR(y.at(i * 32 + j), 1.5 * sum, 0.01 * (1 + std::abs(1.5 * sum)));
        }
    }
}

TEST_F(CudaDevice, FactorsAreRoundedOnlyWhenThatIsAskedFor) {
  gpu::Device& device = open();
  const gpu::MatMulDescription plain{.m = 8, .n = 8, .k = 8};
  gpu::MatMulDescription rounded = plain;
  rounded.tensor_float32 = true;
  ASSERT_TRUE(device.matmul(plain));
  EXPECT_EQ(fake_driver().compute_type, CUBLAS_COMPUTE_32F);
  ASSERT_TRUE(device.matmul(rounded));
  EXPECT_EQ(fake_driver().compute_type, CUBLAS_COMPUTE_32F_FAST_TF32);
  fake_driver().architecture = 75;  // which cannot round them
  ASSERT_TRUE(device.matmul(rounded));
  EXPECT_EQ(fake_driver().compute_type, CUBLAS_COMPUTE_32F);
  fake_driver().architecture = 90;
  rounded.dtype = DType::bfloat16;  // whose factors are shorter than that
  ASSERT_TRUE(device.matmul(rounded));
  EXPECT_EQ(fake_driver().compute_type, CUBLAS_COMPUTE_32F);
}

}  // namespace

}  // namespace nacre::test
