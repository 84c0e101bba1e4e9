// What the binding files share: the objects that scripts hold, and how arguments are read.
#pragma once

#include <map>

#include "api/data/dataset.h"
#include "api/experiment/experiment.h"
#include "api/model.h"
#include "scripting/classes/lua_class.h"
#include "scripting/namespace.h"
#include "scripting/tensors/compute.h"

namespace nacre::scripting {

// The engine's state.
class EngineState : public ComputingState {
 public:
  explicit EngineState(const Limits& limits) : ComputingState(limits), eager_(backend_for("cpu")) {}
  explicit EngineState(lua_State* host) : ComputingState(host), eager_(backend_for("cpu")) {}
  ~EngineState() override { close(); }  // finalisers of scripts may still make models
  static EngineState& of(const Call& call) { return static_cast<EngineState&>(call.state()); }
  // One handle for each model, so that it stays compiled however a script comes by it.
  std::shared_ptr<Model> model_of(const std::shared_ptr<FunctionalLayer>& layer);
  std::shared_ptr<Model> remember(Model model);

  eager::Eager* eager() override { return &eager_; }
  Draws next_draws() override { return {draws_.seed, draws_.step++}; }
  // Everything random begins anew; also the names that tell the weights of layers apart.
  void set_seed(std::int64_t seed) {
    draws_ = {seed, 0};
    names_.clear();
  }
  Draws exchange_draws(Draws draws) { return std::exchange(draws_, draws); }
  std::uint64_t seed() const override { return static_cast<std::uint64_t>(draws_.seed); }
  // "dense", then "dense_1", "dense_2", …, as Keras counts.
  std::string unique_name(const std::string& name);
  // What the last call of a layer on tensors has added to the loss.
  std::vector<Object> losses_of(const Layer& layer) const;
  void set_losses(const std::shared_ptr<Layer>& layer, std::vector<Object> losses);
  Definitions& definitions() { return definitions_; }
  // That fit models together: they run the same script.
  const Processes& processes() const { return processes_; }
  void set_processes(Processes processes) { processes_ = std::move(processes); }
  // While it lives, layers that are called at once train as this says where nothing else is said.
  class AtOnce {
   public:
    AtOnce(EngineState& state, bool training) : state_(state), before_(std::exchange(state.training_, training)) {}
    ~AtOnce() { state_.training_ = before_; }
    AtOnce(const AtOnce&) = delete;
    AtOnce& operator=(const AtOnce&) = delete;

   private:
    EngineState& state_;
    bool before_;
  };
  bool training_at_once() const { return training_; }
  void check_table(const Call& call, int index) const override { refuse_class(call, index); }
  // Whether its scripts come with files: they see no files, and layers that are models are no more than layers to them.
  virtual bool sandboxed() const { return false; }
  // The training that is under way for a model; null: none.
  class Training;
  Training* training_of(const Layer& model) const;

 private:
  std::map<const Layer*, std::weak_ptr<Model>> models_;
  eager::Eager eager_;
  Draws draws_;
  std::map<std::string, int> names_;
  struct Losses {
    std::weak_ptr<Layer> layer;
    std::vector<Object> values;
  };
  std::map<const Layer*, Losses> losses_;
  Definitions definitions_;
  Processes processes_;
  bool training_ = false;
  std::vector<Training*> trainings_;  // the innermost last
};

// A layer; a model too. Of what model:layer(NAME) and model.layers give, also where it stands.
struct LayerObject {
  std::shared_ptr<Layer> layer;
  std::shared_ptr<Model> model{};            // the layer as a model; null: it is none
  std::shared_ptr<FunctionalLayer> place{};  // the model in which it stands; null: none is known
  std::string name{};                        // within that model, also "outer/inner"
  Mark mark{};                               // the script's line that made it
};
Object layer_object(const Call& call, std::shared_ptr<Layer> layer, std::shared_ptr<FunctionalLayer> place = {},
                    std::string name = "");
Object model_object(const Call& call, Model model);
Object weight_object(Weight weight);

template <>
const Class& class_of<Symbol>();
template <>
const Class& class_of<LayerObject>();
template <>
const Class& class_of<DatasetRef>();
template <>
const Class& class_of<std::shared_ptr<Activation>>();
template <>
const Class& class_of<std::shared_ptr<Initializer>>();
template <>
const Class& class_of<std::shared_ptr<Regularizer>>();
template <>
const Class& class_of<std::shared_ptr<WeightConstraint>>();
template <>
const Class& class_of<std::shared_ptr<Loss>>();
template <>
const Class& class_of<std::shared_ptr<Metric>>();
template <>
const Class& class_of<std::shared_ptr<Optimizer>>();
template <>
const Class& class_of<std::shared_ptr<LearningRateSchedule>>();
template <>
const Class& class_of<std::shared_ptr<Callback>>();
const Class& pullback_class();  // what nacre.vjp gives beside its result
const Class& batches_class();   // what dataset:batches gives

// What a layer that is a model has besides, for Class::other.
std::span<const Member> model_members();
std::optional<Out> model_member(Call& call, std::string_view key);
void model_member_names(const Object& object, std::vector<std::string_view>& names);
// Of models in training: whether they were asked to stop; what they have where layers that are models are no more than
// layers: stop_training, optimizer.
Out stop_training(Call& call);
std::optional<Out> training_member(Call& call, std::string_view key);
bool set_training_member(Call& call, std::string_view key);
// What fit takes as callbacks: objects, and tables with hooks.
Tree read_callbacks(const Call& call, int index);

Out out(const Symbols& symbols);          // a list
Results each_of(const Symbols& symbols);  // results, one for each
Out out(Tensor tensor);

// --- arguments ----------------------------------------------------------------------------------------------------

// A table of names, or nothing, as a config; files that it names are read, where scripts may do so.
Tree read_config_table(const Call& call, std::string_view class_name, std::span<const FieldTable* const> fields);
// For what came instead of a table of names: "write Dense{units = 16}".
std::string names_hint(const Call& call, int index, std::string_view name, const FieldTable& fields);
std::optional<DType> read_dtype(const Call& call, int index);  // none: not given
// Throws unless the machine has memory for it.
void check_size(const Type& type);
// A tensor, a weight, or a number, as an operand.
Object read_tensor(const Call& call, int index, std::string_view wanted);
// The trainable weights of a layer or model, a weight, or a list of weights.
std::vector<Weight> read_weights(const Call& call, int index);
Symbols read_symbols(const Call& call, int index, std::string_view wanted);  // one symbol or a list of them
std::vector<Tensor> read_tensors(const Call& call, int index, std::string_view wanted);
Shape read_shape(const Call& call, int index);
// A table of names as a described config; no argument: all defaults.
template <Described Config>
Config read_options(const Call& call, int index) {
  if (!call.given(index)) return {};
  if (!call.is_named(index))
    throw call.unwanted(index, "a table of names").hint(names_hint(call, index, "", fields_of<Config>()));
  Tree given = call.tree(index);
  if (!given.is_mapping()) given = Tree::mapping().at(call.place());  // {}, which is a list too
  return read_config<Config>(given);
}
// A script as Lua reads it: without the mark of its encoding and the line for the shell. Lines keep their numbers.
std::string script_text(std::string source);
// Runs work; an Error that leaves it is the script's mistake, at its line `mark` unless it knows a place already.
template <class Work>
decltype(auto) marked(const Mark& mark, Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (Error& error) {
    error.at(mark).usage();
    throw;
  }
}

// The same with the subject of the error.
template <class Work>
decltype(auto) about(const std::string& subject, Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (Error& error) {
    if (!error.subject().empty())  // a field: the object is what the message is about
      throw Error(error.subject() + ": " + error.message())
          .at(error.mark())
          .about(subject)
          .hint(error.hint_text())
          .usage();
    error.about(subject);
    throw;
  }
}

// Named or numbered tensors.
struct Columns {
  std::vector<Tensor> tensors;
  std::vector<std::string> names;  // none, or as many
};
// A tensor, a list of tensors, or tensors by name.
Columns read_columns(const Call& call, int index);

// What a script gives as data: a data set of nacre.data, tensors, or a table of YAML's: a source, {digits = {count =
// 1000}}, or all of `data:`, {train = {…}, validation = {…}, normalize = {…}}. One of the three.
struct GivenData {
  DatasetRef dataset;
  Columns columns;
  Tree table;
  bool given() const { return dataset || !columns.tensors.empty() || !table.is_null(); }
};
GivenData read_data(const Call& call, int index);
// Data sets of it, null where it names none, in the form that the options say; tables are opened with them.
OpenedData open_data(const GivenData& data, const OpenOptions& options);
DatasetRef array_dataset_of(Columns inputs, Columns targets, Columns weights);

// --- what each binding file adds to the table at the top of the stack; they raise -----------------------------------

void open_tensors(lua_State* lua);
void open_creation(lua_State* lua);  // after open_symbols
void open_random(lua_State* lua);
void open_files(lua_State* lua);
void open_symbols(lua_State* lua);
void open_weights(lua_State* lua);
void open_layers(lua_State* lua);
void open_classes(lua_State* lua);
void open_autograd(lua_State* lua);
void open_compile(lua_State* lua);
void open_control_flow(lua_State* lua);
void open_walks(lua_State* lua);
void open_custom_gradient(lua_State* lua);
void open_jacobian(lua_State* lua);
void open_models(lua_State* lua);
void open_data(lua_State* lua);
void open_callbacks(lua_State* lua);
void open_custom(lua_State* lua);
void open_nacre(lua_State* lua);  // all of these
void push_nacre(lua_State* lua);  // the table itself
// The functions of the table nacre by file, for the reference.
std::span<const Function> tensor_functions();
std::span<const Function> creation_functions();
std::span<const Function> seed_functions();
std::span<const Function> random_functions();  // of the table nacre.random
std::span<const Function> file_functions();
std::span<const Function> symbol_functions();
std::span<const Function> weight_functions();
std::span<const Function> layer_functions();
std::span<const Function> model_functions();
std::span<const Function> data_functions();
std::span<const Function> autograd_functions();
std::span<const Function> compile_functions();
std::span<const Function> engine_functions();
std::span<const Function> custom_functions();
std::span<const Function> control_flow_functions();
std::span<const Function> walk_functions();
std::span<const Function> custom_gradient_functions();
std::span<const Function> jacobian_functions();
// The tables in the table nacre.
const Namespace& layers_namespace();
std::vector<const Namespace*> class_namespaces();  // nacre.optimizers, nacre.losses, …
const Namespace& data_namespace();
// What the __index of such a table says when it, argument 1, has no such name, argument 2.
[[noreturn]] void refuse_name(const Call& call, std::string_view table);

// Makes objects readable where configurations name classes.
void register_handed_objects();

}  // namespace nacre::scripting
