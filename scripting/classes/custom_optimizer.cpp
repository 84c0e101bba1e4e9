// Optimizers whose class is one of Lua's: their step is a part of the compiled training step.
#include <algorithm>
#include <set>

#include "backend/graph/ops/elementwise.h"
#include "layers/lambda.h"
#include "scripting/classes/custom.h"

namespace nacre::scripting {

namespace {

Object object_of(const VariableRef& variable) {
  return weight_object({.variable = variable, .initializer = {}, .regularizer = {}, .constraint = {}});
}

class OptimizerOfLua final : public SlotOptimizer, public ScriptedAs<Optimizer> {
 public:
  OptimizerOfLua(LuaObject object, LuaOptimizerOptions options)
      : SlotOptimizer(named(std::move(options.common), object), options.rates.learning_rate,
                      options.rates.weight_decay),
        ScriptedAs(std::move(object)) {
    lua_.need_method("update_step");
  }
  std::string_view class_name() const override { return lua_class_name; }
  Tree config_tree(Style style) const override {
    LuaOptimizerOptions::Rates rates{learning_rate_, weight_decay_};
    if (style == Style::keras && !scheduled()) rates.learning_rate = learning_rate();  // as a callback has set it
    Tree tree = write_config(options_, rates, style), own = lua_.config(style);
    if (style == Style::yaml) {
      if (options_.name == snake_case(lua_.name())) tree.erase("name");
      tree = without_defaults<OptimizerOptions, LuaOptimizerOptions::Rates>(std::move(tree));
    }
    for (Tree::Entry& entry : own.entries()) tree.set(entry.key, std::move(entry.value));
    return tree;
  }

  // `build` of the class is called once more when variables join.
  void rebuild(const std::vector<VariableRef>& variables) override {
    weights_ = variables;
    Out::List list;
    for (const VariableRef& variable : variables)
      if (asked_.insert(variable.get()).second) list.emplace_back(object_of(variable));
    if (!list.empty() && lua_.has("build")) {
      const UnderWay building(building_);
      invoke("build", {Out(std::move(list))});
    }
    SlotOptimizer::rebuild(variables);
  }

  void want_slot(const VariableRef& variable, OptimizerSlot slot) {
    if (!building_ || std::ranges::find(weights_, variable) == weights_.end())
      throw Error("a variable's state is wanted in 'build', for the variables that it is given").usage();
    std::vector<OptimizerSlot>& wanted = wanted_[variable.get()];
    if (std::ranges::find(wanted, slot.name, &OptimizerSlot::name) != wanted.end())
      throw Error("'{}' has two states that are called '{}'", variable->path(), slot.name).usage();
    wanted.push_back(std::move(slot));
  }

  // The variable in which the state lies, while an update is made.
  VariableRef slot(const VariableRef& variable, const std::string& name) const {
    if (!step_ || &step_->variable() != variable.get())
      throw Error("the state of a variable is there in its 'update_step'").usage();
    const std::vector<OptimizerSlot>& wanted = wanted_of(*variable);
    const auto found = std::ranges::find(wanted, name, &OptimizerSlot::name);
    if (found == wanted.end()) {
      std::vector<std::string_view> known;
      for (const OptimizerSlot& each : wanted) known.push_back(each.name);
      throw Error("'{}' has no state '{}'", variable->path(), name).hint(suggestion(name, known)).usage();
    }
    return step_->slots()[static_cast<std::size_t>(found - wanted.begin())];
  }

 protected:
  OptimizerSlots slots(const Variable& variable) const override {
    OptimizerSlots groups;  // one for each, as Keras's optimizers add them
    for (const OptimizerSlot& slot : wanted_of(variable)) groups.push_back({slot});
    return groups;
  }

  Value update(UpdateStep& step) const override {
    EngineState& state = lua_.state();
    Graph& graph = step.graph();
    Context context(graph, true);
    const VariableRef weight = *std::ranges::find(weights_, &step.variable(), &VariableRef::get);
    const std::vector<VariableRef>& own = step.slots();
    // What methods assign is what this update gives: whether it counts, the caller knows.
    const Value before = graph.latest(weight);
    graph.update(weight, step.weight);
    Value result;
    step_ = &step;
    struct Done {
      UpdateStep*& step;
      ~Done() { step = nullptr; }
    } const done{step_};
    traced_in(state, context, [&] {
      const std::vector<Out> given{state.traced(step.gradient), object_of(weight), state.traced(step.learning_rate),
                                   state.traced(step.iteration)};
      invoke("update_step", given, [&](const Call& call, int first) {
        if (!has_result(call, first)) return;
        result = read_value(call, first, fmt::format("'update_step' of '{}'", lua_.name()));
      });
    });
    if (!result) result = graph.latest(weight);
    graph.update(weight, before);
    for (std::size_t i = 0; i < own.size(); ++i)
      if (graph.is_updated(own[i])) {
        step.set_slot(i, graph.latest(own[i]));
        graph.update(own[i], graph.variable(own[i]));
      }
    result = ops::cast(result, weight->type().dtype);
    if (result.type() != weight->type())
      throw Error("'update_step' of '{}' gives {} for '{}', which is {}", lua_.name(), result.type(), weight->path(),
                  weight->type())
          .usage();
    return result;
  }

 private:
  static OptimizerOptions named(OptimizerOptions options, const LuaObject& object) {
    if (options.name.empty()) options.name = snake_case(object.name());
    return options;
  }
  const std::vector<OptimizerSlot>& wanted_of(const Variable& variable) const {
    static const std::vector<OptimizerSlot> none;
    const auto found = wanted_.find(&variable);
    return found == wanted_.end() ? none : found->second;
  }

  std::vector<VariableRef> weights_;
  std::map<const Variable*, std::vector<OptimizerSlot>> wanted_;
  std::set<const Variable*> asked_;  // `build` was called for them
  bool building_ = false;
  mutable UpdateStep* step_ = nullptr;  // that is being made
};

// --- members of optimizers ----------------------------------------------------------------------------------------

std::pair<std::shared_ptr<Optimizer>, OptimizerOfLua*> self(const Call& call) {
  const auto optimizer = *call.self<std::shared_ptr<Optimizer>>();
  auto* const own = dynamic_cast<OptimizerOfLua*>(optimizer.get());
  if (!own) throw Error("optimizer '{}' has its own state", optimizer->name()).usage();
  return {optimizer, own};
}

// self:add_variable_from(variable, "velocity"[, initial])
void add_variable_from(Call& call) {
  const auto [kept, optimizer] = self(call);
  const VariableRef variable = call.get<Weight>(2, "one of the variables that 'build' is given")->variable;
  const double initial = call.given(4) ? call.tree(4).as_number() : 0;
  optimizer->want_slot(variable, {.name = call.text(3, "the name of the state"), .initial = initial});
}

// self:slot(variable, "velocity")
Out slot(Call& call) {
  const auto [kept, optimizer] = self(call);
  const VariableRef variable = call.get<Weight>(2, "the variable that 'update_step' is given")->variable;
  return object_of(optimizer->slot(variable, call.text(3, "the name of a state")));
}

constexpr const char* example = R"(local Sum = nacre.Optimizer("Sum", {learning_rate = 1})
function Sum:build(variables)
  for _, variable in ipairs(variables) do self:add_variable_from(variable, "sum", 0.5) end
end
function Sum:update_step(gradient, variable, learning_rate)
  local sum = self:slot(variable, "sum")
  sum:assign_add(gradient)
  return variable - sum * learning_rate
end
local weight = nacre.Variable(nacre.zeros{1})
Sum{}:apply({nacre.ones{1}}, {weight})
assert(weight.value:item() == -1.5))";

constexpr Member members[] = {
    {"add_variable_from",
     bound<add_variable_from>,
     nullptr,
     nullptr,
     {"optimizer:add_variable_from(variable, name[, initial])",
      "In 'build' of an optimizer's class: a part of its state, as large as the variable that it goes with.", example}},
    {"slot",
     bound<slot>,
     nullptr,
     nullptr,
     {"optimizer:slot(variable, name)",
      "In 'update_step' of an optimizer's class: the state of that name, a weight, which is changed by assign.",
      example}}};

}  // namespace

std::span<const Member> custom_optimizer_members() { return members; }

std::shared_ptr<Optimizer> Custom<Optimizer>::make(LuaObject object, Options options) {
  if (object.is_function())
    throw Error("got a function, wanted a class of optimizers").hint("nacre.Optimizer defines one").usage();
  return scripted<OptimizerOfLua, Optimizer>(std::move(object), std::move(options));
}

}  // namespace nacre::scripting
