// Convolutions by the library, between kernels of ours. Its kernels are (filters, window…, channels), ours are
// (window…, channels, filters): they are turned on the way. What it does not do after a convolution is done by a loop
// over the result, and where it wants as many zeros before an axis as after it, those that are more are written around
// x.
#include <fmt/format.h>

#include <algorithm>
#include <numbers>

#include "backend/cudnn/backend.h"
#include "backend/cudnn/kernels.h"
#include "backend/graph/ops/conv.h"

namespace nacre::gpu {

namespace {

using Result = ConvolutionDescription::Result;

// The library's work. Operands that it does not take as they are are written anew into scratch memory before, and so is
// a result after.
class LibraryKernel final : public Kernel {
 public:
  explicit LibraryKernel(std::unique_ptr<Work> work) : work_(std::move(work)) {}

  void rewrite(std::size_t operand, std::unique_ptr<Kernel> kernel, std::size_t bytes) {
    rewritten_.push_back({operand, std::move(kernel), take(bytes)});
  }
  void rewrite_result(std::unique_ptr<Kernel> kernel, std::size_t bytes) {
    result_ = std::move(kernel), result_place_ = take(bytes);
  }
  void then(std::unique_ptr<Kernel> last) { last_ = std::move(last); }
  std::size_t scratch_bytes() const { return own_bytes_ + work_->scratch_bytes(); }

  void run(const KernelArguments& arguments) override {
    auto* const scratch = static_cast<std::byte*>(arguments.scratch);
    inputs_.assign(arguments.inputs.begin(), arguments.inputs.end());
    for (const auto& [operand, kernel, place] : rewritten_) {
      void* const to = scratch + place;
      kernel->run({.inputs = arguments.inputs.subspan(operand, 1), .outputs = {&to, 1}, .scratch = nullptr});
      inputs_[operand] = to;
    }
    void* const result = result_ ? scratch + result_place_ : arguments.outputs[0];
    work_->run(inputs_, {&result, 1}, scratch + own_bytes_);
    if (result_) {
      const void* const from = result;
      result_->run({.inputs = {&from, 1}, .outputs = arguments.outputs.first(1), .scratch = nullptr});
    }
    if (last_) last_->run(arguments);
  }
  std::int64_t launches() const override {
    std::int64_t all = 1;
    for (const auto& [operand, kernel, place] : rewritten_) all = launches_together(all, kernel->launches());
    for (const Kernel* kernel : {result_.get(), last_.get()})
      if (kernel) all = launches_together(all, kernel->launches());
    return all;
  }

 private:
  struct Rewritten {
    std::size_t operand;
    std::unique_ptr<Kernel> kernel;
    std::size_t place;
  };
  std::size_t take(std::size_t bytes) {
    const std::size_t place = own_bytes_;
    own_bytes_ += (bytes + buffer_alignment - 1) / buffer_alignment * buffer_alignment;
    return place;
  }

  std::unique_ptr<Work> work_;
  std::vector<Rewritten> rewritten_;
  std::unique_ptr<Kernel> result_, last_;
  std::size_t result_place_ = 0, own_bytes_ = 0;
  std::vector<const void*> inputs_;
};

// A kernel with one operand and one result that does `body` for each element of the result.
std::unique_ptr<Kernel> rewritten(Device& device, const Type& from, const Type& to, std::string_view body) {
  const std::int64_t count = to.shape.elements();
  const std::string source = fmt::format("{} {{\n  {}    {}\n  }}\n}}\n", signature("run", {from}, {to}),
                                         loop_head(count, from.shape.elements()), body);
  return generated_kernel(device, source, grid_over(count, device));
}

// The kernel in the library's order, or back.
std::unique_ptr<Kernel> turned(Device& device, const Type& kernel, bool back) {
  const std::int64_t filters = kernel.shape[-1], places = kernel.shape.elements() / filters;
  const std::int64_t inner = back ? filters : places, outer = back ? places : filters;
  return rewritten(device, kernel, kernel, fmt::format("out0[i] = in0[i % {0} * {1} + i / {0}];", inner, outer));
}

// x with the zeros that `wide` has room for and `narrow` has not.
struct Surrounded {
  Type narrow, wide;
  std::vector<std::int64_t> before;  // along each axis of the tensors

  std::unique_ptr<Kernel> pad(Device& device) const {
    const std::vector<std::int64_t> strides = row_major_strides(narrow.shape), around = row_major_strides(wide.shape);
    std::string inside = "true", place = "0";
    for (int axis = 0; axis < wide.shape.rank(); ++axis) {
      const auto a = static_cast<std::size_t>(axis);
      const std::string index = fmt::format("((integer)(i / {} % {}) - {})", around[a], wide.shape[axis], before[a]);
      if (wide.shape[axis] != narrow.shape[axis])
        inside += fmt::format(" && {0} >= 0 && {0} < {1}", index, narrow.shape[axis]);
      place += fmt::format(" + {} * {}", index, strides[a]);
    }
    return rewritten(device, narrow, wide, fmt::format("out0[i] = {} ? in0[{}] : 0;", inside, place));
  }

  std::unique_ptr<Kernel> crop(Device& device) const {
    const std::vector<std::int64_t> around = row_major_strides(wide.shape);
    std::int64_t base = 0;
    for (std::size_t axis = 0; axis < around.size(); ++axis) base += before[axis] * around[axis];
    return rewritten(device, wide, narrow, fmt::format("out0[i] = in0[{}];", offset("i", narrow.shape, around, base)));
  }
};

// The number `y` after the activation.
std::string activated(const Epilogue& epilogue, DType dtype) {
  const std::string a = literal(dtype, epilogue.alpha), b = literal(dtype, epilogue.beta);
  switch (epilogue.activation) {
    case EpilogueKind::none: break;
    case EpilogueKind::relu: return "y <= 0 ? 0 : y";
    case EpilogueKind::tanh: return "tanh(y)";
    case EpilogueKind::sigmoid: return "1 / (1 + exp(-y))";
    case EpilogueKind::clip: return fmt::format("y < {0} ? {0} : y > {1} ? {1} : y", a, b);
    case EpilogueKind::leaky_relu: return fmt::format("y > 0 ? y : y * {}", a);
    case EpilogueKind::elu: return fmt::format("y < 0 ? {} * expm1(y) : y", a);
    case EpilogueKind::silu: return "y / (1 + exp(-y))";
    case EpilogueKind::hard_silu:
      return fmt::format("y * smaller(larger({} * y + {}, {}), {})", a, b, literal(dtype, 0), literal(dtype, 1));
    case EpilogueKind::gelu: return fmt::format("y * (1 + erf(y * {})) / 2", literal(dtype, 1 / std::numbers::sqrt2));
  }
  return "y";
}

// A kernel over output 0 in place, called with all operands and results of the request's node, whose epilogue's begin
// at `first`; null where there is nothing to do.
std::unique_ptr<Kernel> epilogue_kernel(const KernelRequest& request, const Epilogue& epilogue, std::size_t first) {
  if (epilogue.empty()) return nullptr;
  const Types operands = operand_types(request);
  const Type& y = request.node.types()[0];
  const std::int64_t count = y.shape.elements();
  std::string body = fmt::format("    {} y = {};\n", compute_type(y.dtype), load(y.dtype, "out0", "i"));
  if (epilogue.bias)
    body += fmt::format("    y += {};\n",
                        load(operands[first].dtype, fmt::format("in{}", first), fmt::format("i % {}", y.shape[-1])));
  if (epilogue.residual)
    body += fmt::format("    y += {};\n", load(operands.back().dtype, fmt::format("in{}", operands.size() - 1), "i"));
  body += fmt::format("    {}\n", store(y.dtype, "out0", "i", activated(epilogue, y.dtype)));
  const std::string source =
      fmt::format("{} {{\n  {}{}  }}\n}}\n", signature("run", operands, request.node.types()), loop_head(count), body);
  return generated_kernel(device_of(request), source, grid_over(count, device_of(request)));
}

// Output 1 of conv_backward_weights: the sum of y's gradient over all axes but the last.
std::unique_ptr<Kernel> bias_gradient(const KernelRequest& request) {
  const Type& dy = request.node.in(1).type();
  const std::int64_t filters = dy.shape[-1];
  const Lines lines(filters, dy.shape.elements() / filters);
  const std::string type(compute_type(dy.dtype));
  const std::string body = fmt::format(
      "    {0} state = 0;\n    {1}\n    state = {2};\n    {3}\n", type,
      lines.each(fmt::format("state += {};", load(dy.dtype, "in1", fmt::format("r * {} + line", filters)))),
      lines.joined("sum", type, "state"), lines.once(store(request.node.types()[1].dtype, "out1", "line", "state")));
  return lines.plan(request, type, body).kernel;
}

ConvolutionDescription describe(const KernelRequest& request, Result result, const ConvAttrs& p, const Shape& x,
                                const Type& kernel) {
  ConvolutionDescription d{.result = result,
                           .batch = x[0],
                           .channels = x[-1],
                           .filters = kernel.shape[-1],
                           .groups = p.groups,
                           .dtype = kernel.dtype,
                           .tensor_float32 = request.precision != MatmulPrecision::highest};
  const std::vector<WindowAxis> axes = window_axes(p, x, kernel.shape);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const int axis = static_cast<int>(i);
    d.axes.push_back({.x = x[axis + 1],
                      .window = kernel.shape[axis],
                      .y = axes[i].output,
                      .stride = p.strides[i],
                      .dilation = p.dilations[i],
                      .before = axes[i].before,
                      .after = axes[i].after});
  }
  return d;
}

// Takes the zeros of one side that the other has not out of the description, which is then of a larger x.
Surrounded even_out(ConvolutionDescription& d, const Shape& x) {
  Surrounded made{{d.dtype, x}, {d.dtype, x}, std::vector<std::int64_t>(static_cast<std::size_t>(x.rank()))};
  for (std::size_t i = 0; i < d.axes.size(); ++i) {
    auto& axis = d.axes[i];
    const std::int64_t both = std::min(axis.before, axis.after);
    made.before[i + 1] = axis.before - both;
    axis.x += axis.before + axis.after - 2 * both;
    axis.before = axis.after = both;
    made.wide.shape.set(static_cast<int>(i) + 1, axis.x);
  }
  return made;
}

void fuse(ConvolutionDescription& d, const Epilogue& epilogue) {
  d.bias = epilogue.bias;
  d.residual = epilogue.residual;
  d.relu = epilogue.activation == EpilogueKind::relu;
}

// What the library is asked for, in this order, until it has an engine: the epilogue is fused or not, x comes as it is
// or with zeros written around it.
KernelPlan by_library(const KernelRequest& request, Result result, const ConvAttrs& p, const Shape& x,
                      const Type& kernel) {
  Device& device = device_of(request);
  const ConvolutionDescription plain = describe(request, result, p, x, kernel);
  const bool uneven = std::ranges::any_of(plain.axes, [](const auto& axis) { return axis.before != axis.after; });
  const bool fusible = !p.epilogue.empty() &&
                       (p.epilogue.activation == EpilogueKind::none || p.epilogue.activation == EpilogueKind::relu);
  KernelPlan plan = plan_on_device(request);
  for (const bool surrounds : {false, true})
    for (const bool fuses : {true, false}) {
      if ((surrounds && !uneven) || (fuses && !fusible)) continue;
      ConvolutionDescription d = plain;
      const Surrounded surrounded = surrounds ? even_out(d, x) : Surrounded{};
      if (fuses) fuse(d, p.epilogue);
      std::unique_ptr<Work> work = device.convolution(d);
      if (!work) continue;
      auto library = std::make_unique<LibraryKernel>(std::move(work));
      if (surrounds && result != Result::x_gradient)
        library->rewrite(0, surrounded.pad(device), surrounded.wide.bytes());
      if (surrounds && result == Result::x_gradient)
        library->rewrite_result(surrounded.crop(device), surrounded.wide.bytes());
      if (result == Result::kernel_gradient) library->rewrite_result(turned(device, kernel, true), kernel.bytes());
      else library->rewrite(1, turned(device, kernel, false), kernel.bytes());
      if (d.bias && request.node.in(2).dtype() != d.dtype) {
        const Type given = request.node.in(2).type(), wanted{d.dtype, given.shape};
        const std::string body = store(wanted.dtype, "out0", "i", load(given.dtype, "in0", "i"));
        library->rewrite(2, rewritten(device, given, wanted, body), wanted.bytes());
      }
      if (result == Result::y && !fuses) library->then(epilogue_kernel(request, p.epilogue, 2));
      if (request.node.types().size() > 1) library->then(bias_gradient(request));
      plan.scratch_bytes = library->scratch_bytes();
      plan.kernel = std::move(library);
      return plan;
    }
  return plan;
}

KernelPlan convolution(const KernelRequest& request, Result result, const ConvAttrs& p, const Shape& x,
                       const Type& kernel) {
  const bool known =
      kernel.dtype == DType::float32 || kernel.dtype == DType::float16 || kernel.dtype == DType::bfloat16;
  const Shape& y = request.node.in(result == Result::kernel_gradient ? 1 : 0).shape();
  if (known && x.elements() > 0 && kernel.shape.elements() > 0 && y.elements() > 0 &&
      request.node.types()[0].shape.elements() > 0)
    if (KernelPlan plan = by_library(request, result, p, x, kernel); plan.kernel) return plan;
  return borrowed(request);
}

}  // namespace

KernelPlan conv(const KernelRequest& request) {
  return convolution(request, Result::y, request.node.attrs<ConvAttrs>(), request.node.in(0).shape(),
                     request.node.in(1).type());
}

KernelPlan conv_backward_data(const KernelRequest& request) {
  return convolution(request, Result::x_gradient, request.node.attrs<ConvBackwardDataAttrs>().conv,
                     request.node.types()[0].shape, request.node.in(1).type());
}

KernelPlan conv_backward_weights(const KernelRequest& request) {
  return convolution(request, Result::kernel_gradient, request.node.attrs<ConvBackwardWeightsAttrs>().conv,
                     request.node.in(0).shape(), request.node.types()[0]);
}

}  // namespace nacre::gpu
