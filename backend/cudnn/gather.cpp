// Reading and adding by index.
#include "backend/graph/ops/gather.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/cudnn/backend.h"
#include "backend/cudnn/kernels.h"
#include "backend/reference/kernel.h"

namespace nacre::gpu {

namespace {

// What a place out of range reads as, as it lies in memory.
std::string_view missing(DType dtype) {
  switch (dtype) {
    case DType::float16: return "(half_bits)0x7e00u";
    case DType::bfloat16: return "(brain_bits)0x7fc0u";
    case DType::float32: return "number_of(0x7fc00000u)";
    case DType::float64: return "wide_number_of(0x7ff8000000000000ull)";
    default: return "0";
  }
}

}  // namespace

KernelPlan gather(const KernelRequest& request) {
  const Shape& table = request.node.in(0).shape();
  const std::int64_t width = table.from(1).elements();
  return over_elements(
      request,
      fmt::format("    const integer row = {};\n    out0[i] = row >= 0 && row < {} ? in0[row * {} + i % {}] : {};\n",
                  load(request.node.in(1).dtype(), "in1", fmt::format("i / {}", width)), table[0], width, width,
                  missing(request.node.types()[0].dtype)));
}

// A block of threads for each index that is the first of its row: it adds the updates of all equal ones, in their
// order, so that the sums are the same in every run. What is equal is found by 128 threads at once and kept as bits.
KernelPlan scatter_add(const KernelRequest& request) {
  const Type& y = request.node.types()[0];
  const std::int64_t rows = y.shape[0], width = y.shape.from(1).elements(),
                     count = request.node.in(0).shape().elements();
  constexpr std::int64_t threads = 128;
  constexpr std::string_view body = R"( {{
  __shared__ int states[{threads}];
  __shared__ byte equal[{threads}];
  __shared__ word bits[{threads} / 32];
  const int thread = threadIdx.x;
  for (integer first = blockIdx.x; first < {count}; first += gridDim.x) {{
    const integer row = in0[first];
    if (row < 0 || row >= {rows}) continue;
    int earlier = 0;
    for (integer j = thread; j < first; j += {threads}) earlier |= in0[j] == row;
    if (across_block<sum, int>(states, earlier) > 0) continue;
    for (integer columns = 0; columns < {width}; columns += {threads}) {{
      const integer column = columns + thread;
      {number} total = 0;
      for (integer begin = first; begin < {count}; begin += {threads}) {{
        const integer j = begin + thread;
        __syncthreads();
        equal[thread] = j < {count} && in0[j] == row;
        __syncthreads();
        if (thread < {threads} / 32) {{
          word found = 0;
          for (int k = 0; k < 32; ++k) found |= (word)equal[thread * 32 + k] << k;
          bits[thread] = found;
        }}
        __syncthreads();
        if (column < {width})
          for (int part = 0; part < {threads} / 32; ++part)
            for (int k = 0; bits[part] >> k != 0; ++k) {{
              const integer i = (begin + part * 32 + k) * {width} + column;
              if (bits[part] >> k & 1) total += {update};
              if (k == 31) break;
            }}
      }}
      if (column < {width}) {{ {store} }}
    }}
  }}
}}
)";
  const std::string source =
      signature("run", operand_types(request), request.node.types()) +
      fmt::format(body, fmt::arg("threads", threads), fmt::arg("count", count), fmt::arg("rows", rows),
                  fmt::arg("width", width), fmt::arg("number", compute_type(y.dtype)),
                  fmt::arg("update", load(y.dtype, "in1", "i")),
                  fmt::arg("store", store(y.dtype, "out0", fmt::format("row * {} + column", width), "total")));
  const std::int64_t blocks = std::min<std::int64_t>(count, std::int64_t{device_of(request).facts().processors} * 16);
  KernelPlan zeros = over_elements(request, "out0[i] = 0;");
  return count == 0 ? std::move(zeros) : in_turn(std::move(zeros), generated(request, source, {blocks, threads}));
}

KernelPlan take_along(const KernelRequest& request) {
  const auto [outer, size, inner] = reference::around(request.node.in(0).shape(), request.node.attrs<AxisAttrs>().axis);
  return over_elements(
      request,
      fmt::format("    const integer at = {0};\n    out0[i] = at >= 0 && at < {1} ? in0[(i / {2} * "
                  "{1} + at) * {2} + i % {2}] : {3};\n",
                  load(request.node.in(1).dtype(), "in1", "i"), size, inner, missing(request.node.types()[0].dtype)));
}

KernelPlan take_along_backward(const KernelRequest& request) {
  const auto [outer, size, inner] =
      reference::around(request.node.types()[0].shape, request.node.attrs<AxisAttrs>().axis);
  return over_elements(request,
                       fmt::format("    const integer line = i / {0} * {1} + i % {1};\n    out0[i] = {2} == "
                                   "(integer)(i / {1} % {3}) ? in2[line] : 0;\n",
                                   inner * size, inner, load(request.node.in(1).dtype(), "in1", "line"), size));
}

}  // namespace nacre::gpu
