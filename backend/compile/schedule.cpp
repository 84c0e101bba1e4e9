#include "backend/compile/schedule.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "backend/beginning_kernel.h"
#include "backend/core/memory.h"
#include "backend/graph/flops.h"
#include "backend/graph/ops/all_reduce.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"

namespace nacre::compile {

namespace {

class Scheduler {
 public:
  Scheduler(const Graph& graph, const Backend& backend, Numerics numerics, Borders borders)
      : graph_(graph), backend_(backend), numerics_(numerics), borders_(borders), places_(graph.nodes().size()) {}

  Schedule run() {
    for (const auto& [variable, value] : graph_.variables()) add_slot(variable, value);
    for (const Node* node : graph_.nodes()) {
      finish_operands_of(*node);
      add(*node);
    }
    while (!under_way_.empty()) finish(under_way_.begin());
    for (const auto& [name, value] : graph_.outputs()) {
      const int place = place_of(value);
      const Layout wanted = border(value.type());
      settle(place, wanted);
      result_.outputs.push_back(in_layout(place, wanted));
    }
    for (const auto& [variable, value] : graph_.updates()) {
      const int slot = slot_of(variable), place = place_of(value);
      settle(place, Layout::plain());
      const int old = place_of(graph_slot_values_[static_cast<std::size_t>(slot)]);
      settle(old, result_.places[static_cast<std::size_t>(place)].layout);
      result_.updates.emplace_back(slot, in_layout(place, result_.slots[static_cast<std::size_t>(slot)].layout));
    }
    for (Value value : graph_slot_values_) settle(place_of(value), Layout::plain());

    result_.prologue = static_cast<int>(prologue_.size());
    result_.steps = std::move(prologue_);
    join_arrivals();
    std::move(arrivals_.begin(), arrivals_.end(), std::back_inserter(result_.steps));
    std::move(main_.begin(), main_.end(), std::back_inserter(result_.steps));
    note_reads();
    return std::move(result_);
  }

 private:
  Layout border(const Type& type) const {
    return borders_ == Borders::row_major ? backend_.row_major(type) : Layout::plain();
  }

  Place& place(int index) { return result_.places[static_cast<std::size_t>(index)]; }
  int place_of(Value value) const {
    return places_[static_cast<std::size_t>(value.node().id())][static_cast<std::size_t>(value.index())];
  }

  int slot_of(const VariableRef& variable) const {
    for (std::size_t i = 0; i < result_.slots.size(); ++i)
      if (result_.slots[i].variable == variable) return static_cast<int>(i);
    throw InternalError("variable '{}' has no slot", variable->path());
  }

  int add_place(const Type& type, Layout layout, Storage storage, bool fixed) {
    storage.bytes = layout.is_any() ? 0 : layout.bytes(type);
    result_.storages.push_back(storage);
    result_.places.push_back({type, std::move(layout), static_cast<int>(result_.storages.size()) - 1, fixed});
    return static_cast<int>(result_.places.size()) - 1;
  }

  // Another executable that updates the variable has chosen its layout; one that only reads it has not.
  void add_slot(const VariableRef& variable, Value value) {
    Slot slot{.variable = variable, .updated = graph_.is_updated(variable)};
    if (const auto present = residence_on(backend_, *variable); present && (present->updated() || !slot.updated))
      slot.layout = present->layout();
    const int index = static_cast<int>(result_.slots.size());
    const int at =
        add_place(variable->type(), slot.layout, {.kind = Storage::Kind::slot, .index = index}, !slot.updated);
    slot.storage = place(at).storage;
    places_[static_cast<std::size_t>(value.node().id())] = {at};
    graph_slot_values_.push_back(value);
    result_.slots.push_back(std::move(slot));
  }

  // Gives a value that nobody has laid out yet its layout: a variable, or what waits for it. `at_rest`, unless it is any,
  // is that of the variable, which the value may be a cast of.
  void settle(int index, const Layout& layout, const Layout& at_rest = Layout::any()) {
    const Place at = place(index);
    if (!at.layout.is_any()) return;
    Layout chosen = layout.is_any() ? Layout::plain() : layout;
    const auto waiting = std::find_if(waiting_.begin(), waiting_.end(),
                                      [&](const Waiting& one) { return place(one.output).storage == at.storage; });
    if (waiting != waiting_.end()) chosen = build(*waiting, chosen, at_rest);
    else if (!at_rest.is_any()) chosen = at_rest;
    for (Place& seen : result_.places)  // by itself and through views
      if (seen.storage == at.storage) seen.layout = chosen;
    Storage& storage = result_.storages[static_cast<std::size_t>(at.storage)];
    storage.bytes = chosen.bytes(at.type);
    if (storage.kind == Storage::Kind::slot) result_.slots[static_cast<std::size_t>(storage.index)].layout = chosen;
  }

  // What can be written in any order waits for the first that reads it, and has the order that is wanted there: casts of
  // variables that wait themselves, and what is repeated.
  struct Waiting {
    const Node* node;
    int input, output;
  };
  KernelPlan plan_of(const Waiting& waiting, const Layout& given, const Layout& wanted) const {
    return row_of(*waiting.node).build({.node = *waiting.node, .inputs = {&given, 1}, .backend = backend_, .wanted = wanted});
  }
  Layout build(Waiting waiting, const Layout& wanted, const Layout& at_rest) {
    Layout given = place(waiting.input).layout;
    if (given.is_any()) given = at_rest;
    KernelPlan plan = plan_of(waiting, given, wanted);
    settle(waiting.input, plan.inputs[0]);
    const Layout chosen = plan.outputs[0];
    const int input = in_layout(waiting.input, plan.inputs[0]);
    append_kernel(*waiting.node, std::move(plan), {input}, {waiting.output}, place(waiting.output).fixed);
    return chosen;
  }

  // Another cast of the same variable, in the order that is wanted; none when its kernel gives no such order.
  std::optional<int> cast_again(int index, const Layout& layout) {
    const auto first = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& one) {
      return one.output == index && one.node->is(op::cast) && one.node->in(0).is(op::variable);
    });
    if (first == waiting_.end()) return {};
    const Waiting cast = *first;
    const Layout given = place(cast.input).layout;
    KernelPlan plan = plan_of(cast, given, layout);
    if (plan.inputs[0] != given || plan.outputs[0] != layout) return {};
    const Place from = place(index);
    const int copy = add_place(from.type, layout, {}, from.fixed);
    append_kernel(*cast.node, std::move(plan), {cast.input}, {copy}, from.fixed);
    return copy;
  }

  void append(Step step, bool fixed) { (fixed ? prologue_ : main_).push_back(std::move(step)); }

  // The value in that layout: itself, a copy made before, or a new one.
  int in_layout(int index, const Layout& layout) {
    if (place(index).layout == layout) return index;
    for (const auto& [original, copy] : copies_)
      if (original == index && place(copy).layout == layout) return copy;
    if (const auto copy = cast_again(index, layout)) {
      copies_.emplace_back(index, *copy);
      return *copy;
    }
    const Place from = place(index);
    const int copy = add_place(from.type, layout, {}, from.fixed);
    copies_.emplace_back(index, copy);
    Step step{.name = "reorder", .inputs = {index}, .outputs = {copy}};
    step.kernel = backend_.reorder(from.type, from.layout, layout);
    const bool arrives = !backend_.shares_host_memory() && from.layout.is_plain() &&
                         result_.storages[static_cast<std::size_t>(from.storage)].kind == Storage::Kind::input;
    if (arrives) arrivals_.push_back(std::move(step));
    else append(std::move(step), from.fixed);
    if (!from.fixed) {
      const bool weight = std::any_of(result_.slots.begin(), result_.slots.end(),
                                      [&](const Slot& slot) { return slot.variable->shape() == from.type.shape; });
      ++(weight ? result_.weight_reorders : result_.activation_reorders);
    }
    return copy;
  }

  // Where the backend has a way for all of them at once.
  void join_arrivals() {
    if (arrivals_.empty()) return;
    Step joined{.name = "arrival"};
    Types types;
    for (const Step& step : arrivals_) {
      const Place& to = place(step.outputs[0]);
      if (to.layout != backend_.row_major(to.type)) return;
      types.push_back(to.type);
      joined.inputs.push_back(step.inputs[0]);
      joined.outputs.push_back(step.outputs[0]);
    }
    joined.kernel = backend_.arrivals(types);
    if (!joined.kernel) return;
    arrivals_.clear();
    arrivals_.push_back(std::move(joined));
  }

  void add_leaf(const Node& node) {
    Storage storage;
    Layout layout = Layout::plain();
    if (node.is(op::input)) {
      layout = border(node.types()[0]);
      const auto& inputs = graph_.inputs();
      const auto found = std::find_if(inputs.begin(), inputs.end(),
                                      [&](const Graph::NamedValue& in) { return in.value == node.out(); });
      storage = {.kind = Storage::Kind::input, .index = static_cast<int>(found - inputs.begin())};
    } else {
      storage = {.kind = Storage::Kind::constant, .constant = node.attrs<ConstantAttrs>().value.raw()};
    }
    places_[static_cast<std::size_t>(node.id())] = {add_place(node.types()[0], layout, storage, node.is(op::constant))};
  }

  static void want_room(const Node& node) {
    try {
      for (const Type& type : node.types()) want_memory(type.bytes(), type.text());
    } catch (Error& error) {
      if (!node.label().empty()) error.about(node.label());
      throw;
    }
  }

  void add(const Node& node) {
    for (const Type& type : node.types())
      ensure(type.shape.known(), "'{}' was compiled with the shape {}", node.op().name, type);
    if (node.is(op::variable)) return;
    if (node.op().kind == OpKind::leaf) return add_leaf(node);

    std::vector<int> inputs;
    std::vector<Layout> layouts;
    std::vector<char> fixed_inputs;
    bool fixed = !node.is(op::all_reduce);  // all processes come to it in every run
    for (Value value : node.inputs()) {
      inputs.push_back(place_of(value));
      layouts.push_back(place(inputs.back()).layout);
      fixed_inputs.push_back(place(inputs.back()).fixed);
      fixed = fixed && fixed_inputs.back();
    }
    std::vector<int>& outputs = places_[static_cast<std::size_t>(node.id())];
    if (std::all_of(node.types().begin(), node.types().end(),
                    [](const Type& type) { return type.shape.elements() == 0; })) {
      for (const Type& type : node.types()) outputs.push_back(add_place(type, Layout::plain(), {}, fixed));
      return;  // nothing to compute
    }

    if (backend_.shares_host_memory()) want_room(node);
    if ((node.is(op::cast) && layouts[0].is_any()) || node.is(op::broadcast_to)) {
      outputs.push_back(add_place(node.types()[0], Layout::any(), {}, fixed));
      waiting_.push_back({&node, inputs[0], outputs[0]});
      return;
    }
    KernelPlan plan = row_of(node).build(
        {.node = node, .inputs = layouts, .backend = backend_, .numerics = numerics_, .fixed = fixed_inputs});
    ensure(plan.inputs.size() == inputs.size() && plan.outputs.size() == node.types().size(),
           "the kernel of '{}' states {} input and {} output layouts", node.op().name, plan.inputs.size(),
           plan.outputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (plan.kernel || !plan.inputs[i].is_any())
        settle(inputs[i], plan.inputs[i], plan.at_rest.empty() ? Layout::any() : plan.at_rest[i]);
      if (plan.inputs[i].is_any()) continue;  // as it comes
      if (plan.kernel || i == 0) inputs[i] = in_layout(inputs[i], plan.inputs[i]);
    }
    for (std::size_t i = 0; i < node.types().size(); ++i) {
      if (plan.kernel) {
        outputs.push_back(add_place(node.types()[i], plan.outputs[i], {}, fixed));
      } else {
        result_.places.push_back({node.types()[i], plan.outputs[i], place(inputs[0]).storage, place(inputs[0]).fixed});
        outputs.push_back(static_cast<int>(result_.places.size()) - 1);
      }
    }
    if (plan.kernel) append_kernel(node, std::move(plan), std::move(inputs), outputs, fixed);
  }

  const KernelRow& row_of(const Node& node) const {
    if (const KernelRow* row = backend_.row(node)) return *row;
    std::string types;
    for (Value value : node.inputs()) types += (types.empty() ? "" : ", ") + value.type().text();
    Error error("'{}' of ({}) has no kernel on the {} backend", node.op().name, types, backend_.name());
    throw node.label().empty() ? std::move(error) : std::move(error).about(node.label());
  }

  void append_kernel(const Node& node, KernelPlan plan, std::vector<int> inputs, std::vector<int> outputs, bool fixed) {
    Step step{.name = std::string(node.op().name), .label = node.label(), .kernel = std::move(plan.kernel)};
    step.inputs = std::move(inputs);
    step.outputs = std::move(outputs);
    step.in_place = std::move(plan.in_place);
    step.scratch_bytes = plan.scratch_bytes;
    step.flops = flops_of(node);
    step.borrowed = plan.borrowed;
    if (const auto* begins = dynamic_cast<const BeginningKernel*>(step.kernel.get())) begin(node, step, *begins);
    append(std::move(step), fixed);
  }

  // Of work that goes on beside other kernels: the step begins it, another one gives its results.
  void begin(const Node& node, Step& step, const BeginningKernel& kernel) {
    const auto bytes = static_cast<std::int64_t>(kernel.state_bytes());
    const int state = add_place({DType::uint8, {bytes}}, Layout::plain(), {}, false);
    Step rest{.name = "wait", .label = step.label, .kernel = kernel.rest(), .inputs = {state}, .outputs = {}};
    rest.outputs = std::exchange(step.outputs, {state});
    if (kernel.in_place()) step.in_place = rest.in_place = {{0, 0}};
    step.inputs.resize(operands_read_by(node));
    under_way_.emplace_back(&node, std::move(rest));
  }
  static std::size_t operands_read_by(const Node& node) {
    const bool only_waits = node.is(op::all_reduce) && node.attrs<AllReduceAttrs>().follows;
    return node.inputs().size() - (only_waits ? 1 : 0);
  }
  using UnderWay = std::vector<std::pair<const Node*, Step>>;
  void finish_operands_of(const Node& node) {
    for (std::size_t i = 0; i < operands_read_by(node) && !under_way_.empty(); ++i)
      if (const auto found = std::ranges::find(under_way_, &node.in(static_cast<int>(i)).node(), &UnderWay::value_type::first);
          found != under_way_.end())
        finish(found);
  }
  void finish(UnderWay::iterator one) {
    append(std::move(one->second), false);
    under_way_.erase(one);
  }

  void note_reads() {
    auto read = [&](int index) {
      const Storage& storage = result_.storages[static_cast<std::size_t>(place(index).storage)];
      if (storage.kind == Storage::Kind::slot) result_.slots[static_cast<std::size_t>(storage.index)].read = true;
    };
    for (const Step& step : result_.steps) std::for_each(step.inputs.begin(), step.inputs.end(), read);
    std::for_each(result_.outputs.begin(), result_.outputs.end(), read);
    for (const auto& [slot, place] : result_.updates) read(place);
  }

  const Graph& graph_;
  const Backend& backend_;
  Numerics numerics_;
  Borders borders_;
  Schedule result_;
  std::vector<Step> prologue_, main_;
  std::vector<Step> arrivals_;  // copies of inputs from the host: first of all, so that the rest is one piece
  std::vector<std::vector<int>> places_;     // of each node's outputs, by node id
  Values graph_slot_values_;                 // the variable node of each slot
  std::vector<std::pair<int, int>> copies_;  // place and the same value in another layout
  std::vector<Waiting> waiting_;
  UnderWay under_way_;  // work that has begun, and the steps that give its results
};

}  // namespace

Schedule schedule(const Graph& graph, const Backend& backend, Numerics numerics, Borders borders) {
  return Scheduler(graph, backend, numerics, borders).run();
}

}  // namespace nacre::compile
