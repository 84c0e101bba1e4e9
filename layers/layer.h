// The layer: a config, weights, and a rule that emits ops. It never touches a backend.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "backend/graph/graph.h"
#include "backend/graph/ops/host.h"
#include "formats/config.h"
#include "layers/activation.h"
#include "layers/initializer.h"
#include "layers/regularizer.h"

namespace nacre {

class Layer;

// The names of the policies under which a model can compute.
inline constexpr std::array<std::string_view, 12> floating_policies = {
    "float32",
    "float64",
    "bfloat16",
    "float16",
    "mixed_bfloat16",
    "mixed_float16",
    "float8_from_float32",
    "float8_from_float64",
    "float8_from_bfloat16",
    "float8_from_float16",
    "float8_from_mixed_bfloat16",
    "float8_from_mixed_float16",
};

// The dtype policy of a layer, by Keras's name: "float32", "float64", "bfloat16", "float16", "mixed_bfloat16",
// "mixed_float16", and "int64", "int32", "uint8", "bool", "string" for layers that give such. Layers compute in one
// dtype and keep their weights in another. "float8_from_" before one of the first six: those that multiply with a
// kernel (Dense and EinsumDense) round their factors to eight bits; others follow the policy behind it.
struct DTypePolicy {
  std::string name = "float32";
  std::int64_t amax_history_length = 1024;  // of float8: steps that scales look back at
  DType compute() const;
  DType variable() const;
  bool is_float8() const { return name.starts_with("float8_"); }
  std::string_view source() const;  // the name without float8
  bool operator==(const DTypePolicy&) const = default;
};
template <> struct FieldKind<DTypePolicy> {
  // A name, or Keras's {class_name: DTypePolicy, …} or QuantizedFloat8DTypePolicy.
  static void read(const Tree& tree, DTypePolicy& value);
  static Tree write(const DTypePolicy& value, Style style);
  static Tree schema();
};

// What every layer's config has besides its own fields.
struct LayerOptions {
  std::string name;  // "" until a model or the layer itself gives one: snake_case(class) and a number
  bool trainable = true;
  DTypePolicy dtype;
  static void describe(auto&& field) {
    field("name", &LayerOptions::name, "unique within its model");
    field("trainable", &LayerOptions::trainable, "false freezes the weights, and BatchNormalization infers");
    field("dtype", &LayerOptions::dtype, "policy: dtype of computation and of weights");
  }
};

// One emission of a model into a graph: what layers need to know of their surroundings.
class Context {
 public:
  // seed and step: int64 scalars for random ops; null when nothing random will be emitted (inference, shape rules).
  Context(Graph& graph, bool training, Value seed = {}, Value step = {})
      : graph_(graph), training_(training), seed_(seed), step_(step) {}
  // Of a graph that becomes a part of this one's, with its own values for seed and step: random streams are counted on.
  Context part(Graph& graph, Value seed, Value step) {
    Context part(graph, training_, seed, step);
    part.around_ = this;
    return part;
  }

  Graph& graph() const { return graph_; }
  bool training() const { return training_; }
  // As given.
  Value seed() const { return seed_; }
  Value step() const { return step_; }
  void set_training(bool training) { training_ = training; }
  // What tells a stream of random numbers from all others: each call for the same layer path has one of its own. A layer's
  // own seed replaces the context's.
  struct Stream {
    Value seed, step;  // int64 scalars
    std::int64_t call;
  };
  Stream random_stream(const std::string& path, std::optional<std::int64_t> own_seed = {});
  // float32, uniform in [0, 1), of like's shape, from such a stream.
  Value random_uniform(Value like, const std::string& path, std::optional<std::int64_t> own_seed = {});
  // float32, normal with mean 0 and standard deviation 1 (Box and Muller).
  Value random_normal(Value like, const std::string& path, std::optional<std::int64_t> own_seed = {});
  // The results of a function that runs on the host, outside of the compiled graph (backend/host_part.h).
  Values host(HostFunctionRef function, const Values& operands);
  // The types of such results where they are known already, by the order of calls.
  void set_host_types(std::vector<Types> types) { host_types_ = std::move(types); }
  void add_loss(Value scalar) { losses_.push_back(scalar); }  // penalties, summed into the training loss
  const Values& losses() const { return losses_; }
  // Whether this is the first time that the context meets the weight: its penalty counts once, however often the layer
  // is called.
  bool first_visit(const VariableRef& weight) { return visited_.insert(weight.get()).second; }

 private:
  Graph& graph_;
  bool training_;
  Value seed_, step_;
  Values losses_;
  Context* around_ = nullptr;
  std::map<std::string, std::int64_t> random_calls_;
  std::set<const Variable*> visited_;
  std::vector<Types> host_types_;
  std::size_t host_calls_ = 0;
};

// What a layer keeps in files besides its weights: its tables. In Keras's archives the files lie in assets/<path of the
// layer>/, the tensors by name among the layer's variables.
struct Assets {
  std::map<std::string, std::string> files;  // "vocabulary.txt" and its bytes
  std::map<std::string, Tensor> tensors;     // "idf_weights"
  bool empty() const { return files.empty() && tensors.empty(); }
};

// Learns from data what a layer has no gradient for (a vocabulary, mean and variance), batch by batch.
class Adaptation {
 public:
  virtual ~Adaptation() = default;
  virtual void add(const Tensor& batch) = 0;  // as it comes into the layer
  virtual void finish() = 0;                  // gives the layer what was learnt; throws Error when there was no data
};

// The arguments of one call. Masks travel beside the values (bool, true: counts); null where there is none.
struct CallArguments {
  Values inputs;
  Values masks;                          // as many as inputs
  std::map<std::string, Values> named;   // by Keras's argument name: "initial_state", …; "mask" replaces `masks`
  Tree options;                          // arguments that are no values: use_causal_mask, training
};
struct CallResult {
  Values outputs;
  Values masks;  // as many as outputs
};

// A weight and what goes with it.
struct Weight {
  VariableRef variable;
  Ref<Initializer> initializer;
  Ref<Regularizer> regularizer;
  Ref<WeightConstraint> constraint;
};

// Its initial value, unless it has one. Streams differ by weight path.
void initialize(const Weight& weight, std::uint64_t seed);

struct WeightOptions {
  bool trainable = true;
  Ref<Regularizer> regularizer{};
  Ref<WeightConstraint> constraint{};
  std::optional<DType> dtype{};  // default: the policy's variable dtype
  bool overwritten = false;      // see Variable
};

// Layers are shared objects: the same one may be called several times and belong to several models.
// Not synchronised.
class Layer : public Configurable<Layer>, public std::enable_shared_from_this<Layer> {
 public:
  explicit Layer(LayerOptions options) : options_(std::move(options)) {}
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  const std::string& name() const { return options_.name; }
  void rename(std::string name);  // renames the weights' paths too
  // Puts the weights' paths, and those of the sublayers, below `parent`: "bidirectional/forward_lstm". "": at the top.
  void set_parent(const std::string& parent);
  const std::string& path() const { return path_; }
  bool trainable() const { return options_.trainable; }
  virtual void set_trainable(bool trainable);  // and that of the sublayers
  const DTypePolicy& dtype() const { return options_.dtype; }
  std::string own_name() const;  // the name, or the class's in snake case
  std::string label() const;     // "layer 'fc1' (Dense)"
  virtual std::string shown_class() const { return std::string(class_name()); }  // of Lua's classes their own name

  // Creates the weights for these input shapes on the first call; later calls check nothing. Errors carry label().
  void ensure_built(const std::vector<Shape>& inputs);
  bool built() const { return built_; }
  const std::vector<Shape>& built_shapes() const { return built_shapes_; }

  // Builds if need be, casts floating inputs to the compute dtype, emits the ops under this layer's label, works out
  // the masks, and adds activity and weight penalties to the context (weight penalties once per context).
  CallResult operator()(Context& context, CallArguments arguments);

  const std::vector<Weight>& own_weights() const { return weights_; }
  // Layers inside this one (wrapped layers, cells, the layers of a model), in Keras's order.
  virtual std::vector<std::shared_ptr<Layer>> sublayers() const { return {}; }
  // All weights in Keras's order: this layer's trainable ones, its others, then those of each sublayer.
  std::vector<Weight> weights() const;
  // The same, parted; what is frozen by `trainable: false` counts as not trainable.
  std::vector<Weight> trainable_weights() const;
  std::vector<Weight> non_trainable_weights() const;
  // Variables that are carried from call to call but are no weights (those of `stateful` layers).
  std::vector<VariableRef> states() const;
  void reset_states();  // to zero
  void initialize(std::uint64_t seed);  // each weight
  std::int64_t count_params() const;

  // What belongs to this layer alone, not to its sublayers.
  virtual Assets assets() const { return {}; }
  virtual void load_assets(const Assets&) {}
  // Starts to learn from data anew; null: the layer learns nothing so. The layer must outlive it.
  virtual std::unique_ptr<Adaptation> adaptation() { return nullptr; }
  // Whether it has what it would learn so, or needs nothing.
  virtual bool adapted() const { return true; }
  // Whether it emits functions that run on the host.
  virtual bool runs_on_host() const { return false; }
  // Counts changes of tables: graphs that were made before the last one are stale.
  int revision() const { return revision_; }

  // The penalty on this layer's result, when its config has one (activity_regularizer).
  virtual Ref<Regularizer> activity_regularizer() const { return {}; }
  // Whether it passes masks on (Keras's supports_masking).
  virtual bool supports_masking() const { return false; }
  // Whether floating inputs are cast to the compute dtype (Keras's autocast).
  virtual bool casts_inputs() const { return true; }
  // Keras's names of the call's tensor arguments, in order, where each is an argument of its own: a call's arguments of
  // these names take their places among the inputs as long as those before them are there. None: the inputs are one list.
  virtual std::vector<std::string_view> argument_names() const { return {}; }
  // Names of what else a call may give, beside "mask" and "training": constants (use_causal_mask) and initial_state.
  virtual std::vector<std::string_view> keyword_names() const { return {}; }
  // Whether the inputs are arguments of their own in Keras's call, not one list.
  virtual bool spreads_inputs() const { return !argument_names().empty(); }
  // Whether it takes the masks off its inputs: calls of other layers that come later find none there, as in Keras.
  virtual bool removes_masks() const { return false; }
  // The masks of the outputs of a call with these arguments. Default: the first mask for every output where
  // supports_masking(), else none.
  virtual Values compute_masks(Context& context, const CallArguments& arguments, const Values& outputs);
  // How many inputs it takes; 0: any number.
  virtual int input_count() const { return 1; }

 protected:
  // Throws Error when the layer cannot take inputs of these shapes; runs before build and at each call.
  virtual void check(const std::vector<Shape>& inputs) const;
  // Creates weights with add_weight; input shapes may have unknown sizes.
  virtual void build(const std::vector<Shape>& inputs);
  virtual Values call(Context& context, const CallArguments& arguments) = 0;

  VariableRef add_weight(std::string name, Shape shape, Ref<Initializer> initializer, WeightOptions options = {});
  VariableRef add_state(std::string name, Shape shape);  // of the compute dtype, zero
  // Lists a sublayer's weight among this layer's own too, as Keras does where two layers hold it.
  void share_weight(const Weight& weight) { weights_.push_back(weight); }
  // The weight's value in the graph, cast to the compute dtype.
  Value value(Context& context, const VariableRef& weight) const;
  void tables_changed() { ++revision_; }
  // Whether the sublayers' paths lie below this layer's (those of a functional model do not).
  virtual bool prefixes_sublayers() const { return true; }

  LayerOptions options_;

 private:
  void collect(std::vector<Weight>& weights, bool frozen, std::optional<bool> trainable) const;

  std::string parent_, path_;  // path_: of the weights; the name, below the parents' names
  std::vector<Weight> weights_;
  std::vector<VariableRef> states_;
  std::vector<Shape> built_shapes_;
  bool built_ = false;
  int revision_ = 0;
};
template <>
Registry<Layer>& registry<Layer>();

// Derives a layer from a config struct with `class_name`, `doc` and `describe`; its config in files is the options,
// then the struct's own fields.
//   class Dense final : public ConfiguredLayer<DenseConfig> { public: using ConfiguredLayer::ConfiguredLayer; … };
template <Described Config_, class Base = Layer>
class ConfiguredLayer : public Base {
 public:
  using Config = Config_;
  explicit ConfiguredLayer(Config config = {}, LayerOptions options = {})
      : Base(std::move(options)), config_(std::move(config)) {}
  const Config& config() const { return config_; }
  std::string_view class_name() const override { return Config::class_name; }
  Tree config_tree(Style style) const override {
    Tree tree = write_config(this->options_, config_, style);
    if (style == Style::keras) tree.set("name", this->own_name());  // Keras takes "" for a name
    return style == Style::yaml ? without_defaults<LayerOptions, Config>(std::move(tree)) : tree;
  }
  Ref<Regularizer> activity_regularizer() const override {
    if constexpr (requires { config_.activity_regularizer; }) return config_.activity_regularizer;
    else return {};
  }

 protected:
  Config config_;
};

// A layer's config and options from their common mapping.
template <Described Config>
std::pair<Config, LayerOptions> read_layer_config(const Tree& tree) {
  std::pair<Config, LayerOptions> result;
  const FieldTarget targets[] = {{&fields_of<LayerOptions>(), &result.second}, {&fields_of<Config>(), &result.first}};
  read_fields(targets, tree);
  return result;
}

// The registry entry of a ConfiguredLayer.
template <class Class>
ClassInfo<Layer> layer_info(std::string_view module = "keras.layers", std::vector<std::string_view> aliases = {}) {
  using Config = typename Class::Config;
  return {Config::class_name, Config::doc, module, {&fields_of<LayerOptions>(), &fields_of<Config>()},
          [](const Tree& tree) -> std::shared_ptr<Layer> {
            auto [config, options] = read_layer_config<Config>(tree);
            return std::make_shared<Class>(std::move(config), std::move(options));
          },
          std::move(aliases)};
}

}  // namespace nacre
