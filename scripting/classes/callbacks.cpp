// Callbacks of scripts: classes of nacre.Callback, and tables with hooks. What they see of the training.
#include <algorithm>
#include <array>

#include "layers/lambda.h"
#include "scripting/classes/custom.h"

namespace nacre::scripting {

// While it lives, the model of a training that is under way can be asked to stop it.
class EngineState::Training {
 public:
  Training(EngineState& state, TrainingControl& control, std::string asker)
      : state_(state), control_(control), asker_(std::move(asker)) {
    state_.trainings_.push_back(this);
  }
  ~Training() { state_.trainings_.pop_back(); }
  Training(const Training&) = delete;
  Training& operator=(const Training&) = delete;

  TrainingControl& control() const { return control_; }
  bool stopped() const { return stopped_; }
  void stop() {
    stopped_ = true;
    control_.stop(fmt::format("callback '{}'", asker_));
  }

 private:
  EngineState& state_;
  TrainingControl& control_;
  std::string asker_;
  bool stopped_ = false;
};

EngineState::Training* EngineState::training_of(const Layer& model) const {
  for (auto training = trainings_.rbegin(); training != trainings_.rend(); ++training)
    if (&(*training)->control().model() == &model) return *training;
  return nullptr;
}

namespace {

constexpr std::array<std::string_view, 10> hooks{
    "on_train_begin",     "on_train_end",  "on_epoch_begin", "on_epoch_end",        "on_train_batch_begin",
    "on_train_batch_end", "on_test_begin", "on_test_end",    "on_test_batch_begin", "on_test_batch_end"};

class CallbackOfLua final : public Callback, public ScriptedAs<Callback> {
 public:
  // `table`: that has the hooks, when there is no class.
  explicit CallbackOfLua(LuaObject object, KeptRef table = nullptr)
      : ScriptedAs(std::move(object)), table_(std::move(table)) {
    for (const std::string& method : lua_.methods()) {
      if (!method.starts_with("on_")) continue;
      if (std::ranges::find(hooks, method) == hooks.end())
        throw Error("'{}' has the method '{}', which nothing calls", lua_.name(), method)
            .hint(suggestion(method, {hooks.begin(), hooks.end()}))
            .usage();
      present_.push_back(method);
    }
    if (present_.empty()) throw Error("'{}' has no hook, such as on_epoch_end", lua_.name()).usage();
  }
  std::string_view class_name() const override { return lua_class_name; }
  Tree config_tree(Style style) const override { return lua_.config(style); }

  void on_train_begin(TrainingControl& control) override {
    lua_.enter([&](const Call& call) {
      const auto graph = std::static_pointer_cast<FunctionalLayer>(control.model().shared_from_this());
      lua_.set_attribute(call, "model", layer_object(call, graph));
      lua_.set_attribute(call, "params", Out::Named{{"epochs", control.epochs()}, {"steps", control.batches()}});
    });
    run(control, "on_train_begin", {});
  }
  void on_train_end(TrainingControl& control, const Logs& logs) override {
    run(control, "on_train_end", {table_of(logs)});
  }
  void on_epoch_begin(TrainingControl& control, std::int64_t epoch) override {
    run(control, "on_epoch_begin", {epoch});
  }
  void on_epoch_end(TrainingControl& control, std::int64_t epoch, Logs& logs) override {
    if (!has("on_epoch_end")) return;
    KeptRef table;
    lua_.enter([&](const Call& call) { table = call.keep(table_of(logs)); });
    run(control, "on_epoch_end", {epoch, table});
    lua_.enter([&](const Call& call) { add_to(logs, call, *table); });
  }
  void on_train_batch_begin(TrainingControl& control, std::int64_t batch) override {
    run(control, "on_train_batch_begin", {batch});
  }
  void on_train_batch_end(TrainingControl& control, std::int64_t batch, const Logs& logs) override {
    run(control, "on_train_batch_end", {batch, table_of(logs)});
  }
  void on_test_begin(TrainingControl& control) override { run(control, "on_test_begin", {}); }
  void on_test_end(TrainingControl& control, const Logs& logs) override {
    run(control, "on_test_end", {table_of(logs)});
  }
  void on_test_batch_begin(TrainingControl& control, std::int64_t batch) override {
    run(control, "on_test_batch_begin", {batch});
  }
  void on_test_batch_end(TrainingControl& control, std::int64_t batch, const Logs& logs) override {
    run(control, "on_test_batch_end", {batch, table_of(logs)});
  }

  bool reads_batch_logs() const override { return has("on_train_batch_end") || has("on_test_batch_end"); }
  CallbackState save_state() const override {
    CallbackState state{lua_.plain_attributes(), {}};
    state.values.erase("params");
    return state;
  }
  void load_state(const CallbackState& state) override {
    if (!state.values.is_mapping()) return;
    lua_.enter([&](const Call& call) {
      for (const Tree::Entry& entry : state.values.entries()) lua_.set_attribute(call, entry.key, entry.value);
    });
  }

 private:
  bool has(std::string_view hook) const { return std::ranges::find(present_, hook) != present_.end(); }

  void run(TrainingControl& control, std::string_view hook, const std::vector<Out>& arguments) const {
    if (!has(hook)) return;
    EngineState::Training training(lua_.state(), control, lua_.name());
    lua_.invoke(hook, table_ ? Out(table_) : Out(self()), arguments, [&](const Call& call, int first) {
      if (!has_result(call, first)) return;
      if (lua_type(call.lua(), first) != LUA_TSTRING || call.text(first, "") != "stop")
        throw Error("'{}' of '{}' gives {}, wanted nothing or \"stop\"", hook, lua_.name(), call.described(first))
            .usage();
      training.stop();
    });
  }

  static Out table_of(const Logs& logs) {
    Out::Named table;
    for (const auto& [name, value] : logs) table.push_back({name, value});
    return table;
  }

  // Numbers that the hook has put into the table, or changed.
  void add_to(Logs& logs, const Call& call, const Kept& table) const {
    std::map<std::string, double> changed;
    call.each_named(call.push_kept(table), [&](const std::string& key, int value) {
      if (lua_type(call.lua(), value) != LUA_TNUMBER)
        throw Error("'on_epoch_end' of '{}' puts {} into the logs as '{}', wanted a number", lua_.name(),
                    call.described(value), key)
            .usage();
      changed[key] = static_cast<double>(lua_tonumber(call.lua(), value));
    });
    for (const auto& [key, value] : changed) logs.set(key, value);
  }

  KeptRef table_;
  std::vector<std::string> present_;  // hooks
};

// Where the optimizer itself is not at hand: in callbacks of files.
struct OptimizerInTraining {
  EngineState* state;
  const Layer* model;
};

}  // namespace

template <>
const Class& class_of<OptimizerInTraining>();

namespace {

TrainingControl& control_of(const Call& call) {
  const auto optimizer = call.self<OptimizerInTraining>();
  if (auto* const training = optimizer->state->training_of(*optimizer->model)) return training->control();
  throw Error("the training is over").usage();
}
Out learning_rate(Call& call) { return control_of(call).learning_rate(); }
void set_learning_rate(Call& call) { control_of(call).set_learning_rate(call.tree(3).as_number()); }
Out iterations(Call& call) { return control_of(call).iterations(); }

constexpr Member optimizer_members[] = {{"learning_rate", nullptr, learning_rate, set_learning_rate},
                                        {"iterations", nullptr, iterations}};

// Whether a table has hooks: functions under names.
bool holds_hooks(const Call& call, int index) {
  bool found = false;
  if (call.is_named(index))
    call.each_named(index, [&](const std::string&, int value) { found = found || lua_isfunction(call.lua(), value); });
  return found;
}

}  // namespace

template <>
const Class& class_of<OptimizerInTraining>() {
  static const Class kind{
      .name = "optimizer", .members = optimizer_members, .metamethods = {}, .text = [](const Object&) {
        return std::string("optimizer of the training");
      }};
  return kind;
}

std::shared_ptr<Callback> callback_of_table(const Call& call, int index) {
  KeptRef table = call.keep(index);
  return scripted<CallbackOfLua, Callback>(LuaObject(call, registry<Callback>().kind(), "callback", table), table);
}

Tree read_callbacks(const Call& call, int index) {
  if (!call.is_table(index)) return call.tree(index);
  Tree list = Tree::sequence().at(call.place());
  const auto add = [&](int item) {
    refuse_class(call, item);
    list.push(holds_hooks(call, item) ? call.hand(make_object(callback_of_table(call, item))).at(call.place())
                                      : call.tree(item));
  };
  if (holds_hooks(call, index)) add(index);
  else call.each_item(index, add);
  return list;
}

std::shared_ptr<Callback> Custom<Callback>::make(LuaObject object, Options) {
  if (object.is_function())
    throw Error("got a function, wanted a callback")
        .hint("a table with hooks is one: {on_epoch_end = function(self, epoch, logs) … end}")
        .usage();
  return scripted<CallbackOfLua, Callback>(std::move(object));
}

// --- models in training -------------------------------------------------------------------------------------------

Out stop_training(Call& call) {
  const auto object = call.find<LayerObject>(1);
  EngineState::Training* const training = object ? EngineState::of(call).training_of(*object->layer) : nullptr;
  return training && training->stopped();
}

std::optional<Out> training_member(Call& call, std::string_view key) {
  const auto object = call.find<LayerObject>(1);
  auto& state = EngineState::of(call);
  if (!object || object->model || !state.training_of(*object->layer)) return std::nullopt;
  if (key == "stop_training") return stop_training(call);
  if (key != "optimizer") return std::nullopt;
  return Out(make_object(OptimizerInTraining{&state, object->layer.get()}));
}

bool set_training_member(Call& call, std::string_view key) {
  const auto object = call.find<LayerObject>(1);
  if (!object || key != "stop_training") return false;
  EngineState::Training* const training = EngineState::of(call).training_of(*object->layer);
  if (!training && !object->model) return false;
  if (!training) throw Error("{} is not being trained", call.described(1)).hint("callbacks stop a training").usage();
  if (call.tree(3).as_bool()) training->stop();
  return true;
}

void open_callbacks(lua_State* lua) { State::open_class(lua, class_of<OptimizerInTraining>()); }

}  // namespace nacre::scripting
