#include "scripting/tensors/compute.h"

#include <algorithm>

#include "backend/core/memory.h"
#include "backend/graph/ops/elementwise.h"
#include "layers/operations.h"
#include "scripting/tensors/operations.h"
#include "scripting/tensors/tensors.h"

namespace nacre::scripting {

// --- traces -------------------------------------------------------------------------------------------------------

Value TraceScope::import(Value value) {
  if (&value.graph() == &graph()) return value;
  if (!outer_)
    throw Error("got a tensor of another trace")
        .hint("what a traced function computes is known to it alone; return it instead of keeping it")
        .usage();
  const Value outside = outer_->import(value);
  for (const auto& [input, known] : imported_)
    if (known == outside) return input;
  const Value input = graph().input(fmt::format("outer {}", imported_.size()), outside.type());
  imported_.emplace_back(input, outside);
  return input;
}

void TraceScope::note_layer(const std::shared_ptr<Layer>& layer) {
  if (outer_) return outer_->note_layer(layer);
  if (std::ranges::find(layers_, layer) == layers_.end()) layers_.push_back(layer);
}

void TraceScope::note_optimizer(const std::shared_ptr<const void>& optimizer) {
  for (const TraceScope* scope = this; scope; scope = scope->outer_)
    if (std::ranges::find(scope->optimizers_, optimizer) != scope->optimizers_.end())
      throw Error("an optimizer is applied twice in one traced function")
          .hint("apply it once for all weights, or trace a function for each step")
          .usage();
  optimizers_.push_back(optimizer);
}

void TraceScope::note_optimizers_of(const TraceScope& inner) {
  for (const auto& optimizer : inner.optimizers_)
    if (std::ranges::find(optimizers_, optimizer) == optimizers_.end()) optimizers_.push_back(optimizer);
}

Error ended_trace() {
  return Error("got a tensor of a trace that has ended")
      .hint("what a traced function computes is known to it alone; return it instead of keeping it")
      .usage();
}

ComputingState::Tracing::Tracing(ComputingState& state, TraceScope& scope, std::shared_ptr<bool> running)
    : state_(state),
      before_(std::exchange(state.trace_, &scope)),
      running_before_(std::exchange(state.running_, running)),
      running_(std::move(running)) {
  scope.objects_before_ = state.adopted();
}

ComputingState::Tracing::~Tracing() {
  *running_ = false;
  state_.trace_ = before_;
  state_.running_ = running_before_;
}

std::optional<DType> ComputingState::operand_dtype(const Variable& weight) const {
  const DType own = weight.type().dtype;
  return autocast_ && is_floating(own) && own != *autocast_ ? autocast_ : std::nullopt;
}

Object ComputingState::traced(Value value, Value mask) const { return make_object(Traced{value, mask, running_}); }

namespace {

const Traced& running(const std::shared_ptr<void>& object) {
  const auto& traced = *std::static_pointer_cast<Traced>(object);
  if (!*traced.running) throw ended_trace();
  return traced;
}

Out mask(Call& call) {
  const Value found = running(call.self<Traced>()).mask;
  return found ? Out(ComputingState::of(call).traced(found)) : Out();
}

Results apply(Call& call, std::string_view operation, const std::vector<Object>& operands, Tree arguments) {
  Values inputs;
  for (const Object& operand : operands) inputs.push_back(traced_value(call, operand));
  TraceScope& scope = *ComputingState::of(call).trace();
  Results results;
  for (const Value& value : apply_operation(scope.context(), operation, std::move(inputs), std::move(arguments)))
    results.emplace_back(ComputingState::of(call).traced(value));
  return results;
}

// Arithmetic too.
std::span<const Function> metamethods() {
  static const std::vector<Function> all = [] {
    std::vector<Function> functions(operators().begin(), operators().end());
    functions.push_back({"__len", bound<length_of_tensor>});
    functions.push_back({"__pairs", bound<rows_of_tensor>});
    functions.push_back({"__eq", bound<refuse_comparison>});
    return functions;
  }();
  return all;
}

// As those of tensors.cpp.
constexpr Member members[] = {{"shape", nullptr, shape_of_tensor},   {"dtype", nullptr, dtype_of_tensor},
                              {"ndim", nullptr, ndim_of_tensor},     {"size", nullptr, size_of_tensor},
                              {"device", nullptr, device_of_tensor}, {"mask", nullptr, mask},
                              {"clone", bound<clone_tensor>},        {"rows", bound<rows_of_tensor>},
                              {"item", bound<item_of_one>},          {"totable", bound<table_of_tensor>}};

}  // namespace

template <>
const Class& class_of<Traced>() {
  static const Class kind{.name = "tensor",
                          .members = members,
                          .metamethods = metamethods(),
                          .text =
                              [](const Object& object) {
                                const auto& traced = *std::static_pointer_cast<Traced>(object.value);
                                return *traced.running ? fmt::format("tensor {}", traced.value.type())
                                                       : "tensor of a trace that has ended";
                              },
                          .other = operation_method,
                          .keeps_methods = true,
                          .other_names = operation_names,
                          .at = item_of_tensor,
                          .set_at = set_item_of_tensor,
                          .apply = apply};
  return kind;
}

void refuse_numbers(Call&) {
  throw Error("a function that is being traced has no numbers yet: they come when it runs")
      .hint("nacre.cond and nacre.while_loop decide by them; without nacre.compile the function runs as it is")
      .usage();
}

// --- operands -----------------------------------------------------------------------------------------------------

void want_value(const Call& call, const Weight& weight) {
  auto& state = ComputingState::of(call);
  if (weight.variable->has_value()) return;
  if (state.trace()) state.trace()->note_weight(weight);
  else initialize(weight, state.seed());
}

namespace {

const VariableRef& variable_of(const Call& call, const Object& object) {
  const Weight& weight = *std::static_pointer_cast<Weight>(object.value);
  want_value(call, weight);
  return weight.variable;
}

}  // namespace

bool is_tensor(const Object& object) {
  return object.kind == &class_of<eager::Array>() || object.kind == &class_of<Traced>() ||
         object.kind == &class_of<Weight>();
}

Type type_of_tensor(const Object& object) {
  if (object.kind == &class_of<Traced>()) return running(object.value).value.type();
  if (object.kind == &class_of<Weight>()) return std::static_pointer_cast<Weight>(object.value)->variable->type();
  return std::static_pointer_cast<eager::Array>(object.value)->value.type();
}

Value traced_value(const Call& call, const Object& object) {
  TraceScope& scope = *ComputingState::of(call).trace();
  if (object.kind == &class_of<Traced>()) return scope.import(running(object.value).value);
  if (object.kind == &class_of<Weight>()) {
    const VariableRef& variable = variable_of(call, object);
    const Value value = scope.graph().latest(variable);
    const auto dtype = ComputingState::of(call).operand_dtype(*variable);
    return dtype ? ops::cast(value, *dtype) : value;
  }
  const auto& array = *std::static_pointer_cast<eager::Array>(object.value);
  const eager::Eager* const eager = ComputingState::of(call).eager();
  if (eager && eager->followed(array))
    throw Error("{} comes from outside of the compiled function, and gradients are taken of it",
                object.kind->text(object))
        .hint("hand it over as an argument, or as nacre.stop_gradient(…)")
        .usage();
  const Tensor& value = array.value;
  if (value.dtype() == DType::string)
    throw Error("got {}, and a traced function has no texts of its own", object.kind->text(object))
        .hint("hand it over as an argument")
        .usage();
  return scope.graph().constant(value);
}

Value traced_mask(const Call& call, const Object& object) {
  TraceScope& scope = *ComputingState::of(call).trace();
  if (object.kind == &class_of<Traced>()) {
    const Value mask = running(object.value).mask;
    return mask ? scope.import(mask) : Value();
  }
  if (object.kind != &class_of<eager::Array>()) return {};
  const auto& mask = std::static_pointer_cast<eager::Array>(object.value)->mask;
  return mask ? scope.graph().constant(mask->value) : Value();
}

eager::Array array_of(const Call& call, const Object& object) {
  if (object.kind == &class_of<eager::Array>()) return *std::static_pointer_cast<eager::Array>(object.value);
  if (object.kind == &class_of<Weight>()) return ComputingState::of(call).eager()->read(variable_of(call, object));
  throw Error("got {}, whose numbers are not known while it is traced", object.kind->text(object)).usage();
}

Object array_object(eager::Array array) {
  const std::size_t bytes = array.value.bytes();
  return make_object(std::move(array), bytes);
}

void append_state(std::string& key, const Layer& layer) {
  const void* const address = &layer;
  key.append(reinterpret_cast<const char*>(&address), sizeof address);
  const int revision = layer.revision();
  key.append(reinterpret_cast<const char*>(&revision), sizeof revision);
  key += layer.trainable() ? 't' : 'f';
  for (const auto& inner : layer.sublayers()) append_state(key, *inner);
}

// --- work ---------------------------------------------------------------------------------------------------------

namespace {

std::vector<Object> trace(const Call& call, const Computation& work) {
  auto& state = ComputingState::of(call);
  Context& context = state.trace()->context();
  Values values, masks;
  for (const Object& operand : work.operands) {
    values.push_back(traced_value(call, operand));
    masks.push_back(work.masked ? traced_mask(call, operand) : Value());
  }
  const bool training = context.training();
  const std::size_t before = context.losses().size();
  context.set_training(work.training && context.seed());  // training draws random numbers
  const Computation::Result result = work.emit(context, values, masks);
  context.set_training(training);
  if (work.penalties)
    for (std::size_t i = before; i < context.losses().size(); ++i)
      work.penalties->push_back(state.traced(context.losses()[i]));
  std::vector<Object> objects;
  for (std::size_t i = 0; i < result.values.size(); ++i)
    objects.push_back(state.traced(result.values[i], result.masks.empty() ? Value() : result.masks[i]));
  return objects;
}

void append(std::string& key, const Type& type) {
  key += static_cast<char>('A' + static_cast<int>(type.dtype));
  key += static_cast<char>(type.shape.rank());
  for (const std::int64_t size : type.shape) key.append(reinterpret_cast<const char*>(&size), sizeof size);
}

// An operand at once: an array, or a weight, which the graph reads where it lies.
struct AtOnce {
  const eager::Array* array = nullptr;
  VariableRef variable{};

  AtOnce(const Call& call, const Object& object) {
    if (object.kind == &class_of<Weight>()) variable = variable_of(call, object);
    else array = std::static_pointer_cast<eager::Array>(object.value).get();
  }
  const eager::Array* mask(bool masked) const { return masked && array ? array->mask.get() : nullptr; }
};

// The graph: inputs are the arrays, the masks that there are, then seed and step. Outputs are the results, then the
// penalties, then masks, "mask 3" of the result 3.
std::unique_ptr<Graph> graph_of(const Computation& work, std::span<const AtOnce> operands) {
  auto graph = std::make_unique<Graph>();
  Values values, masks;
  for (const AtOnce& operand : operands)
    values.push_back(operand.array ? graph->input(fmt::format("x{}", values.size()), operand.array->value.type())
                                   : graph->variable(operand.variable));
  for (const AtOnce& operand : operands) {
    const eager::Array* const mask = operand.mask(work.masked);
    masks.push_back(mask ? graph->input(fmt::format("mask {}", masks.size()), mask->value.type()) : Value());
  }
  const Type whole{DType::int64, {}};
  const Value seed = work.random ? graph->input("seed", whole) : Value(),
              step = work.random ? graph->input("step", whole) : Value();
  Context context(*graph, work.training, seed, step);
  const Computation::Result result = work.emit(context, values, masks);
  for (std::size_t i = 0; i < result.values.size(); ++i) graph->output(fmt::format("y{}", i), result.values[i]);
  for (const Value loss : context.losses()) graph->output(fmt::format("loss {}", graph->outputs().size()), loss);
  for (std::size_t i = 0; i < result.masks.size(); ++i)
    if (result.masks[i]) graph->output(fmt::format("mask {}", i), result.masks[i]);
  return graph;
}

// Before they are computed: there is memory for the results. `most`: bytes; 0: of the machine.
void check_results(const Graph& graph, std::size_t most) {
  for (const auto& [name, value] : graph.outputs()) {
    if (!value.shape().known()) continue;
    if (most > 0 && value.type().bytes() > most)
      throw Error("tensors take more than {} MiB: a result would be {}", most >> 20, value.type()).usage();
    want_memory(value.type().bytes(), value.type().text());
  }
}

}  // namespace

Object cast(const Call& call, const Object& operand, DType dtype) {
  const ComputingState::Autocast none(ComputingState::of(call), {});
  Computation work{.key = fmt::format("cast {}", name_of(dtype)), .operands = {operand}, .masked = true};
  work.emit = [dtype](Context&, const Values& values, const Values& masks) -> Computation::Result {
    return {{ops::cast(values[0], dtype)}, masks};
  };
  return compute(call, std::move(work)).front();
}

std::vector<Object> compute(const Call& call, Computation work) {
  auto& state = ComputingState::of(call);
  bool traced = work.traced && state.trace();
  for (const Object& operand : work.operands) traced = traced || operand.kind == &class_of<Traced>();
  if (traced) {
    if (!state.trace()) throw ended_trace();
    return trace(call, work);
  }
  for (Object& operand : work.operands)
    if (operand.kind == &class_of<Weight>())
      if (const auto dtype = state.operand_dtype(*std::static_pointer_cast<Weight>(operand.value)->variable))
        operand = cast(call, operand, *dtype);
  eager::Eager& eager = *state.eager();
  std::string key = std::move(work.key);
  key += work.training ? " t" : " i";
  std::vector<AtOnce> operands;
  eager::Arrays inputs;
  for (const Object& object : work.operands) {
    const AtOnce& operand = operands.emplace_back(call, object);
    if (operand.array) {
      append(key, operand.array->value.type());
      inputs.push_back(*operand.array);
    } else {
      const void* const address = operand.variable.get();
      (key += 'V').append(reinterpret_cast<const char*>(&address), sizeof address);
    }
  }
  for (const AtOnce& operand : operands)
    if (const eager::Array* const mask = operand.mask(work.masked)) {
      append(key, mask->value.type());
      inputs.push_back(*mask);
    } else {
      key += '-';
    }
  const auto make = [&] {
    auto graph = graph_of(work, operands);
    check_results(*graph, state.limits().held);
    return graph;
  };
  const std::shared_ptr<eager::Program> program = eager.program(key, make, work.owner);
  if (work.random) {
    const ComputingState::Draws draws = state.next_draws();
    inputs.push_back({Tensor::scalar(draws.seed)});
    inputs.push_back({Tensor::scalar(draws.step)});
  }
  eager::Arrays results = eager.run(program, std::move(inputs));
  const std::vector<Graph::NamedValue>& outputs = program->graph().outputs();
  for (std::size_t i = outputs.size(); i-- > 0 && outputs[i].name.front() == 'm';)
    results[static_cast<std::size_t>(std::stoul(outputs[i].name.substr(5)))].mask =
        std::make_shared<const eager::Array>(std::move(results[i]));
  std::vector<Object> objects;
  for (std::size_t i = 0; i < outputs.size() && outputs[i].name.front() != 'm'; ++i) {
    std::vector<Object>& kind = outputs[i].name.front() == 'y' ? objects : *work.penalties;
    kind.push_back(array_object(std::move(results[i])));
  }
  return objects;
}

}  // namespace nacre::scripting
