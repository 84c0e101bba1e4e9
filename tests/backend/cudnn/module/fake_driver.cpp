#include "tests/backend/cudnn/module/fake_driver.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <utility>

#include "backend/core/tensor.h"
#include "backend/cudnn/module/library.h"
#include "tests/support/eight_bits.h"

namespace nacre::test {

namespace {

struct Stream {
  std::deque<std::function<void()>> work;
  std::uint64_t queued = 0, done = 0;
};
struct Event {
  char letter = 'a';
  CUstream stream = nullptr;
  std::uint64_t position = 0;
};
struct Machine {
  FakeDriver face;
  std::map<std::byte*, std::size_t> blocks, pinned;
  std::map<std::byte*, std::size_t> unborn, dead;  // blocks that no stream has come to the allocation of, or past the release
  std::map<CUstream, Stream> streams;
  // Being captured: noted instead of queued.
  bool capturing = false, invalidated = false;
  std::vector<std::function<void()>> captured;
  CUstream replaying = nullptr;  // what was captured
  char next_letter = 'a';        // of an event
};
using CapturedGraph = std::vector<std::function<void()>>;
Machine& machine() {
  static Machine one;
  return one;
}
FakeDriver& face() { return machine().face; }

void queue(CUstream handle, std::function<void()> work) {
  if (machine().capturing) return machine().captured.push_back(std::move(work));
  Stream& stream = machine().streams[handle];
  stream.work.push_back(std::move(work));
  ++stream.queued;
}
void run_until(CUstream handle, std::uint64_t position) {
  Stream& stream = machine().streams[handle];
  while (stream.done < position) {
    const auto work = std::move(stream.work.front());
    stream.work.pop_front();
    work();
    ++stream.done;
  }
}
void run(CUstream handle) { run_until(handle, machine().streams[handle].queued); }
Event& event_of(CUevent event) { return *reinterpret_cast<Event*>(event); }

bool holds(const std::map<std::byte*, std::size_t>& blocks, CUdeviceptr address) {
  auto* const at = reinterpret_cast<std::byte*>(address);
  const auto after = blocks.upper_bound(at);
  return after != blocks.begin() && at < std::prev(after)->first + std::prev(after)->second;
}

template <class... Arguments>
void note(fmt::format_string<Arguments...> call, Arguments&&... arguments) {
  if (face().keeps_calls) face().calls.push_back(fmt::format(call, std::forward<Arguments>(arguments)...));
}
std::size_t number_of(CUstream stream) { return reinterpret_cast<std::size_t>(stream) - 100; }
const char* kind_of(CUdeviceptr address) {
  return holds(machine().blocks, address) ? "device" : holds(machine().pinned, address) ? "pinned" : "host";
}

// What must not be asked for while something is captured: that ends with an error.
bool spoils_capture() {
  if (machine().capturing) machine().invalidated = true;
  return machine().capturing;
}

// What needs a context, and what it gives where none is current.
CUresult with_context(CUresult result = CUDA_SUCCESS) { return face().depth > 0 ? result : CUDA_ERROR_INVALID_CONTEXT; }

// For what the driver itself takes.
bool has_room() { return face().memory - face().used - face().in_pool >= std::size_t{1} << 20; }

CUresult take(CUdeviceptr* address, std::size_t bytes) {
  if (face().depth == 0) return CUDA_ERROR_INVALID_CONTEXT;
  ++face().allocations;
  if (face().used + face().in_pool + bytes > face().memory) return CUDA_ERROR_OUT_OF_MEMORY;
  auto* const memory = static_cast<std::byte*>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
  std::memset(memory, 0x7b, std::min(bytes, std::size_t{1} << 16));
  machine().blocks[memory] = bytes;
  std::erase_if(machine().dead, [&](const auto& block) { return block.first < memory + bytes && memory < block.first + block.second; });
  face().used += bytes;
  *address = reinterpret_cast<CUdeviceptr>(memory);
  return CUDA_SUCCESS;
}

CUresult give_back(CUdeviceptr address, CUstream stream) {
  if (face().depth == 0) return CUDA_ERROR_INVALID_CONTEXT;
  if (spoils_capture()) return CUDA_ERROR_INVALID_VALUE;  // it was not taken within
  const auto found = machine().blocks.find(reinterpret_cast<std::byte*>(address));
  if (found == machine().blocks.end()) return CUDA_ERROR_INVALID_VALUE;
  const std::size_t bytes = found->second;
  face().used -= bytes;
  machine().blocks.erase(found);
  if (face().pools) face().in_pool += bytes;
  // The memory stays readable until the stream has come so far.
  queue(stream, [address, bytes] {
    std::free(reinterpret_cast<void*>(address));
    machine().dead[reinterpret_cast<std::byte*>(address)] = bytes;
  });
  return CUDA_SUCCESS;
}

CUresult attribute(int* value, CUdevice_attribute name, CUdevice) {
  switch (name) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = face().architecture / 10; return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = face().architecture % 10; return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 132; return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: *value = face().pools; return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}

template <class Handle>
Handle handle(std::size_t number) {
  return reinterpret_cast<Handle>(number);
}

CUresult launch(CUfunction, unsigned blocks, unsigned, unsigned, unsigned threads, unsigned, unsigned, unsigned, CUstream stream,
                void** arguments, void**) {
  if (face().launched != CUDA_SUCCESS) return face().launched;
  if (blocks == 0 || threads == 0) return CUDA_ERROR_INVALID_VALUE;
  FakeDriver::Launch made{blocks, threads, {}};
  for (int i = 0; i < 2; ++i) made.arguments.push_back(*static_cast<void**>(arguments[i]));
  const auto start = [made] { face().launches.push_back(made); };
  if (machine().capturing) queue(stream, start);
  else start();
  return with_context();
}

// --- cuBLASLt -----------------------------------------------------------------------------------------------------

// Reads descriptions.
struct Readers {
  decltype(&cublasLtMatmulDescGetAttribute) operation;
  decltype(&cublasLtMatrixLayoutGetAttribute) layout;
};
const Readers& readers() {
  static const Readers found = [] {
    const gpu::SharedLibrary library(fmt::format("libcublasLt.so.{}", CUDA_VERSION / 1000), "cuBLASLt");
    Readers functions{};
    library.find(functions.operation, "cublasLtMatmulDescGetAttribute");
    library.find(functions.layout, "cublasLtMatrixLayoutGetAttribute");
    return functions;
  }();
  return found;
}

template <class T>
T read(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t name) {
  T value{};
  std::size_t written = 0;
  ensure(readers().operation(operation, name, &value, sizeof value, &written) == CUBLAS_STATUS_SUCCESS &&
             written == sizeof value,
         "attribute {} of a product", static_cast<int>(name));
  return value;
}

// A matrix as the library takes it: column by column.
struct Matrix {
  explicit Matrix(cublasLtMatrixLayout_t layout)
      : type(static_cast<cudaDataType>(read<std::uint32_t>(layout, CUBLASLT_MATRIX_LAYOUT_TYPE))),
        rows(read<std::uint64_t>(layout, CUBLASLT_MATRIX_LAYOUT_ROWS)),
        columns(read<std::uint64_t>(layout, CUBLASLT_MATRIX_LAYOUT_COLS)),
        step(read<std::int64_t>(layout, CUBLASLT_MATRIX_LAYOUT_LD)),
        batch(read<std::int32_t>(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT)),
        stride(read<std::int64_t>(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET)) {}
  template <class T>
  static T read(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t name) {
    T value{};
    std::size_t written = 0;
    ensure(readers().layout(layout, name, &value, sizeof value, &written) == CUBLAS_STATUS_SUCCESS &&
               written == sizeof value,
           "attribute {} of a matrix", static_cast<int>(name));
    return value;
  }
  cudaDataType type;
  std::uint64_t rows, columns;
  std::int64_t step, batch, stride;
};

template <class T>
void multiply(cublasLtMatmulDesc_t operation, const void* a_memory, cublasLtMatrixLayout_t a_layout, const void* b_memory,
              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c_memory, cublasLtMatrixLayout_t c_layout,
              void* d_memory, cublasLtMatrixLayout_t d_layout) {
  const Matrix a(a_layout), b(b_layout), c(c_layout), d(d_layout);
  const double share = std::is_same_v<T, double> ? *static_cast<const double*>(beta) : *static_cast<const float*>(beta);
  const bool a_turned = read<std::int32_t>(operation, CUBLASLT_MATMUL_DESC_TRANSA) == CUBLAS_OP_T;
  const bool b_turned = read<std::int32_t>(operation, CUBLASLT_MATMUL_DESC_TRANSB) == CUBLAS_OP_T;
  const auto epilogue = read<std::uint32_t>(operation, CUBLASLT_MATMUL_DESC_EPILOGUE);
  const auto* bias = (epilogue & CUBLASLT_EPILOGUE_BIAS)
                         ? read<const T*>(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER)
                         : nullptr;
  const std::uint64_t inner = a_turned ? a.rows : a.columns;
  ensure((a_turned ? a.columns : a.rows) == d.rows && (b_turned ? b.rows : b.columns) == d.columns &&
             (b_turned ? b.columns : b.rows) == inner && a.batch == d.batch && b.batch == d.batch,
         "matrices of a product that do not fit");
  for (const Matrix* matrix : {&a, &b, &d})
    ensure(matrix->step >= static_cast<std::int64_t>(matrix->rows), "columns that overlap");
  const auto at = [](const Matrix& matrix, std::int64_t n, std::uint64_t row, std::uint64_t column) {
    return n * matrix.stride + static_cast<std::int64_t>(column) * matrix.step + static_cast<std::int64_t>(row);
  };
  for (std::int64_t n = 0; n < d.batch; ++n)
    for (std::uint64_t column = 0; column < d.columns; ++column)
      for (std::uint64_t row = 0; row < d.rows; ++row) {
        double sum = bias ? convert<double>(bias[row]) : 0;
        if (share != 0) sum += share * convert<double>(static_cast<const T*>(c_memory)[at(c, n, row, column)]);
        for (std::uint64_t k = 0; k < inner; ++k)
          sum += convert<double>(static_cast<const T*>(a_memory)[a_turned ? at(a, n, k, row) : at(a, n, row, k)]) *
                 convert<double>(static_cast<const T*>(b_memory)[b_turned ? at(b, n, column, k) : at(b, n, k, column)]);
        static_cast<T*>(d_memory)[at(d, n, row, column)] = convert<T>((epilogue & CUBLASLT_EPILOGUE_RELU) && sum < 0 ? 0 : sum);
      }
}

// Factors of eight bits, whose scales come as pointers. On most devices the library takes them with the summed axis
// first.
template <class T>
void multiply_eight_bits(cublasLtMatmulDesc_t operation, const void* a_memory, cublasLtMatrixLayout_t a_layout,
                         const void* b_memory, cublasLtMatrixLayout_t b_layout, void* d_memory,
                         cublasLtMatrixLayout_t d_layout) {
  const Matrix a(a_layout), b(b_layout), d(d_layout);
  const auto format = [](const Matrix& matrix) {
    ensure(matrix.type == CUDA_R_8F_E4M3 || matrix.type == CUDA_R_8F_E5M2, "a factor of other bits");
    return matrix.type == CUDA_R_8F_E4M3 ? Float8Format::e4m3fn : Float8Format::e5m2;
  };
  ensure(read<std::int32_t>(operation, CUBLASLT_MATMUL_DESC_TRANSA) == CUBLAS_OP_T &&
             read<std::int32_t>(operation, CUBLASLT_MATMUL_DESC_TRANSB) == CUBLAS_OP_N,
         "factors of eight bits in another order");
  ensure(a.rows == b.rows && a.columns == d.rows && b.columns == d.columns && a.batch == 1, "matrices that do not fit");
  for (const std::int64_t step : {a.step, b.step, d.step}) ensure(step % 16 == 0, "columns {} apart", step);
  for (const void* memory : {a_memory, b_memory, static_cast<const void*>(d_memory)})
    ensure(reinterpret_cast<std::uintptr_t>(memory) % 16 == 0, "a matrix that is not aligned");
  const double scale = *read<const float*>(operation, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER) *
                       double{*read<const float*>(operation, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER)};
  const auto *first = static_cast<const std::uint8_t*>(a_memory), *second = static_cast<const std::uint8_t*>(b_memory);
  for (std::uint64_t column = 0; column < d.columns; ++column)
    for (std::uint64_t row = 0; row < d.rows; ++row) {
      double sum = 0;
      for (std::uint64_t k = 0; k < a.rows; ++k)
        sum += decoded(first[row * static_cast<std::uint64_t>(a.step) + k], format(a)) *
               decoded(second[column * static_cast<std::uint64_t>(b.step) + k], format(b));
      static_cast<T*>(d_memory)[column * static_cast<std::uint64_t>(d.step) + row] = convert<T>(sum * scale);
    }
}

constexpr std::size_t workspace_bytes = 1000;

cublasStatus_t heuristic(cublasLtHandle_t, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t factor, cublasLtMatrixLayout_t,
                         cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatmulPreference_t, int,
                         cublasLtMatmulHeuristicResult_t* result, int* found) {
  face().compute_type = static_cast<cublasComputeType_t>(read<std::int32_t>(operation, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE));
  // Aligned as those that come with the product.
  const auto fits = [&](cublasLtMatmulDescAttributes_t name) {
    const auto address = read<std::uintptr_t>(operation, name);
    return address != 0 && address % buffer_alignment == 0;
  };
  const cudaDataType type = Matrix(factor).type;
  if ((read<std::uint32_t>(operation, CUBLASLT_MATMUL_DESC_EPILOGUE) & CUBLASLT_EPILOGUE_BIAS) &&
      !fits(CUBLASLT_MATMUL_DESC_BIAS_POINTER))
    return CUBLAS_STATUS_INVALID_VALUE;
  if ((type == CUDA_R_8F_E4M3 || type == CUDA_R_8F_E5M2) &&
      (!fits(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER) || !fits(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER)))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (face().compute_type == CUBLAS_COMPUTE_32F_FAST_TF32 && face().architecture < 80)
    return *found = 0, CUBLAS_STATUS_NOT_SUPPORTED;
  result->state = CUBLAS_STATUS_SUCCESS, result->workspaceSize = workspace_bytes;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t matmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void*, const void* a,
                      cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
                      const void* c, cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                      const cublasLtMatmulAlgo_t*, void* workspace, std::size_t bytes, CUstream stream) {
  const auto place = reinterpret_cast<CUdeviceptr>(workspace);
  for (const void* memory : {a, b, c, static_cast<const void*>(d)})
    if (reinterpret_cast<std::uintptr_t>(memory) % buffer_alignment) return CUBLAS_STATUS_INVALID_VALUE;
  if (bytes != workspace_bytes || place % 256 || !holds(machine().blocks, place) || face().depth == 0)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (machine().capturing) return CUBLAS_STATUS_NOT_SUPPORTED;  // not here
  run(stream);
  ++face().matmuls;
  if (const cudaDataType type = Matrix(a_layout).type; type == CUDA_R_8F_E4M3 || type == CUDA_R_8F_E5M2) {
    switch (Matrix(d_layout).type) {
      case CUDA_R_16F: multiply_eight_bits<Float16>(operation, a, a_layout, b, b_layout, d, d_layout); break;
      case CUDA_R_16BF: multiply_eight_bits<BFloat16>(operation, a, a_layout, b, b_layout, d, d_layout); break;
      default: multiply_eight_bits<float>(operation, a, a_layout, b, b_layout, d, d_layout);
    }
    return CUBLAS_STATUS_SUCCESS;
  }
  switch (Matrix(d_layout).type) {
    case CUDA_R_64F: multiply<double>(operation, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout); break;
    case CUDA_R_16F: multiply<Float16>(operation, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout); break;
    case CUDA_R_16BF: multiply<BFloat16>(operation, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout); break;
    default: multiply<float>(operation, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout);
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

FakeDriver& fake_driver() { return face(); }

void queue_on_fake(CUstream stream, std::function<void()> work) { queue(stream, std::move(work)); }

void run_on_fake(std::size_t stream) { run(handle<CUstream>(100 + stream)); }

void run_newest_stream_first() {
  std::vector<CUstream> streams;
  for (const auto& [handle, stream] : machine().streams) streams.push_back(handle);
  while (!streams.empty()) run(streams.back()), streams.pop_back();
}

gpu::Driver new_fake_driver() {
  run_newest_stream_first();
  machine() = {};
  gpu::Driver driver{};
  driver.init = [](unsigned) { return face().start; };
  driver.version = [](int* version) { return *version = face().version, CUDA_SUCCESS; };
  driver.error_string = [](CUresult, const char** text) { return *text = "a fake error", CUDA_SUCCESS; };
  driver.device_count = [](int* count) { return *count = face().devices, CUDA_SUCCESS; };
  driver.device = [](CUdevice* device, int ordinal) { return *device = ordinal, CUDA_SUCCESS; };
  driver.device_name = [](char* name, int size, CUdevice) { return std::snprintf(name, static_cast<std::size_t>(size), "Fake H200"), CUDA_SUCCESS; };
  driver.device_uuid = [](CUuuid* uuid, CUdevice device) {
    return uuid->bytes[0] = 'G', uuid->bytes[1] = static_cast<char>(device), CUDA_SUCCESS;
  };
  driver.device_attribute = attribute;
  driver.device_memory = [](std::size_t* bytes, CUdevice) { return *bytes = face().memory, CUDA_SUCCESS; };
  driver.retain_context = [](CUcontext* context, CUdevice) {
    if (face().context == CUDA_SUCCESS) ++face().contexts, *context = handle<CUcontext>(7);
    return face().context;
  };
  driver.release_context = [](CUdevice) { return --face().contexts, CUDA_SUCCESS; };
  driver.push_context = [](CUcontext) { return ++face().depth, CUDA_SUCCESS; };
  driver.pop_context = [](CUcontext*) { return --face().depth, CUDA_SUCCESS; };
  driver.create_stream = [](CUstream* stream, unsigned) {
    return *stream = handle<CUstream>(static_cast<std::size_t>(100 + face().streams++)), with_context();
  };
  driver.destroy_stream = [](CUstream) { return --face().streams, with_context(); };
  driver.wait_for_stream = [](CUstream stream) {
    if (spoils_capture()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    note("wait for stream {}", number_of(stream));
    return run(stream), with_context();
  };
  driver.query_stream = [](CUstream) { return --face().queries >= 0 ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS; };
  driver.query_event = [](CUevent) { return --face().queries >= 0 ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS; };
  driver.hold_stream = [](CUstream stream, CUevent event, unsigned) {
    note("hold {} for {}", number_of(stream), event_of(event).letter);
    queue(stream, [until = event_of(event)] { run_until(until.stream, until.position); });
    return with_context();
  };
  driver.create_event = [](CUevent* event, unsigned) {
    *event = reinterpret_cast<CUevent>(new Event{.letter = machine().next_letter++});
    return ++face().events, with_context();
  };
  driver.destroy_event = [](CUevent event) { return --face().events, delete &event_of(event), with_context(); };
  driver.record_event = [](CUevent event, CUstream stream) {
    note("record {} on {}", event_of(event).letter, number_of(stream));
    event_of(event).stream = stream, event_of(event).position = machine().streams[stream].queued;
    return with_context();
  };
  driver.wait_for_event = [](CUevent event) {
    note("wait for {}", event_of(event).letter);
    return run_until(event_of(event).stream, event_of(event).position), with_context();
  };
  driver.default_pool = [](CUmemoryPool* pool, CUdevice) { return *pool = handle<CUmemoryPool>(9), CUDA_SUCCESS; };
  driver.set_pool_attribute = [](CUmemoryPool, CUmemPool_attribute, void*) { return CUDA_SUCCESS; };
  driver.trim_pool = [](CUmemoryPool, std::size_t) { return face().in_pool = 0, CUDA_SUCCESS; };
  driver.allocate_in_order = [](CUdeviceptr* address, std::size_t bytes, CUstream stream) {
    const CUresult result = take(address, bytes);
    if (result != CUDA_SUCCESS) return result;
    auto* const memory = reinterpret_cast<std::byte*>(*address);
    machine().unborn[memory] = bytes;
    queue(stream, [memory] { machine().unborn.erase(memory); });
    return result;
  };
  driver.release_in_order = give_back;
  driver.allocate = take;
  driver.release = [](CUdeviceptr address) { return give_back(address, nullptr); };
  driver.memory_info = [](std::size_t* free, std::size_t* total) {
    return *total = face().memory, *free = face().memory - face().used - face().in_pool, with_context();
  };
  driver.allocate_host = [](void** memory, std::size_t bytes) {
    if (!face().pins) return CUDA_ERROR_OUT_OF_MEMORY;
    ++face().allocations;
    *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    machine().pinned[static_cast<std::byte*>(*memory)] = bytes;
    return face().pinned += bytes, with_context();
  };
  driver.release_host = [](void* memory) {
    const auto found = machine().pinned.find(static_cast<std::byte*>(memory));
    face().pinned -= found->second;
    machine().pinned.erase(found);
    return std::free(memory), with_context();
  };
  driver.copy = [](CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
    if (face().copied != CUDA_SUCCESS) return face().copied;
    note("{}>{} on {}", kind_of(from), kind_of(to), number_of(stream));
    const bool pinned = holds(machine().pinned, to);
    const CUdeviceptr device_to = holds(machine().blocks, to) ? to : 0, device_from = holds(machine().blocks, from) ? from : 0;
    queue(stream, [=] {
      const auto gone = [](CUdeviceptr at) { return holds(machine().unborn, at) || holds(machine().dead, at); };
      if (gone(device_to) || gone(device_from) || (pinned && !holds(machine().pinned, to))) ++face().lost;
      else std::memmove(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes);
    });
    return with_context();
  };
  driver.pointer_attribute = [](void* value, CUpointer_attribute, CUdeviceptr address) {
    const bool device = holds(machine().blocks, address), pinned = holds(machine().pinned, address);
    if (!device && !pinned) return CUDA_ERROR_INVALID_VALUE;
    const unsigned type = device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
    return std::memcpy(value, &type, sizeof type), with_context();
  };
  driver.load_module = [](CUmodule* module, const void* image) {
    if (std::memcmp(image, "\x7f" "ELF", 4) != 0) return ++face().images_refused, CUDA_ERROR_INVALID_IMAGE;
    if (!has_room()) return CUDA_ERROR_OUT_OF_MEMORY;
    return ++face().modules, *module = handle<CUmodule>(10), with_context();
  };
  driver.unload_module = [](CUmodule) { return --face().modules, with_context(); };
  driver.module_function = [](CUfunction* function, CUmodule, const char* name) {
    *function = handle<CUfunction>(11);
    return std::strcmp(name, "run") == 0 ? with_context() : CUDA_ERROR_NOT_FOUND;
  };
  driver.launch = launch;
  driver.set_bytes = [](CUdeviceptr memory, unsigned char value, std::size_t bytes, CUstream stream) {
    queue(stream, [=] { std::memset(reinterpret_cast<void*>(memory), value, bytes); });
    return with_context();
  };
  driver.begin_capture = [](CUstream, CUstreamCaptureMode mode) {
    if (!face().captures || machine().capturing || mode != CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
      return CUDA_ERROR_ILLEGAL_STATE;
    machine().capturing = true, machine().invalidated = false;
    machine().captured.clear();
    return with_context();
  };
  driver.end_capture = [](CUstream, CUgraph* graph) {
    *graph = nullptr;
    if (!std::exchange(machine().capturing, false)) return CUDA_ERROR_ILLEGAL_STATE;
    if (machine().invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    *graph = reinterpret_cast<CUgraph>(new CapturedGraph(std::move(machine().captured)));
    return ++face().graphs, with_context();
  };
  driver.destroy_graph = [](CUgraph graph) {
    delete reinterpret_cast<CapturedGraph*>(graph);
    return --face().graphs, with_context();
  };
  driver.instantiate_graph = [](CUgraphExec* executable, CUgraph graph, unsigned long long) {
    if (!face().instantiates || !has_room()) return CUDA_ERROR_OUT_OF_MEMORY;
    *executable = reinterpret_cast<CUgraphExec>(new CapturedGraph(*reinterpret_cast<CapturedGraph*>(graph)));
    return ++face().executable_graphs, with_context();
  };
  driver.destroy_executable_graph = [](CUgraphExec executable) {
    // Where it is under way, it is kept until it is done.
    queue(machine().replaying, [executable] { delete reinterpret_cast<CapturedGraph*>(executable); });
    return --face().executable_graphs, with_context();
  };
  driver.upload_graph = [](CUgraphExec, CUstream) {
    return face().uploads ? with_context() : CUDA_ERROR_OUT_OF_MEMORY;
  };
  driver.launch_graph = [](CUgraphExec executable, CUstream stream) {
    ++face().replays;
    note("replay");
    machine().replaying = stream;
    queue(stream, [executable] {
      for (const auto& work : *reinterpret_cast<CapturedGraph*>(executable)) work();
    });
    return with_context();
  };
  return driver;
}

gpu::CublasLt fake_cublas_lt() {
  gpu::CublasLt blas = gpu::load_cublas_lt();
  blas.create = [](cublasLtHandle_t* made) { return *made = handle<cublasLtHandle_t>(12), CUBLAS_STATUS_SUCCESS; };
  blas.destroy = [](cublasLtHandle_t) { return CUBLAS_STATUS_SUCCESS; };
  blas.heuristic = heuristic;
  blas.matmul = matmul;
  return blas;
}

}  // namespace nacre::test
