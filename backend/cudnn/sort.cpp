// Sorting along an axis. Tiles of a line are sorted by counting, for each of their elements, those that come before it;
// then neighbours are merged, in as many kernels as it takes, each of which finds an element's place in the other one
// by bisection. Equal elements keep their order.
#include <fmt/format.h>

#include "backend/cudnn/backend.h"
#include "backend/cudnn/kernels.h"
#include "backend/graph/ops/gather.h"
#include "backend/reference/kernel.h"

namespace nacre::gpu {

namespace {

constexpr std::int64_t tile = 256;

// NaN comes last.
constexpr std::string_view order = R"(template <class Number>
static __device__ bool comes_before(Number a, Number b) { return a < b || (b != b && a == a); }
)";

// Lists of places, sorted further from one kernel to the next, which write by turns to the result and to scratch
// memory.
class SortKernel final : public Kernel {
 public:
  SortKernel(std::unique_ptr<Kernel> tiles, std::vector<std::unique_ptr<Kernel>> merges)
      : tiles_(std::move(tiles)), merges_(std::move(merges)) {}
  void run(const KernelArguments& arguments) override {
    const auto list = [&](std::size_t step) {  // that the step writes: the last one the result
      return (merges_.size() - step) % 2 == 0 ? arguments.outputs[0] : arguments.scratch;
    };
    void* written = list(0);
    tiles_->run({.inputs = arguments.inputs, .outputs = {&written, 1}, .scratch = nullptr});
    for (std::size_t step = 1; step <= merges_.size(); ++step) {
      const void* const inputs[] = {arguments.inputs[0], written};
      written = list(step);
      merges_[step - 1]->run({.inputs = inputs, .outputs = {&written, 1}, .scratch = nullptr});
    }
  }
  std::int64_t launches() const override {
    std::int64_t all = tiles_->launches();
    for (const auto& merge : merges_) all = launches_together(all, merge->launches());
    return all;
  }

 private:
  std::unique_ptr<Kernel> tiles_;
  std::vector<std::unique_ptr<Kernel>> merges_;
};

}  // namespace

std::unique_ptr<Kernel> sort(Device& device, const Type& x, int along) {
  const Type y{DType::int32, x.shape};
  const auto [outer, size, inner] = reference::around(x.shape, along);
  const std::int64_t count = y.shape.elements();
  const auto element = [&](std::string_view place) {
    return load(x.dtype, "in0", fmt::format("base + {} * {}", place, inner));
  };
  // What a thread does with the element at `place` of a line.
  const auto kernel = [&](const Types& operands, std::string_view body) {
    const std::string source = fmt::format(
        "{}{} {{\n  {}    const integer base = i / {} * {} + i % {}, place = i / {} % {};\n{}  }}\n}}\n", order,
        signature("run", operands, {y}), loop_head(count), size * inner, size * inner, inner, inner, size, body);
    return generated_kernel(device, source, grid_over(count, device));
  };
  const std::string_view number = compute_type(x.dtype);
  if (count == 0) return generated_kernel(device, signature("run", {x}, {y}) + " {}\n", {1, 1});
  auto tiles = kernel(
      {x}, fmt::format("    const integer begin = place / {0} * {0}, end = smaller(begin + {0}, (integer){1});\n"
                       "    const {2} x = {3};\n    integer rank = begin;\n"
                       "    for (integer j = begin; j < end; ++j) {{\n      const {2} other = {4};\n"
                       "      rank += comes_before(other, x) || (j < place && !comes_before(x, other));\n    }}\n"
                       "    out0[base + rank * {5}] = place;\n",
                       tile, size, number, element("place"), element("j"), inner));
  std::vector<std::unique_ptr<Kernel>> merges;
  for (std::int64_t width = tile; width < size; width *= 2)
    merges.push_back(
        kernel({x, y},
               fmt::format("    const integer begin = place / {0} * {0}, middle = smaller(begin + {1}, (integer){2}),\n"
                           "                  end = smaller(begin + {0}, (integer){2});\n"
                           "    const bool is_left = place < middle;\n    const integer own = in1[i];\n"
                           "    const {3} x = {4};\n"
                           "    integer low = is_left ? middle : begin, high = is_left ? end : middle;\n"
                           "    const integer first = low;\n"
                           "    while (low < high) {{\n      const integer half = low + (high - low) / 2;\n"
                           "      const integer there = in1[base + half * {6}];\n      const {3} other = {5};\n"
                           "      if (is_left ? comes_before(other, x) : !comes_before(x, other)) low = half + 1;\n"
                           "      else high = half;\n    }}\n"
                           "    out0[base + (place + low - first - (is_left ? 0 : middle - begin)) * {6}] = own;\n",
                           2 * width, width, size, number, element("own"), element("there"), inner)));
  return std::make_unique<SortKernel>(std::move(tiles), std::move(merges));
}

std::size_t sort_scratch_bytes(const Type& x, int along) {
  return x.shape.elements() > 0 && x.shape[along] > tile ? Type{DType::int32, x.shape}.bytes() : 0;
}

KernelPlan argsort(const KernelRequest& request) {
  const Type& x = request.node.in(0).type();
  const int axis = request.node.attrs<AxisAttrs>().axis;
  KernelPlan plan = plan_on_device(request);
  plan.kernel = sort(device_of(request), x, axis);
  plan.scratch_bytes = sort_scratch_bytes(x, axis);
  return plan;
}

}  // namespace nacre::gpu
