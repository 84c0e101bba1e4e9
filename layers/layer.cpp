#include "layers/layer.h"

#include <algorithm>
#include <new>
#include <numbers>
#include <stdexcept>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/random.h"
#include "layers/call_observer.h"

namespace nacre {

// --- DTypePolicy --------------------------------------------------------------------------------------------------

namespace {

const std::vector<std::string_view>& policies() {
  static const std::vector<std::string_view> all = [] {
    std::vector<std::string_view> names(floating_policies.begin(), floating_policies.end());
    names.insert(names.end(), {"int64", "int32", "uint8", "bool", "string"});
    return names;
  }();
  return all;
}
constexpr std::string_view float8_prefix = "float8_from_", mixed_prefix = "mixed_",
                           float8_class = "QuantizedFloat8DTypePolicy";

}  // namespace

std::string_view DTypePolicy::source() const {
  return std::string_view(name).substr(is_float8() ? float8_prefix.size() : 0);
}

DType DTypePolicy::compute() const {
  const std::string_view own = source();
  return dtype_named(own.starts_with(mixed_prefix) ? own.substr(mixed_prefix.size()) : own);
}

DType DTypePolicy::variable() const {
  return source().starts_with(mixed_prefix) ? DType::float32 : dtype_named(source());
}

namespace {

// Keras's QuantizedFloat8DTypePolicy. A null stands for the global policy of whoever reads it, which is float32 where
// nobody set another.
DTypePolicy read_float8(const Tree& config) {
  const Tree& source = config["source_name"];
  const Tree name = fmt::format("{}{}", float8_prefix, source.is_null() ? "float32" : source.as_string());
  DTypePolicy policy{std::string(policies()[read_choice(Tree(name).at(source.mark()), policies())])};
  if (const Tree* length = config.find("amax_history_length")) policy.amax_history_length = length->as_integer();
  if (policy.amax_history_length < 1 || policy.amax_history_length > 1 << 20)
    throw Error("got an amax_history_length of {}, wanted 1 to {}", policy.amax_history_length, 1 << 20)
        .at(config.mark())
        .usage();
  return policy;
}

}  // namespace

void FieldKind<DTypePolicy>::read(const Tree& tree, DTypePolicy& value) {
  const Tree *config = tree.find("config"), *mode = config ? config->find("mode") : nullptr;
  if (mode && *mode == Tree("float8")) {
    value = read_float8(*config);
    return;
  }
  if (mode && mode->is_string())
    throw Error("got a policy of quantised weights ({}), which layers do not have", mode->as_string())
        .at(tree.mark())
        .hint("quantised files of Keras are read, as floating numbers")
        .usage();
  if (const Tree* name = tree.find("class_name"); name && *name == Tree("DTypePolicyMap"))
    throw Error("a DTypePolicyMap is read in files of Keras alone").at(tree.mark()).hint("give each layer its own policy").usage();
  const Tree& name = tree.is_mapping() ? tree["config"]["name"] : tree;
  value = {std::string(policies()[read_choice(name, policies())])};
}

Tree FieldKind<DTypePolicy>::write(const DTypePolicy& value, Style style) {
  const bool short_name = style != Style::keras && value.amax_history_length == DTypePolicy().amax_history_length;
  if (short_name || (style != Style::keras && !value.is_float8())) return value.name;
  Tree config;
  if (value.is_float8()) {
    config.set("mode", "float8");
    config.set("source_name", std::string(value.source()));
    config.set("amax_history_length", value.amax_history_length);
  } else {
    config.set("name", value.name);
  }
  return spell_object("keras", value.is_float8() ? float8_class : "DTypePolicy", std::move(config), Style::keras,
                      false);
}

Tree FieldKind<DTypePolicy>::schema() { return choice_schema(policies()); }

// --- Context ------------------------------------------------------------------------------------------------------

Context::Stream Context::random_stream(const std::string& path, std::optional<std::int64_t> own_seed) {
  if (!seed_ || !step_) throw Error("only layers can draw random numbers").about(path).usage();
  const Value seed = own_seed ? graph_.constant(Tensor::scalar(*own_seed)) : seed_;
  Context* outermost = this;
  while (outermost->around_) outermost = outermost->around_;
  return {seed, step_, outermost->random_calls_[path]++};
}

Value Context::random_uniform(Value like, const std::string& path, std::optional<std::int64_t> own_seed) {
  const Stream stream = random_stream(path, own_seed);
  return ops::random_uniform(stream.seed, stream.step, like, path, stream.call);
}

Value Context::random_normal(Value like, const std::string& path, std::optional<std::int64_t> own_seed) {
  const Value radius = ops::sqrt(-2.0 * ops::log(1.0 - random_uniform(like, path, own_seed)));
  return radius * ops::cos(2.0 * std::numbers::pi * random_uniform(like, path, own_seed));
}

Values Context::host(HostFunctionRef function, const Values& operands) {
  const std::size_t call = host_calls_++;
  return ops::host(std::move(function), operands, call < host_types_.size() ? host_types_[call] : Types());
}

// --- names --------------------------------------------------------------------------------------------------------

std::string Layer::own_name() const { return name().empty() ? snake_case(class_name()) : name(); }

std::string Layer::label() const { return fmt::format("layer '{}' ({})", own_name(), shown_class()); }

void Layer::rename(std::string name) {
  options_.name = std::move(name);
  set_parent(parent_);
}

void Layer::set_parent(const std::string& parent) {
  parent_ = parent;
  path_ = parent.empty() ? own_name() : parent + "/" + own_name();
  const auto place = [&](const VariableRef& variable) {
    variable->rename(path_ + variable->path().substr(variable->path().rfind('/')));
  };
  for (const Weight& weight : weights_) place(weight.variable);
  for (const VariableRef& state : states_) place(state);
  for (const auto& sublayer : sublayers()) sublayer->set_parent(prefixes_sublayers() ? path_ : "");
}

namespace {

// In a handler: throws on what was thrown, with the layer's label.
[[noreturn]] void rethrow_about(const std::string& label) {
  try {
    throw;
  } catch (Error& error) {
    error.about(label);
    throw;
  } catch (const std::bad_alloc&) {
  } catch (const std::length_error&) {
  }
  throw Error("out of memory: its sizes ask for more than there is").about(label);
}

}  // namespace

// --- building -----------------------------------------------------------------------------------------------------

void Layer::check(const std::vector<Shape>&) const {}

void Layer::build(const std::vector<Shape>&) {}

void Layer::ensure_built(const std::vector<Shape>& inputs) {
  if (built_) return;
  try {
    set_parent(parent_);
    check(inputs);
    build(inputs);
    set_parent(parent_);  // sublayers that were made just now
  } catch (...) {
    rethrow_about(label());
  }
  built_shapes_ = inputs;
  built_ = true;
}

VariableRef Layer::add_weight(std::string name, Shape shape, Ref<Initializer> initializer, WeightOptions options) {
  for (std::int64_t size : shape)
    need(size != unknown, "the weight '{}' would have the shape {}, whose sizes must be known", name, shape);
  for (std::int64_t size : shape) need(size >= 0, "the weight '{}' would be too large", name);
  shape.elements();  // or its error
  const Type type{options.dtype.value_or(options_.dtype.variable()), std::move(shape)};
  auto variable = std::make_shared<Variable>(path_ + "/" + name, type, options.trainable);
  if (options.overwritten) variable->be_overwritten();
  weights_.push_back({variable, std::move(initializer), std::move(options.regularizer), std::move(options.constraint)});
  return variable;
}

VariableRef Layer::add_state(std::string name, Shape shape) {
  auto variable =
      std::make_shared<Variable>(path_ + "/" + name, Type{options_.dtype.compute(), std::move(shape)}, false);
  variable->assign(Tensor(variable->type()));
  return states_.emplace_back(std::move(variable));
}

Value Layer::value(Context& context, const VariableRef& weight) const {
  return ops::cast(context.graph().latest(weight), options_.dtype.compute());
}

// --- weights ------------------------------------------------------------------------------------------------------

void Layer::set_trainable(bool trainable) {
  options_.trainable = trainable;
  for (const auto& sublayer : sublayers()) sublayer->set_trainable(trainable);
}

// The weights that are trainable or not, as wanted; without a wish all of them.
void Layer::collect(std::vector<Weight>& weights, bool frozen, std::optional<bool> trainable) const {
  frozen = frozen || !options_.trainable;
  for (const bool own : {true, false})
    for (const Weight& weight : weights_)
      if (weight.variable->trainable() == own && (!trainable || *trainable == (own && !frozen)))
        weights.push_back(weight);
  for (const auto& sublayer : sublayers()) sublayer->collect(weights, frozen, trainable);
}

namespace {

// A layer that is reached in two ways gives its weights once.
std::vector<Weight> without_repetitions(std::vector<Weight> weights) {
  std::set<const Variable*> seen;
  std::erase_if(weights, [&](const Weight& weight) { return !seen.insert(weight.variable.get()).second; });
  return weights;
}

}  // namespace

std::vector<Weight> Layer::weights() const {
  std::vector<Weight> weights;
  collect(weights, false, {});
  return without_repetitions(std::move(weights));
}

std::vector<Weight> Layer::trainable_weights() const {
  std::vector<Weight> weights;
  collect(weights, false, true);
  return without_repetitions(std::move(weights));
}

std::vector<Weight> Layer::non_trainable_weights() const {
  std::vector<Weight> weights;
  collect(weights, false, false);
  return without_repetitions(std::move(weights));
}

std::vector<VariableRef> Layer::states() const {
  std::vector<VariableRef> all = states_;
  for (const auto& sublayer : sublayers())
    for (VariableRef& state : sublayer->states())
      if (std::find(all.begin(), all.end(), state) == all.end()) all.push_back(std::move(state));
  return all;
}

void Layer::reset_states() {
  for (const VariableRef& state : states()) state->assign(Tensor(state->type()));
}

void initialize(const Weight& weight, std::uint64_t seed) {
  Variable& variable = *weight.variable;
  if (variable.has_value()) return;
  within([&] { return fmt::format("while making the weight '{}'", variable.path()); },
         [&] {
           variable.assign((*weight.initializer)(variable.shape(), variable.type().dtype,
                                                 RandomKey::of(seed, variable.path())));
         });
}

void Layer::initialize(std::uint64_t seed) {
  for (const Weight& weight : weights()) nacre::initialize(weight, seed);
}

std::int64_t Layer::count_params() const {
  std::int64_t count = 0;
  for (const Weight& weight : weights()) count += weight.variable->shape().elements();
  return count;
}

// --- calling ------------------------------------------------------------------------------------------------------

Values Layer::compute_masks(Context&, const CallArguments& arguments, const Values& outputs) {
  const bool passes = supports_masking() && !arguments.masks.empty();
  return Values(outputs.size(), passes ? arguments.masks.front() : Value());
}

CallResult Layer::operator()(Context& context, CallArguments arguments) {
  const Graph::Label scope(context.graph(), label());
  const bool training = context.training();
  try {
    if (input_count() > 0)
      need(static_cast<int>(arguments.inputs.size()) == input_count(), "got {} inputs, wanted {}",
           arguments.inputs.size(), input_count());
    arguments.masks.resize(arguments.inputs.size());
    if (const auto given = arguments.named.extract("mask"))
      for (std::size_t i = 0; i < given.mapped().size() && i < arguments.masks.size(); ++i)
        arguments.masks[i] = ops::cast(given.mapped()[i], DType::boolean);
    const auto cast = [&](Values& values) {
      for (Value& value : values)
        if (value && is_floating(value.dtype()) && casts_inputs()) value = ops::cast(value, options_.dtype.compute());
    };
    cast(arguments.inputs);
    for (auto& [name, values] : arguments.named) cast(values);
    // As in Keras, true is no more than what the run says.
    if (const Tree* option = arguments.options.find("training"); option && !option->is_null())
      context.set_training(training && option->as_bool());

    std::vector<Shape> shapes;
    for (const Value& input : arguments.inputs) shapes.push_back(input.shape());
    if (built_) check(shapes);
    ensure_built(shapes);

    CallResult result;
    result.outputs = call(context, arguments);
    result.masks = compute_masks(context, arguments, result.outputs);
    result.masks.resize(result.outputs.size());
    if (const Ref<Regularizer> penalty = activity_regularizer())
      for (const Value& output : result.outputs) {
        // Keras divides by the batch, so that the strength does not depend on it.
        const Shape& shape = output.shape();
        const Value loss = (*penalty)(ops::cast(output, options_.dtype.variable()));
        context.add_loss(shape.rank() > 0 && shape[0] > 0 ? loss / static_cast<double>(shape[0]) : loss);
      }
    for (const Weight& weight : trainable_weights())
      if (weight.regularizer && context.first_visit(weight.variable))
        context.add_loss((*weight.regularizer)(context.graph().variable(weight.variable)));
    context.set_training(training);
    CallObserver::show(*this, context.graph(), result);
    return result;
  } catch (...) {
    context.set_training(training);
    rethrow_about(label());
  }
}

}  // namespace nacre
