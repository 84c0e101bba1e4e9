#include "layers/wrappers.h"

#include <algorithm>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "layers/cell.h"
#include "layers/emit.h"

namespace nacre {

namespace {

// Schuster and Paliwal, "Bidirectional recurrent neural networks" (1997).
class BidirectionalLayer final : public ConfiguredLayer<BidirectionalConfig> {
 public:
  explicit BidirectionalLayer(BidirectionalConfig config = {}, LayerOptions options = {})
      : ConfiguredLayer(std::move(config), std::move(options)) {
    const RecurrentLayer& given = recurrent(config_.layer, "layer");
    const std::string name = given.own_name();
    const bool backwards = given.flags().go_backwards;
    forward_ = copy(*config_.layer, "forward_" + name.substr(name.starts_with("forward_") ? 8 : 0), backwards);
    if (config_.backward_layer) {
      const RecurrentLayer& other = recurrent(config_.backward_layer, "backward_layer");
      backward_ = copy(*config_.backward_layer, other.own_name(), other.flags().go_backwards);
      const auto [a, b] = std::pair(given.flags(), other.flags());
      if (a.go_backwards == b.go_backwards || a.return_sequences != b.return_sequences ||
          a.return_state != b.return_state || a.stateful != b.stateful)
        throw Error("wanted a layer that goes the other way and else returns the same as 'layer'")
            .about("'backward_layer'")
            .usage();
    } else {
      backward_ = copy(*config_.layer, "backward_" + name.substr(name.starts_with("backward_") ? 9 : 0), !backwards);
    }
  }
  std::vector<std::shared_ptr<Layer>> sublayers() const override { return {forward_, backward_}; }
  bool supports_masking() const override { return true; }
  std::vector<std::string_view> keyword_names() const override { return {"initial_state"}; }
  int input_count() const override { return 0; }
  Tree config_tree(Style style) const override {
    Tree tree = ConfiguredLayer::config_tree(style);
    if (style == Style::keras) {
      tree.set("layer", write_object<Layer>(*forward_, style));
      tree.set("backward_layer", write_object<Layer>(*backward_, style));
    }
    return tree;
  }

 protected:
  void build(const std::vector<Shape>& inputs) override {
    need(!inputs.empty(), "got no inputs, wanted a sequence");
    forward_->ensure_built({inputs[0]});
    backward_->ensure_built({inputs[0]});
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const Values states = states_of(arguments, "initial_state");
    need(states.size() % 2 == 0, "got {} initial states, wanted as many for either direction", states.size());
    const auto half = static_cast<std::ptrdiff_t>(states.size() / 2);
    const auto run = [&](RecurrentLayer& layer, Values initial) {
      CallArguments inner{
          .inputs = {arguments.inputs[0]}, .masks = {arguments.masks[0]}, .named = {}, .options = arguments.options};
      if (!initial.empty()) inner.named["initial_state"] = std::move(initial);
      return layer(context, std::move(inner)).outputs;
    };
    Values a = run(*forward_, {states.begin(), states.begin() + half});
    Values b = run(*backward_, {states.begin() + half, states.end()});
    if (forward_->flags().return_sequences) b[0] = ops::reverse(b[0], {1});
    Values outputs = merged(a[0], b[0]);
    outputs.insert(outputs.end(), a.begin() + 1, a.end());
    outputs.insert(outputs.end(), b.begin() + 1, b.end());
    return outputs;
  }
  Values compute_masks(Context&, const CallArguments& arguments, const Values& outputs) override {
    Values masks(outputs.size());
    if (!forward_->flags().return_sequences) return masks;
    masks[0] = arguments.masks[0];
    if (!config_.merge_mode) masks[1] = arguments.masks[0];
    return masks;
  }

 private:
  static const RecurrentLayer& recurrent(const Ref<Layer>& layer, std::string_view key) {
    const auto* wanted = layer ? dynamic_cast<const RecurrentLayer*>(&*layer) : nullptr;
    if (!wanted)
      throw Error("got {}, wanted a recurrent layer", layer ? layer->class_name() : "nothing")
          .about(fmt::format("'{}'", key))
          .usage();
    return *wanted;
  }
  // A layer of the same config without weights. Sequences are 0 where they are masked, as in Keras.
  static std::shared_ptr<RecurrentLayer> copy(const Layer& layer, std::string name, bool backwards) {
    Tree tree = write_object<Layer>(layer, Style::keras);
    Tree& config = *tree.find("config");
    config.set("name", std::move(name));
    config.set("go_backwards", backwards);
    config.set("zero_output_for_mask", config["return_sequences"].as_bool());
    return std::dynamic_pointer_cast<RecurrentLayer>(read_object<Layer>(tree));
  }
  Values merged(Value a, Value b) const {
    if (!config_.merge_mode) return {a, b};
    switch (*config_.merge_mode) {
      case MergeMode::concat: return {ops::concat({a, b}, -1)};
      case MergeMode::sum: return {a + b};
      case MergeMode::mul: return {a * b};
      case MergeMode::ave: break;
    }
    return {(a + b) * 0.5};
  }

  std::shared_ptr<RecurrentLayer> forward_, backward_;
};

// Steps become samples of one larger batch, but where a layer carries something from call to call (statistics, states)
// or is a model for batches of one size: such a one is called step by step, as Keras calls every layer.
class TimeDistributedLayer final : public ConfiguredLayer<TimeDistributedConfig> {
 public:
  explicit TimeDistributedLayer(TimeDistributedConfig config = {}, LayerOptions options = {})
      : ConfiguredLayer(std::move(config), std::move(options)) {
    if (!config_.layer) throw Error("got nothing, wanted a layer").about("'layer'").usage();
  }
  std::vector<std::shared_ptr<Layer>> sublayers() const override { return {config_.layer.share()}; }
  bool supports_masking() const override { return true; }

 protected:
  void check(const std::vector<Shape>& inputs) const override { emit::want_rank_at_least(inputs[0], 3); }
  void build(const std::vector<Shape>& inputs) override {
    fixed_batch_ = config_.layer->built() && config_.layer->built_shapes().at(0)[0] != unknown;
    config_.layer->ensure_built({Shape{inputs[0][0]} + inputs[0].from(2)});
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0], mask = arguments.masks[0];
    const Shape steps = x.shape().first(2);
    if (mask)
      need(mask.shape().rank() >= 2 && same(mask.shape().first(2), steps),
           "got a mask {} for input {}, wanted one element per step", mask.shape(), x.shape());
    const auto applied = [&](const auto& part) {
      // A mask of whole steps says nothing about the places inside a step.
      const Value inner = mask && mask.shape().rank() > 2 ? part(mask) : Value();
      return (*config_.layer)(context,
                              {.inputs = {part(x)}, .masks = {inner}, .named = {}, .options = arguments.options});
    };
    Values outputs;
    if ((fixed_batch_ || carries(*config_.layer, context.training())) && steps[1] != unknown) {
      std::vector<Values> results;  // per output, of all steps
      for (std::int64_t step = 0; step < steps[1]; ++step) {
        const CallResult result =
            applied([&](Value value) { return ops::squeeze(ops::slice_axis(value, 1, step, step + 1), 1); });
        results.resize(result.outputs.size());
        for (std::size_t i = 0; i < results.size(); ++i) results[i].push_back(ops::expand_dims(result.outputs[i], 1));
      }
      for (Values& result : results) outputs.push_back(ops::concat(std::move(result), 1));
      return outputs;
    }
    const Shape batch{steps.known() ? steps.elements() : unknown};
    const CallResult result = applied([&](Value value) { return emit::reshape(value, batch + value.shape().from(2)); });
    for (const Value& y : result.outputs) outputs.push_back(emit::reshape(y, steps + y.shape().from(1)));
    return outputs;
  }

 private:
  // Whether calls change something that later ones read.
  static bool carries(const Layer& layer, bool training) {
    const auto changes = [](const Weight& weight) { return !weight.variable->trainable(); };
    return !layer.states().empty() ||
           (training && layer.trainable() && std::ranges::any_of(layer.own_weights(), changes)) ||
           std::ranges::any_of(layer.sublayers(), [&](const auto& inner) { return carries(*inner, training); });
  }

  bool fixed_batch_ = false;  // the layer is a model that was made for batches of one size
};

// Miyato et al., "Spectral normalization for generative adversarial networks" (2018). The kernel itself is replaced by
// its quotient, so that inference needs nothing more.
class SpectralNormalizationLayer final : public ConfiguredLayer<SpectralNormalizationConfig> {
 public:
  explicit SpectralNormalizationLayer(SpectralNormalizationConfig config = {}, LayerOptions options = {})
      : ConfiguredLayer(std::move(config), std::move(options)) {
    if (!config_.layer) throw Error("got nothing, wanted a layer").about("'layer'").usage();
    constexpr std::int64_t most = 1000;  // each is a part of the graph
    if (config_.power_iterations > most)
      throw Error("got {}, wanted at most {}", config_.power_iterations, most).about("'power_iterations'").usage();
  }
  std::vector<std::shared_ptr<Layer>> sublayers() const override { return {config_.layer.share()}; }

 protected:
  void build(const std::vector<Shape>& inputs) override {
    config_.layer->ensure_built(inputs);
    const std::vector<Weight>& weights = config_.layer->own_weights();
    const auto kernel = std::ranges::find_if(weights, [](const Weight& weight) {
      return weight.variable->path().ends_with("/kernel") || weight.variable->path().ends_with("/embeddings");
    });
    need(kernel != weights.end(), "got {}, wanted a layer with a kernel or embeddings", config_.layer->label());
    kernel_ = kernel->variable;
    share_weight(*kernel);
    Tree spread, initializer;
    spread.set("stddev", 0.02);
    initializer.set("TruncatedNormal", std::move(spread));
    vector_u_ = add_weight("vector_u", {1, kernel_->shape()[-1]}, read_object<Initializer>(initializer),
                           {.trainable = false, .dtype = kernel_->type().dtype});
  }
  Values call(Context& context, const CallArguments& arguments) override {
    if (context.training()) normalise(context.graph());
    Values outputs =
        (*config_.layer)(context, {.inputs = arguments.inputs, .masks = {}, .named = {}, .options = arguments.options})
            .outputs;
    if (const DType dtype = arguments.inputs[0].dtype(); is_floating(dtype))
      for (Value& output : outputs) output = ops::cast(output, dtype);
    return outputs;
  }

 private:
  void normalise(Graph& graph) const {
    const Value before = graph.latest(kernel_), u_before = graph.latest(vector_u_);
    const Value matrix = ops::stop_gradient(ops::reshape(before, {unknown, before.shape()[-1]}));
    const auto unit = [](Value vector) {
      const Value inverse = ops::rsqrt(ops::sum(ops::square(vector)));
      return vector * ops::minimum(inverse, ops::scalar_like(inverse, 1e7));
    };
    Value u = u_before, v;
    for (std::int64_t i = 0; i < config_.power_iterations; ++i) {
      v = unit(ops::matmul(u, matrix, false, true));
      u = unit(ops::matmul(v, matrix));
    }
    const Value sigma = ops::matmul(ops::matmul(v, matrix), u, false, true);  // (1, 1)
    const Value some = emit::any(ops::not_equal(matrix, ops::scalar_like(matrix, 0)), {});
    graph.update(vector_u_, ops::select(some, u, u_before));
    // Calls after this one read the quotient; the gradient with respect to it is taken for the kernel's, as in Keras.
    const Value quotient = ops::reshape(ops::select(some, matrix / sigma, matrix), before.shape());
    graph.update(kernel_, before + ops::stop_gradient(quotient - before));
  }

  VariableRef kernel_, vector_u_;
};

}  // namespace

LayerRef Bidirectional(BidirectionalConfig config, LayerOptions options) {
  return std::make_shared<BidirectionalLayer>(std::move(config), std::move(options));
}
LayerRef TimeDistributed(TimeDistributedConfig config, LayerOptions options) {
  return std::make_shared<TimeDistributedLayer>(std::move(config), std::move(options));
}
LayerRef SpectralNormalization(SpectralNormalizationConfig config, LayerOptions options) {
  return std::make_shared<SpectralNormalizationLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> wrapper_layers() {
  return {layer_info<BidirectionalLayer>(), layer_info<TimeDistributedLayer>(),
          layer_info<SpectralNormalizationLayer>()};
}

}  // namespace nacre
