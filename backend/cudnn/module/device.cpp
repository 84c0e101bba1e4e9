#include "backend/cudnn/module/device.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <functional>
#include <limits>
#include <unordered_map>

#include "backend/cudnn/module/bound_for_host.h"
#include "backend/cudnn/module/context.h"
#include "backend/cudnn/module/lane.h"
#include "backend/cudnn/module/parallel_compiler.h"
#include "backend/cudnn/module/recording.h"
#include "backend/cudnn/module/staging.h"

namespace nacre::gpu {

namespace {

CUdeviceptr address_of(const void* memory) { return reinterpret_cast<CUdeviceptr>(memory); }

std::string in_units(std::size_t bytes) {
  if (bytes < std::size_t{10} << 20) return fmt::format("{} bytes", bytes);
  if (bytes < std::size_t{10} << 30) return fmt::format("{} MiB", bytes >> 20);
  return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / (1 << 30));
}

class CudaFunction final : public Function {
 public:
  // Takes the module over, also when it throws.
  CudaFunction(std::shared_ptr<const Context> context, CUmodule module, const char* name)
      : context_(std::move(context)), module_(module) {
    const Driver& driver = context_->driver();
    const Current current(*context_);
    const CUresult result = driver.module_function(&function_, module_, name);
    if (result != CUDA_SUCCESS) driver.unload_module(module_);
    driver.check(result, "find a kernel");
  }
  ~CudaFunction() override {
    try {
      const Current current(*context_);
      context_->driver().unload_module(module_);
    } catch (const Error&) {  // the driver has been shut down, and what it held with it
    }
  }
  CudaFunction(const CudaFunction&) = delete;
  CudaFunction& operator=(const CudaFunction&) = delete;

  void launch(std::uint32_t blocks, std::uint32_t threads, std::span<void* const> arguments) override {
    if (blocks == 0 || threads == 0) return;  // of no elements
    const Current current(*context_);
    const Driver& driver = context_->driver();
    driver.check(driver.launch(function_, blocks, 1, 1, threads, 1, 1, 0, context_->stream(),
                               const_cast<void**>(arguments.data()), nullptr),
                 "start a kernel");
  }

 private:
  std::shared_ptr<const Context> context_;
  CUmodule module_;
  CUfunction function_ = nullptr;
};

// One that is still compiled when it is asked for.
class LateFunction final : public Function {
 public:
  explicit LateFunction(std::function<std::shared_ptr<Function>()> loading) : loading_(std::move(loading)) {}
  void load() {
    if (loaded_) return;
    loaded_ = loading_();
    loading_ = nullptr;
  }
  void launch(std::uint32_t blocks, std::uint32_t threads, std::span<void* const> arguments) override {
    load();
    loaded_->launch(blocks, threads, arguments);
  }

 private:
  std::function<std::shared_ptr<Function>()> loading_;
  std::shared_ptr<Function> loaded_;
};

class CudaDevice final : public Device {
 public:
  CudaDevice(const Driver& driver, CUdevice device, DeviceFacts facts, Compiler compiler, std::string target,
             const CublasLt& blas, const Cudnn& cudnn, KernelCache cache, std::shared_ptr<const Nccl> nccl)
      : facts_(std::move(facts)),
        context_(std::make_shared<Context>(driver, device)),
        staging_(*context_, context_->stream()),
        compiler_(std::move(compiler)),
        target_(std::move(target)),
        cache_(std::move(cache)),
        nccl_(std::move(nccl)) {
    int pools = 0;
    driver.device_attribute(&pools, CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, device);
    if (pools && driver.default_pool(&pool_, device) != CUDA_SUCCESS) pool_ = nullptr;
    // What is released stays with the process: the next step wants it again.
    cuuint64_t unlimited = std::numeric_limits<cuuint64_t>::max();
    if (pool_)
      driver.check(driver.set_pool_attribute(pool_, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &unlimited),
                   "set up its memory");
    const Current current(*context_);
    blas_ = std::make_shared<Blas>(blas, context_);
    facts_.libraries = fmt::format("CUDA {}, cuBLAS {}, {}, ", compiler_.compiler().version(), blas_->version(),
                                   nccl_ ? "NCCL " + version_of(*nccl_) : "no NCCL");
    if (cudnn.version.empty()) {
      facts_.libraries += fmt::format("{}, so the host computes convolutions", cudnn.reason);
      return;
    }
    facts_.libraries += fmt::format("cuDNN {}", cudnn.version);
    dnn_ = std::make_unique<Dnn>(
        context_, facts_.architecture,
        fmt::format("{} ({}, {} processors) with cuDNN {}", facts_.name, target_, facts_.processors, cudnn.version));
  }

  ~CudaDevice() override {
    try {
      const Current current(*context_);
      give_up_landing();
    } catch (const Error&) {  // the driver has been shut down, and its memory with it
    }
  }
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  const DeviceFacts& facts() const override { return facts_; }

  void* allocate(std::size_t bytes) override {
    refuse_while_recording("memory");
    const Current current(*context_);
    CUdeviceptr address = 0;
    const CUresult result = with_room([&] { return take(&address, bytes); });
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
      std::size_t free = 0, total = 0;
      driver().memory_info(&free, &total);
      throw Error("the GPU has not enough memory: wanted {}, and {} of its {} are free", in_units(bytes),
                  in_units(free), in_units(total));
    }
    driver().check(result, "allocate memory");
    return reinterpret_cast<void*>(address);
  }

  void release(void* memory) noexcept override {
    if (recording_) return released_.push_back(memory);  // else it would be released with each replay
    try {
      const Current current(*context_);
      if (pool_) driver().release_in_order(address_of(memory), context_->stream());
      else driver().release(address_of(memory));
    } catch (const Error&) {  // the driver has been shut down, and its memory with it
    }
  }

  void copy(void* to, const void* from, std::size_t bytes) override {
    if (bytes == 0) return;
    const Current current(*context_);
    const bool from_host = !is_on_device(from), to_host = !is_on_device(to);
    if (from_host || to_host) refuse_while_recording("a copy from or to the host");
    if (from_host && bound_for_host_.meets(from, bytes)) wait();  // what is on its way there comes first
    if (from_host && !to_host) return staging_.copy(address_of(to), static_cast<const std::byte*>(from), bytes);
    driver().check(driver().copy(address_of(to), address_of(from), bytes, context_->stream()), "copy");
    if (from_host) wait();
    else if (to_host) bound_for_host_.add(to, bytes);
    if (to_host && bound_for_host_.too_many()) wait();
  }

  void clear(void* memory, std::size_t bytes) override {
    if (bytes == 0) return;
    const Current current(*context_);
    driver().check(driver().set_bytes(address_of(memory), 0, bytes, context_->stream()), "clear memory");
  }

  void wait() override {
    refuse_while_recording("waiting");
    const Current current(*context_);
    context_->wait();
    bound_for_host_.clear();
  }

  std::unique_ptr<Fence> fence() override {
    const Current current(*context_);
    return std::make_unique<StreamFence>(context_);
  }

  std::shared_ptr<std::byte[]> host_memory(std::size_t bytes) override {
    constexpr std::size_t most_pinned = std::size_t{16} << 20;  // which other programs lack then
    if (bytes == 0 || bytes > most_pinned) return allocate_bytes(bytes);
    const Current current(*context_);
    void* memory = nullptr;
    if (driver().allocate_host(&memory, bytes) != CUDA_SUCCESS) return allocate_bytes(bytes);
    return {static_cast<std::byte*>(memory), [context = context_](std::byte* pinned) { unpin(*context, pinned); }};
  }

  std::unique_ptr<Work> arrivals(std::span<const std::size_t> bytes) override {
    // So much comes sooner in line than streams wait for one another.
    constexpr std::size_t worth_the_lane = std::size_t{256} << 10;
    if (Lane::room_for(bytes) < worth_the_lane) return nullptr;
    return std::make_unique<Arrivals>(*this, bytes);
  }

  std::unique_ptr<Recording> record(const std::function<void()>& work) override {
    if (recording_) return nullptr;
    load_all();
    const Current current(*context_);
    auto recording = gpu::record(
        context_,
        [&] {
          recording_ = true;
          const std::unique_ptr<bool, void (*)(bool*)> ends(&recording_, [](bool* under_way) { *under_way = false; });
          work();
        },
        [this] { give_back(); });
    for (void* const memory : std::exchange(released_, {})) release(memory);
    return recording;
  }

  std::shared_ptr<Function> compile(std::string_view source, const char* name) override {
    refuse_while_recording("loading a kernel");
    const std::string key = fmt::format("{}\n{}", name, source);
    if (const auto found = functions_.find(key); found != functions_.end()) return found->second;
    constexpr std::size_t most_functions = 4096;
    if (functions_.size() >= most_functions)
      std::erase_if(functions_, [](const auto& entry) { return entry.second.use_count() == 1; });
    return functions_[key] = load(source, name);
  }

  std::unique_ptr<Work> matmul(const MatMulDescription& description) override {
    const Current current(*context_);
    return blas_->matmul(description);
  }

  std::unique_ptr<Work> convolution(const ConvolutionDescription& description) override {
    return by_cudnn(description);
  }

  std::unique_ptr<Work> attention(const AttentionDescription& description) override { return by_cudnn(description); }

  std::unique_ptr<Collective::Exchange> sum_over(const std::shared_ptr<Collective>& processes, std::size_t count,
                                                 Collective::Number kind) override {
    if (processes_.lock() != processes) {
      // NCCL takes memory of the device, and one process alone cannot try again.
      {
        const Current current(*context_);
        give_back();
      }
      group_ = join_gpus(nccl_, context_, *processes);
      processes_ = processes;
    }
    return group_ ? group_->sum(count, kind) : nullptr;
  }

 private:
  const Driver& driver() const { return context_->driver(); }

  // The driver would refuse it as well, or take it down to be done with what lies at those places of the host later.
  void refuse_while_recording(std::string_view what) const {
    if (recording_) throw Error("{} cannot be recorded", what);
  }

  std::unique_ptr<Work> by_cudnn(const DnnDescription& description) {
    if (!dnn_) return nullptr;
    const Current current(*context_);
    return dnn_->work(description, cache_);
  }

  // By the lane where there is room for them, else in line.
  class Arrivals final : public Work {
   public:
    Arrivals(CudaDevice& device, std::span<const std::size_t> bytes)
        : device_(device), bytes_(bytes.begin(), bytes.end()), room_(Lane::room_for(bytes)) {}
    void run(std::span<const void* const> inputs, std::span<void* const> outputs, void*) override {
      const Current current(*device_.context_);
      refused_ = refused_ || !device_.make_room(room_);
      if (!refused_) return device_.lane_->copy(bytes_, inputs, outputs);
      for (std::size_t i = 0; i < bytes_.size(); ++i) device_.copy(outputs[i], inputs[i], bytes_[i]);
    }

   private:
    CudaDevice& device_;
    std::vector<std::size_t> bytes_;
    std::size_t room_;
    bool refused_ = false;  // memory was lacking: it is not tried again with every batch
  };

  // Only now that a batch comes: before it, what executables cannot do without has been taken.
  bool make_room(std::size_t bytes) {
    if (lane_ && lane_->room() >= bytes) return true;
    try {
      if (!lane_) lane_ = std::make_unique<Lane>(context_);
      give_up_landing();
      lane_->land_in(address_of(allocate(bytes)), bytes);
    } catch (const Error&) {
      return false;
    }
    return true;
  }
  void give_up_landing() {
    if (lane_ && lane_->room() > 0) release(reinterpret_cast<void*>(lane_->land_in(0, 0)));
  }

  static void unpin(const Context& context, std::byte* memory) noexcept {
    try {
      const Current current(context);
      context.driver().wait_for_stream(context.stream());  // copies may be on their way there
      context.driver().release_host(memory);
    } catch (const Error&) {  // the driver has been shut down, and its memory with it
    }
  }

  // When memory is lacking, once more after all has been given back that can be.
  template <class Action>
  CUresult with_room(Action action) {
    const CUresult result = action();
    if (result != CUDA_ERROR_OUT_OF_MEMORY) return result;
    give_back();
    return action();
  }
  void give_back() {
    give_up_landing();
    if (!pool_) return;
    context_->wait();
    driver().trim_pool(pool_, 0);
  }
  CUresult take(CUdeviceptr* address, std::size_t bytes) const {
    return pool_ ? driver().allocate_in_order(address, bytes, context_->stream()) : driver().allocate(address, bytes);
  }

  bool is_on_device(const void* memory) const {
    unsigned type = 0;
    return driver().pointer_attribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address_of(memory)) == CUDA_SUCCESS &&
           type == CU_MEMORYTYPE_DEVICE;
  }

  std::shared_ptr<Function> load(std::string_view source, const char* name) {
    std::string made_for = fmt::format("{} by NVRTC {}", target_, compiler_.compiler().version());
    if (const auto image = cache_.find(source, made_for)) {
      try {
        return function_of(*image, name);
      } catch (const Error&) {  // whole, but not what the driver takes
      }
    }
    std::shared_future<std::string> compiled = compiler_.begin(std::string(source), target_).share();
    auto late = std::make_shared<LateFunction>(
        [this, compiled, source = std::string(source), made_for = std::move(made_for), name = std::string(name)] {
          const std::string& image = compiled.get();
          cache_.keep(source, made_for, image);
          return function_of(image, name.c_str());
        });
    late_.push_back(late);
    return late;
  }
  // What is to be recorded cannot be loaded meanwhile.
  void load_all() {
    for (const std::weak_ptr<LateFunction>& late : std::exchange(late_, {}))
      if (const auto function = late.lock()) function->load();
  }
  std::shared_ptr<Function> function_of(const std::string& image, const char* name) {
    const Current current(*context_);
    CUmodule module = nullptr;
    driver().check(with_room([&] { return driver().load_module(&module, image.c_str()); }), "load a kernel");
    return std::make_shared<CudaFunction>(context_, module, name);
  }

  DeviceFacts facts_;
  std::shared_ptr<const Context> context_;
  Staging staging_;
  CUmemoryPool pool_ = nullptr;  // none: memory is taken and given back at once
  bool recording_ = false;
  std::vector<void*> released_;  // since the recording began
  BoundForHost bound_for_host_;
  std::unique_ptr<Lane> lane_;  // null: nothing has come by one
  ParallelCompiler compiler_;
  std::string target_;
  KernelCache cache_;
  std::shared_ptr<Blas> blas_;
  std::unique_ptr<Dnn> dnn_;  // null: no cuDNN
  std::shared_ptr<const Nccl> nccl_;
  std::weak_ptr<Collective> processes_;                                   // whose GPUs are
  std::shared_ptr<GpuGroup> group_;                                       // null: they have none
  std::unordered_map<std::string, std::shared_ptr<Function>> functions_;  // by name and source
  std::vector<std::weak_ptr<LateFunction>> late_;                         // some of them
};

int attribute(const Driver& driver, CUdevice device, CUdevice_attribute name) {
  int value = 0;
  driver.check(driver.device_attribute(&value, name, device), "tell what it is");
  return value;
}

}  // namespace

int local_rank() {
  for (const char* variable : {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "LOCAL_RANK"}) {
    const char* const text = std::getenv(variable);
    int number = 0;
    if (text && std::from_chars(text, text + std::string_view(text).size(), number).ec == std::errc() && number >= 0)
      return number;
  }
  return 0;
}

CUdevice choose_device(const Driver& driver, int local_rank) {
  int version = 0, count = 0;
  // It answers before a device is looked for; a driver that is too old for the toolkit may fail later in any way.
  CUresult result = driver.version(&version);
  if (result == CUDA_SUCCESS && version / 1000 < CUDA_VERSION / 1000)
    throw Error("the NVIDIA driver is too old: it is for CUDA {}.{}, wanted {}.0 or later", version / 1000,
                version % 1000 / 10, CUDA_VERSION / 1000);
  if (result == CUDA_SUCCESS) result = driver.init(0);
  if (result != CUDA_SUCCESS && result != CUDA_ERROR_NO_DEVICE)
    throw Error("the NVIDIA driver does not start: {}", driver.reason(result));
  if (result == CUDA_ERROR_NO_DEVICE || driver.device_count(&count) != CUDA_SUCCESS || count == 0)
    throw Error("no NVIDIA GPU (CUDA_VISIBLE_DEVICES may hide one)");
  if (count > 1 && local_rank >= count)
    throw Error("there are {} GPUs, and this is process {} of this machine: start one for each GPU", count,
                local_rank + 1);
  CUdevice device = 0;
  driver.check(driver.device(&device, count > 1 ? local_rank : 0), "tell what it is");
  return device;
}

std::shared_ptr<Device> open_cuda_device(const Driver& driver, CUdevice device, const Nvrtc& nvrtc,
                                         const CublasLt& blas, const Cudnn& cudnn, KernelCache cache,
                                         std::shared_ptr<const Nccl> nccl) {
  DeviceFacts facts;
  char name[256] = {};
  driver.check(driver.device_name(name, sizeof name - 1, device), "tell its name");
  facts.name = name;
  driver.check(driver.device_memory(&facts.memory, device), "tell its memory");
  facts.architecture = attribute(driver, device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) * 10 +
                       attribute(driver, device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  int version = 0;
  driver.check(driver.version(&version), "tell its version");
  if (std::min(version, CUDA_VERSION) >= 12010 && facts.architecture >= 70) facts.parameter_bytes = 32764;
  facts.processors = attribute(driver, device, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  Compiler compiler(nvrtc);
  std::string target = compiler.target(facts.architecture);
  return std::make_shared<CudaDevice>(driver, device, std::move(facts), std::move(compiler), std::move(target), blas,
                                      cudnn, std::move(cache), std::move(nccl));
}

}  // namespace nacre::gpu
