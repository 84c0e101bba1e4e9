#include "api/train/optimizer_wrappers.h"

#include <algorithm>

#include "api/train/name_pattern.h"
#include "backend/graph/ops/ops.h"

namespace nacre {

namespace optimizers {

namespace {

VariableRef counter(const std::string& owner, std::string_view name, DType dtype, double start = 0) {
  auto variable = std::make_shared<Variable>(fmt::format("{}/{}", owner, name), Type{dtype, {}}, false);
  variable->assign(dtype == DType::int64 ? Tensor::scalar(static_cast<std::int64_t>(start))
                                         : Tensor::scalar(static_cast<float>(start)));
  return variable;
}

void append(std::vector<VariableRef>& list, const Optimizer& optimizer) {
  const std::vector<VariableRef> variables = optimizer.variables();
  list.insert(list.end(), variables.begin(), variables.end());
}

void refuse_wrapper(const Optimizer& inner, std::string_view outer) {
  const std::string_view name = inner.class_name();
  if (name == MultiOptimizerConfig::class_name || name == LossScaleOptimizerConfig::class_name)
    throw Error("{} cannot be used inside a {}", name, outer).usage();
}

template <class Config>
Tree tree_of(const Config& config, Style style) {
  Tree tree = write_config(config, style);
  if (style != Style::yaml) return tree;
  if (config.name == snake_case(Config::class_name)) tree.erase("name");
  return without_defaults(fields_of<Config>(), std::move(tree));
}

}  // namespace

// --- loss scaling ---------------------------------------------------------------------------------------------------

LossScaleOptimizer::LossScaleOptimizer(Config config) : Configured(std::move(config)) {
  if (!config_.inner_optimizer) throw Error("a LossScaleOptimizer needs an inner_optimizer").usage();
  if (inner().class_name() == class_name()) refuse_wrapper(inner(), class_name());
  if (config_.name.empty()) config_.name = snake_case(class_name());
  inner().set_loss_scale_factor({});
  iteration_ = counter(name(), "iteration", DType::int64);
  rate_ = counter(name(), "learning_rate", DType::float32);
  counter_ = counter(name(), "step_counter", DType::int64);
  scale_ = counter(name(), "dynamic_scale", DType::float32, config_.initial_scale);
}

double LossScaleOptimizer::scale() const { return scale_->value().item(); }

Tree LossScaleOptimizer::config_tree(Style style) const { return tree_of(config_, style); }

void LossScaleOptimizer::build(const std::vector<VariableRef>& variables) { inner().build(variables); }

std::vector<VariableRef> LossScaleOptimizer::variables() const {
  std::vector<VariableRef> all{iteration_, rate_, counter_, scale_};
  append(all, inner());
  return all;
}

void LossScaleOptimizer::set_loss_scale_factor(std::optional<double> factor) {
  if (factor) throw Error("the scale of a LossScaleOptimizer sets itself").hint("initial_scale is where it starts").usage();
}

Value LossScaleOptimizer::scale_loss(Value loss) const {
  return loss * ops::cast(loss.graph().variable(scale_), loss.dtype());
}

void LossScaleOptimizer::apply(Graph& graph, std::span<const Gradient> gradients) {
  const Graph::Label label(graph, fmt::format("optimizer '{}'", name()));
  const Value scale = graph.variable(scale_);
  Value finite;
  std::vector<Gradient> unscaled(gradients.begin(), gradients.end());
  for (Gradient& gradient : unscaled) {
    if (!gradient.value) continue;
    const Value all = ops::min(ops::cast(ops::is_finite(gradient.value), DType::float32));
    finite = finite ? ops::minimum(finite, all) : all;
    if (!gradient.variable->overwritten()) gradient.value = gradient.value / ops::cast(scale, gradient.value.dtype());
  }
  if (!finite) return;
  finite = ops::greater(finite, graph.scalar(0));

  inner().apply(graph, unscaled);
  // After an overflow everything stays as it was.
  std::vector<VariableRef> kept = inner().variables();
  for (const Gradient& gradient : gradients) kept.push_back(gradient.variable);
  for (const VariableRef& variable : kept)
    if (graph.is_updated(variable)) graph.update(variable, ops::select(finite, graph.latest(variable), graph.variable(variable)));

  const Value steps = graph.variable(counter_), none = graph.scalar(0, DType::int64);
  const Value last = graph.scalar(static_cast<double>(config_.dynamic_growth_steps - 1), DType::int64);
  const Value grows = ops::equal(steps, last);
  graph.update(counter_, ops::select(ops::logical_and(finite, ops::logical_not(grows)),
                                     steps + graph.scalar(1, DType::int64), none));
  graph.update(scale_, ops::select(finite, ops::select(grows, scale * 2.0, scale), scale * 0.5));
}

// --- several optimizers ---------------------------------------------------------------------------------------------

const Ref<Optimizer>& OptimizerMap::operator[](const std::string& path) const {
  const Ref<Optimizer>* found = nullptr;
  for (const auto& [pattern, optimizer] : optimizer_map)
    if (pattern == path) return optimizer;
  for (const auto& [pattern, optimizer] : optimizer_map) {
    if (!NamePattern(pattern).matches(path)) continue;
    if (found) throw Error("several optimizers of the map match the weight '{}'", path).usage();
    found = &optimizer;
  }
  return found ? *found : default_optimizer;
}

MultiOptimizer::MultiOptimizer(Config config) : Configured(std::move(config)) {
  if (config_.name.empty()) config_.name = snake_case(class_name());
  const OptimizerMap& map = config_.optimizer_map;
  if (!map.default_optimizer) throw Error("a MultiOptimizer needs a default_optimizer").usage();
  const auto add = [&](const Ref<Optimizer>& optimizer) {
    refuse_wrapper(*optimizer, class_name());
    if (std::ranges::find(optimizers_, optimizer) == optimizers_.end()) optimizers_.push_back(optimizer);
  };
  for (const auto& [pattern, optimizer] : map.optimizer_map) {
    const NamePattern checked(pattern);
    add(optimizer);
  }
  add(map.default_optimizer);
  iteration_ = counter(name(), "iteration", DType::int64);
  rate_ = counter(name(), "learning_rate", DType::float32);
  set_loss_scale_factor(config_.loss_scale_factor);
}

Tree MultiOptimizer::config_tree(Style style) const { return tree_of(config_, style); }

void MultiOptimizer::build(const std::vector<VariableRef>& variables) {
  if (built_) {
    if (!std::ranges::equal(variables, owners_, {}, {}, &std::pair<VariableRef, std::size_t>::first))
      throw Error("optimizer '{}' was built for other variables", name())
          .hint("compile the model again after changing what is trainable");
    return;
  }
  rebuild(variables);
}

void MultiOptimizer::rebuild(const std::vector<VariableRef>& variables) {
  owners_.clear();
  std::vector<std::vector<VariableRef>> parts(optimizers_.size());
  for (const VariableRef& variable : variables) {
    const auto owner = std::ranges::find(optimizers_, config_.optimizer_map[variable->path()]);
    const auto index = static_cast<std::size_t>(owner - optimizers_.begin());
    owners_.emplace_back(variable, index);
    parts[index].push_back(variable);
  }
  for (std::size_t i = 0; i < optimizers_.size(); ++i)
    if (optimizers_[i]->built() || !parts[i].empty()) optimizers_[i]->rebuild(parts[i]);
  built_ = true;
}

std::vector<std::int64_t> MultiOptimizer::joined() const {
  std::vector<std::int64_t> all;
  for (const Ref<Optimizer>& optimizer : optimizers_)
    for (const std::int64_t updates : optimizer->joined()) all.push_back(updates);
  return all;
}

void MultiOptimizer::set_joined(const std::vector<std::int64_t>& updates) {
  auto next = updates.begin();
  for (const Ref<Optimizer>& optimizer : optimizers_) {
    const auto count = static_cast<std::ptrdiff_t>(optimizer->joined().size());
    need(updates.end() - next >= count, "the optimizers have more variables than the {} numbers of updates", updates.size());
    optimizer->set_joined({next, next + count});
    next += count;
  }
}

bool MultiOptimizer::plan(std::int64_t steps, std::int64_t first) {
  bool changes = false;
  for (const Ref<Optimizer>& optimizer : optimizers_) changes = optimizer->plan(steps, first) || changes;
  return changes;
}

std::vector<VariableRef> MultiOptimizer::variables() const {
  std::vector<VariableRef> all{iteration_, rate_};
  for (const Ref<Optimizer>& optimizer : optimizers_) append(all, *optimizer);
  return all;
}

std::int64_t MultiOptimizer::iterations() const { return static_cast<std::int64_t>(iteration_->value().item()); }

double MultiOptimizer::learning_rate() const {
  throw Error("optimizer '{}' has no learning rate of its own", name()).hint("each optimizer of its map has one").usage();
}

std::vector<std::pair<std::string, double>> MultiOptimizer::learning_rates() const {
  std::vector<std::pair<std::string, double>> rates;
  for (const Ref<Optimizer>& optimizer : optimizers_)
    rates.emplace_back("learning_rate_" + optimizer->name(), optimizer->learning_rate());
  return rates;
}

void MultiOptimizer::set_learning_rate(double) {
  throw Error("the learning rate of optimizer '{}' cannot be set", name())
      .hint("give the optimizers of its map schedules in place of a callback that changes rates")
      .usage();
}

void MultiOptimizer::set_loss_scale_factor(std::optional<double> factor) {
  config_.loss_scale_factor = factor;
  for (const Ref<Optimizer>& optimizer : optimizers_) optimizer->set_loss_scale_factor(factor);
}

Value MultiOptimizer::scale_loss(Value loss) const {
  return config_.loss_scale_factor ? loss * *config_.loss_scale_factor : loss;
}

void MultiOptimizer::apply(Graph& graph, std::span<const Gradient> gradients) {
  ensure(built_, "an optimizer was applied before it was built");
  std::vector<std::vector<Gradient>> parts(optimizers_.size());
  for (const Gradient& gradient : gradients) {
    const auto owner = std::ranges::find(owners_, gradient.variable, &std::pair<VariableRef, std::size_t>::first);
    ensure(owner != owners_.end(), "the optimizer was not built for variable '{}'", gradient.variable->path());
    parts[owner->second].push_back(gradient);
  }
  for (std::size_t i = 0; i < optimizers_.size(); ++i)
    if (!parts[i].empty()) optimizers_[i]->apply(graph, parts[i]);
  graph.update(iteration_, graph.variable(iteration_) + graph.scalar(1, DType::int64));
}

bool MultiOptimizer::has_averages() const {
  return std::ranges::any_of(optimizers_, [](const Ref<Optimizer>& optimizer) { return optimizer->has_averages(); });
}
bool MultiOptimizer::averages_shown() const {
  return std::ranges::any_of(optimizers_, [](const Ref<Optimizer>& optimizer) { return optimizer->averages_shown(); });
}
void MultiOptimizer::show_averages(bool shown) {
  for (const Ref<Optimizer>& optimizer : optimizers_) optimizer->show_averages(shown);
}
void MultiOptimizer::finalize() {
  for (const Ref<Optimizer>& optimizer : optimizers_) optimizer->finalize();
}

}  // namespace optimizers

namespace {
constexpr std::string_view map_class = "OptimizerMap", map_module = "keras.optimizers";
}

// {default_optimizer, optimizer_map}, or Keras's object with these in its config.
void FieldKind<optimizers::OptimizerMap>::read(const Tree& tree, optimizers::OptimizerMap& value) {
  const Tree* name = tree.find("class_name");
  if (name && *name != Tree(map_class)) throw Error("wanted an OptimizerMap, got {}", name->text()).at(name->mark()).usage();
  for (const Tree::Entry& entry : (name ? tree["config"] : tree).entries()) {
    if (entry.key == "default_optimizer") {
      value.default_optimizer = read_object<Optimizer>(entry.value);
    } else if (entry.key == "optimizer_map") {
      value.optimizer_map.clear();
      for (const Tree::Entry& rule : entry.value.entries())
        value.optimizer_map.emplace_back(rule.key, read_object<Optimizer>(rule.value));
    } else {
      throw Error("unknown key '{}'", entry.key)
          .at(entry.mark)
          .hint(suggestion(entry.key, {"default_optimizer", "optimizer_map"}))
          .usage();
    }
  }
}

Tree FieldKind<optimizers::OptimizerMap>::write(const optimizers::OptimizerMap& value, Style style) {
  Tree rules = Tree::mapping(), map;
  for (const auto& [pattern, optimizer] : value.optimizer_map) rules.set(pattern, write_object<Optimizer>(*optimizer, style));
  map.set("default_optimizer", value.default_optimizer ? write_object<Optimizer>(*value.default_optimizer, style) : Tree());
  map.set("optimizer_map", std::move(rules));
  return style == Style::keras ? spell_object(map_module, map_class, std::move(map), style, false) : map;
}

Tree FieldKind<optimizers::OptimizerMap>::schema() {
  const Tree optimizer = definition_reference(registry<Optimizer>().kind());
  Tree rules = schema_type("object"), properties, schema = schema_type("object");
  rules.set("additionalProperties", optimizer);
  properties.set("default_optimizer", optimizer);
  properties.set("optimizer_map", std::move(rules));
  schema.set("properties", std::move(properties));
  schema.set("required", Tree::Sequence{"default_optimizer"});
  return schema;
}

}  // namespace nacre
