// What the GPU backend needs of a GPU: memory, programs and NVIDIA's libraries behind plain functions. The module
// libnacre_cudnn.so implements it with the CUDA driver, NVRTC, cuBLASLt and cuDNN (backend/cudnn/module); the tests
// implement it on the host. Nothing here needs CUDA's headers, so the backend compiles, and most of it is tested, where
// there is no CUDA.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/collective.h"
#include "backend/core/dtype.h"
#include "backend/core/float8_format.h"
#include "backend/core/tensor.h"
#include "backend/fence.h"
#include "backend/recording.h"

namespace nacre::gpu {

struct DeviceFacts {
  std::string name;        // "NVIDIA H200"
  int architecture = 0;    // compute capability: 90 is 9.0
  int processors = 0;      // multiprocessors
  std::size_t memory = 0;  // bytes
  std::string libraries;   // "CUDA 13.0, cuDNN 9.14"
  // Bytes of arguments that a kernel takes.
  std::size_t parameter_bytes = 4096;
};

// A compiled kernel.
class Function {
 public:
  virtual ~Function() = default;
  // `arguments` points at each argument's value, as cuLaunchKernel wants them. Asynchronous.
  virtual void launch(std::uint32_t blocks, std::uint32_t threads, std::span<void* const> arguments) = 0;
};

// Work of a library, prepared for fixed sizes: run on the operands, then the results, in the order of its description.
class Work {
 public:
  virtual ~Work() = default;
  virtual std::size_t scratch_bytes() const { return 0; }
  virtual void run(std::span<const void* const> inputs, std::span<void* const> outputs, void* scratch) = 0;
};

// y[b] = activation(a[b] · b[b] + bias + residual), row-major; the operands after a and b are there when asked for.
struct MatMulDescription {
  std::int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;  // a is stored (k, m), b (n, k)
  std::int64_t batch = 1;
  std::int64_t stride_a = 0, stride_b = 0;  // elements from one matrix of the batch to the next; 0: the same
  DType dtype = DType::float32;             // of a, b and y; sums are float32
  bool bias = false;                        // (n), of y's dtype
  bool residual = false;                    // of y's size and dtype; y may lie over it
  bool relu = false;
  bool tensor_float32 = false;  // factors may be rounded to TensorFloat-32
  // Factors of eight bits each, a (m, k) and b stored (n, k). Two more operands come after them: float32 numbers that
  // all of a and all of b are multiplied with.
  struct EightBits {
    Float8Format a, b;
  };
  std::optional<EightBits> eight_bits{};
};

// A convolution over one to three spatial axes, or one of its gradients, channels last: x (batch, spatial…, channels),
// kernel (filters, window…, channels / groups), y (batch, spatial…, filters).
//   y[n, p, f] = Σ x[n, p · stride + w · dilation - before, c] · kernel[f, w, c], with zeros around x
// Operands: x and kernel for y, y's gradient and kernel for x's, x and y's gradient for the kernel's. Of y alone:
// activation(y + bias + residual), whose operands come after x and kernel when they are asked for.
struct ConvolutionDescription {
  enum class Result : std::uint8_t { y, x_gradient, kernel_gradient };
  struct Axis {
    std::int64_t x = 1, window = 1, y = 1;  // sizes
    std::int64_t stride = 1, dilation = 1;
    std::int64_t before = 0, after = 0;  // zeros
  };
  Result result = Result::y;
  std::int64_t batch = 1, channels = 1, filters = 1, groups = 1;
  std::vector<Axis> axes;
  DType dtype = DType::float32;  // of operands and result: float32, float16 or bfloat16; sums are float32
  bool bias = false;             // (filters)
  bool residual = false;         // of y's size
  bool relu = false;
  bool tensor_float32 = false;  // factors may be rounded to TensorFloat-32
  bool deterministic = true;    // sums have an order
};

// Scaled dot-product attention, or its gradients, of op::attention's operands (graph/ops/attention.h), row-major: query
// (batch, queries, heads, features), key (batch, keys, groups, features), value (batch, keys, groups, value features).
//   y = softmax(scale · query · keyᵀ + bias) · value, `causal` over the keys up to the query's own place alone
// Operands: query, key, value; for the gradients then y, the statistics and y's gradient; then the bias where there is
// one, (bias_batch, bias_heads, queries, keys), each 1 or that of the scores; with dropout then the mask (batch, heads,
// queries, keys), 1 for weights that are kept, and divided by 1 - dropout, else 0. Results: y and the statistics, float32
// (batch, heads, queries), log Σ exp(score); the gradients of query, key and value.
struct AttentionDescription {
  bool gradients = false;
  std::int64_t batch = 1, queries = 1, keys = 1, heads = 1, groups = 1, features = 1, value_features = 1;
  double scale = 1;
  bool causal = false;
  std::int64_t bias_batch = 0, bias_heads = 0;  // 0: there is none
  double dropout = 0;                           // below 1
  DType dtype = DType::bfloat16;                // or float16, of all but the statistics; sums are float32
  bool deterministic = true;                    // sums have an order
};

// Asynchronous calls run one after the other, in the order in which they were made. One thread at a time. Failures are
// nacre::Errors; those for lack of memory say how much was wanted and how much was free.
//
// What is recorded is launches, works and copies within the device's memory; a recording is released before the device
// is, and before the functions and works that are part of it.
class Device : public Recorder {
 public:
  virtual const DeviceFacts& facts() const = 0;

  virtual void* allocate(std::size_t bytes) = 0;  // of the device
  virtual void release(void* memory) noexcept = 0;
  // Between any two places, of which the addresses tell whether they are the host's or the device's. Asynchronous, but
  // what is read from the host may be changed when it returns.
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  virtual void clear(void* memory, std::size_t bytes) = 0;  // of the device, to zeros; asynchronous
  virtual void wait() = 0;  // until all is done
  // Null where all is done as it is asked for.
  virtual std::unique_ptr<Fence> fence() { return nullptr; }
  // To which copies go while the host does other things; other memory of the host may make it wait for them. May be given
  // up while they are under way.
  virtual std::shared_ptr<std::byte[]> host_memory(std::size_t bytes) { return allocate_bytes(bytes); }
  // Copies of so many bytes each from the host to the device, as copy() makes them, but that they begin before what was
  // asked for earlier is done. What they read is there: it does not wait for copies to the host. Null where that is not
  // worth it, or memory is lacking.
  virtual std::unique_ptr<Work> arrivals(std::span<const std::size_t> /*bytes*/) { return nullptr; }

  // The kernel called `name` of CUDA source, kept for the next time the same source comes, on disk too.
  virtual std::shared_ptr<Function> compile(std::string_view source, const char* name) = 0;

  // Null where the library has no engine for it, or is not there.
  virtual std::unique_ptr<Work> matmul(const MatMulDescription& description) = 0;
  virtual std::unique_ptr<Work> convolution(const ConvolutionDescription& description) = 0;
  virtual std::unique_ptr<Work> attention(const AttentionDescription& description) = 0;

  // Sums of that many numbers in the device's memory over the devices of all processes. Asynchronous: it begins after
  // what was asked before start(), and comes before what is asked after wait(). Null where the device of one of the
  // processes cannot. All of them ask for it, at the same point.
  virtual std::unique_ptr<Collective::Exchange> sum_over(const std::shared_ptr<Collective>& /*processes*/, std::size_t,
                                                         Collective::Number) {
    return nullptr;
  }
};

}  // namespace nacre::gpu
