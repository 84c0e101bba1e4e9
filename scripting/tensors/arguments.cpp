#include "scripting/tensors/arguments.h"

namespace nacre::scripting {

namespace {

// Whether a table has texts among its keys.
bool has_names(const Call& call, int index) {
  if (!call.is_table(index) || !lua_checkstack(call.lua(), 4)) return false;
  for (lua_pushnil(call.lua()); lua_next(call.lua(), index); lua_pop(call.lua(), 1)) {
    if (lua_type(call.lua(), -2) != LUA_TSTRING) continue;
    lua_pop(call.lua(), 2);
    return true;
  }
  return false;
}

}  // namespace

Tree argument_tree(const Call& call, const FieldTable& fields, const Call::ObjectReader& objects) {
  Tree given = Tree::mapping().at(call.place());
  const auto set = [&](std::string_view key, Tree value) {
    if (given.find(key)) throw Error("got '{}' twice, by its place and by its name", key).usage();
    given.set(key, std::move(value));
  };
  const int named = call.count() > 0 && has_names(call, call.count()) ? call.count() : 0;
  int places = call.count() - (named ? 1 : 0);
  if (named == 1 && lua_rawlen(call.lua(), 1) > 0) {  // a list with names beside it
    Tree items = Tree::sequence().at(call.place());
    call.each_item(1, [&](int item) { items.push(call.tree(item, objects)); });
    set(fields.front().key, std::move(items));
  }
  while (places > 0 && !call.given(places)) --places;
  if (fields.front().key == "shape" && places > 1 && lua_isinteger(call.lua(), 1) && lua_isinteger(call.lua(), 2))
    throw Error("got numbers side by side")
        .hint(fmt::format("the shape is one table: {{{}, {}}}", lua_tointeger(call.lua(), 1),
                          lua_tointeger(call.lua(), 2)))
        .usage();
  if (places > static_cast<int>(fields.size()))
    throw Error("wanted {} arguments, got {}", fields.size(), places).usage();
  for (int i = 1; i <= places; ++i) set(fields[static_cast<std::size_t>(i) - 1].key, call.tree(i, objects));
  if (named)
    call.each_named(
        named, [&](const std::string& key, int value) { set(key, call.tree(value, objects)); }, true);
  return given;
}

void check_shape(const Type& type) {
  for (const std::int64_t size : type.shape)
    if (size < 0) {
      const bool open = size == unknown && Call::under_way() && ComputingState::of(Call::current()).trace();
      throw Error("got the size {}, wanted sizes of at least 0", size)
          .hint(open ? "a size that is still open is -1: a layer with compute_output_shape is called when all are known"
                     : "")
          .usage();
    }
  check_size(type);
}

}  // namespace nacre::scripting
