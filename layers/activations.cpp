// Keras's activation functions, as one table.
#include <cmath>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/ops/softmax.h"
#include "layers/activation_layers.h"

namespace nacre {

namespace {

// Klambauer et al., "Self-normalizing neural networks" (2017): the fixed point of mean 0 and variance 1.
constexpr double selu_alpha = 1.6732632423543772, selu_scale = 1.0507009873554805;

Value where(Value condition, Value a, double b) { return ops::select(condition, a, ops::scalar_like(a, b)); }
Value above(Value x, double bound) { return ops::greater(x, ops::scalar_like(x, bound)); }
Value below(Value x, double bound) { return ops::less(x, ops::scalar_like(x, bound)); }

Value linear(Value x) { return x; }
Value relu6(Value x) { return ops::clip(x, 0, 6); }
Value leaky_relu(Value x) { return activation::leaky_relu(x, 0.2); }
Value elu(Value x) { return activation::elu(x, 1); }
Value selu(Value x) { return selu_scale * activation::elu(x, selu_alpha); }
Value celu(Value x) { return activation::elu(x, 1); }  // alpha·(exp(x / alpha) - 1) below 0, and alpha is 1
Value silu(Value x) { return x * ops::sigmoid(x); }
// log(1 + exp(x)) = m + log(exp(x - m) + exp(-m)) for m = max(x, 0), which is held constant: the derivative is then
// sigmoid(x) everywhere, and nothing overflows.
Value softplus(Value x) {
  const Value m = ops::stop_gradient(ops::relu(x));
  return m + ops::log1p(ops::exp(x - m) + ops::expm1(-m));
}
Value mish(Value x) { return x * ops::tanh(softplus(x)); }
Value softsign(Value x) { return x / (1.0 + ops::abs(x)); }
Value log_sigmoid(Value x) { return -softplus(-x); }
Value hard_sigmoid(Value x) { return ops::clip(x * (1.0 / 6) + 0.5, 0, 1); }
Value hard_sigmoid_keras2(Value x) { return ops::clip(0.2 * x + 0.5, 0, 1); }
Value hard_silu(Value x) { return x * hard_sigmoid(x); }
Value hard_tanh(Value x) { return ops::clip(x, -1, 1); }
Value tanh_shrink(Value x) { return x - ops::tanh(x); }
Value hard_shrink(Value x) { return activation::hard_shrink(x, 0.5); }
Value soft_shrink(Value x) { return activation::soft_shrink(x, 0.5); }
Value squareplus(Value x) { return activation::squareplus(x, 4); }
Value sparse_plus(Value x) { return where(above(x, -1), ops::select(below(x, 1), 0.25 * ops::square(x + 1.0), x), 0); }
Value sparse_sigmoid(Value x) { return ops::clip(0.5 * x + 0.5, 0, 1); }
Value softmax(Value x) { return ops::softmax(x); }
Value log_softmax(Value x) { return ops::log_softmax(x); }
Value glu(Value x) { return activation::glu(x, -1); }
// The projection of x onto the simplex, max(x - t, 0), by Martins and Astudillo, "From softmax to sparsemax" (2016),
// without sorting: an element's rank and the sum down to it come from comparing it with all others. The support is what
// satisfies x > (sum - 1) / rank. Keras takes for t the mean, less 1/k, of the k *sums* of the support, where the paper
// has the sum of its elements; the two agree for a support of one. Models trained in Keras need Keras's.
Value sparsemax(Value x) {
  const std::int64_t size = x.shape()[-1];
  if (size == unknown) return x;
  Graph& graph = x.graph();
  const Type places{DType::int32, {size, size}};
  const Value each = ops::expand_dims(x, -1), others = ops::expand_dims(x, x.shape().rank() - 1);
  const Value earlier = ops::less_equal(ops::iota(graph, places, 1), ops::iota(graph, places, 0));
  const Value first = ops::logical_or(ops::greater(others, each), ops::logical_and(ops::equal(others, each), earlier));
  const Value counted = ops::cast(first, x.dtype());
  const Value rank = ops::sum(counted, {-1}), sums = ops::sum(counted * others, {-1});
  const Value support = ops::cast(ops::greater(x, (sums - 1.0) / rank), x.dtype());
  return ops::relu(x - (ops::sum(support * sums, {-1}, true) - 1.0) / ops::sum(support, {-1}, true));
}

struct Function {
  std::string_view name, doc;
  Value (*apply)(Value x);
  std::string_view alias = "";
};

constexpr Function functions[] = {
    {"linear", "x", linear},
    {"relu", "max(x, 0)", ops::relu},
    {"relu6", "min(max(x, 0), 6)", relu6},
    {"leaky_relu", "x, or 0.2·x below 0", leaky_relu},
    {"elu", "x, or exp(x) - 1 below 0", elu},
    {"selu", "1.0507·x, or 1.7581·(exp(x) - 1) below 0", selu},
    {"celu", "x, or exp(x) - 1 below 0", celu},
    {"gelu", "x·Φ(x), Φ the normal distribution function", activation::gelu},
    {"silu", "x·sigmoid(x)", silu, "swish"},
    {"mish", "x·tanh(softplus(x))", mish},
    {"tanh", "hyperbolic tangent", ops::tanh},
    {"sigmoid", "1 / (1 + exp(-x))", ops::sigmoid},
    {"exponential", "exp(x)", ops::exp},
    {"softplus", "log(1 + exp(x))", softplus},
    {"softsign", "x / (1 + |x|)", softsign},
    {"softmax", "exp(x) / Σ exp(x) over the last axis", softmax},
    {"log_softmax", "x - log Σ exp(x) over the last axis", log_softmax},
    {"log_sigmoid", "log sigmoid(x)", log_sigmoid},
    {"hard_sigmoid", "x/6 + 1/2, cut to [0, 1]", hard_sigmoid},
    {"hard_sigmoid_keras2", "x/5 + 1/2, cut to [0, 1]: what Keras 1 and 2 mean by hard_sigmoid", hard_sigmoid_keras2},
    {"hard_silu", "x·hard_sigmoid(x)", hard_silu, "hard_swish"},
    {"hard_tanh", "x cut to [-1, 1]", hard_tanh},
    {"tanh_shrink", "x - tanh(x)", tanh_shrink},
    {"hard_shrink", "x, or 0 where |x| <= 0.5", hard_shrink},
    {"soft_shrink", "x - 0.5·sign(x), or 0 where |x| <= 0.5", soft_shrink},
    {"squareplus", "(x + sqrt(x² + 4)) / 2", squareplus},
    {"sparse_plus", "0 up to -1, (x + 1)²/4 up to 1, then x", sparse_plus},
    {"sparse_sigmoid", "(x + 1)/2, cut to [0, 1]", sparse_sigmoid},
    {"sparsemax", "the projection onto the simplex, over the last axis, as Keras computes it", sparsemax},
    {"glu", "a·sigmoid(b), a and b the halves of the last axis", glu},
};

class FunctionActivation final : public Activation {
 public:
  explicit FunctionActivation(const Function& function) : function_(function) {}
  std::string_view class_name() const override { return function_.name; }
  Tree config_tree(Style) const override { return Tree::mapping(); }
  Value operator()(Value x) const override { return function_.apply(x); }

 private:
  const Function& function_;
};

ClassInfo<Activation> info_of(const Function& function) {
  ClassInfo<Activation> info{.class_name = function.name, .doc = function.doc, .module = "keras.activations"};
  info.make = [&function](const Tree& config) {
    read_fields({}, config);
    return std::make_shared<FunctionActivation>(function);
  };
  if (!function.alias.empty()) info.aliases = {function.alias};
  info.bare_in_keras = true;
  return info;
}

struct ThresholdConfig {
  static constexpr std::string_view class_name = "threshold";
  static constexpr std::string_view doc = "x, or default_value up to the threshold";
  double threshold = 0, default_value = 0;
  static void describe(auto&& field) {
    field("threshold", &ThresholdConfig::threshold, "x above it stays", required());
    field("default_value", &ThresholdConfig::default_value, "in place of all else", required());
  }
};
class Threshold final : public Configured<Activation, ThresholdConfig> {
 public:
  using Configured::Configured;
  Value operator()(Value x) const override {
    return activation::threshold(x, config_.threshold, config_.default_value);
  }
};

// A layer without weights in the place of a function, as Keras allows.
class LayerActivation final : public Activation {
 public:
  explicit LayerActivation(LayerRef layer) : layer_(std::move(layer)) {}
  std::string_view class_name() const override { return layer_->class_name(); }
  Tree config_tree(Style style) const override { return layer_->config_tree(style); }
  Value operator()(Value x) const override {
    Context context(x.graph(), false);
    return (*layer_)(context, {.inputs = {x}}).outputs.front();
  }

 private:
  LayerRef layer_;
};

template <class Config, LayerRef (*make)(Config, LayerOptions)>
ClassInfo<Activation> layer_as_activation() {
  ClassInfo<Activation> info{.class_name = Config::class_name, .doc = Config::doc, .module = "keras.layers"};
  info.fields = {&fields_of<LayerOptions>(), &fields_of<Config>()};
  info.make = [](const Tree& tree) {
    auto [config, options] = read_layer_config<Config>(tree);
    return std::make_shared<LayerActivation>(make(std::move(config), std::move(options)));
  };
  return info;
}

}  // namespace

template <>
Registry<Activation>& registry<Activation>() {
  static Registry<Activation> all = [] {
    std::vector<ClassInfo<Activation>> infos;
    for (const Function& function : functions) infos.push_back(info_of(function));
    infos.push_back(class_info<Activation, Threshold>("keras.activations"));
    infos.push_back(layer_as_activation<ReLUConfig, ReLU>());
    infos.push_back(layer_as_activation<LeakyReLUConfig, LeakyReLU>());
    infos.push_back(layer_as_activation<ELUConfig, ELU>());
    infos.push_back(layer_as_activation<SoftmaxConfig, Softmax>());
    return Registry<Activation>("activation", std::move(infos));
  }();
  return all;
}

}  // namespace nacre
