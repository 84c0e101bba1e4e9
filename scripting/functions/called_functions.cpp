#include "scripting/functions/called_functions.h"

#include "backend/graph/ops/shape.h"

namespace nacre::scripting {

Out function_at(const Call& call, int index, std::string_view wanted) {
  const int type = lua_type(call.lua(), index);
  const bool callable = (type == LUA_TTABLE || type == LUA_TUSERDATA) && lua_getmetatable(call.lua(), index);
  if (callable) lua_pop(call.lua(), 1);
  if (type != LUA_TFUNCTION && !callable) throw call.unwanted(index, wanted);
  return call.keep(index);
}

Out out_of(const Structure& structure) {
  return structure.map([](const Object& tensor) { return Out(tensor); });
}

std::vector<Out> outs_of(const std::vector<Structure>& structures) {
  std::vector<Out> outs;
  for (const Structure& structure : structures) outs.push_back(out_of(structure));
  return outs;
}

std::vector<Out> arguments_from(const Call& call, int first) {
  std::vector<Out> arguments;
  for (int i = first; i <= call.count(); ++i) arguments.emplace_back(Out::At{i});
  return arguments;
}

std::vector<Structure> call_now(const Call& call, const Out& function, const std::vector<Out>& arguments,
                                bool numbers) {
  call.go_on();
  const int top = lua_gettop(call.lua()), first = call.invoke(function, arguments);
  std::vector<Structure> results;
  for (int i = first; i <= lua_gettop(call.lua()); ++i) {
    results.push_back(Structure::read(call, i));
    if (numbers) results.back() = results.back().with_tensors();
  }
  lua_settop(call.lua(), top);
  return results;
}

Structure carried(const Call& call, const Structure& structure) {
  auto& state = EngineState::of(call);
  std::vector<Object> tensors;
  structure.each([&](const Object& tensor) {
    tensors.push_back(state.trace() ? state.traced(traced_value(call, tensor))
                                    : array_object({array_of(call, tensor).value, array_of(call, tensor).origin,
                                                    array_of(call, tensor).output}));
  });
  return structure.with(tensors);
}

Values values_of(const Call& call, const std::vector<Structure>& structures) {
  Values values;
  for (const Structure& structure : structures)
    structure.each([&](const Object& tensor) { values.push_back(traced_value(call, tensor)); });
  return values;
}

std::vector<Structure> with_values(const Call& call, const std::vector<Structure>& structures,
                                   Values::const_iterator& next) {
  std::vector<Structure> placed;
  for (const Structure& structure : structures) {
    std::vector<Object> tensors;
    for (std::size_t i = structure.count(); i > 0; --i) tensors.push_back(EngineState::of(call).traced(*next++));
    placed.push_back(structure.with(tensors));
  }
  return placed;
}

namespace {

eager::Array put_together(eager::Eager& eager, const eager::Arrays& arrays, const Shape& places) {
  const Type type = arrays.front().value.type();
  Tensor whole = Tensor::uninitialised({type.dtype, places + type.shape});
  std::int64_t at = 0;
  for (const eager::Array& array : arrays) {
    copy_elements(array.value, 0, array.value.size(), whole, at);
    at += array.value.size();
  }
  return eager
      .join({std::move(whole)}, arrays,
            [&eager, axes = places.rank()](std::span<const std::optional<eager::Array>> cotangents) {
              const eager::Arrays parts = parts_of(eager, *cotangents.front(), axes);
              return std::vector<std::optional<eager::Array>>(parts.begin(), parts.end());
            })
      .front();
}

}  // namespace

// Their gradients are put together at once, however many there are.
eager::Arrays parts_of(eager::Eager& eager, const eager::Array& array, int axes) {
  const Shape places = array.value.shape().first(axes);
  const Type type{array.value.dtype(), array.value.shape().from(axes)};
  std::vector<Tensor> parts;
  for (std::int64_t i = 0; i < places.elements(); ++i) {
    parts.push_back(Tensor::uninitialised(type));
    copy_elements(array.value, i * parts.back().size(), parts.back().size(), parts.back(), 0);
  }
  return eager.join(std::move(parts), {array},
                    [&eager, type, places](std::span<const std::optional<eager::Array>> cotangents) {
                      eager::Arrays slopes;
                      for (const auto& cotangent : cotangents)
                        slopes.push_back(cotangent ? *cotangent : eager::Array{Tensor(type)});
                      return std::vector<std::optional<eager::Array>>{put_together(eager, slopes, places)};
                    });
}

Object stacked(const Call& call, const std::vector<Object>& tensors, const Shape& places) {
  auto& state = EngineState::of(call);
  if (!state.trace()) {
    eager::Arrays arrays;
    for (const Object& tensor : tensors) arrays.push_back(array_of(call, tensor));
    return array_object(put_together(*state.eager(), arrays, places));
  }
  Values rows;
  for (const Object& tensor : tensors) rows.push_back(ops::expand_dims(traced_value(call, tensor), 0));
  return state.traced(ops::reshape(ops::concat(rows, 0), places + type_of_tensor(tensors.front()).shape));
}

std::string numbered(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

void check_carried(const std::vector<Structure>& before, const std::vector<Structure>& after, std::string_view who) {
  if (before.size() != after.size())
    throw Error("{} gives {}, wanted {}, one for each of the state", who, numbered(after.size(), "value"),
                before.size())
        .usage();
  for (std::size_t i = 0; i < before.size(); ++i)
    if (before[i].text() != after[i].text())
      throw Error("{} makes {} of {}", who, after[i].text(), before[i].text())
          .hint("what is handed from step to step keeps its dtype and its shape: start with such a tensor, or cast it")
          .usage();
}

std::vector<Structure> opened(TracedFunction& function, const std::vector<Structure>& structures) {
  std::vector<Structure> inside;
  for (const Structure& structure : structures) {
    std::vector<Object> tensors;
    structure.each([&](const Object& tensor) { tensors.push_back(function.open(type_of_tensor(tensor))); });
    inside.push_back(structure.with(tensors));
  }
  return inside;
}

Values joined(Values a, const Values& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<Values> parted(const Values& values, std::initializer_list<std::size_t> sizes) {
  std::vector<Values> parts;
  auto at = values.begin();
  for (const std::size_t size : sizes) {
    parts.emplace_back(at, at + static_cast<std::ptrdiff_t>(size));
    at += static_cast<std::ptrdiff_t>(size);
  }
  return parts;
}

Results finish_loop(const Call& call, const HeldFunctions& held, const std::vector<Structure>& state,
                    const Values& found) {
  auto next = found.begin();
  const std::vector<Structure> results = with_values(call, state, next);
  for (const VariableRef& variable : held.changed_variables())
    EngineState::of(call).trace()->graph().update(variable, *next++);
  return outs_of(results);
}

}  // namespace nacre::scripting
