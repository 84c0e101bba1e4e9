// Recurrent layers. oneDNN's axes are (time, batch, channels) for sequences and (layers, directions, inputs, gates,
// units) for weights; with one layer, one direction, and gates in Keras's order, Keras's arrays are such tensors as
// they lie.
#include "backend/graph/ops/recurrent.h"

#include <algorithm>

#include "backend/onednn/kernels.h"

namespace nacre::onednn {
namespace {

using Tag = dnnl::memory::format_tag;

dnnl::algorithm algorithm_of(CellKind cell) {
  switch (cell) {
    case CellKind::simple: return dnnl::algorithm::vanilla_rnn;
    case CellKind::lstm: return dnnl::algorithm::vanilla_lstm;
    case CellKind::gru: return dnnl::algorithm::vanilla_gru;
    case CellKind::gru_reset_after: break;
  }
  return dnnl::algorithm::lbr_gru;
}

// A recurrent node in oneDNN's terms.
struct Layer {
  dnnl::algorithm cell;
  dnnl::rnn_direction direction;
  int states;  // h [, c]
  std::int64_t features, units, gates;
  bool two_biases;  // where the reset gate follows the product, the state's has one of its own: oneDNN's fourth gate
  Desc x, sequence, state, bias;

  explicit Layer(const Node& node) {
    const auto& p = node.attrs<RecurrentAttrs>();
    const Shape &input = node.in(0).shape(), &h = node.in(4).shape();
    cell = algorithm_of(p.cell);
    direction =
        p.reverse ? dnnl::rnn_direction::unidirectional_right2left : dnnl::rnn_direction::unidirectional_left2right;
    states = p.cell == CellKind::lstm ? 2 : 1;
    features = input[2];
    units = h[1];
    gates = nacre::gates(p.cell);
    two_biases = p.cell == CellKind::gru_reset_after;
    x = plain_desc(node.in(0).type()).permute_axes({1, 0, 2});
    sequence = plain_desc({DType::float32, {input[0], input[1], units}}).permute_axes({1, 0, 2});
    state = plain_desc({DType::float32, Shape{1, 1} + h});
    bias = plain_desc({DType::float32, {1, 1, two_biases ? gates + 1 : gates, units}});
  }

  Desc kernel(Tag order) const { return weights(features, order); }
  Desc recurrent_kernel(Tag order) const { return weights(units, order); }
  const Desc* memory() const { return states == 2 ? &state : nullptr; }

 private:
  Desc weights(std::int64_t inputs, Tag order) const {
    return Desc({1, 1, inputs, gates, units}, dnnl::memory::data_type::f32, order);
  }
};

constexpr Tag plain_weights = Tag::ldigo;

// Training reads weights as they lie: they change at each step. For prediction they are put in order once.
struct Forward : dnnl::rnn_primitive_desc_base {
  Forward(const Layer& layer, bool training)
      : rnn_primitive_desc_base(
            engine(), layer.cell, training ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference,
            dnnl::algorithm::eltwise_tanh, layer.direction, layer.x, layer.state, layer.memory(), nullptr,
            layer.kernel(training ? plain_weights : Tag::any),
            layer.recurrent_kernel(training ? plain_weights : Tag::any), nullptr, nullptr, layer.bias, layer.sequence,
            layer.state, layer.memory(), dnnl::rnn_flags::undef, 0.f, 0.f, attributes(), false) {}
};

struct Backward : dnnl::rnn_primitive_desc_base {
  explicit Backward(const Layer& layer)
      : rnn_primitive_desc_base(
            engine(), layer.cell, dnnl::prop_kind::backward, dnnl::algorithm::eltwise_tanh, layer.direction, layer.x,
            layer.state, layer.memory(), nullptr, layer.kernel(Tag::any), layer.recurrent_kernel(Tag::any), nullptr,
            nullptr, layer.bias, layer.sequence, layer.state, layer.memory(), layer.x, layer.state, layer.memory(),
            nullptr, layer.kernel(plain_weights), layer.recurrent_kernel(plain_weights), nullptr, nullptr, layer.bias,
            layer.sequence, layer.state, layer.memory(), dnnl::rnn_flags::diff_weights_overwrite, 0.f, 0.f,
            Forward(layer, true), attributes(), false) {}
};

// Keras's biases (2, z r h) in scratch memory as oneDNN's four gates: those of z and r are added, h has both.
class TwoBiases final : public Kernel {
 public:
  // Two arrays of so many bytes: the bias, then its gradient for result 3.
  static std::size_t array_bytes(const Desc& bias) {
    return (bias.get_size() + buffer_alignment - 1) / buffer_alignment * buffer_alignment;
  }

  TwoBiases(std::unique_ptr<PrimitiveKernel> primitive, const Layer& layer, bool gradient)
      : primitive_(std::move(primitive)),
        units_(layer.units),
        array_bytes_(array_bytes(layer.bias)),
        gradient_(gradient) {}

  void run(const KernelArguments& arguments) override {
    const auto* keras = static_cast<const float*>(arguments.inputs[3]);
    auto* bias = static_cast<float*>(arguments.scratch);
    for (std::int64_t i = 0; i < 2 * units_; ++i) bias[i] = keras[i] + keras[3 * units_ + i];
    std::copy_n(keras + 2 * units_, units_, bias + 2 * units_);
    std::copy_n(keras + 5 * units_, units_, bias + 3 * units_);
    primitive_->run(arguments);
    if (!gradient_) return;
    const auto* found = reinterpret_cast<const float*>(static_cast<const std::byte*>(arguments.scratch) + array_bytes_);
    auto* result = static_cast<float*>(arguments.outputs[3]);
    std::copy_n(found, 3 * units_, result);
    std::copy_n(found, 2 * units_, result + 3 * units_);
    std::copy_n(found + 3 * units_, units_, result + 5 * units_);
  }

 private:
  std::unique_ptr<PrimitiveKernel> primitive_;
  std::int64_t units_;
  std::size_t array_bytes_;
  bool gradient_;
};

// The primitive's operands that both directions read: x, kernel, recurrent kernel, bias, h [, c].
void bind_operands(const Layer& layer, const Desc& kernel, const Desc& recurrent_kernel, PrimitiveKernel& primitive) {
  primitive.input(DNNL_ARG_SRC_LAYER, 0, layer.x);
  primitive.input(DNNL_ARG_WEIGHTS_LAYER, 1, kernel);
  primitive.input(DNNL_ARG_WEIGHTS_ITER, 2, recurrent_kernel);
  if (layer.two_biases) primitive.scratch(DNNL_ARG_BIAS, 0, layer.bias);
  else primitive.input(DNNL_ARG_BIAS, 3, layer.bias);
  primitive.input(DNNL_ARG_SRC_ITER, 4, layer.state);
  if (layer.memory()) primitive.input(DNNL_ARG_SRC_ITER_C, 5, layer.state);
}

KernelPlan finish(const KernelRequest& request, const Layer& layer, const Desc& kernel, const Desc& recurrent_kernel,
                  std::unique_ptr<PrimitiveKernel> primitive, bool gradient) {
  KernelPlan plan;
  plan.inputs.assign(request.node.inputs().size(), Layout::plain());
  plan.inputs[1] = layout_of(kernel, request.node.in(1).type());
  plan.inputs[2] = layout_of(recurrent_kernel, request.node.in(2).type());
  plan.outputs.assign(request.node.types().size(), Layout::plain());
  plan.scratch_bytes = primitive->scratch_bytes();
  if (layer.two_biases) plan.kernel = std::make_unique<TwoBiases>(std::move(primitive), layer, gradient);
  else plan.kernel = std::move(primitive);
  return plan;
}

Layout workspace_layout(const Desc& desc) { return Layout::opaque(std::make_shared<const BlockedLayout>(desc)); }

}  // namespace

KernelPlan recurrent(const KernelRequest& request) {
  const Layer layer(request.node);
  const int workspace = 1 + layer.states;
  const bool training = request.node.uses(workspace) > 0;
  const Forward made(layer, training);
  const std::size_t own_bytes = layer.two_biases ? TwoBiases::array_bytes(layer.bias) : 0;
  auto primitive = std::make_unique<PrimitiveKernel>(dnnl::primitive(made.get()), made.scratchpad_desc(), own_bytes);
  bind_operands(layer, made.weights_layer_desc(), made.weights_iter_desc(), *primitive);
  primitive->output(DNNL_ARG_DST_LAYER, 0, layer.sequence);
  primitive->output(DNNL_ARG_DST_ITER, 1, layer.state);
  if (layer.memory()) primitive->output(DNNL_ARG_DST_ITER_C, 2, layer.state);
  if (training) primitive->output(DNNL_ARG_WORKSPACE, workspace, made.workspace_desc());
  KernelPlan plan =
      finish(request, layer, made.weights_layer_desc(), made.weights_iter_desc(), std::move(primitive), false);
  if (training) plan.outputs.back() = workspace_layout(made.workspace_desc());
  return plan;
}

KernelPlan recurrent_backward(const KernelRequest& request) {
  const Layer layer(request.node);
  // Operands: x, kernel, recurrent kernel, bias, h [, c]; sequence, h [, c], workspace; dsequence, dh [, dc].
  const int results = 4 + layer.states, workspace = results + 1 + layer.states, cotangents = workspace + 1;
  const Backward made(layer);
  const std::size_t array_bytes = layer.two_biases ? TwoBiases::array_bytes(layer.bias) : 0;
  auto primitive =
      std::make_unique<PrimitiveKernel>(dnnl::primitive(made.get()), made.scratchpad_desc(), 2 * array_bytes);
  bind_operands(layer, made.weights_layer_desc(), made.weights_iter_desc(), *primitive);
  primitive->input(DNNL_ARG_DST_LAYER, results, layer.sequence);
  primitive->input(DNNL_ARG_DST_ITER, results + 1, layer.state);
  primitive->input(DNNL_ARG_WORKSPACE, workspace, made.workspace_desc());
  primitive->input(DNNL_ARG_DIFF_DST_LAYER, cotangents, layer.sequence);
  primitive->input(DNNL_ARG_DIFF_DST_ITER, cotangents + 1, layer.state);
  primitive->output(DNNL_ARG_DIFF_SRC_LAYER, 0, layer.x);
  primitive->output(DNNL_ARG_DIFF_WEIGHTS_LAYER, 1, made.diff_weights_layer_desc());
  primitive->output(DNNL_ARG_DIFF_WEIGHTS_ITER, 2, made.diff_weights_iter_desc());
  if (layer.two_biases) primitive->scratch(DNNL_ARG_DIFF_BIAS, array_bytes, layer.bias);
  else primitive->output(DNNL_ARG_DIFF_BIAS, 3, layer.bias);
  primitive->output(DNNL_ARG_DIFF_SRC_ITER, 4, layer.state);
  if (layer.memory()) {
    primitive->input(DNNL_ARG_DST_ITER_C, results + 2, layer.state);
    primitive->input(DNNL_ARG_DIFF_DST_ITER_C, cotangents + 2, layer.state);
    primitive->output(DNNL_ARG_DIFF_SRC_ITER_C, 5, layer.state);
  }
  KernelPlan plan =
      finish(request, layer, made.weights_layer_desc(), made.weights_iter_desc(), std::move(primitive), true);
  plan.inputs[static_cast<std::size_t>(workspace)] = workspace_layout(made.workspace_desc());
  return plan;
}

bool recurrent_fits(const Node& node) {
  const Shape& x = node.in(0).shape();
  return node.in(0).dtype() == DType::float32 && std::find(x.begin(), x.end(), 0) == x.end();
}

}  // namespace nacre::onednn
