// Reading and adding rows and elements by index. Element types are moved as they are; only scatter_add computes.
#include "backend/graph/ops/gather.h"

#include <algorithm>
#include <limits>

#include "backend/core/parallel.h"
#include "backend/onednn/kernels.h"
#include "backend/onednn/row_lists.h"
#include "backend/reference/kernel.h"

namespace nacre::onednn {
namespace {

using reference::AxisSizes;
using reference::plain_kernel;

constexpr std::int64_t grain = 1 << 13;  // elements worth a thread

// What a place out of range reads as.
template <class T>
T missing() {
  return convert<T>(is_floating(dtype_of<T>()) ? std::numeric_limits<double>::quiet_NaN() : 0.0);
}

// Calls function with null pointers of the element type and of the index type, int32 or int64.
template <class Function>
KernelPlan with_types(DType element, DType index, Function&& function) {
  return visit(element, [&]<class T>(T*) {
    if (index == DType::int64) return function(static_cast<T*>(nullptr), static_cast<std::int64_t*>(nullptr));
    return function(static_cast<T*>(nullptr), static_cast<std::int32_t*>(nullptr));
  });
}

bool has_wide_index(DType index) { return index == DType::int32 || index == DType::int64; }

template <class T>
const T* input(const KernelArguments& arguments, std::size_t i) {
  return static_cast<const T*>(arguments.inputs[i]);
}
template <class T>
T* output(const KernelArguments& arguments) {
  return static_cast<T*>(arguments.outputs[0]);
}

}  // namespace

KernelPlan gather(const KernelRequest& request) {
  const Type &table = request.node.in(0).type(), &indices = request.node.in(1).type();
  if (!has_wide_index(indices.dtype)) return borrowed(request);
  const std::int64_t rows = table.shape[0], width = table.shape.from(1).elements(), count = indices.shape.elements();
  return with_types(table.dtype, indices.dtype, [&]<class T, class Index>(T*, Index*) {
    return plain_kernel(request, [rows, width, count](const KernelArguments& arguments) {
      const T* from = input<T>(arguments, 0);
      const Index* index = input<Index>(arguments, 1);
      T* to = output<T>(arguments);
      parallel_for(count, std::max<std::int64_t>(grain / std::max<std::int64_t>(width, 1), 1),
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t i = begin; i < end; ++i) {
                       if (index[i] >= 0 && index[i] < rows)
                         std::copy_n(from + index[i] * width, width, to + i * width);
                       else std::fill_n(to + i * width, width, missing<T>());
                     }
                   });
    });
  });
}

namespace {

// row = the sum of its updates. Sums of halves are made as floats and rounded once.
template <class T>
void sum_updates(const T* updates, const RowLists& lists, std::int64_t row, const void* scratch, std::int64_t width,
                 T* to) {
  if constexpr (sizeof(T) >= 4) {
    std::fill_n(to, width, T{});
    lists.each(row, scratch, [&](std::int32_t number) {
      const T* update = updates + number * width;
      for (std::int64_t j = 0; j < width; ++j) to[j] += update[j];
    });
  } else {
    constexpr std::int64_t piece = 256;  // elements at once
    float sums[piece];
    for (std::int64_t first = 0; first < width; first += piece) {
      const std::int64_t some = std::min(piece, width - first);
      std::fill_n(sums, some, 0.0f);
      lists.each(row, scratch, [&](std::int32_t number) {
        const T* update = updates + number * width + first;
        for (std::int64_t j = 0; j < some; ++j) sums[j] += convert<float>(update[j]);
      });
      for (std::int64_t j = 0; j < some; ++j) to[first + j] = convert<T>(sums[j]);
    }
  }
}

}  // namespace

KernelPlan scatter_add(const KernelRequest& request) {
  const Type &indices = request.node.in(0).type(), &result = request.node.types()[0];
  const std::int64_t rows = result.shape[0], width = result.shape.from(1).elements(), count = indices.shape.elements();
  const RowLists lists(rows, count);
  if (!has_wide_index(indices.dtype) || size_of(result.dtype) < 2 || !lists.fits()) return borrowed(request);
  return with_types(result.dtype, indices.dtype, [&]<class T, class Index>(T*, Index*) -> KernelPlan {
    KernelPlan plan = plain_kernel(request, [lists, rows, width, count](const KernelArguments& arguments) {
      const T* updates = input<T>(arguments, 1);
      T* to = output<T>(arguments);
      const std::int64_t row_work = width * (1 + count / std::max<std::int64_t>(rows, 1));
      parallel_for(rows, std::max<std::int64_t>(grain / std::max<std::int64_t>(row_work, 1), 1),
                   [&](std::int64_t begin, std::int64_t end) {
                     lists.link(input<Index>(arguments, 0), begin, end, arguments.scratch);
                     for (std::int64_t row = begin; row < end; ++row)
                       sum_updates(updates, lists, row, arguments.scratch, width, to + row * width);
                   });
    });
    plan.scratch_bytes = lists.scratch_bytes();
    return plan;
  });
}

KernelPlan take_along(const KernelRequest& request) {
  const Type &x = request.node.in(0).type(), &indices = request.node.in(1).type();
  if (!has_wide_index(indices.dtype)) return borrowed(request);
  const AxisSizes sizes = reference::around(x.shape, request.node.attrs<AxisAttrs>().axis);
  return with_types(x.dtype, indices.dtype, [&]<class T, class Index>(T*, Index*) {
    return plain_kernel(request, [sizes](const KernelArguments& arguments) {
      const T* from = input<T>(arguments, 0);
      const Index* index = input<Index>(arguments, 1);
      T* to = output<T>(arguments);
      parallel_for(sizes.outer * sizes.inner, grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t outer = i / sizes.inner, inner = i % sizes.inner;
          const bool inside = index[i] >= 0 && index[i] < sizes.axis;
          to[i] = inside ? from[(outer * sizes.axis + index[i]) * sizes.inner + inner] : missing<T>();
        }
      });
    });
  });
}

KernelPlan take_along_backward(const KernelRequest& request) {
  const Type &dx = request.node.types()[0], &indices = request.node.in(1).type();
  if (!has_wide_index(indices.dtype)) return borrowed(request);
  const AxisSizes sizes = reference::around(dx.shape, request.node.attrs<AxisAttrs>().axis);
  return with_types(dx.dtype, indices.dtype, [&]<class T, class Index>(T*, Index*) {
    return plain_kernel(request, [sizes](const KernelArguments& arguments) {
      const Index* index = input<Index>(arguments, 1);
      const T* dy = input<T>(arguments, 2);
      T* to = output<T>(arguments);
      const std::int64_t slab = sizes.axis * sizes.inner;
      parallel_for(sizes.outer, std::max<std::int64_t>(grain / std::max<std::int64_t>(slab, 1), 1),
                   [&](std::int64_t begin, std::int64_t end) {
                     std::fill(to + begin * slab, to + end * slab, T{});
                     for (std::int64_t i = begin * sizes.inner; i < end * sizes.inner; ++i)
                       if (index[i] >= 0 && index[i] < sizes.axis)
                         to[i / sizes.inner * slab + index[i] * sizes.inner + i % sizes.inner] = dy[i];
                   });
    });
  });
}

}  // namespace nacre::onednn
