#include "backend/cudnn/row_lists.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace nacre::gpu {

namespace {

class ListingKernel final : public Kernel {
 public:
  ListingKernel(std::unique_ptr<Kernel> sort, std::unique_ptr<Kernel> clear, std::unique_ptr<Kernel> mark)
      : sort_(std::move(sort)), clear_(std::move(clear)), mark_(std::move(mark)) {}
  void run(const KernelArguments& arguments) override {
    sort_->run(arguments);
    clear_->run({.inputs = {}, .outputs = arguments.outputs, .scratch = nullptr});
    mark_->run({.inputs = arguments.inputs, .outputs = arguments.outputs, .scratch = nullptr});
  }
  std::int64_t launches() const override {
    return launches_together(launches_together(sort_->launches(), clear_->launches()), mark_->launches());
  }

 private:
  std::unique_ptr<Kernel> sort_, clear_, mark_;
};

}  // namespace

bool RowLists::fits() const { return type().shape[0] < std::numeric_limits<std::int32_t>::max(); }

std::size_t RowLists::scratch_bytes() const { return sort_scratch_bytes(indices_, 0); }

std::unique_ptr<Kernel> RowLists::kernel(Device& device) const {
  const std::int64_t count = indices_.shape[0];
  const auto index = [&](std::string_view place) {
    return load(indices_.dtype, "in0", fmt::format("out0[{}]", place));
  };
  const std::string clear = fmt::format("{} {{\n  {}    out0[{} + i] = 0;\n  }}\n}}\n", signature("run", {}, {type()}),
                                        loop_head(2 * rows_), count);
  const std::string mark = fmt::format(
      "{0} {{\n  {1}    const integer row = {2};\n    if (row < 0 || row >= {5}) continue;\n"
      "    if (i == 0 || {3} != row) out0[{6} + row] = i;\n"
      "    if (i + 1 == {6} || {4} != row) out0[{7} + row] = i + 1;\n  }}\n}}\n",
      signature("run", {indices_}, {type()}), loop_head(count), index("i"), index("i - 1"), index("i + 1"), rows_,
      count, count + rows_);
  return std::make_unique<ListingKernel>(sort(device, indices_, 0),
                                         generated_kernel(device, clear, grid_over(2 * rows_, device)),
                                         generated_kernel(device, mark, grid_over(count, device)));
}

std::string RowLists::each(std::string_view lists, std::string_view row, std::string_view body) const {
  return fmt::format(
      "for (integer k = {0}[{1} + {2}], end = {0}[{3} + {2}]; k < end; ++k) {{ const integer update = {0}[k]; {4} }}",
      lists, indices_.shape[0], row, indices_.shape[0] + rows_, body);
}

}  // namespace nacre::gpu
