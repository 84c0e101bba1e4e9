#include "backend/compile/memory.h"

#include <algorithm>

#include "backend/core/memory.h"
#include "backend/discarded.h"
#include "backend/planner.h"

namespace nacre::compile {

namespace {

constexpr int never = -1;

struct Lifetime {
  int first = never, last = never;  // steps that write it first and use it last
};

class MemoryPlanner {
 public:
  MemoryPlanner(Schedule& schedule, const Backend& backend) : schedule_(schedule), backend_(backend) {}

  MemoryPlan run() {
    give_outputs_their_memory();
    give_variables_their_memory();
    reuse_dying_inputs();
    return pack();
  }

 private:
  Place& place(int index) { return schedule_.places[static_cast<std::size_t>(index)]; }
  Storage& storage(int index) { return schedule_.storages[static_cast<std::size_t>(index)]; }
  Storage& storage_of(int place_index) { return storage(place(place_index).storage); }
  Lifetime& lifetime(int storage_index) { return lifetimes_[static_cast<std::size_t>(storage_index)]; }

  void find_lifetimes() {
    lifetimes_.assign(schedule_.storages.size(), {});
    for (int s = 0; s < static_cast<int>(schedule_.steps.size()); ++s) {
      const Step& step = schedule_.steps[static_cast<std::size_t>(s)];
      for (int in : step.inputs) lifetime(place(in).storage).last = s;
      for (int out : step.outputs) {
        Lifetime& life = lifetime(place(out).storage);
        if (life.first == never) life.first = s;
        life.last = s;
      }
    }
  }

  // Written at each run by a kernel that may as well write elsewhere.
  bool movable(int place_index) {
    return storage_of(place_index).kind == Storage::Kind::temporary &&
           lifetime(place(place_index).storage).first >= schedule_.prologue;
  }

  int add_copy(int from, Storage to) {
    const Place original = place(from);
    to.bytes = original.layout.bytes(original.type);
    schedule_.storages.push_back(to);
    schedule_.places.push_back(
        {original.type, original.layout, static_cast<int>(schedule_.storages.size()) - 1, false});
    const int copy = static_cast<int>(schedule_.places.size()) - 1;
    add_copy_step(from, copy);
    return copy;
  }

  void add_copy_step(int from, int to) {
    if (place(from).type.shape.elements() == 0) return;
    Step step{.name = "copy", .inputs = {from}, .outputs = {to}};
    step.kernel = backend_.reorder(place(from).type, place(from).layout, place(to).layout);
    schedule_.steps.push_back(std::move(step));
  }

  void redirect(int from, int to) {
    for (Place& at : schedule_.places)
      if (at.storage == from) at.storage = to;
  }

  void give_outputs_their_memory() {
    find_lifetimes();
    for (int k = 0; k < static_cast<int>(schedule_.outputs.size()); ++k) {
      int& at = schedule_.outputs[static_cast<std::size_t>(k)];
      const Storage memory{.kind = Storage::Kind::output, .index = k, .bytes = place(at).type.bytes()};
      if (movable(at) && storage_of(at).bytes == memory.bytes) storage_of(at) = memory;
      else at = add_copy(at, memory);
    }
  }

  // New values are written over the old ones as soon as nobody reads those any more, else copied at the end.
  void give_variables_their_memory() {
    std::vector<int> taken;  // storages that already are an update's
    for (auto& [slot, value] : schedule_.updates) {
      if (!movable(value) || std::count(taken.begin(), taken.end(), place(value).storage)) {
        value = add_copy(value, {});
        find_lifetimes();
      }
      taken.push_back(place(value).storage);
    }
    find_lifetimes();
    std::vector<std::pair<int, int>> late;
    for (const auto& [slot, value] : schedule_.updates) {
      const int memory = schedule_.slots[static_cast<std::size_t>(slot)].storage;
      if (may_overwrite(memory, place(value).storage)) redirect(place(value).storage, memory);
      else late.emplace_back(slot, value);
    }
    for (const auto& [slot, value] : late) {
      schedule_.places.push_back(place(value));
      schedule_.places.back().storage = schedule_.slots[static_cast<std::size_t>(slot)].storage;
      add_copy_step(value, static_cast<int>(schedule_.places.size()) - 1);
    }
  }

  // Whether the kernel that writes storage `fresh` may write to `old` instead.
  bool may_overwrite(int old, int fresh) {
    const int writer = lifetime(fresh).first;
    if (writer == never || storage(fresh).bytes > storage(old).bytes) return false;
    if (lifetime(old).last < writer) return true;
    if (lifetime(old).last > writer) return false;
    const Step& step = schedule_.steps[static_cast<std::size_t>(writer)];
    for (int i = 0; i < static_cast<int>(step.inputs.size()); ++i) {
      if (place(step.inputs[static_cast<std::size_t>(i)]).storage != old) continue;
      const bool allowed =
          std::any_of(step.in_place.begin(), step.in_place.end(), [&](const KernelPlan::InPlace& pair) {
            return pair.input == i && place(step.outputs[static_cast<std::size_t>(pair.output)]).storage == fresh;
          });
      if (!allowed) return false;
    }
    return true;
  }

  void reuse_dying_inputs() {
    find_lifetimes();
    for (int s = schedule_.prologue; s < static_cast<int>(schedule_.steps.size()); ++s) {
      const Step& step = schedule_.steps[static_cast<std::size_t>(s)];
      for (const auto& [output, input] : step.in_place) {
        const int fresh = place(step.outputs[static_cast<std::size_t>(output)]).storage;
        const int old = place(step.inputs[static_cast<std::size_t>(input)]).storage;
        if (storage(fresh).kind != Storage::Kind::temporary || storage(old).kind != Storage::Kind::temporary) continue;
        const bool taken =
            std::any_of(step.outputs.begin(), step.outputs.end(), [&](int out) { return place(out).storage == old; });
        if (taken || lifetime(fresh).first != s || lifetime(old).first < schedule_.prologue ||
            !may_overwrite(old, fresh))
          continue;
        lifetime(old).last = lifetime(fresh).last;
        lifetime(fresh) = {};
        redirect(fresh, old);
      }
    }
  }

  MemoryPlan pack() {
    find_lifetimes();
    MemoryPlan plan;
    plan.offsets.resize(schedule_.storages.size());
    plan.scratch.resize(schedule_.steps.size());
    std::vector<PlannedBuffer> buffers;
    std::vector<std::size_t*> offsets;
    for (int i = 0; i < static_cast<int>(schedule_.storages.size()); ++i) {
      Storage& at = storage(i);
      const Lifetime life = lifetime(i);
      if (at.kind != Storage::Kind::temporary || life.first == never) continue;
      if (life.first < schedule_.prologue && life.last >= schedule_.prologue) {
        at.kind = Storage::Kind::persistent;
        plan.offsets[static_cast<std::size_t>(i)] = plan.persistent_bytes;
        plan.persistent_bytes += aligned(at.bytes);
      } else {
        buffers.push_back({.bytes = at.bytes, .first = life.first, .last = life.last});
        offsets.push_back(&plan.offsets[static_cast<std::size_t>(i)]);
      }
    }
    for (int s = 0; s < static_cast<int>(schedule_.steps.size()); ++s) {
      buffers.push_back({.bytes = schedule_.steps[static_cast<std::size_t>(s)].scratch_bytes, .first = s, .last = s});
      offsets.push_back(&plan.scratch[static_cast<std::size_t>(s)]);
    }
    plan.arena_bytes = plan_arena(buffers);
    for (std::size_t i = 0; i < buffers.size(); ++i) *offsets[i] = buffers[i].offset;
    plan.prologue = find_prologue_needs();
    return plan;
  }

  // What a step of the prologue depends on; a step whose result is only temporary also runs when a reader of it must.
  std::vector<std::vector<char>> find_prologue_needs() {
    const auto count = static_cast<std::size_t>(schedule_.prologue);
    std::vector<std::vector<char>> needs(count, std::vector<char>(schedule_.slots.size(), 0));
    std::vector<int> writer(schedule_.storages.size(), never);
    auto include = [](std::vector<char>& all, const std::vector<char>& more) {
      for (std::size_t i = 0; i < all.size(); ++i) all[i] = all[i] || more[i];
    };
    for (std::size_t s = 0; s < count; ++s) {
      for (int in : schedule_.steps[s].inputs) {
        const int from = writer[static_cast<std::size_t>(place(in).storage)];
        if (storage_of(in).kind == Storage::Kind::slot) needs[s][static_cast<std::size_t>(storage_of(in).index)] = 1;
        else if (from != never) include(needs[s], needs[static_cast<std::size_t>(from)]);
      }
      for (int out : schedule_.steps[s].outputs)
        writer[static_cast<std::size_t>(place(out).storage)] = static_cast<int>(s);
    }
    for (std::size_t s = count; s-- > 0;)
      for (int in : schedule_.steps[s].inputs)
        if (const int from = writer[static_cast<std::size_t>(place(in).storage)];
            from != never && storage_of(in).kind == Storage::Kind::temporary)
          include(needs[static_cast<std::size_t>(from)], needs[s]);
    return needs;
  }

  Schedule& schedule_;
  const Backend& backend_;
  std::vector<Lifetime> lifetimes_;
};

}  // namespace

MemoryPlan plan_memory(Schedule& schedule, const Backend& backend) {
  MemoryPlan plan = MemoryPlanner(schedule, backend).run();
  if (!backend.shares_host_memory()) return plan;  // it says itself when there is not enough
  try {
    want_memory(plan.arena_bytes + plan.persistent_bytes, "what the layers compute at a time");
  } catch (Error& error) {
    const auto bytes_of = [&](int index) { return schedule.places[static_cast<std::size_t>(index)].type.bytes(); };
    std::size_t most = 0;
    const Step* largest = nullptr;
    for (const Step& step : schedule.steps)
      for (int out : step.outputs)
        if (bytes_of(out) > most) most = bytes_of(out), largest = &step;
    if (largest && !largest->label.empty()) error.within(fmt::format("most of it {}: {} bytes", largest->label, most));
    throw;
  }
  return plan;
}

}  // namespace nacre::compile
