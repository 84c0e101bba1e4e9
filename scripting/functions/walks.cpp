// Walks along the first axis of tensors: nacre.scan, nacre.map. At once the function is called for each element; in a
// traced function it runs once, and becomes the graph that a scan holds.
#include <algorithm>
#include <limits>

#include "backend/graph/ops/scan.h"
#include "backend/graph/ops/shape.h"
#include "scripting/functions/called_functions.h"

namespace nacre::scripting {

namespace {

constexpr std::int64_t most_elements = std::numeric_limits<std::int32_t>::max();

// Of nacre.scan, and of nacre.map, which carries nothing.
struct Walk {
  std::string_view who;
  Out function;
  std::vector<Structure> carry;      // one, or none
  std::vector<Structure> sequences;  // one, or none
  std::int64_t length = 0;
  bool reverse = false;
};

// The items that a step gives besides the carry.
std::vector<Structure> items_of(const Walk& walk, std::vector<Structure> results) {
  const std::size_t most = walk.carry.size() + 1, fewest = walk.carry.empty() ? 1 : walk.carry.size();
  if (results.size() < fewest || results.size() > most)
    throw Error("the function of {} gives {}, wanted {}", walk.who, numbered(results.size(), "value"),
                walk.carry.empty() ? "one" : "what it carries on and perhaps an item")
        .usage();
  const std::vector<Structure> items(results.begin() + static_cast<std::ptrdiff_t>(walk.carry.size()), results.end());
  results.resize(walk.carry.size());
  check_carried(walk.carry, results, fmt::format("the function of {}", walk.who));
  return items;
}

Results trace_walk(const Call& call, const Walk& walk) {
  auto& engine = EngineState::of(call);
  TracedFunction step(engine);
  std::vector<Out> given = outs_of(opened(step, walk.carry));
  Values sequences = values_of(call, walk.sequences);
  for (const Structure& sequence : walk.sequences) {
    std::vector<Object> items;
    sequence.each([&](const Object& tensor) {
      const Type type = type_of_tensor(tensor);
      items.push_back(step.open({type.dtype, type.shape.from(1)}));
    });
    given.push_back(out_of(sequence.with(items)));
  }
  const std::vector<Structure> items = items_of(walk, step.run(call, walk.function, given, true));

  HeldFunctions held;
  held.add(step);
  const Values start = values_of(call, walk.carry), changed = held.changed(), fixed = held.fixed();
  const std::size_t walked = sequences.size();
  if (held.random() && walk.length == unknown)
    throw Error("the function of {} draws random numbers, for a number of elements that is not known", walk.who)
        .usage();
  if (held.random() || sequences.empty())
    sequences.push_back(ops::iota(engine.trace()->graph(), {DType::int64, {walk.length}}, 0));
  const ops::Scanned scanned = ops::scan(
      joined(start, changed), sequences, fixed, walk.reverse,
      [&](Graph& into, const Values& carry, const Values& item, const Values& constant) -> ops::ScanStep {
        const std::vector<Values> parts = parted(carry, {start.size(), changed.size()});
        const HeldFunctions::Emitted emitted = held.emit(step, into, joined(parts[0], parted(item, {walked})[0]),
                                                         {constant, parts[1], held.random() ? item.back() : Value()});
        const auto end = emitted.results.begin() + static_cast<std::ptrdiff_t>(start.size());
        return {joined({emitted.results.begin(), end}, emitted.changed), {end, emitted.results.end()}};
      });
  Results results = finish_loop(call, held, walk.carry, scanned.carries);
  auto next = scanned.items.begin();
  for (Out& item : outs_of(with_values(call, items, next))) results.push_back(std::move(item));
  return results;
}

Results walk_now(const Call& call, const Walk& walk) {
  eager::Eager& eager = *EngineState::of(call).eager();
  std::vector<eager::Arrays> rows;  // of each sequence
  for (const Structure& sequence : walk.sequences)
    sequence.each([&](const Object& tensor) { rows.push_back(parts_of(eager, array_of(call, tensor), 1)); });
  std::vector<Structure> carry = walk.carry, items;
  std::vector<std::vector<Object>> stacks;  // of each tensor in the items, in the order of the steps
  for (std::int64_t at = 0; at < walk.length; ++at) {
    const auto place = static_cast<std::size_t>(walk.reverse ? walk.length - 1 - at : at);
    std::vector<Out> given = outs_of(carry);
    auto next = rows.begin();
    for (const Structure& sequence : walk.sequences)
      given.push_back(sequence.map([&](const Object&) { return Out(array_object((*next++)[place])); }));
    const std::vector<Structure> results = call_now(call, walk.function, given), made = items_of(walk, results);
    if (!carry.empty()) carry = {carried(call, results.front())};
    if (at == 0) items = made;
    else check_carried(items, made, fmt::format("a later step of {}", walk.who));
    std::size_t number = 0;
    for (const Structure& item : made)
      item.each([&](const Object& tensor) {
        if (number == stacks.size()) stacks.emplace_back();
        stacks[number++].push_back(tensor);
      });
  }
  Results results = outs_of(carry);
  auto stack = stacks.begin();
  for (const Structure& item : items)
    results.push_back(item.map([&](const Object&) {
      if (walk.reverse) std::ranges::reverse(*stack);
      return Out(stacked(call, *stack++, {walk.length}));
    }));
  return results;
}

// Sequences at `index`, all of one length; nil: none, and as many steps as `length` says.
void read_sequences(const Call& call, int index, std::optional<std::int64_t> length, Walk& walk) {
  const auto refuse = [&]() -> Error {
    return call.unwanted(index, "a tensor or a table of tensors, whose first axis is walked along")
        .hint("nacre.tensor{1, 2, 3} makes one of numbers");
  };
  walk.length = length.value_or(unknown);
  if (call.given(index)) {
    walk.sequences = {carried(call, Structure::read(call, index))};
    if (walk.sequences.front().count() == 0) throw refuse();
    walk.sequences.front().each([&](const Object& tensor) {
      const Shape shape = type_of_tensor(tensor).shape;
      if (shape.rank() == 0 || !same(shape[0], walk.length))
        throw Error("{} got a sequence {}{}", walk.who, tensor.kind->text(tensor),
                    walk.length == unknown ? "" : fmt::format(", wanted {} elements", walk.length))
            .usage();
      walk.length = shape[0];
    });
  }
  if (walk.length == unknown && walk.sequences.empty()) throw refuse();
  if (walk.length == 0) throw Error("{} got sequences without elements", walk.who).usage();
  if (walk.length > most_elements) throw Error("{} got {} elements, which is too many", walk.who, walk.length).usage();
}

struct ScanConfig {
  std::optional<std::int64_t> length;
  bool reverse = false;
  static void describe(auto&& field) {
    field("length", &ScanConfig::length, "steps, where there are no sequences", at_least(1));
    field("reverse", &ScanConfig::reverse, "from the last element to the first; items keep their places");
  }
};

Results scan(Call& call) {
  Walk walk{.who = "nacre.scan",
            .function = function_at(call, 1, "a function that makes a step"),
            .carry = {},
            .sequences = {}};
  walk.carry = {carried(call, Structure::read(call, 2).with_tensors())};
  const auto config = about("scan", [&] { return read_options<ScanConfig>(call, 4); });
  walk.reverse = config.reverse;
  read_sequences(call, 3, config.length, walk);
  return EngineState::of(call).trace() ? trace_walk(call, walk) : walk_now(call, walk);
}

Results map(Call& call) {
  Walk walk{
      .who = "nacre.map", .function = function_at(call, 1, "a function of an element"), .carry = {}, .sequences = {}};
  read_sequences(call, 2, {}, walk);
  return EngineState::of(call).trace() ? trace_walk(call, walk) : walk_now(call, walk);
}

}  // namespace

std::span<const Function> walk_functions() {
  static constexpr Function functions[] = {
      {"scan",
       bound<scan>,
       {.usage = "nacre.scan(f, carry, sequences[, options])",
        .doc =
            "carry, item = f(carry, element) for each element of the first axis of a tensor, or of tensors in a table; "
            "gives the last carry, and the items on a new first axis. Without sequences it makes `length` steps.",
        .example = R"(
          local function add(sum, x) return sum + x, sum + x end
          local last, sums = nacre.scan(add, 0.0, nacre.tensor{1.0, 2.0, 3.0})
          assert(last:item() == 6 and sums:totable()[2] == 3)
        )",
        .keys = {fields_of<ScanConfig>}}},
      {"map",
       bound<map>,
       {.usage = "nacre.map(f, sequences)",
        .doc = "f(element) for each element of the first axis of a tensor, or of tensors in a table, one after the "
               "other; gives the results on a new first axis.",
        .example = R"(
          local squares = nacre.map(function(x) return x * x end, nacre.tensor{1, 2, 3})
          assert(squares:totable()[3] == 9)
        )"}},
  };
  return functions;
}

void open_walks(lua_State* lua) { State::set_functions(lua, walk_functions()); }

}  // namespace nacre::scripting
