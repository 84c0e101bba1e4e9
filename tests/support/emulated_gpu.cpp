#include "tests/support/emulated_gpu.h"

#include <dlfcn.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "backend/core/random.h"
#include "backend/cudnn/backend.h"
#include "tests/support/eight_bits.h"
#include "tests/support/emulated_attention.h"

namespace nacre::test {

namespace {

namespace fs = std::filesystem;

// What CUDA's compiler knows by itself.
constexpr std::string_view host_prelude = R"(
#define __global__
#define __device__
#define __shared__ static
struct dimensions { unsigned x; };
extern "C" {
dimensions threadIdx, blockIdx, blockDim, gridDim;
void (*synchronise)();
double exp(double); double expm1(double); double log(double); double log1p(double); double sqrt(double); double sin(double);
double cos(double); double tanh(double); double erf(double); double floor(double); double ceil(double); double rint(double);
double round(double); double pow(double, double); double fmod(double, double);
}
static inline float exp(float x) { return __builtin_expf(x); }
static inline float expm1(float x) { return __builtin_expm1f(x); }
static inline float log(float x) { return __builtin_logf(x); }
static inline float log1p(float x) { return __builtin_log1pf(x); }
static inline float sqrt(float x) { return __builtin_sqrtf(x); }
static inline float sin(float x) { return __builtin_sinf(x); }
static inline float cos(float x) { return __builtin_cosf(x); }
static inline float tanh(float x) { return __builtin_tanhf(x); }
static inline float erf(float x) { return __builtin_erff(x); }
static inline float floor(float x) { return __builtin_floorf(x); }
static inline float ceil(float x) { return __builtin_ceilf(x); }
static inline float rint(float x) { return __builtin_rintf(x); }
static inline float round(float x) { return __builtin_roundf(x); }
static inline float pow(float x, float y) { return __builtin_powf(x, y); }
static inline float fmod(float x, float y) { return __builtin_fmodf(x, y); }
static inline float inverse(float x) { return 1 / x; }
static inline float inverse_root(float x) { return 1 / __builtin_sqrtf(x); }
static inline void __syncthreads() { synchronise(); }
static float from_half(unsigned short bits) { _Float16 x; __builtin_memcpy(&x, &bits, 2); return (float)x; }
static unsigned short to_half(float number) { _Float16 x = (_Float16)number; unsigned short bits; __builtin_memcpy(&bits, &x, 2); return bits; }
)";

// Calls the kernel with the values that the arguments point at.
constexpr std::string_view host_epilogue = R"(
template <int...> struct indices {};
template <int n, int... rest> struct counted : counted<n - 1, n - 1, rest...> {};
template <int... all> struct counted<0, all...> { typedef indices<all...> type; };
template <class... Argument, int... i>
static void call(void (*kernel)(Argument...), void* const* values, indices<i...>) { kernel(*(Argument*)values[i]...); }
template <class... Argument>
static void call(void (*kernel)(Argument...), void* const* values) { call(kernel, values, typename counted<sizeof...(Argument)>::type()); }
extern "C" void call_kernel(void* const* values) { call(run, values); }
)";

class Memory {
 public:
  void* allocate(std::size_t bytes) {
    void* const memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    std::memset(memory, 0x7b, bytes);
    blocks_[static_cast<std::byte*>(memory)] = bytes;
    return memory;
  }
  void release(void* memory) {
    blocks_.erase(static_cast<std::byte*>(memory));
    std::free(memory);
  }
  bool holds(const void* address) const {
    const auto* at = static_cast<const std::byte*>(address);
    auto after = blocks_.upper_bound(const_cast<std::byte*>(at));
    return after != blocks_.begin() && at < std::prev(after)->first + std::prev(after)->second;
  }

 private:
  std::map<std::byte*, std::size_t> blocks_;
};

// The threads of one block, each with a stack; they run in turn.
class Block {
 public:
  static void run(unsigned threads, unsigned* thread_index, void (**synchronise)(), void (*call)(void* const*),
                  void* const* values) {
    Block block(threads, thread_index, call, values);
    current() = &block;
    *synchronise = [] { current()->yield(); };
    for (bool any = true; any;) {
      any = false;
      for (unsigned t = 0; t < threads; ++t) {
        if (block.done_[t]) continue;
        any = true;
        *thread_index = block.running_ = t;
        swapcontext(&block.scheduler_, &block.contexts_[t]);
      }
    }
  }

 private:
  static constexpr std::size_t stack_bytes = 64 << 10;
  static Block*& current() {
    static thread_local Block* block = nullptr;
    return block;
  }
  Block(unsigned threads, unsigned* thread_index, void (*call)(void* const*), void* const* values)
      : thread_index_(thread_index),
        call_(call),
        values_(values),
        contexts_(threads),
        done_(threads),
        stacks_(threads * stack_bytes) {
    for (unsigned t = 0; t < threads; ++t) {
      getcontext(&contexts_[t]);
      contexts_[t].uc_stack = {.ss_sp = stacks_.data() + t * stack_bytes, .ss_flags = 0, .ss_size = stack_bytes};
      contexts_[t].uc_link = &scheduler_;
      makecontext(
          &contexts_[t], [] { current()->work(); }, 0);
    }
  }
  void work() {
    call_(values_);
    done_[running_] = true;
  }
  void yield() {
    const unsigned mine = running_;
    swapcontext(&contexts_[mine], &scheduler_);
    *thread_index_ = mine;
  }

  unsigned* thread_index_;
  void (*call_)(void* const*);
  void* const* values_;
  ucontext_t scheduler_;
  std::vector<ucontext_t> contexts_;
  std::vector<char> done_;
  std::vector<char> stacks_;
  unsigned running_ = 0;
};

constexpr std::size_t parameter_bytes = 4096;

// What the device is asked for: done at once, or noted while something is recorded.
class Queue {
 public:
  explicit Queue(GpuWork& counts) : counts_(counts) {}

  void ask(std::function<void()> work, char letter = 'b') {
    if (noted_) return noted_->push_back(std::move(work));
    ++counts_.by_itself;
    counts_.order += letter;
    work();
  }
  void refuse_while_recording(std::string_view what) const {
    if (noted_) throw Error("{} cannot be recorded", what);
  }
  std::unique_ptr<Recording> record(const std::function<void()>& work) {
    if (noted_ || refuses_) return nullptr;
    std::vector<std::function<void()>> noted;
    noted_ = &noted;
    try {
      work();
    } catch (const Error&) {
      noted_ = nullptr;
      return nullptr;
    }
    noted_ = nullptr;
    ++counts_.recordings;
    return std::make_unique<Replayed>(counts_, std::move(noted));
  }
  void refuse_recordings(bool refuse) { refuses_ = refuse; }

 private:
  class Replayed final : public Recording {
   public:
    Replayed(GpuWork& counts, std::vector<std::function<void()>> noted) : counts_(counts), noted_(std::move(noted)) {}
    void replay() override {
      ++counts_.replays;
      counts_.order += 'r';
      for (const auto& work : noted_) work();
    }

   private:
    GpuWork& counts_;
    std::vector<std::function<void()>> noted_;
  };
  GpuWork& counts_;
  std::vector<std::function<void()>>* noted_ = nullptr;
  bool refuses_ = false;
};

// Copies to the host that nobody has waited for.
class LateCopies {
 public:
  void add(void* to, const void* from, std::size_t bytes) {
    const auto* const begin = static_cast<const std::byte*>(from);
    copies_.push_back({static_cast<std::byte*>(to), {begin, begin + bytes}});
  }
  std::uint64_t asked() const { return done_ + copies_.size(); }
  void deliver(std::uint64_t until) {
    for (; done_ < until; ++done_) {
      if (copies_.front().to) std::ranges::copy(copies_.front().bytes, copies_.front().to);
      copies_.pop_front();
    }
  }
  bool meets(const void* memory, std::size_t bytes) const {
    return std::ranges::any_of(copies_, [&](const Copy& copy) { return copy.meets(memory, bytes); });
  }
  void forget(const void* memory, std::size_t bytes) {
    for (Copy& copy : copies_)
      if (copy.meets(memory, bytes)) copy.to = nullptr;
  }

 private:
  struct Copy {
    std::byte* to;
    std::vector<std::byte> bytes;
    bool meets(const void* memory, std::size_t size) const {
      const auto* const begin = static_cast<const std::byte*>(memory);
      return to && begin < to + bytes.size() && to < begin + size;
    }
  };
  std::deque<Copy> copies_;
  std::uint64_t done_ = 0;
};

class LateFence final : public Fence {
 public:
  LateFence(LateCopies& copies, GpuWork& counts) : copies_(copies), counts_(counts) {}
  void set() override { position_ = copies_.asked(), counts_.order += 's'; }
  void wait() override { copies_.deliver(position_), counts_.order += 'w'; }

 private:
  LateCopies& copies_;
  GpuWork& counts_;
  std::uint64_t position_ = 0;
};

// Inputs that come beside other work.
class Beside final : public gpu::Work {
 public:
  Beside(Queue& queue, const Memory& memory, std::span<const std::size_t> bytes)
      : queue_(queue), memory_(memory), bytes_(bytes.begin(), bytes.end()) {}
  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void*) override {
    queue_.refuse_while_recording("a copy from the host");
    const auto copy = [&] {
      for (std::size_t i = 0; i < bytes_.size(); ++i) {
        ensure(memory_.holds(outputs[i]) && !memory_.holds(inputs[i]), "an input that does not come from the host to the device");
        std::memcpy(outputs[i], inputs[i], bytes_[i]);
      }
    };
    queue_.ask(copy, 'a');
  }

 private:
  Queue& queue_;
  const Memory& memory_;
  std::vector<std::size_t> bytes_;
};

// As libraries are promised it for all operands and results, and kernels that read several elements at once.
bool is_aligned(const void* address) { return reinterpret_cast<std::uintptr_t>(address) % buffer_alignment == 0; }

class EmulatedFunction final : public gpu::Function {
 public:
  // `aligned`: whether it reads or writes several elements at once.
  EmulatedFunction(const Memory& memory, Queue& queue, const fs::path& library, bool synchronises, bool aligned)
      : memory_(memory), queue_(queue), synchronises_(synchronises), aligned_(aligned) {
    handle_ = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    ensure(handle_ != nullptr, "{}", dlerror());
  }
  ~EmulatedFunction() override { dlclose(handle_); }
  EmulatedFunction(const EmulatedFunction&) = delete;
  EmulatedFunction& operator=(const EmulatedFunction&) = delete;

  // All arguments are addresses.
  void launch(std::uint32_t blocks, std::uint32_t threads, std::span<void* const> arguments) override {
    ensure(arguments.size_bytes() <= parameter_bytes, "a kernel was given {} arguments", arguments.size());
    std::vector<void*> addresses;
    for (void* argument : arguments) addresses.push_back(*static_cast<void**>(argument));
    queue_.ask([this, blocks, threads, addresses]() mutable {
      std::vector<void*> values;
      for (void*& address : addresses) values.push_back(&address);
      run(blocks, threads, values);
    });
  }

 private:
  void run(std::uint32_t blocks, std::uint32_t threads, std::span<void* const> arguments) {
    for (void* argument : arguments) {
      const void* const address = *static_cast<void**>(argument);
      ensure(address == nullptr || memory_.holds(address), "a kernel was given an address outside the device's memory");
      ensure(!aligned_ || is_aligned(address), "a kernel was given an address that is not aligned");
    }
    *symbol<unsigned>("gridDim") = blocks;
    *symbol<unsigned>("blockDim") = threads;
    unsigned* const thread = symbol<unsigned>("threadIdx");
    const auto call = reinterpret_cast<void (*)(void* const*)>(dlsym(handle_, "call_kernel"));
    for (unsigned block = 0; block < blocks; ++block) {
      *symbol<unsigned>("blockIdx") = block;
      if (synchronises_) Block::run(threads, thread, symbol<void (*)()>("synchronise"), call, arguments.data());
      else
        for (*thread = 0; *thread < threads; ++*thread) call(arguments.data());
    }
  }

  template <class T>
  T* symbol(const char* name) const {
    return static_cast<T*>(dlsym(handle_, name));
  }
  const Memory& memory_;
  Queue& queue_;
  void* handle_;
  bool synchronises_, aligned_;
};

// Plain loops that read their operands as the description says.
class EmulatedMatMul final : public gpu::Work {
 public:
  explicit EmulatedMatMul(const gpu::MatMulDescription& description) : d_(description) {}
  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void*) override {
    if (d_.eight_bits) return multiply_eight_bits(inputs, outputs[0]);
    visit(d_.dtype, [&]<class T>(T*) {
      const auto *a = static_cast<const T*>(inputs[0]), *b = static_cast<const T*>(inputs[1]);
      const auto* bias = d_.bias ? static_cast<const T*>(inputs[2]) : nullptr;
      const auto* residual = d_.residual ? static_cast<const T*>(inputs.back()) : nullptr;
      auto* y = static_cast<T*>(outputs[0]);
      for (std::int64_t batch = 0; batch < d_.batch; ++batch, a += d_.stride_a, b += d_.stride_b)
        for (std::int64_t i = 0; i < d_.m; ++i)
          for (std::int64_t j = 0; j < d_.n; ++j) {
            double sum = bias ? convert<double>(bias[j]) : 0;
            if (residual) sum += convert<double>(*residual++);
            for (std::int64_t l = 0; l < d_.k; ++l)
              sum += convert<double>(a[d_.transpose_a ? l * d_.m + i : i * d_.k + l]) *
                     convert<double>(b[d_.transpose_b ? j * d_.k + l : l * d_.n + j]);
            *y++ = convert<T>(d_.relu && sum <= 0 ? 0 : sum);
          }
    });
  }

 private:
  // As the library wants them: both factors with the summed axis last.
  void multiply_eight_bits(std::span<const void* const> inputs, void* result) const {
    ensure(!d_.transpose_a && d_.transpose_b && d_.batch == 1 && inputs.size() == 4,
           "a product of eight bits like that");
    const auto *a = static_cast<const std::uint8_t*>(inputs[0]), *b = static_cast<const std::uint8_t*>(inputs[1]);
    const double scale = *static_cast<const float*>(inputs[2]) * double{*static_cast<const float*>(inputs[3])};
    visit(d_.dtype, [&]<class T>(T*) {
      auto* y = static_cast<T*>(result);
      for (std::int64_t i = 0; i < d_.m; ++i)
        for (std::int64_t j = 0; j < d_.n; ++j) {
          double sum = 0;
          for (std::int64_t l = 0; l < d_.k; ++l)
            sum += decoded(a[i * d_.k + l], d_.eight_bits->a) * decoded(b[j * d_.k + l], d_.eight_bits->b);
          *y++ = convert<T>(sum * scale);
        }
    });
  }

  gpu::MatMulDescription d_;
};

// Every product of the sum, one after the other, is added where the description says.
class EmulatedConvolution final : public gpu::Work {
 public:
  using Result = gpu::ConvolutionDescription::Result;
  EmulatedConvolution(const gpu::ConvolutionDescription& description, const Memory& memory)
      : d_(description), memory_(memory) {
    d_.axes.resize(3);
  }
  std::size_t scratch_bytes() const override { return 100; }

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    ensure(memory_.holds(scratch) && memory_.holds(static_cast<std::byte*>(scratch) + 99),
           "scratch outside the memory");
    std::memset(scratch, 0x7b, 100);
    for (const void* address : {inputs[0], inputs[1], static_cast<const void*>(outputs[0])})
      ensure(memory_.holds(address), "a convolution was given an address outside the device's memory");
    visit(d_.dtype, [&]<class T>(T*) { compute<T>(inputs, static_cast<T*>(outputs[0])); });
  }

 private:
  // Calls work(x's index, kernel's index, y's index) for all that belong together.
  template <class Work>
  void each_product(Work work) const {
    const auto& [a, b, c] = std::tie(d_.axes[0], d_.axes[1], d_.axes[2]);
    const std::int64_t inputs = d_.channels / d_.groups, outputs = d_.filters / d_.groups;
    std::int64_t y = 0;
    for (std::int64_t n = 0; n < d_.batch; ++n)
      for (std::int64_t ya = 0; ya < a.y; ++ya)
        for (std::int64_t yb = 0; yb < b.y; ++yb)
          for (std::int64_t yc = 0; yc < c.y; ++yc)
            for (std::int64_t filter = 0; filter < d_.filters; ++filter, ++y) {
              std::int64_t kernel = filter * a.window * b.window * c.window * inputs;
              for (std::int64_t wa = 0; wa < a.window; ++wa)
                for (std::int64_t wb = 0; wb < b.window; ++wb)
                  for (std::int64_t wc = 0; wc < c.window; ++wc, kernel += inputs) {
                    const std::int64_t xa = ya * a.stride + wa * a.dilation - a.before,
                                       xb = yb * b.stride + wb * b.dilation - b.before,
                                       xc = yc * c.stride + wc * c.dilation - c.before;
                    if (xa < 0 || xa >= a.x || xb < 0 || xb >= b.x || xc < 0 || xc >= c.x) continue;
                    const std::int64_t x =
                        (((n * a.x + xa) * b.x + xb) * c.x + xc) * d_.channels + filter / outputs * inputs;
                    for (std::int64_t channel = 0; channel < inputs; ++channel) work(x + channel, kernel + channel, y);
                  }
            }
  }

  template <class T>
  void compute(std::span<const void* const> inputs, T* result) const {
    std::int64_t x_size = d_.batch * d_.channels, kernel_size = d_.filters * d_.channels / d_.groups,
                 y_size = d_.batch * d_.filters;
    for (const auto& axis : d_.axes) x_size *= axis.x, kernel_size *= axis.window, y_size *= axis.y;
    const auto *first = static_cast<const T*>(inputs[0]), *second = static_cast<const T*>(inputs[1]);
    const auto add = [&](double& sum, std::int64_t i, std::int64_t j) {
      sum += convert<double>(first[i]) * convert<double>(second[j]);
    };
    std::vector<double> sums(static_cast<std::size_t>(d_.result == Result::y            ? y_size
                                                      : d_.result == Result::x_gradient ? x_size
                                                                                        : kernel_size));
    double* const sum = sums.data();
    each_product([&](std::int64_t x, std::int64_t kernel, std::int64_t y) {
      switch (d_.result) {
        case Result::y: add(sum[y], x, kernel); break;
        case Result::x_gradient: add(sum[x], y, kernel); break;
        case Result::kernel_gradient: add(sum[kernel], x, y);
      }
    });
    if (d_.bias)
      for (std::int64_t i = 0; i < y_size; ++i)
        sum[i] += convert<double>(static_cast<const T*>(inputs[2])[i % d_.filters]);
    if (d_.residual)
      for (std::int64_t i = 0; i < y_size; ++i)
        sum[i] += convert<double>(static_cast<const T*>(inputs[d_.bias ? 3 : 2])[i]);
    for (std::size_t i = 0; i < sums.size(); ++i) result[i] = convert<T>(d_.relu && sum[i] <= 0 ? 0 : sum[i]);
  }

  gpu::ConvolutionDescription d_;
  const Memory& memory_;
};

// What a library computes, done when the device is asked for it.
class Asked final : public gpu::Work {
 public:
  Asked(Queue& queue, std::unique_ptr<gpu::Work> inner) : queue_(queue), inner_(std::move(inner)) {}
  std::size_t scratch_bytes() const override { return inner_->scratch_bytes(); }
  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    ensure(std::ranges::all_of(inputs, is_aligned) && std::ranges::all_of(outputs, is_aligned),
           "a library was given an address that is not aligned");
    queue_.ask([this, scratch, from = std::vector<const void*>(inputs.begin(), inputs.end()),
                to = std::vector<void*>(outputs.begin(), outputs.end())] { inner_->run(from, to, scratch); });
  }

 private:
  Queue& queue_;
  std::unique_ptr<gpu::Work> inner_;
};

class EmulatedGpu final : public EmulatedDevice {
 public:
  EmulatedGpu() : folder_(fs::temp_directory_path() / fmt::format("nacre_emulated_gpu.{}.{}", getpid(), static_cast<void*>(this))) {
    facts_ = {.name = "emulated GPU",
              .architecture = 90,
              .processors = 1,
              .memory = std::size_t{1} << 30,
              .libraries = "the host's compiler",
              .parameter_bytes = parameter_bytes};
    fs::create_directories(folder_);
  }
  ~EmulatedGpu() override {
    functions_.clear();
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  EmulatedGpu(const EmulatedGpu&) = delete;
  EmulatedGpu& operator=(const EmulatedGpu&) = delete;

  const gpu::DeviceFacts& facts() const override { return facts_; }
  void* allocate(std::size_t bytes) override {
    if (bytes > facts_.memory)
      throw Error("the GPU has not enough memory: wanted {} bytes, it has {}", bytes, facts_.memory);
    queue_.refuse_while_recording("memory");
    return memory_.allocate(bytes);
  }
  void release(void* memory) noexcept override { memory_.release(memory); }
  void copy(void* to, const void* from, std::size_t bytes) override {
    if (!memory_.holds(to) || !memory_.holds(from)) queue_.refuse_while_recording("a copy from or to the host");
    if (late_.meets(from, bytes)) late_.deliver(late_.asked());
    if (!at_once_ && memory_.holds(from) && !memory_.holds(to)) queue_.ask([&] { late_.add(to, from, bytes); }, 'c');
    else queue_.ask([=] { std::memmove(to, from, bytes); });
  }
  void clear(void* memory, std::size_t bytes) override {
    ensure(memory_.holds(memory), "an address outside the device's memory was to be cleared");
    queue_.ask([=] { std::memset(memory, 0, bytes); });
  }
  void wait() override {
    queue_.refuse_while_recording("waiting");
    ++counts_.waits;
    counts_.order += 'W';
    late_.deliver(late_.asked());
  }
  std::unique_ptr<Fence> fence() override {
    return at_once_ ? nullptr : std::make_unique<LateFence>(late_, counts_);
  }
  std::shared_ptr<std::byte[]> host_memory(std::size_t bytes) override {
    const std::shared_ptr<std::byte[]> memory = allocate_bytes(bytes);
    return {memory.get(), [this, memory, bytes](std::byte* begin) { late_.forget(begin, bytes); }};
  }
  std::unique_ptr<gpu::Work> arrivals(std::span<const std::size_t> bytes) override {
    if (std::accumulate(bytes.begin(), bytes.end(), std::size_t{0}) < beside_from_) return nullptr;
    return std::make_unique<Beside>(queue_, memory_, bytes);
  }
  std::unique_ptr<Recording> record(const std::function<void()>& work) override { return queue_.record(work); }

  const GpuWork& counts() const override { return counts_; }
  void refuse_recordings(bool refuse) override { queue_.refuse_recordings(refuse); }
  void limit_memory(std::size_t bytes) override { facts_.memory = bytes; }
  void bring_beside(std::size_t bytes) override { beside_from_ = bytes; }
  void do_all_at_once() override { at_once_ = true; }

  std::shared_ptr<gpu::Function> compile(std::string_view source, const char*) override {
    std::shared_ptr<gpu::Function>& function = functions_[std::string(source)];
    if (function) return function;
    const fs::path text = folder_ / fmt::format("{}.cpp", functions_.size()),
                   library = fs::path(text).replace_extension(".so");
    std::ofstream(text) << host_prelude << source << host_epilogue;
    const std::string command = fmt::format("{} -std=c++17 -O1 -w -shared -fPIC -o {} {} 2>&1", NACRE_TEST_COMPILER,
                                            library.string(), text.string());
    if (std::system(command.c_str()) != 0) throw InternalError("source that does not compile:\n{}", source);
    fs::remove(text);
    const auto has = [&](std::string_view words) { return source.find(words) != source.npos; };
    // Packs of one element may lie anywhere.
    const bool packs =
        std::ranges::any_of(std::array{2, 4, 8}, [&](int lanes) { return has(fmt::format(", {}>*)", lanes)); });
    function = std::make_shared<EmulatedFunction>(memory_, queue_, library, has("__shared__ "), packs);
    return function;
  }

  std::unique_ptr<gpu::Work> matmul(const gpu::MatMulDescription& description) override {
    // cuBLASLt does nothing but products in double.
    const bool more = description.bias || description.relu;
    return more && description.dtype == DType::float64 ? nullptr : asked(std::make_unique<EmulatedMatMul>(description));
  }

  // Like the library it has no engine for everything.
  std::unique_ptr<gpu::Work> convolution(const gpu::ConvolutionDescription& d) override {
    const auto any = [&](auto what) { return std::ranges::any_of(d.axes, what); };
    if (any([](const auto& axis) { return axis.before != axis.after; }) && d.axes.size() > 1) return nullptr;
    if (d.batch > 1000) return nullptr;
    if (d.residual && d.dtype == DType::float32) return nullptr;
    counts_.in_any_order += !d.deterministic;
    return asked(std::make_unique<EmulatedConvolution>(d, memory_));
  }
  std::unique_ptr<gpu::Work> attention(const gpu::AttentionDescription& d) override {
    auto work = emulated_attention(d, [this](const void* address) { return memory_.holds(address); });
    if (!work) return nullptr;
    counts_.in_any_order += !d.deterministic;
    return asked(std::move(work));
  }

 private:
  // Every work of a library goes through here.
  std::unique_ptr<gpu::Work> asked(std::unique_ptr<gpu::Work> work) {
    return std::make_unique<Asked>(queue_, std::move(work));
  }

  gpu::DeviceFacts facts_;
  fs::path folder_;
  Memory memory_;
  GpuWork counts_;
  Queue queue_{counts_};
  LateCopies late_;
  std::size_t beside_from_ = std::numeric_limits<std::size_t>::max();
  bool at_once_ = false;
  std::map<std::string, std::shared_ptr<gpu::Function>> functions_;
};

}  // namespace

std::shared_ptr<EmulatedDevice> emulated_gpu() {
  static const bool compiler = std::system(NACRE_TEST_COMPILER " --version > /dev/null 2>&1") == 0;
  return compiler ? std::make_shared<EmulatedGpu>() : nullptr;
}

const Backend* emulated_gpu_backend() {
  static const std::unique_ptr<Backend> backend = [] {
    auto device = emulated_gpu();
    return device ? gpu::backend_on(std::move(device)) : nullptr;
  }();
  return backend.get();
}

}  // namespace nacre::test
