#include "api/inspect/parity.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "api/adapt.h"
#include "api/dtype_policy.h"
#include "api/inspect/example_batch.h"
#include "api/inspect/observed_step.h"
#include "api/train/emit_loss.h"

namespace nacre {

namespace {

// --- the comparison ----------------------------------------------------------------------------------------------

double largest_magnitude(const std::vector<double>& values) {
  double magnitude = 0;
  for (double value : values)
    if (std::isfinite(value)) magnitude = std::max(magnitude, std::abs(value));
  return magnitude;
}

// What tells a difference that counts from rounding.
struct Allowance {
  double tolerance, sensitivity;  // of the magnitude, and of what changed weights change
};

Difference compare(const Tensor& trusted, const Tensor& checked, const Tensor& changed, const Allowance& allowance,
                   double least_magnitude) {
  ensure(trusted.type() == checked.type(), "{} on one device is {} on the other", trusted.type(), checked.type());
  const std::vector<double> wanted = trusted.to_doubles(), got = checked.to_doubles(), other = changed.to_doubles();
  Difference difference{.magnitude = largest_magnitude(wanted), .elements = trusted.size()};
  const double scale = std::max(difference.magnitude, least_magnitude);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const double change = std::abs(wanted[i] - other[i]);
    if (!std::isfinite(change)) continue;
    difference.changed = std::max(difference.changed, change);
    difference.expected += allowance.sensitivity * change > allowance.tolerance * scale;
  }
  const double allowed = allowance.tolerance * scale + allowance.sensitivity * difference.changed;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] == got[i] || (std::isnan(wanted[i]) && std::isnan(got[i]))) continue;
    const bool finite = std::isfinite(wanted[i]) && std::isfinite(got[i]);
    const double apart = finite ? std::abs(wanted[i] - got[i]) : std::numeric_limits<double>::infinity();
    difference.absolute = std::max(difference.absolute, apart);
    difference.exceeding += apart > allowed;
  }
  if (difference.absolute > 0) difference.relative = difference.absolute / scale;
  return difference;
}

bool exceeds(const std::optional<Difference>& difference) { return difference && difference->exceeds(); }

// The results of both devices, and those of the trusted one with changed weights, as differences.
class Comparison {
 public:
  Comparison(const ObservedValues& trusted, const ObservedValues& checked, const ObservedValues& changed,
             Allowance allowance)
      : trusted_(trusted), checked_(checked), changed_(changed), allowance_(allowance) {}

  std::optional<Difference> of(const std::string& name, double least_magnitude = 0) const {
    const auto trusted = trusted_.find(name), checked = checked_.find(name);
    if (trusted == trusted_.end() || checked == checked_.end()) return std::nullopt;
    return compare(trusted->second, checked->second, changed_.at(name), allowance_, least_magnitude);
  }
  std::vector<ParityReport::Variable> variables(const std::vector<ObservedCall>& calls, std::size_t c) const {
    const std::string prefix = calls[c].layer->path() + "/";
    const double largest_value = magnitude("value", calls, c), largest_gradient = magnitude("gradient", calls, c);
    std::vector<ParityReport::Variable> variables;
    for (std::size_t v = 0; v < calls[c].variables.size(); ++v) {
      const std::string& path = calls[c].variables[v]->path();
      ParityReport::Variable variable{.name = path.starts_with(prefix) ? path.substr(prefix.size()) : path,
                                      .value = of(observed_name("value", c, v), largest_value),
                                      .gradient = of(observed_name("gradient", c, v), largest_gradient)};
      if (variable.value || variable.gradient) variables.push_back(std::move(variable));
    }
    return variables;
  }
  bool any_exceeds(const std::vector<ObservedCall>& calls) const {
    bool any = exceeds(of("loss"));
    for (std::size_t c = 0; c < calls.size(); ++c) {
      for (std::size_t i = 0; i < calls[c].results.size(); ++i)
        any = any || exceeds(of(observed_name("result", c, i))) || exceeds(of(observed_name("slope", c, i)));
      for (const ParityReport::Variable& variable : variables(calls, c))
        any = any || exceeds(variable.value) || exceeds(variable.gradient);
    }
    return any;
  }

 private:
  // The largest one among a call's variables.
  double magnitude(std::string_view kind, const std::vector<ObservedCall>& calls, std::size_t c) const {
    double magnitude = 0;
    for (std::size_t v = 0; v < calls[c].variables.size(); ++v)
      if (const auto found = trusted_.find(observed_name(kind, c, v)); found != trusted_.end())
        magnitude = std::max(magnitude, largest_magnitude(found->second.to_doubles()));
    return magnitude;
  }

  const ObservedValues &trusted_, &checked_, &changed_;
  Allowance allowance_;
};

ParityReport::Row row_of(const std::vector<ObservedCall>& calls, std::size_t c, const Comparison& apart,
                         const Comparison& joined) {
  const ObservedCall& call = calls[c];
  ParityReport::Row row{.name = call.layer->path(),
                        .class_name = call.layer->shown_class(),
                        .results = {},
                        .variables = joined.variables(calls, c)};
  if (call.number > 1) row.name += fmt::format(" #{}", call.number);
  for (std::size_t i = 0; i < call.results.size(); ++i)
    row.results.push_back({.shape = call.results[i].shape,
                           .value = *apart.of(observed_name("result", c, i)),
                           .gradient = apart.of(observed_name("slope", c, i))});
  return row;
}

void find_first(ParityReport& report) {
  const auto look = [&](std::optional<ParityReport::Excess>& first, const std::optional<Difference>& difference,
                        auto&& where) {
    if (!first && exceeds(difference)) first = {where(), *difference};
  };
  const auto output = [](const ParityReport::Row& row, std::size_t i) {
    return row.results.size() > 1 ? fmt::format("output {} of '{}'", i, row.name)
                                  : fmt::format("the output of '{}'", row.name);
  };
  for (const ParityReport::Row& row : report.rows) {
    for (std::size_t i = 0; i < row.results.size(); ++i)
      look(report.first_forward, row.results[i].value, [&] { return output(row, i); });
    for (const ParityReport::Variable& variable : row.variables)
      look(report.first_forward, variable.value,
           [&] { return fmt::format("the new value of '{}/{}'", row.name, variable.name); });
  }
  look(report.first_forward, report.loss, [] { return std::string("the loss"); });
  for (auto row = report.rows.rbegin(); row != report.rows.rend(); ++row) {
    for (std::size_t i = 0; i < row->results.size(); ++i)
      look(report.first_backward, row->results[i].gradient, [&] { return output(*row, i); });
    for (const ParityReport::Variable& variable : row->variables)
      look(report.first_backward, variable.gradient, [&] { return fmt::format("'{}/{}'", row->name, variable.name); });
  }
}

// --- the step ----------------------------------------------------------------------------------------------------

bool has_loss(const Model& model) { return model.trainer().options() && !model.trainer().options()->loss.empty(); }

constexpr double allowed_changes = 4;  // with the default tolerance: rounding need not do what the changed weights do

// What is usual for a dtype that layers compute in.
struct Precision {
  double tolerance, rounding;
};
Precision precision_of(DType dtype) {
  if (dtype == DType::bfloat16) return {0.1, 0x1p-7};
  if (dtype == DType::float16) return {0.02, 0x1p-9};
  return {0.001, 0x1p-18};
}

Precision precision_of(const Layer& layer) {
  const DType dtype = layer.dtype().compute();
  Precision coarsest = precision_of(is_floating(dtype) ? dtype : DType::float32);
  for (const auto& inner : layer.sublayers())
    if (const Precision other = precision_of(*inner); other.tolerance > coarsest.tolerance) coarsest = other;
  return coarsest;
}

// While it lives, the weights of a model differ from what they were by as much as `part` of the largest number of each,
// or by `part` where all are zero.
class ChangedWeights {
 public:
  ChangedWeights(const FunctionalLayer& model, double part) {
    for (const Weight& weight : model.weights()) {
      const DType dtype = weight.variable->type().dtype;
      if (!is_floating(dtype)) continue;
      kept_.emplace_back(weight.variable, weight.variable->value());
      Tensor changed = kept_.back().second.cast(DType::float64);
      const double magnitude = largest_magnitude(changed.to_doubles());
      RandomStream random(RandomKey::of(0, "parity/" + weight.variable->path()));
      for (double& value : changed.writable<double>())
        value += part * (magnitude > 0 ? magnitude : 1) * random.uniform(-1, 1);
      weight.variable->assign(changed.cast(dtype));
    }
  }
  ~ChangedWeights() {
    for (auto& [variable, value] : kept_) variable->assign(std::move(value));
  }
  ChangedWeights(const ChangedWeights&) = delete;
  ChangedWeights& operator=(const ChangedWeights&) = delete;

 private:
  std::vector<std::pair<VariableRef, Tensor>> kept_;
};

Feed first_batch(const DatasetRef& data, FunctionalLayer& model, Objective* objective, std::int64_t size) {
  const Feeder feeder(data, model, objective);
  Loader loader(data, {.batch_size = std::min(size, data->size()), .prefetch = 0});
  loader.start(0);
  Feed feed;
  feeder.fill(*loader.next(), feed);
  return feed;
}

RandomState random_state(std::uint64_t seed) {
  const auto scalar = [](std::string path, std::int64_t value) {
    auto variable = std::make_shared<Variable>(std::move(path), Type{DType::int64, {}}, false);
    variable->assign(Tensor::scalar(value));
    return variable;
  };
  return {scalar("random/seed", static_cast<std::int64_t>(seed)), scalar("random/step", 0)};
}

}  // namespace

double ParityReport::Row::worst() const {
  double worst = 0;
  const auto add = [&](const std::optional<Difference>& difference) {
    if (difference) worst = std::max(worst, difference->relative);
  };
  for (const Result& result : results) add(result.value), add(result.gradient);
  for (const Variable& variable : variables) add(variable.value), add(variable.gradient);
  return worst;
}

double default_tolerance(const Layer& model) { return precision_of(model).tolerance; }

ParityReport parity(const Model& model, const DatasetRef& given, const ParityOptions& options) {
  FunctionalLayer& graph = model.graph();
  if (given) {
    std::vector<Shape> shapes;
    for (const Column& column : given->inputs()) shapes.push_back(Shape{unknown} + column.type.shape);
    graph.ensure_built(shapes);
    ProgressListener silent;
    adapt_layers(graph, given, options.seed, silent);
  }
  DatasetRef data = given;
  if (!data) {
    Batch batch = example_batch(model, options.batch_size, options.seed);
    data = array_dataset({.inputs = std::move(batch.inputs), .targets = std::move(batch.targets)});
  }
  std::optional<Objective> objective;
  if (has_loss(model)) {
    CompileOptions losses = *model.trainer().options();
    losses.metrics = losses.weighted_metrics = {};
    objective.emplace(losses, graph.output_names());
  }
  graph.initialize(options.seed);
  Steps& steps = model.trainer().steps();
  steps.refresh();
  ObservedStep step{.model = graph,
                    .objective = objective ? &*objective : nullptr,
                    .random = random_state(options.seed),
                    .feed = first_batch(data, graph, objective ? &*objective : nullptr, options.batch_size),
                    .host = nullptr,
                    .hosted = {},
                    .numerics = steps.options().numerics};
  step.host = steps.host_part(types_of(step.feed.inputs));
  if (step.host) step.hosted = step.host->run(step.feed.inputs);

  const Backend& trusted = options.trusted ? *options.trusted : reference_backend();
  const Backend& checked = options.checked ? *options.checked : model.trainer().backend();
  std::vector<ObservedCall> calls;
  const ObservedValues wanted = observe(step, trusted, true, calls);
  const ObservedValues changed = [&] {
    const ChangedWeights changes(graph, precision_of(graph).rounding);
    return observe(step, trusted, true, calls);
  }();
  const ObservedValues got_joined = observe(step, checked, false, calls);
  const ObservedValues got_apart = observe(step, checked, true, calls);

  ParityReport report{.model = graph.title(),
                      .trusted = std::string(trusted.name()),
                      .checked = std::string(checked.name()),
                      .dtypes = dtype_policies(model),
                      .batch_size = step.feed.size,
                      .seed = options.seed,
                      .data = given ? given->description() : "",
                      .own_loss = objective.has_value(),
                      .tolerance = options.tolerance.value_or(default_tolerance(graph))};
  const Allowance allowance{report.tolerance, allowed_changes * report.tolerance / default_tolerance(graph)};
  const Comparison apart(wanted, got_apart, changed, allowance), joined(wanted, got_joined, changed, allowance);
  report.trusted_loss = wanted.at("loss").item();
  report.checked_loss = got_joined.at("loss").item();
  report.loss = *joined.of("loss");
  for (std::size_t c = 0; c < calls.size(); ++c)
    if (ParityReport::Row row = row_of(calls, c, apart, joined); !row.results.empty() || !row.variables.empty())
      report.rows.push_back(std::move(row));
  find_first(report);
  report.only_joined = !report.agrees() && !apart.any_exceeds(calls);
  return report;
}

}  // namespace nacre
