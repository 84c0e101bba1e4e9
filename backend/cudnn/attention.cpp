// Attention by the library, which keeps no matrix of scores: but deterministic gradients take one while they run, and
// so do masks, of which kernels of ours make operands for it, again for the gradients. Of each query it gives
// log Σ exp(score), which stands as the maximum, with 1 as the total: exp(score - maximum) / total are the weights all
// the same, and only the gradients below read them.
#include "backend/graph/ops/attention.h"

#include <fmt/format.h>

#include "backend/core/random.h"
#include "backend/cudnn/backend.h"
#include "backend/cudnn/library_kernel.h"
#include "backend/reference/kernel.h"

namespace nacre::gpu {

namespace {

// Of the gradients' kernel.
constexpr std::size_t total_operand = 5, dy_operand = 6;
// The first of the operands that only some have: sight, seed and step.
std::size_t first_extra(const Node& node) { return node.is(op::attention_backward) ? 7 : 3; }

Shape scores_of(const Node& node) {
  const Shape &query = node.in(0).shape(), &key = node.in(1).shape();
  return {query[0], query[2], query[1], key[1]};
}

// For all queries and keys, and as few samples and heads as differ.
Shape bias_of(const Node& node) {
  const Shape scores = scores_of(node), sight = node.inputs()[first_extra(node)].shape();
  const auto size = [&](int axis) { return sight.rank() >= axis && sight[-axis] > 1 ? scores[-axis] : 1; };
  return {size(4), size(3), scores[2], scores[3]};
}

AttentionDescription describe(const Node& node, bool gradients, bool deterministic) {
  const auto& p = node.attrs<AttentionAttrs>();
  const Shape &query = node.in(0).shape(), &key = node.in(1).shape(), &value = node.in(2).shape();
  const Shape bias = p.sight ? bias_of(node) : Shape{0, 0};
  return {.gradients = gradients,
          .batch = query[0],
          .queries = query[1],
          .keys = key[1],
          .heads = query[2],
          .groups = key[2],
          .features = query[3],
          .value_features = value[3],
          .scale = p.scale,
          .causal = p.causal,
          .bias_batch = bias[0],
          .bias_heads = bias[1],
          .dropout = p.dropout,
          .dtype = node.in(0).dtype(),
          .deterministic = deterministic || !gradients};
}

// A kernel with those operands and results that does `body` for each `i` of so many.
std::unique_ptr<Kernel> kernel_over(Device& device, std::int64_t count, const Types& inputs, const Types& outputs,
                                    std::string_view body) {
  const std::string source =
      fmt::format("{} {{\n  {}    {}\n  }}\n}}\n", signature("run", inputs, outputs), loop_head(count), body);
  return generated_kernel(device, source, grid_over(count, device));
}

// What dropout keeps, as the CPU's kernels draw it, of seed and step.
std::unique_ptr<Kernel> mask_kernel(Device& device, const AttentionAttrs& p, const Type& mask) {
  const Type number{DType::int64, {}};
  const std::uint64_t stream = RandomKey::of(0, p.path, static_cast<std::uint32_t>(p.call)).stream;
  const std::string kept =
      fmt::format("uniform(in0[0], {}ull, in1[0], i) >= {} ? 1.0f : 0.0f", stream, literal(DType::float32, p.dropout));
  return kernel_over(device, mask.shape.elements(), {number, number}, {mask}, store(mask.dtype, "out0", "i", kept));
}

// Scores that are hidden get such a one that their weights are 0 where others are in sight.
std::unique_ptr<Kernel> bias_kernel(Device& device, const Type& sight, const Type& bias) {
  const std::string seen = offset("i", bias.shape, reference::broadcast_strides(sight.shape, bias.shape)),
                    value = fmt::format("in0[{}] ? 0.0f : {}", seen, bias.dtype == DType::float16 ? "-6e4f" : "-1e30f");
  return kernel_over(device, bias.shape.elements(), {sight}, {bias}, store(bias.dtype, "out0", "i", value));
}

// Statements for query `i` of (batch, heads, queries): whether it has a key in sight, and where it begins in y.
std::string query_text(const Node& node, std::string_view sight_name, const Type& sight) {
  const Shape scores = scores_of(node), queries = scores.first(3);
  const std::int64_t width = node.in(2).shape()[3];
  std::vector<std::int64_t> strides = reference::broadcast_strides(sight.shape, scores);
  const std::int64_t step = strides.back();
  strides.pop_back();
  return fmt::format(
      "const integer query = i % {1}, head = i / {1} % {2}, sample = i / {3}, seen = {4}, at = ((sample * {1} + query) "
      "* {2} + head) * {5};\n    bool any = false;\n    for (integer j = 0; j < {6} && !any; ++j) any = {0}[seen + j * "
      "{7}];\n",
      sight_name, scores[2], scores[1], scores[1] * scores[2], offset("i", queries, strides), width,
      node.attrs<AttentionAttrs>().causal ? fmt::format("(query < {0} ? query + 1 : {0})", scores[3])
                                          : fmt::format("{}", scores[3]),
      step);
}

std::unique_ptr<LibraryKernel> library_kernel(const KernelRequest& request, bool gradients) {
  const Node& node = request.node;
  const auto& p = node.attrs<AttentionAttrs>();
  Device& device = device_of(request);
  std::unique_ptr<Work> work = device.attention(describe(node, gradients, request.numerics.deterministic));
  if (!work) work = device.attention(describe(node, gradients, true));
  ensure(work != nullptr, "attention that the library computes no more");
  auto kernel = std::make_unique<LibraryKernel>(std::move(work));
  std::size_t extra = first_extra(node);
  if (p.sight) {
    const Type bias{node.in(0).dtype(), bias_of(node)};
    kernel->rewrite(extra, bias_kernel(device, node.inputs()[extra].type(), bias), bias.bytes());
    ++extra;
  }
  if (p.dropout > 0) {
    const Type mask{node.in(0).dtype(), scores_of(node)};
    kernel->rewrite(extra, mask_kernel(device, p, mask), mask.bytes(), 2);
  }
  return kernel;
}

KernelPlan plan_of(const KernelRequest& request, std::unique_ptr<LibraryKernel> kernel) {
  KernelPlan plan = plan_on_device(request);
  plan.scratch_bytes = kernel->scratch_bytes();
  plan.kernel = std::move(kernel);
  return plan;
}

}  // namespace

// Whether there are gradients is not known when it is asked of attention, nor how they are wanted: all must be there.
// Queries without any key in sight can be given nothing, but not what other kinds give them.
bool attention_fits(const Node& node, const Backend& backend) {
  const auto& p = node.attrs<AttentionAttrs>();
  const DType dtype = node.in(0).dtype();
  if ((p.sight && p.blind != Blind::nothing) || p.dropout >= 1 || (dtype != DType::float16 && dtype != DType::bfloat16))
    return false;
  for (Value value : node.inputs())
    if (!value.shape().known() || value.shape().elements() == 0) return false;
  Device& device = device_of(backend);
  return device.attention(describe(node, false, true)) && device.attention(describe(node, true, true));
}

KernelPlan attention(const KernelRequest& request) {
  const Types operands = operand_types(request), &results = request.node.types();
  const std::int64_t width = results[0].shape[3];
  std::string text = "out2[i] = 1;\n    ";
  if (request.node.attrs<AttentionAttrs>().sight)
    text += query_text(request.node, "in3", operands[3]) +
            fmt::format("    for (integer c = 0; c < {} && !any; ++c) out0[at + c] = 0;", width);
  auto kernel = library_kernel(request, false);
  kernel->then(kernel_over(device_of(request), results[2].shape.elements(), operands, results, text));
  return plan_of(request, std::move(kernel));
}

// Of a query that has no key in sight, and 0 as its result, no gradients come where that of the result is 0, too.
KernelPlan attention_backward(const KernelRequest& request) {
  auto kernel = library_kernel(request, true);
  if (request.node.attrs<AttentionAttrs>().sight) {
    const Type dy = request.node.in(dy_operand).type(), sight = request.node.in(dy_operand + 1).type();
    const std::string text =
        query_text(request.node, "in1", sight) +
        fmt::format("    for (integer c = 0; c < {}; ++c) out0[at + c] = any ? in0[at + c] : 0;", dy.shape[3]);
    kernel->rewrite(
        dy_operand,
        kernel_over(device_of(request), scores_of(request.node).first(3).elements(), {dy, sight}, {dy}, text),
        dy.bytes(), 2);
  }
  kernel->leave_out(total_operand);
  return plan_of(request, std::move(kernel));
}

}  // namespace nacre::gpu
