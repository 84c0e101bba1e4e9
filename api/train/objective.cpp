#include "api/train/objective.h"

#include <algorithm>
#include <set>

#include "api/train/exchange.h"
#include "backend/graph/ops/elementwise.h"

namespace nacre {

namespace {

// The tree that resolve_loss and resolve_metric understand.
template <class Base>
Tree spelled(const Chosen<Base>& chosen) {
  return chosen.word.empty() ? write_object<Base>(*chosen.object, Style::keras) : Tree(chosen.word);
}

}  // namespace

Objective::Objective(const CompileOptions& options, std::vector<std::string> outputs)
    : outputs_(std::move(outputs)),
      terms_(outputs_.size()),
      total_(std::make_unique<metrics::Mean>(metrics::MeanConfig{}, MetricOptions{.name = "loss"})) {
  const auto losses = options.loss.resolve(outputs_, "losses");
  const auto weights = options.loss_weights.resolve(outputs_, "loss weights");
  const auto count = std::count_if(losses.begin(), losses.end(), [](const auto& loss) { return loss.has_value(); });
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    terms_[i].chosen = losses[i];
    terms_[i].weight = weights[i];
    if (losses[i] && count > 1)
      terms_[i].mean = std::make_unique<metrics::Mean>(metrics::MeanConfig{}, MetricOptions{.name = outputs_[i] + "_loss"});
  }

  const auto add_metrics = [&](const Metrics& wanted, std::string_view what, bool weighted) {
    // Keras: a list of as many metrics as outputs is one for each.
    const bool one_each = wanted.all && outputs_.size() > 1 && wanted.all->size() == outputs_.size();
    const auto lists = wanted.resolve(outputs_, what);
    std::set<const Metric*> taken;
    for (std::size_t i = 0; i < lists.size(); ++i) {
      if (!lists[i]) continue;
      for (std::size_t k = 0; k < lists[i]->size(); ++k) {
        if (one_each && k != i) continue;
        Chosen<Metric> chosen = (*lists[i])[k];
        // A metric has one state, so each further output gets a metric of its own.
        if (chosen.word.empty() && !taken.insert(&*chosen.object).second) chosen.object = read_object<Metric>(spelled(chosen));
        terms_[i].metrics.push_back({std::move(chosen), weighted, nullptr});
      }
    }
  };
  add_metrics(options.metrics, "metrics", false);
  add_metrics(options.weighted_metrics, "weighted metrics", true);
}

void Objective::resolve(const Types& targets, const Types& predictions) {
  std::size_t target = 0;
  for (std::size_t i = 0; i < terms_.size(); ++i)
    if (uses(i)) resolve(terms_[i], targets.at(target++), predictions.at(i));
}

void Objective::resolve(Term& term, const Type& target, const Type& prediction) {
  if (term.chosen && !term.loss)
    term.loss = term.chosen->word.empty() ? term.chosen->object.share()
                                          : resolve_loss(spelled(*term.chosen), target, prediction);
  for (Measure& measure : term.metrics)
    if (!measure.metric)
      measure.metric = measure.chosen.word.empty()
                           ? measure.chosen.object.share()
                           : resolve_metric(spelled(measure.chosen), target, prediction);
}

Value Objective::emit(Context& context, const std::vector<Observation>& observations, std::int64_t batch,
                      Exchange* exchange) {
  const Value samples = context.graph().scalar(static_cast<double>(batch));
  Values parts;
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    Term& term = terms_[i];
    const Observation& at = observations[i];
    if (!uses(i)) continue;
    const Graph::Label label(context.graph(), fmt::format("output '{}'", outputs_[i]));
    resolve(term, at.target.type(), at.prediction.type());
    within([&] { return fmt::format("while comparing targets {} with predictions {}", at.target.shape(), at.prediction.shape()); }, [&] {
      if (term.loss) {
        const Value loss = ops::cast((*term.loss)(at.target, at.prediction, at.weight, at.mask, exchange), DType::float32);
        if (term.mean) term.mean->add(loss, samples);
        parts.push_back(term.weight ? loss * *term.weight : loss);
      }
      for (const Measure& measure : term.metrics)
        measure.metric->update(at.target, at.prediction, measure.weighted ? at.weight : Value(), at.mask);
    });
  }
  for (const Value& penalty : context.losses()) parts.push_back(ops::cast(penalty, DType::float32));
  if (parts.empty()) throw Error("there is no loss to compute").hint("give compile a loss").usage();
  Value total = parts.front();
  for (std::size_t i = 1; i < parts.size(); ++i) total = total + parts[i];
  total_->add(total, samples);
  if (exchange && exchange->share().samples == 0)  // nothing was measured
    for (const VariableRef& variable : variables()) context.graph().update(variable, context.graph().variable(variable));
  return total;
}

std::vector<Objective::Named> Objective::named() const {
  std::vector<Named> all{{"loss", total_.get()}};
  std::map<std::string, int> counts;
  for (const bool weighted : {false, true})
    for (std::size_t i = 0; i < terms_.size(); ++i)
      for (const Measure& measure : terms_[i].metrics) {
        if (measure.weighted != weighted || !measure.metric) continue;
        const std::string prefix = outputs_.size() > 1 ? outputs_[i] + "_" : "";
        std::string name = prefix + measure.metric->name();
        if (weighted && counts.contains(name)) name = prefix + "weighted_" + measure.metric->name();
        if (const int repeated = counts[name]++) name += fmt::format("_{}", repeated);
        all.push_back({std::move(name), measure.metric.get()});
      }
  for (const Term& term : terms_)
    if (term.mean) all.push_back({term.mean->name(), term.mean.get()});
  return all;
}

Logs Objective::logs() const {
  Logs logs;
  for (const auto& [name, metric] : named()) {
    if (metric->variables().empty()) continue;  // nothing was measured yet
    const Tensor result = metric->result();
    if (result.size() == 1) logs.set(name, result.at(0));
    else
      for (std::int64_t k = 0; k < result.size(); ++k) logs.set(fmt::format("{}_{}", name, k), result.at(k));
  }
  return logs;
}

Logs Objective::logs(const Processes& processes) {
  if (!processes.several()) return logs();
  std::vector<double> sums;
  for (const VariableRef& variable : variables())
    for (const double number : variable->value().to_doubles()) sums.push_back(number);
  processes.sum(sums);
  std::span<const double> rest(sums);
  for (const VariableRef& variable : variables()) {
    Tensor sum(variable->type());
    visit(sum.dtype(), [&]<class T>(T*) {
      std::ranges::transform(rest.first(static_cast<std::size_t>(sum.size())), sum.writable<T>().begin(), convert<T, double>);
    });
    rest = rest.subspan(static_cast<std::size_t>(sum.size()));
    variable->assign(std::move(sum));
  }
  const Logs all = logs();
  if (!processes.first()) reset();
  return all;
}

void Objective::reset() {
  total_->reset();
  for (Term& term : terms_) {
    if (term.mean) term.mean->reset();
    for (Measure& measure : term.metrics)
      if (measure.metric) measure.metric->reset();
  }
}

std::vector<VariableRef> Objective::variables() const {
  std::vector<VariableRef> all;
  for (const auto& [name, metric] : named()) all.insert(all.end(), metric->variables().begin(), metric->variables().end());
  return all;
}

std::optional<Objective::IntegerLabels> Objective::integer_labels(std::size_t output) const {
  const Loss* loss = terms_[output].loss.get();
  if (const auto* sparse = dynamic_cast<const losses::SparseCategoricalCrossentropy*>(loss)) return IntegerLabels{sparse->config().ignore_class};
  if (dynamic_cast<const losses::CategoricalGeneralizedCrossEntropy*>(loss)) return IntegerLabels{};
  return std::nullopt;
}

std::optional<Direction> Objective::direction(std::string_view name) const {
  if (name == "loss" || name.ends_with("_loss")) return Direction::down;
  for (const auto& [known, metric] : named())
    if (known == name) return metric->direction();
  return std::nullopt;
}

}  // namespace nacre
