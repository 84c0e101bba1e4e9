#include "backend/executable.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "backend/compile/largest_batch.h"
#include "backend/compile/memory.h"
#include "backend/compile/recorded_runs.h"
#include "backend/compile/slot_binding.h"
#include "backend/compile/stand_alone.h"
#include "backend/core/clock.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/passes/pipeline.h"

namespace nacre {

namespace {

using compile::Storage;

// Memory whose address may differ from run to run, and the kernel arguments that hold addresses in it.
class MovingMemory {
 public:
  void add(const void** reader, std::size_t offset) { readers_.push_back({reader, offset}); }
  void add(void** writer, std::size_t offset) { writers_.push_back({writer, offset}); }
  // Whether it was elsewhere.
  bool move_to(void* address) {
    if (address == address_) return false;
    address_ = address;
    for (const auto& [reader, offset] : readers_) *reader = static_cast<std::byte*>(address) + offset;
    for (const auto& [writer, offset] : writers_) *writer = static_cast<std::byte*>(address) + offset;
    return true;
  }

 private:
  template <class Pointer>
  struct Holder {
    Pointer* pointer;
    std::size_t offset;
  };
  void* address_ = nullptr;
  std::vector<Holder<const void*>> readers_;
  std::vector<Holder<void*>> writers_;
};

Types types_of(const std::vector<Graph::NamedValue>& values) {
  Types types;
  for (const auto& [name, value] : values) types.push_back(value.type());
  return types;
}

}  // namespace

struct Executable::Implementation {
  Implementation(const Graph& source, const Backend& on, std::shared_ptr<Workspace> shared, Numerics numerics,
                 Borders borders)
      : backend(on),
        graph(run_passes(source, on, on.passes())),
        schedule(compile::schedule(*graph, on, numerics, borders)),
        memory(compile::plan_memory(schedule, on)),
        input_types(types_of(graph->inputs())),
        output_types(types_of(graph->outputs())),
        workspace(shared ? std::move(shared) : std::make_shared<Workspace>(on)),
        persistent(on.allocate(memory.persistent_bytes)) {
    reserve();
    for (const compile::Slot& slot : schedule.slots)
      slots.emplace_back(slot.variable, slot.layout, slot.read, slot.updated, backend);
    changed.resize(slots.size());
    resolve();
    if (Recorder* const recorder = backend.recorder(); recorder && borders == Borders::plain)
      recorded.emplace(*recorder, schedule, arguments);
    count();
  }
  ~Implementation() {  // what is under way ends before its memory and its kernels go
    try {
      backend.wait();
    } catch (const Error&) {  // the device has been shut down, and what it did with it
    }
    recorded.reset();  // it replays what the kernels hold
    schedule.steps.clear();
  }

  void reserve() {
    try {
      workspace->reserve(memory.arena_bytes);
    } catch (Error& error) {
      const Shape scalar, &first = input_types.empty() ? scalar : input_types[0].shape;
      const std::int64_t batch = first.rank() > 0 ? first[0] : 1;
      if (const std::int64_t most = compile::largest_batch(backend, batch, memory.arena_bytes); most > 0)
        error.hint(fmt::format("there is room for a batch of about {} instead of {}", most, batch));
      throw;
    }
  }

  // Tells the memory that every operand of every kernel lies in where to put its address.
  void resolve() {
    inputs.resize(input_types.size());
    outputs.resize(output_types.size());
    slot_memory.resize(slots.size());
    std::size_t reads = 0, writes = 0;
    for (const compile::Step& step : schedule.steps) reads += step.inputs.size(), writes += step.outputs.size();
    read_addresses.reserve(reads);  // spans into these stay valid
    write_addresses.reserve(writes);
    arguments.reserve(schedule.steps.size());
    for (std::size_t s = 0; s < schedule.steps.size(); ++s) {
      const compile::Step& step = schedule.steps[s];
      const std::size_t read = read_addresses.size(), written = write_addresses.size();
      for (int in : step.inputs) {
        read_addresses.push_back(storage_of(in).constant);
        if (MovingMemory* moving = memory_of(in)) moving->add(&read_addresses.back(), offset_of(in));
      }
      for (int out : step.outputs) {
        write_addresses.push_back(nullptr);
        memory_of(out)->add(&write_addresses.back(), offset_of(out));
      }
      arguments.push_back({.inputs = {read_addresses.data() + read, step.inputs.size()},
                           .outputs = {write_addresses.data() + written, step.outputs.size()},
                           .scratch = nullptr});
      arena.add(&arguments.back().scratch, memory.scratch[s]);
    }
    persistent_memory.move_to(persistent.get());
  }

  const Storage& storage_of(int place) const {
    return schedule.storages[static_cast<std::size_t>(schedule.places[static_cast<std::size_t>(place)].storage)];
  }
  std::size_t offset_of(int place) const {
    return memory.offsets[static_cast<std::size_t>(schedule.places[static_cast<std::size_t>(place)].storage)];
  }
  // Null for constants.
  MovingMemory* memory_of(int place) {
    const auto index = static_cast<std::size_t>(storage_of(place).index);
    switch (storage_of(place).kind) {
      case Storage::Kind::temporary: return &arena;
      case Storage::Kind::persistent: return &persistent_memory;
      case Storage::Kind::constant: return nullptr;
      case Storage::Kind::input: return &inputs[index];
      case Storage::Kind::output: return &outputs[index];
      case Storage::Kind::slot: break;
    }
    return &slot_memory[index];
  }

  void count() {
    statistics.arena_bytes = memory.arena_bytes;
    statistics.persistent_bytes = memory.persistent_bytes;
    for (const compile::Slot& slot : schedule.slots) {
      const auto present = compile::residence_on(backend, *slot.variable);
      if (!present || present->layout() != slot.layout)
        statistics.variable_bytes += slot.layout.bytes(slot.variable->type());
    }
    for (const Storage& storage : schedule.storages)
      if (storage.kind == Storage::Kind::constant) statistics.persistent_bytes += storage.bytes;
    statistics.prologue_kernels = schedule.prologue;
    statistics.kernels = static_cast<int>(schedule.steps.size()) - schedule.prologue;
    for (const compile::Step& step : schedule.steps) statistics.borrowed += step.borrowed;
    if (recorded) statistics.recorded_kernels = recorded->kernels();
    statistics.activation_reorders = schedule.activation_reorders;
    statistics.weight_reorders = schedule.weight_reorders;
  }

  // Whether what the prologue read has changed.
  bool refresh() {
    bool any_changed = !prologue_done;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (slots[i].refresh()) {
        changed[i] = true;  // until the prologue has run
        if (slot_memory[i].move_to(slots[i].raw())) moved();
      }
      any_changed = any_changed || changed[i];
    }
    return any_changed;
  }

  // Of memory that recorded kernels use.
  void moved() {
    if (recorded) recorded->forget();
  }

  // Of all its kernels, where all of them may be recorded.
  std::int64_t launches() const {
    if (!slots.empty()) return 0;
    std::int64_t sum = 0;
    for (std::size_t s = static_cast<std::size_t>(schedule.prologue); s < schedule.steps.size(); ++s) {
      const std::int64_t own = schedule.steps[s].kernel->launches();
      if (own == 0) return 0;
      sum += own;
    }
    return sum;
  }

  std::size_t bytes_to_come() const {
    if (prologue_done) return 0;
    std::size_t bytes = memory.persistent_bytes + (workspace->used() ? 0 : memory.arena_bytes);
    for (const Type& type : output_types) bytes += type.bytes();
    return bytes;
  }

  // Outputs of other types than the graph's are made anew.
  template <class Make>
  void run(std::span<const Tensor> given, std::vector<Tensor>& taken, Make make) {
    ensure(given.size() == inputs.size(), "{} inputs for an executable of {}", given.size(), inputs.size());
    for (std::size_t i = 0; i < given.size(); ++i) {
      ensure(given[i].type() == input_types[i], "input '{}' is {}, got {}", graph->inputs()[i].name, input_types[i],
             given[i].type());
      inputs[i].move_to(const_cast<void*>(given[i].raw()));  // only readers are registered for inputs
    }
    taken.resize(outputs.size());
    for (std::size_t i = 0; i < taken.size(); ++i) {
      if (taken[i].type() != output_types[i]) taken[i] = make(output_types[i]);
      outputs[i].move_to(taken[i].raw_writable());
    }
    run();
  }

  void run() {
    if (arena.move_to(workspace->raw())) moved();
    workspace->use();
    const auto prologue = static_cast<std::size_t>(schedule.prologue);
    if (refresh()) {
      for (std::size_t s = 0; s < prologue; ++s) {
        bool needed = !prologue_done;
        for (std::size_t i = 0; i < slots.size(); ++i) needed = needed || (changed[i] && memory.prologue[s][i]);
        if (needed) schedule.steps[s].kernel->run(arguments[s]);
      }
      prologue_done = true;
      std::fill(changed.begin(), changed.end(), false);
      statistics.variable_bytes = 0;
      for (const compile::SlotBinding& slot : slots) statistics.variable_bytes += slot.own_bytes();
    }
    // Before the kernels write, so that copies elsewhere are stale also when one of them throws.
    for (compile::SlotBinding& slot : slots)
      if (slot.updated()) slot.mark_updated();
    if (Profile* const asked = std::exchange(alone, nullptr)) return run_alone(prologue, *asked);
    if (profile) return run_profiled(prologue);
    if (recorded) return recorded->run();
    for (std::size_t s = prologue; s < schedule.steps.size(); ++s) schedule.steps[s].kernel->run(arguments[s]);
  }

  void run_profiled(std::size_t prologue) {
    double begin = now();
    for (std::size_t s = prologue; s < schedule.steps.size(); ++s) {
      schedule.steps[s].kernel->run(arguments[s]);
      backend.wait();
      const double end = now();
      profile->kernels[s - prologue].seconds += end - begin;
      if (profile->events.size() < profile->max_events) profile->events.push_back({s - prologue, begin, end});
      begin = end;
    }
    ++profile->runs;
  }

  void run_alone(std::size_t prologue, Profile& asked) {
    compile::StandAlone stand_alone(backend);
    for (std::size_t s = prologue; s < schedule.steps.size(); ++s) {
      const compile::StandAlone::Times times =
          stand_alone.measure(*schedule.steps[s].kernel, arguments[s], overwritten_by(s));
      asked.kernels[s - prologue].cold = times.cold;
      asked.kernels[s - prologue].warm = times.warm;
    }
  }

  // Results that lie where operands lie.
  std::vector<compile::StandAlone::Overwritten> overwritten_by(std::size_t s) const {
    const compile::Step& step = schedule.steps[s];
    const auto place = [&](int index) -> const compile::Place& { return schedule.places[static_cast<std::size_t>(index)]; };
    std::vector<compile::StandAlone::Overwritten> overwritten;
    for (std::size_t out = 0; out < step.outputs.size(); ++out) {
      const compile::Place& result = place(step.outputs[out]);
      if (std::ranges::any_of(step.inputs, [&](int in) { return place(in).storage == result.storage; }))
        overwritten.push_back({arguments[s].outputs[out], result.layout.bytes(result.type)});
    }
    return overwritten;
  }

  Profile::Kernel described(const compile::Step& step) const;
  std::string text() const;
  std::string text_of(int place) const;

  const Backend& backend;
  std::unique_ptr<Graph> graph;  // after the passes; keeps constants alive
  compile::Schedule schedule;
  compile::MemoryPlan memory;
  Types input_types, output_types;
  ExecutableStatistics statistics;

  std::shared_ptr<Workspace> workspace;
  std::shared_ptr<std::byte[]> persistent;
  std::vector<compile::SlotBinding> slots;
  MovingMemory arena, persistent_memory;
  std::vector<MovingMemory> inputs, outputs, slot_memory;
  std::vector<const void*> read_addresses;
  std::vector<void*> write_addresses;
  std::vector<KernelArguments> arguments;  // of each step
  std::optional<compile::RecordedRuns> recorded;
  std::vector<char> changed;               // slots, since the prologue ran
  bool prologue_done = false;
  Profile *profile = nullptr, *alone = nullptr;
};

// "float32(8, 10) plain arena+4096"
std::string Executable::Implementation::text_of(int index) const {
  const compile::Place& place = schedule.places[static_cast<std::size_t>(index)];
  const Storage& storage = storage_of(index);
  const std::size_t offset = offset_of(index);
  std::string where;
  switch (storage.kind) {
    case Storage::Kind::temporary: where = fmt::format("arena+{}", offset); break;
    case Storage::Kind::persistent: where = fmt::format("persistent+{}", offset); break;
    case Storage::Kind::constant: where = "constant"; break;
    case Storage::Kind::input:
      where = fmt::format("input {}", graph->inputs()[static_cast<std::size_t>(storage.index)].name);
      break;
    case Storage::Kind::output:
      where = fmt::format("output {}", graph->outputs()[static_cast<std::size_t>(storage.index)].name);
      break;
    case Storage::Kind::slot: where = schedule.slots[static_cast<std::size_t>(storage.index)].variable->path(); break;
  }
  return fmt::format("{} {} {}", place.type, place.layout.text(), where);
}

std::string Executable::Implementation::text() const {
  auto list = [&](const std::vector<int>& places) {
    std::string text;
    for (int place : places) text += (text.empty() ? "" : ", ") + text_of(place);
    return text;
  };
  std::string text;
  for (std::size_t s = 0; s < schedule.steps.size(); ++s) {
    const compile::Step& step = schedule.steps[s];
    text += fmt::format("{}{}{}({}) -> {}{}{}\n", s < static_cast<std::size_t>(schedule.prologue) ? "prologue " : "",
                        step.name, step.borrowed ? " (borrowed)" : "", list(step.inputs), list(step.outputs),
                        step.label.empty() ? "" : "  ", step.label);
  }
  return text;
}

Profile::Kernel Executable::Implementation::described(const compile::Step& step) const {
  Profile::Kernel kernel{.op = step.name, .label = step.label, .result = "", .borrowed = step.borrowed, .flops = step.flops};
  const auto place = [&](int index) -> const compile::Place& { return schedule.places[static_cast<std::size_t>(index)]; };
  const auto bytes = [&](int index) { return place(index).layout.bytes(place(index).type); };
  for (int in : step.inputs) kernel.bytes += bytes(in);
  for (int out : step.outputs) kernel.bytes += bytes(out);
  // Of a table only the rows that are asked for are read.
  if (step.name == op::gather.name) kernel.bytes -= bytes(step.inputs[0]) - std::min(bytes(step.inputs[0]), bytes(step.outputs[0]));
  if (!step.outputs.empty()) {
    const compile::Place& result = place(step.outputs[0]);
    kernel.result = fmt::format("{} {}", result.type, result.layout.text());
  }
  return kernel;
}

void Workspace::reserve(std::size_t bytes) {
  if (memory_ && bytes <= bytes_) return;
  memory_.reset();
  memory_ = backend_.allocate(bytes);
  bytes_ = bytes;
  used_ = false;
}

Executable::Executable(const Graph& graph, const Backend& backend, std::shared_ptr<Workspace> workspace,
                       Numerics numerics, Borders borders)
    : implementation_(std::make_unique<Implementation>(graph, backend, std::move(workspace), numerics, borders)) {}
Executable::~Executable() = default;

void Executable::run(std::span<const Tensor> inputs, std::vector<Tensor>& outputs) {
  Implementation& self = *implementation_;
  self.run(inputs, outputs, [](const Type& type) { return Tensor::uninitialised(type); });
  if (!outputs.empty()) self.backend.wait();
}

void Executable::start(std::span<const Tensor> inputs, Results& results) {
  Implementation& self = *implementation_;
  self.run(inputs, results.tensors_,
           [&](const Type& type) { return Tensor::wrap(type, self.backend.result_memory(type.bytes())); });
  if (results.fence_) results.fence_->set();
}

std::vector<Tensor> Executable::run(std::span<const Tensor> inputs) {
  std::vector<Tensor> outputs;
  run(inputs, outputs);
  return outputs;
}

void Executable::run_raw(std::span<const void* const> inputs, std::span<void* const> outputs) {
  Implementation& self = *implementation_;
  ensure(inputs.size() == self.inputs.size() && outputs.size() == self.outputs.size(),
         "{} inputs and {} outputs for an executable of {} and {}", inputs.size(), outputs.size(), self.inputs.size(),
         self.outputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) self.inputs[i].move_to(const_cast<void*>(inputs[i]));
  for (std::size_t i = 0; i < outputs.size(); ++i) self.outputs[i].move_to(outputs[i]);
  self.run();
}

std::int64_t Executable::launches() const { return implementation_->launches(); }

void Executable::prepare() { implementation_->refresh(); }
std::size_t Executable::bytes_to_come() const { return implementation_->bytes_to_come(); }

const Types& Executable::input_types() const { return implementation_->input_types; }
const Types& Executable::output_types() const { return implementation_->output_types; }
const ExecutableStatistics& Executable::statistics() const { return implementation_->statistics; }
std::string Executable::text() const { return implementation_->text(); }

void Executable::profile(Profile* profile) {
  Implementation& self = *implementation_;
  self.profile = profile;
  if (!profile) return;
  profile->kernels.clear(), profile->events.clear(), profile->runs = 0;
  profile->events.reserve(profile->max_events);
  for (std::size_t s = static_cast<std::size_t>(self.schedule.prologue); s < self.schedule.steps.size(); ++s)
    profile->kernels.push_back(self.described(self.schedule.steps[s]));
}

void Executable::measure_alone(Profile& profile) {
  Implementation& self = *implementation_;
  ensure(profile.kernels.size() == static_cast<std::size_t>(self.statistics.kernels), "a profile of {} kernels for {}",
         profile.kernels.size(), self.statistics.kernels);
  self.alone = &profile;
}

}  // namespace nacre
