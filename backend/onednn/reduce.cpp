#include "backend/onednn/reduce.h"

#include <algorithm>
#include <numeric>

#include "backend/core/parallel.h"
#include "backend/graph/ops/reduce.h"
#include "backend/onednn/kernels.h"
#include "backend/reference/kernel.h"

namespace nacre::onednn {
namespace {

constexpr std::int64_t tile_size = 1024;      // floats that are combined side by side; fits the first-level cache
constexpr std::int64_t steps_per_chunk = 64;  // partial results of so many tiles are kept apart: errors grow slower
constexpr std::int64_t grain = 1 << 14;       // elements worth a thread

std::int64_t product_of_sizes(const std::vector<ReductionWalk::Piece>& pieces) {
  std::int64_t product = 1;
  for (const auto& piece : pieces) product *= piece.size;
  return product;
}

// Place of the index that has this number in row-major order.
std::int64_t place_of(const std::vector<ReductionWalk::Piece>& pieces, std::int64_t number) {
  std::int64_t place = 0;
  for (std::size_t i = pieces.size(); i-- > 0; number /= pieces[i].size)
    place += number % pieces[i].size * pieces[i].stride;
  return place;
}

// A part of an axis as it lies in memory.
struct Part {
  std::int64_t size;
  std::size_t axis;
};

// The axes of a dense blocked descriptor, the slowest part first.
std::vector<Part> parts_of(const Desc& desc) {
  Dims sizes = desc.get_padded_dims();
  const Dims strides = desc.get_strides(), blocks = desc.get_inner_blks(), blocked = desc.get_inner_idxs();
  for (std::size_t i = 0; i < blocks.size(); ++i) sizes[static_cast<std::size_t>(blocked[i])] /= blocks[i];
  std::vector<std::size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return strides[a] > strides[b]; });
  std::vector<Part> parts;
  for (std::size_t axis : order) parts.push_back({sizes[axis], axis});
  for (std::size_t i = 0; i < blocks.size(); ++i) parts.push_back({blocks[i], static_cast<std::size_t>(blocked[i])});
  return parts;
}

std::vector<Part> plain_parts(const Shape& shape) {
  std::vector<Part> parts;
  for (int axis = 0; axis < shape.rank(); ++axis) parts.push_back({shape[axis], static_cast<std::size_t>(axis)});
  return parts;
}

}  // namespace

std::optional<ReductionWalk> ReductionWalk::over(const Type& type, const Layout& layout,
                                                 const std::vector<bool>& reduces, bool zeros_are_harmless) {
  const bool all = std::find(reduces.begin(), reduces.end(), false) == reduces.end();
  std::vector<Part> parts = plain_parts(type.shape);
  if (layout.detail()) {
    const Desc desc = desc_of(layout, type);
    if (desc.get_data_type() != data_type(type.dtype)) return {};
    if (is_padded(desc) && !(all && zeros_are_harmless)) return {};
    if (!all && desc.get_ndims() != type.shape.rank()) return {};  // an axis is split in two
    parts = parts_of(desc);
  }
  auto is_reduced = [&](const Part& part) { return all || reduces[part.axis]; };
  std::erase_if(parts, [](const Part& part) { return part.size == 1; });
  std::vector<std::size_t> kept_axes;
  for (const Part& part : parts)
    if (!is_reduced(part)) kept_axes.push_back(part.axis);
  if (!std::is_sorted(kept_axes.begin(), kept_axes.end())) return {};

  ReductionWalk walk;
  std::int64_t stride = 1;
  while (!parts.empty() && !is_reduced(parts.back())) {
    walk.width *= parts.back().size;
    parts.pop_back();
  }
  while (!parts.empty() && is_reduced(parts.back())) {
    walk.lines *= parts.back().size;
    parts.pop_back();
  }
  stride = walk.width * walk.lines;
  for (std::size_t i = parts.size(); i-- > 0; stride *= parts[i].size) {
    std::vector<Piece>& pieces = is_reduced(parts[i]) ? walk.reduced : walk.kept;
    if (!pieces.empty() && pieces.front().stride * pieces.front().size == stride) pieces.front().size *= parts[i].size;
    else pieces.insert(pieces.begin(), {parts[i].size, stride});
  }
  return walk;
}

Reduction::Reduction(ReductionWalk walk, Opcode combine, DType dtype, float scale)
    : walk_(std::move(walk)),
      combine_(loops().instruction[static_cast<int>(combine)][0]),
      dtype_(dtype),
      scale_(scale) {
  tile_ = std::min(walk_.width, tile_size);
  tiles_ = divide_up(walk_.width, tile_);
  group_ = tiles_ > 1 ? 1 : std::min(walk_.lines, std::max<std::int64_t>(tile_size / walk_.width, 1));
  groups_ = divide_up(walk_.lines, group_);
  steps_ = product_of_sizes(walk_.reduced) * groups_;
  chunks_ = divide_up(steps_, steps_per_chunk);
  results_ = product_of_sizes(walk_.kept);
}

std::size_t Reduction::scratch_bytes() const {
  return chunks_ == 1 ? 0 : static_cast<std::size_t>(results_ * chunks_ * walk_.width) * sizeof(float);
}

void Reduction::reduce_chunk(const void* x, std::int64_t line, std::int64_t column, std::int64_t chunk,
                             float* result) const {
  alignas(64) float sums[tile_size], loaded[tile_size];
  const std::int64_t width = std::min(tile_, walk_.width - column), base = place_of(walk_.kept, line) + column;
  std::int64_t filled = 0;
  for (std::int64_t step = chunk * steps_per_chunk; step < std::min((chunk + 1) * steps_per_chunk, steps_); ++step) {
    const std::int64_t first = step % groups_ * group_;
    const std::int64_t count = std::min(group_, walk_.lines - first) * width;
    const std::int64_t place = base + place_of(walk_.reduced, step / groups_) + first * walk_.width;
    const float* from = static_cast<const float*>(x) + place;
    if (dtype_ != DType::float32) {
      loops().load[static_cast<int>(dtype_)](
          static_cast<const std::byte*>(x) + place * static_cast<std::int64_t>(size_of(dtype_)), loaded, count);
      from = loaded;
    }
    if (const std::int64_t both = std::min(filled, count); both > 0) combine_(sums, from, nullptr, sums, both);
    if (count > filled) {
      std::copy(from + filled, from + count, sums + filled);
      filled = count;
    }
  }
  // The lines that lie side by side, halved until one is left.
  for (std::int64_t lines = filled / width; lines > 1;) {
    const std::int64_t half = (lines + 1) / 2;
    combine_(sums, sums + half * width, nullptr, sums, (lines - half) * width);
    lines = half;
  }
  std::copy(sums, sums + width, result);
}

void Reduction::store(const float* from, void* y, std::int64_t place, std::int64_t count) const {
  alignas(64) float scaled[tile_size];
  if (scale_ != 1.0f) {
    loops().instruction[static_cast<int>(Opcode::multiply)][2](from, &scale_, nullptr, scaled, count);
    from = scaled;
  }
  loops().store[static_cast<int>(dtype_)](
      from, static_cast<std::byte*>(y) + place * static_cast<std::int64_t>(size_of(dtype_)), count);
}

void Reduction::operator()(const void* x, void* y, void* scratch) const {
  auto* partial = static_cast<float*>(scratch);
  const std::int64_t tasks = results_ * tiles_ * chunks_;
  const std::int64_t work = std::min(steps_, steps_per_chunk) * group_ * tile_;  // elements of a task
  parallel_for(tasks, std::max<std::int64_t>(grain / work, 1), [&](std::int64_t begin, std::int64_t end) {
    alignas(64) float result[tile_size];
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t chunk = task % chunks_, column = task / chunks_ % tiles_ * tile_,
                         line = task / chunks_ / tiles_;
      if (chunks_ > 1) {
        reduce_chunk(x, line, column, chunk, partial + (line * chunks_ + chunk) * walk_.width + column);
      } else {
        reduce_chunk(x, line, column, 0, result);
        store(result, y, line * walk_.width + column, std::min(tile_, walk_.width - column));
      }
    }
  });
  if (chunks_ == 1) return;
  parallel_for(results_ * tiles_, std::max<std::int64_t>(grain / (chunks_ * tile_), 1),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t task = begin; task < end; ++task) {
                   const std::int64_t column = task % tiles_ * tile_, line = task / tiles_;
                   const std::int64_t count = std::min(tile_, walk_.width - column);
                   float* sum = partial + line * chunks_ * walk_.width + column;
                   for (std::int64_t chunk = 1; chunk < chunks_; ++chunk)
                     combine_(sum, sum + chunk * walk_.width, nullptr, sum, count);
                   store(sum, y, line * walk_.width + column, count);
                 }
               });
}

namespace {

class ReductionKernel final : public Kernel {
 public:
  explicit ReductionKernel(Reduction reduction) : reduction_(std::move(reduction)) {}
  void run(const KernelArguments& arguments) override {
    reduction_(arguments.inputs[0], arguments.outputs[0], arguments.scratch);
  }

 private:
  Reduction reduction_;
};

bool float_fits(DType dtype) { return is_floating(dtype) && dtype != DType::float64; }

// Integers are added exactly by the reference kernel; so is nothing at all.
KernelPlan plan_reduction(const KernelRequest& request, const std::vector<bool>& reduces, Opcode combine, float scale) {
  const Type& x = request.node.in(0).type();
  if (!float_fits(x.dtype) || x.shape.elements() == 0) return borrowed(request);
  Layout layout = request.inputs[0].detail() ? request.inputs[0] : Layout::plain();
  auto walk = ReductionWalk::over(x, layout, reduces, combine == Opcode::add);
  if (!walk) {
    layout = Layout::plain();
    walk = ReductionWalk::over(x, layout, reduces, true);
  }
  const Reduction reduction(std::move(*walk), combine, x.dtype, scale);
  KernelPlan plan;
  plan.scratch_bytes = reduction.scratch_bytes();
  plan.kernel = std::make_unique<ReductionKernel>(reduction);
  plan.inputs.assign(request.node.inputs().size(), Layout::plain());
  plan.inputs[0] = layout;
  plan.outputs = {Layout::plain()};
  return plan;
}

}  // namespace

KernelPlan reduce(const KernelRequest& request) {
  const Node& node = request.node;
  const Shape& x = node.in(0).shape();
  std::vector<bool> reduces(static_cast<std::size_t>(x.rank()), false);
  std::int64_t count = 1;
  for (std::int64_t axis : node.attrs<ReduceAttrs>().axes) {
    reduces[static_cast<std::size_t>(axis)] = true;
    count *= x[static_cast<int>(axis)];
  }
  const Opcode combine = node.is(op::max)       ? Opcode::maximum
                         : node.is(op::min)     ? Opcode::minimum
                         : node.is(op::product) ? Opcode::multiply
                                                : Opcode::add;
  return plan_reduction(request, reduces, combine, node.is(op::mean) ? 1.0f / static_cast<float>(count) : 1.0f);
}

KernelPlan sum_like(const KernelRequest& request) {
  const Shape &x = request.node.in(0).shape(), &y = request.node.types()[0].shape;
  const int missing = x.rank() - y.rank();
  std::vector<bool> reduces;
  for (int axis = 0; axis < x.rank(); ++axis)
    reduces.push_back(axis < missing || (y[axis - missing] == 1 && x[axis] != 1));
  return plan_reduction(request, reduces, Opcode::add, 1.0f);
}

KernelPlan argmax(const KernelRequest& request) {
  const Type& x = request.node.in(0).type();
  const auto sizes = reference::around(x.shape, request.node.attrs<ReduceAttrs>().axes[0]);
  return visit(x.dtype, [&]<class T>(T*) {
    return reference::plain_kernel(request, [sizes](const KernelArguments& arguments) {
      const auto* from = static_cast<const T*>(arguments.inputs[0]);
      auto* to = static_cast<std::int32_t*>(arguments.outputs[0]);
      parallel_for(sizes.outer * sizes.inner, grain / std::max<std::int64_t>(sizes.axis, 1),
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t i = begin; i < end; ++i) {
                       const T* at = from + i / sizes.inner * sizes.axis * sizes.inner + i % sizes.inner;
                       std::int64_t best = 0;
                       auto largest = convert<double>(at[0]);
                       for (std::int64_t j = 1; j < sizes.axis; ++j)
                         if (const auto value = convert<double>(at[j * sizes.inner]); value > largest)
                           largest = value, best = j;
                       to[i] = static_cast<std::int32_t>(best);
                     }
                   });
    });
  });
}

}  // namespace nacre::onednn
