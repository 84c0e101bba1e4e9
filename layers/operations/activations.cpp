// Activation functions. Those without parameters are the ones of layers (layers/activations.cpp).
#include "backend/graph/ops/softmax.h"
#include "layers/activation_layers.h"
#include "layers/operations/functions.h"
#include "layers/operations/operation.h"

namespace nacre::operations {

namespace {

constexpr Family neural("keras.src.ops.nn");

struct SlopeField {
  double negative_slope = 0.2;
  static void describe(auto&& field) { field("negative_slope", &SlopeField::negative_slope, "slope below 0"); }
};
struct AlphaField {
  double alpha = 1;
  static void describe(auto&& field) { field("alpha", &AlphaField::alpha, "-alpha is the limit for small x"); }
};
struct ApproximateField {
  bool approximate = true;
  static void describe(auto&& field) {
    field("approximate", &ApproximateField::approximate, "by tanh in the place of erf");
  }
};
struct BField {
  double b = 4;
  static void describe(auto&& field) { field("b", &BField::b, "smoothness"); }
};
struct ShrinkField {
  double threshold = 0.5;
  static void describe(auto&& field) { field("threshold", &ShrinkField::threshold, "what is nearer to 0 becomes 0"); }
};
struct ThresholdFields {
  double threshold = 0, default_value = 0;
  static void describe(auto&& field) {
    field("threshold", &ThresholdFields::threshold, "above it x stays", required());
    field("default_value", &ThresholdFields::default_value, "elsewhere", required());
  }
};
struct AxisField {
  std::int64_t axis = -1;
  static void describe(auto&& field) { field("axis", &AxisField::axis, "over which"); }
};
struct SoftmaxFields {
  std::optional<Axes> axis = Axes(-1);
  static void describe(auto&& field) { field("axis", &SoftmaxFields::axis, "summed over, one or several; null: all"); }
};

// The activation of that name.
Row named(std::string_view class_name, std::string_view activation, Value (*prepare)(Value) = real) {
  const ClassInfo<Activation>& info = registry<Activation>().get(activation);
  return neural.plain(class_name, "x", info.doc,
                      [&info, prepare](const Operands& in) { return (*info.make(Tree::mapping()))(prepare(in[0])); });
}

// Of x with the axis at the end.
Value over_last(Value x, int axis, Value (*function)(Value)) {
  return emit::move_axis(function(emit::move_axis(x, axis, -1)), -1, x.shape().checked(axis));
}

Value gelu(Value x, bool approximate) {
  if (!approximate) return activation::gelu(x);
  return 0.5 * x * (1.0 + ops::tanh(0.7978845608028654 * (x + 0.044715 * (x * ops::square(x)))));
}

}  // namespace

Rows activations() {
  return {
      named("Relu", "relu", number),
      named("Relu6", "relu6", number),
      named("Sigmoid", "sigmoid"),
      named("SparseSigmoid", "sparse_sigmoid"),
      named("Softplus", "softplus"),
      named("Softsign", "softsign"),
      named("SparsePlus", "sparse_plus"),
      named("Silu", "silu"),
      named("LogSigmoid", "log_sigmoid"),
      named("HardSigmoid", "hard_sigmoid"),
      named("HardSilu", "hard_silu"),
      named("Selu", "selu"),
      named("TanhShrink", "tanh_shrink"),
      named("HardTanh", "hard_tanh"),
      neural.operation<SlopeField>("LeakyRelu", "x", "x, or negative_slope·x below 0",
                                   [](const SlopeField& f, const Operands& in) {
                                     return activation::leaky_relu(real(in[0]), f.negative_slope);
                                   }),
      neural.operation<AlphaField>(
          "Elu", "x", "x, or alpha·(exp(x) - 1) below 0",
          [](const AlphaField& f, const Operands& in) { return activation::elu(real(in[0]), f.alpha); }),
      neural.operation<AlphaField>("Celu", "x", "x, or alpha·(exp(x / alpha) - 1) below 0",
                                   [](const AlphaField& f, const Operands& in) {
                                     const Value x = real(in[0]);
                                     return ops::relu(x) +
                                            f.alpha * ops::expm1(ops::minimum(x, ops::scalar_like(x, 0)) / f.alpha);
                                   }),
      neural.operation<ApproximateField>(
          "Gelu", "x", "x·Φ(x), Φ the normal distribution function",
          [](const ApproximateField& f, const Operands& in) { return gelu(real(in[0]), f.approximate); }),
      neural.operation<BField>(
          "Squareplus", "x", "(x + √(x² + b)) / 2",
          [](const BField& f, const Operands& in) { return activation::squareplus(real(in[0]), f.b); }),
      neural.operation<ShrinkField>(
          "SoftShrink", "x", "x nearer to 0 by the threshold",
          [](const ShrinkField& f, const Operands& in) { return activation::soft_shrink(real(in[0]), f.threshold); }),
      neural.operation<ShrinkField>(
          "HardShrink", "x", "x, or 0 up to the threshold",
          [](const ShrinkField& f, const Operands& in) { return activation::hard_shrink(real(in[0]), f.threshold); }),
      neural.operation<ThresholdFields>("Threshold", "x", "x above the threshold, another value elsewhere",
                                        [](const ThresholdFields& f, const Operands& in) {
                                          return activation::threshold(real(in[0]), f.threshold, f.default_value);
                                        }),
      neural.operation<AxisField>("Glu", "x", "a·sigmoid(b), a and b the halves of an axis",
                                  [](const AxisField& f, const Operands& in) {
                                    return activation::glu(real(in[0]), static_cast<int>(f.axis));
                                  }),
      neural.operation<SoftmaxFields>("Softmax", "x", "exp(x) / Σ exp(x)",
                                      [](const SoftmaxFields& f, const Operands& in) {
                                        return activation::softmax(real(in[0]), axes_of(f.axis, in[0]));
                                      }),
      neural.operation<SoftmaxFields>("LogSoftmax", "x", "x - log Σ exp(x)",
                                      [](const SoftmaxFields& f, const Operands& in) {
                                        return activation::log_softmax(real(in[0]), axes_of(f.axis, in[0]));
                                      }),
      neural.operation<AxisField>("Sparsemax", "x", "the projection onto the simplex, as Keras computes it",
                                  [](const AxisField& f, const Operands& in) {
                                    return over_last(real(in[0]), static_cast<int>(f.axis),
                                                     [](Value x) { return (*Ref<Activation>("sparsemax"))(x); });
                                  }),
  };
}

}  // namespace nacre::operations
