#include "backend/cudnn/columns.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/cudnn/backend.h"
#include "backend/discarded.h"

namespace nacre::gpu {

namespace {

// Sums; and the mean with the sum of the squared distances from it: Chan, Golub and LeVeque, "Algorithms for Computing
// the Sample Variance" (1983).
constexpr std::string_view states = R"(template <class Number>
struct sums { Number a, b; };
struct both {
  template <class Number>
  static __device__ sums<Number> of(sums<Number> x, sums<Number> y) { return {x.a + y.a, x.b + y.b}; }
};
template <class Number>
struct moments {
  Number count, mean, squares;
  __device__ void take(Number x) {
    const Number distance = x - mean;
    count += 1, mean += distance * inverse(count), squares += distance * (x - mean);
  }
};
struct merged {
  template <class Number>
  static __device__ moments<Number> of(moments<Number> x, moments<Number> y) {
    if (y.count == 0) return x;
    const Number count = x.count + y.count, distance = y.mean - x.mean, share = y.count * inverse(count);
    return {count, x.mean + distance * share, x.squares + y.squares + distance * distance * x.count * share};
  }
};
)";

// What the parts of columns give, what the columns give, and what is done with that.
class ColumnsKernel final : public Kernel {
 public:
  ColumnsKernel(std::unique_ptr<Kernel> parts, std::unique_ptr<Kernel> columns, std::unique_ptr<Kernel> last,
                std::size_t numbers_bytes)
      : parts_(std::move(parts)), columns_(std::move(columns)), last_(std::move(last)), numbers_bytes_(numbers_bytes) {}

  void run(const KernelArguments& arguments) override {
    void* const numbers = arguments.scratch;
    void* const of_parts = static_cast<std::byte*>(arguments.scratch) + numbers_bytes_;
    parts_->run({.inputs = arguments.inputs, .outputs = {&of_parts, 1}, .scratch = nullptr});
    const void* const from = of_parts;
    void* const to[] = {numbers, arguments.outputs[1], arguments.outputs[2]};
    columns_->run({.inputs = {&from, 1}, .outputs = to, .scratch = nullptr});
    if (!last_) return;
    inputs_.assign(arguments.inputs.begin(), arguments.inputs.end());
    inputs_.push_back(numbers);
    last_->run({.inputs = inputs_, .outputs = arguments.outputs, .scratch = nullptr});
  }
  std::int64_t launches() const override {
    const std::int64_t both = launches_together(parts_->launches(), columns_->launches());
    return last_ ? launches_together(both, last_->launches()) : both;
  }

 private:
  std::unique_ptr<Kernel> parts_, columns_, last_;
  std::size_t numbers_bytes_;
  std::vector<const void*> inputs_;
};

}  // namespace

KernelPlan over_columns(const KernelRequest& request, const Columns& c, std::string_view last) {
  constexpr std::int64_t threads_of_a_processor = 1024, fewest_rows = 32, state_bytes = 3 * sizeof(double);
  Device& device = device_of(request);
  const std::int64_t count = std::max<std::int64_t>(c.columns, 1);
  const std::int64_t wanted = device.facts().processors * threads_of_a_processor / count;
  const std::int64_t parts = std::clamp<std::int64_t>(wanted, 1, std::max<std::int64_t>(c.rows / fewest_rows, 1));
  const std::string number(compute_type(c.number)), state = fmt::format("{}<{}>", c.state, number);
  const Type of_parts{DType::uint8, {}}, numbers{c.number, {2 * c.columns}};
  const std::string definitions = fmt::format("{}typedef {} number;\n", states, number);

  auto first = generated_kernel(
      device,
      fmt::format(
          "{}{} {{\n  {}    const integer line = i % {}, part = i / {};\n    {}\n    {} state = {{}};\n"
          "    for (integer r = part; r < {}; r += {}) {{\n      {}\n    }}\n    (({}*)out0)[i] = state;\n  }}\n}}\n",
          definitions, signature("run", operand_types(request), {of_parts}), loop_head(c.columns * parts), count, count,
          c.before, state, c.rows, parts, c.take, state),
      grid_over(c.columns * parts, device));

  const Lines lines(c.columns, parts);
  const Types results{numbers, request.node.types()[1], request.node.types()[2]};
  auto second = lines.kernel(
      device, {of_parts}, results, state,
      fmt::format(
          "    {0} state = {{}};\n    {1}\n    state = {2};\n    const {3} a = {4}, b = {5};\n    {6}\n", state,
          lines.each(fmt::format("state = {}::of(state, ((const {}*)in0)[r * {} + line]);", c.join, state, c.columns)),
          lines.joined(c.join, state, "state"), number, c.first, c.second,
          lines.once(fmt::format("out0[line] = a; out0[{} + line] = b; {} {}", c.columns,
                                 store(results[1].dtype, "out1", "line", "a"),
                                 store(results[2].dtype, "out2", "line", "b")))),
      definitions);

  std::unique_ptr<Kernel> third;
  if (!last.empty()) {
    Types operands = operand_types(request);
    operands.push_back(numbers);
    const std::int64_t elements = c.rows * c.columns;
    third =
        generated_kernel(device,
                         fmt::format("{}{} {{\n  {}    const integer column = i % {};\n    const number first = "
                                     "in{}[column], second = in{}[{} + "
                                     "column];\n    {}\n  }}\n}}\n",
                                     definitions, signature("run", operands, request.node.types()), loop_head(elements),
                                     count, operands.size() - 1, operands.size() - 1, c.columns, last),
                         grid_over(elements, device));
  }
  KernelPlan plan = plan_on_device(request);
  const std::size_t numbers_bytes = aligned(2 * static_cast<std::size_t>(c.columns) * size_of(c.number));
  plan.scratch_bytes = numbers_bytes + static_cast<std::size_t>(c.columns * parts * state_bytes);
  plan.kernel = std::make_unique<ColumnsKernel>(std::move(first), std::move(second), std::move(third), numbers_bytes);
  return plan;
}

}  // namespace nacre::gpu
