// Attention by the library, which keeps no matrix of scores: but deterministic gradients take one while they run, and
// so do masks, of which kernels of ours make operands for it, again for the gradients. Of each query it gives
// log Σ exp(score), which stands as the maximum, with 1 as the total: exp(score - maximum) / total are the weights all
// the same, and only the gradients below read them.
// Where a query without any key in sight shall look at all of them evenly, the library gets zeros for it and hides
// nothing from it: so its scores are all the same, and small enough for log Σ exp(score) to be exact.
#include "backend/graph/ops/attention.h"

#include <fmt/format.h>

#include "backend/core/parallel.h"
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
          .causal = p.causal && !(p.sight && p.blind == Blind::even),
          .bias_batch = bias[0],
          .bias_heads = bias[1],
          .dropout = p.dropout,
          .dtype = node.in(0).dtype(),
          .deterministic = deterministic || !gradients};
}

// What dropout keeps, as the CPU's kernels draw it, of seed and step.
std::unique_ptr<Kernel> mask_kernel(Device& device, const AttentionAttrs& p, const Type& mask) {
  const Type number{DType::int64, {}};
  const std::uint64_t stream = RandomKey::of(0, p.path, static_cast<std::uint32_t>(p.call)).stream;
  const std::int64_t count = mask.shape.elements();
  const std::string kept =
      store(mask.dtype, "out0", "j",
            fmt::format("uniform_of(random.at[j & 3]) >= {} ? 1.0f : 0.0f", literal(DType::float32, p.dropout)));
  return kernel_over(
      device, divide_up(count, 4), {number, number}, {mask},
      fmt::format("const words random = random_words(in0[0], {}ull, in1[0], i);\n    for (integer j = 4 * "
                  "i; j < 4 * i + 4 && j < {}; ++j) {{ {} }}",
                  stream, count, kept));
}

// Statements for row `i` of (batch, heads, queries) of scores of that shape: `any`, whether the query has a key in
// sight; `keys`, those that may be; `seen`, where sight has the first.
std::string sight_text(const Node& node, const Shape& scores, std::string_view sight_name, const Shape& sight) {
  std::vector<std::int64_t> strides = reference::broadcast_strides(sight, scores);
  const std::int64_t step = strides.back();
  strides.pop_back();
  const bool causal = node.attrs<AttentionAttrs>().causal;
  return fmt::format(
      "const integer query = i % {1}, seen = {2}, keys = {3};\n    bool any = false;\n    for (integer j = 0; j < keys "
      "&& !any; ++j) any = {0}[seen + j * {4}];\n    ",
      sight_name, scores[2], offset("i", scores.first(3), strides),
      causal ? fmt::format("(query < {0} ? query + 1 : {0})", scores[3]) : fmt::format("{}", scores[3]), step);
}

// Statements for query `i` of (batch, heads, queries): as above, and `at`, where its `width` elements begin.
std::string query_text(const Node& node, std::string_view sight_name, const Shape& sight, std::int64_t width) {
  const Shape scores = scores_of(node);
  return sight_text(node, scores, sight_name, sight) + fmt::format(
                                                           "const integer head = i / {0} % {1}, sample = i / {2}, at = "
                                                           "((sample * {0} + query) * {1} + head) * {3};\n    ",
                                                           scores[2], scores[1], scores[1] * scores[2], width);
}
// Of those elements in in0, zeros where no key is in sight.
std::string copied(std::int64_t width) {
  return fmt::format("for (integer c = 0; c < {}; ++c) out0[at + c] = any ? in0[at + c] : 0;", width);
}
// The same in place.
std::string cleared(std::int64_t width) {
  return fmt::format("for (integer c = 0; c < {} && !any; ++c) out0[at + c] = 0;", width);
}

// Scores that are hidden get such a bias that their weights are 0 where others are in sight. Queries without any have
// none hidden: they are dealt with elsewhere.
std::unique_ptr<Kernel> bias_kernel(Device& device, const Node& node, const Type& sight, const Type& bias) {
  const std::string_view hidden = bias.dtype == DType::float16 ? "-6e4f" : "-1e30f";
  if (node.attrs<AttentionAttrs>().blind == Blind::nothing) {
    const std::string seen = offset("i", bias.shape, reference::broadcast_strides(sight.shape, bias.shape));
    return kernel_over(device, bias.shape.elements(), {sight}, {bias},
                       store(bias.dtype, "out0", "i", fmt::format("in0[{}] ? 0.0f : {}", seen, hidden)));
  }
  const std::int64_t keys = bias.shape[3];
  const std::int64_t step = reference::broadcast_strides(sight.shape, bias.shape).back();
  const std::string value = fmt::format("!any || (j < keys && in0[seen + j * {}]) ? 0.0f : {}", step, hidden);
  return kernel_over(device, bias.shape.first(3).elements(), {sight}, {bias},
                     sight_text(node, bias.shape, "in0", sight.shape) +
                         fmt::format("for (integer j = 0; j < {0}; ++j) {1}", keys,
                                     store(bias.dtype, "out0", fmt::format("i * {} + j", keys), value)));
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
    const Type bias{node.in(0).dtype(), bias_of(node)}, query = node.in(0).type();
    const Types operands = operand_types(request);
    if (p.blind == Blind::even) {
      const std::string text =
          query_text(node, fmt::format("in{}", extra), operands[extra].shape, query.shape[3]) + copied(query.shape[3]);
      const Types read(operands.begin(), operands.begin() + static_cast<std::ptrdiff_t>(extra) + 1);
      kernel->rewrite(0, kernel_over(device, scores_of(node).first(3).elements(), read, {query}, text), query.bytes(),
                      read.size());
    }
    kernel->rewrite(extra, bias_kernel(device, node, operands[extra], bias), bias.bytes());
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
// What queries without any key in sight get for Blind::nearly_even depends on how their scores are rounded.
bool attention_fits(const Node& node, const Backend& backend) {
  const auto& p = node.attrs<AttentionAttrs>();
  const DType dtype = node.in(0).dtype();
  if ((p.sight && p.blind == Blind::nearly_even) || p.dropout >= 1 ||
      (dtype != DType::float16 && dtype != DType::bfloat16))
    return false;
  for (Value value : node.inputs())
    if (!value.shape().known() || value.shape().elements() == 0) return false;
  Device& device = device_of(backend);
  return device.attention(describe(node, false, true)) && device.attention(describe(node, true, true));
}

KernelPlan attention(const KernelRequest& request) {
  const Node& node = request.node;
  const auto& p = node.attrs<AttentionAttrs>();
  const Types operands = operand_types(request), &results = node.types();
  const std::int64_t width = results[0].shape[3];
  std::string text = "out2[i] = 1;\n    ";
  if (p.sight && p.blind == Blind::nothing) text += query_text(node, "in3", operands[3].shape, width) + cleared(width);
  auto kernel = library_kernel(request, false);
  kernel->then(kernel_over(device_of(request), results[2].shape.elements(), operands, results, text));
  return plan_of(request, std::move(kernel));
}

// A query that has no key in sight gives nothing: of Blind::nothing it takes no gradients, of Blind::even its score is
// not its own.
KernelPlan attention_backward(const KernelRequest& request) {
  const Node& node = request.node;
  const auto& p = node.attrs<AttentionAttrs>();
  const Types operands = operand_types(request), &results = node.types();
  Device& device = device_of(request);
  const std::int64_t queries = scores_of(node).first(3).elements();
  auto kernel = library_kernel(request, true);
  if (p.sight && p.blind == Blind::nothing) {
    const Type &dy = operands[dy_operand], &sight = operands[dy_operand + 1];
    const std::string text = query_text(node, "in1", sight.shape, dy.shape[3]) + copied(dy.shape[3]);
    kernel->rewrite(dy_operand, kernel_over(device, queries, {dy, sight}, {dy}, text), dy.bytes(), 2);
  }
  if (p.sight && p.blind == Blind::even) {
    const std::int64_t width = results[0].shape[3];
    const std::string text =
        query_text(node, fmt::format("in{}", dy_operand + 1), operands[dy_operand + 1].shape, width) + cleared(width);
    kernel->then(kernel_over(device, queries, operands, results, text));
  }
  kernel->leave_out(total_operand);
  return plan_of(request, std::move(kernel));
}

}  // namespace nacre::gpu
