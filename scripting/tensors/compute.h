// How work on tensors is done for scripts: at once, or into the graph of a function that is being traced.
#pragma once

#include <map>

#include "backend/eager/eager.h"
#include "layers/layer.h"
#include "scripting/state.h"

namespace nacre::scripting {

// A graph into which a function's operations go, while it runs once. Scopes nest: a value of an outer one is an input
// of the inner graph, which becomes a part of the outer one in the end.
class TraceScope {
 public:
  // `outer`: null for the outermost.
  explicit TraceScope(Context& context, TraceScope* outer = nullptr) : context_(context), outer_(outer) {}
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

  Context& context() const { return context_; }
  Graph& graph() const { return context_.graph(); }
  TraceScope* outer() const { return outer_; }

  // The value of an outer scope in this one's graph. Throws a usage Error for values of traces that have ended.
  Value import(Value value);
  // Layers that were called: what the graph depends on besides its inputs.
  void note_layer(const std::shared_ptr<Layer>& layer);
  const std::vector<std::shared_ptr<Layer>>& layers() const { return layers_; }
  // Weights that had no value yet.
  void note_weight(const Weight& weight) { outer_ ? outer_->note_weight(weight) : weights_.push_back(weight); }
  const std::vector<Weight>& weights() const { return weights_; }
  // Throws a usage Error the second time: one run counts one step.
  void note_optimizer(const std::shared_ptr<const void>& optimizer);
  // What an inner scope has noted, when it has become a part of this one.
  void note_optimizers_of(const TraceScope& inner);
  // How many objects Lua had got when the function began; see State::adopted.
  std::uint64_t objects_before() const { return objects_before_; }
  // By inputs of this graph: the outer values that they stand for.
  const std::vector<std::pair<Value, Value>>& imported() const { return imported_; }

 private:
  friend class ComputingState;
  Context& context_;
  TraceScope* outer_;
  std::uint64_t objects_before_ = 0;
  std::vector<std::pair<Value, Value>> imported_;  // input, outer value
  std::vector<std::shared_ptr<const void>> optimizers_;
  std::vector<std::shared_ptr<Layer>> layers_;
  std::vector<Weight> weights_;
};

// A value of such a graph, as scripts hold it.
struct Traced {
  Value value;
  Value mask{};                         // of layers; null: none
  std::shared_ptr<const bool> running;  // false when its trace has ended
};
template <>
const Class& class_of<Traced>();
template <>
const Class& class_of<eager::Array>();
template <>
const Class& class_of<Weight>();  // a weight of a layer: a variable

// States that trace, and states that also compute at once.
class ComputingState : public State {
 public:
  using State::State;
  static ComputingState& of(const Call& call) { return static_cast<ComputingState&>(call.state()); }

  // The innermost trace; null: none.
  TraceScope* trace() const { return trace_; }
  // While it lives, operations go into this scope.
  class Tracing {
   public:
    // `running` is false in the end: no value of the scope is used then.
    Tracing(ComputingState& state, TraceScope& scope, std::shared_ptr<bool> running = std::make_shared<bool>(true));
    ~Tracing();
    Tracing(const Tracing&) = delete;
    Tracing& operator=(const Tracing&) = delete;

   private:
    ComputingState& state_;
    TraceScope* before_;
    std::shared_ptr<const bool> running_before_;
    std::shared_ptr<bool> running_;
  };
  // While it lives, weights of other floating dtypes are operands in this one: that of a layer's policy.
  class Autocast {
   public:
    Autocast(ComputingState& state, std::optional<DType> dtype)
        : state_(state), before_(std::exchange(state.autocast_, dtype)) {}
    ~Autocast() { state_.autocast_ = before_; }
    Autocast(const Autocast&) = delete;
    Autocast& operator=(const Autocast&) = delete;

   private:
    ComputingState& state_;
    std::optional<DType> before_;
  };
  // The dtype for a weight as an operand; none: its own.
  std::optional<DType> operand_dtype(const Variable& weight) const;
  Object traced(Value value, Value mask = {}) const;
  const std::shared_ptr<const bool>& running() const { return running_; }  // false when the innermost trace has ended

  // What computes at once; null where scripts can only be traced.
  virtual eager::Eager* eager() { return nullptr; }
  // Of layers in eager mode: how often they have drawn random numbers.
  struct Draws {
    std::int64_t seed = 0, step = 0;
  };
  virtual Draws next_draws() { return {}; }
  virtual std::uint64_t seed() const { return 0; }

 private:
  TraceScope* trace_ = nullptr;
  std::shared_ptr<const bool> running_;
  std::optional<DType> autocast_;
};

// What is said of a value whose trace has ended.
Error ended_trace();

// Gives the weight its initial value, at once or before what is being traced runs, where it has none.
void want_value(const Call& call, const Weight& weight);

// Tensors as operands: arrays, traced values, weights.
bool is_tensor(const Object& object);
Type type_of_tensor(const Object& object);
// In the graph that is being traced; arrays become constants.
Value traced_value(const Call& call, const Object& object);
Value traced_mask(const Call& call, const Object& object);
// As an array; throws a usage Error for traced values, whose numbers are not known.
eager::Array array_of(const Call& call, const Object& object);
Object array_object(eager::Array array);

// What a layer's graph depends on besides its inputs: what is frozen, tables, the layers in it.
void append_state(std::string& key, const Layer& layer);

// Work on tensors.
struct Computation {
  std::string key;                      // tells it from all others, beside the types of the operands
  std::vector<Object> operands;         // is_tensor()
  std::shared_ptr<const void> owner{};  // what the key has addresses of
  bool traced = false;                  // in a trace also where no operand is traced: it reads or changes variables
  bool random = false;                  // it draws random numbers, or may
  bool masked = false;                  // masks of operands are handed over, and those of results are taken
  bool training = false;
  std::vector<Object>* penalties =
      nullptr;  // gets the scalars that layers add to the loss; wanted where there may be any
  struct Result {
    Values values;
    Values masks{};  // as many, or none
  };
  std::function<Result(Context&, const Values& values, const Values& masks)> emit;
};
std::vector<Object> compute(const Call& call, Computation work);
Object cast(const Call& call, const Object& operand, DType dtype);  // a tensor, with its mask

}  // namespace nacre::scripting
