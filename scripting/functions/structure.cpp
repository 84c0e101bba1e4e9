#include "scripting/functions/structure.h"

#include <algorithm>
#include <utility>

namespace nacre::scripting {

namespace {

constexpr int deepest = 32;

Structure read_at(const Call& call, int index, int depth) {
  Structure structure;
  if (auto object = call.object(index)) {
    if (!is_tensor(*object)) throw call.unwanted(index, "a tensor, a table of tensors, a number or a text");
    structure.tensor = *std::move(object);
    return structure;
  }
  if (lua_isfunction(call.lua(), index)) throw call.unwanted(index, "a tensor, a table of tensors, a number or a text");
  if (!call.is_table(index)) {
    structure.constant = call.tree(index);
    return structure;
  }
  if (depth > deepest) throw Error("a table is nested too deep").hint("does it hold itself?").usage();
  structure.is_table = true;
  call.each_item(index, [&](int item) { structure.items.push_back(read_at(call, item, depth + 1)); });
  call.each_named(
      index,
      [&](const std::string& key, int value) { structure.entries.emplace_back(key, read_at(call, value, depth + 1)); },
      true);
  std::ranges::sort(structure.entries, {}, [](const auto& entry) -> const std::string& { return entry.first; });
  return structure;
}

}  // namespace

Structure Structure::read(const Call& call, int index) { return read_at(call, index, 0); }

void Structure::each(const std::function<void(const Object&)>& visit) const {
  if (tensor) visit(*tensor);
  for (const Structure& item : items) item.each(visit);
  for (const auto& [key, value] : entries) value.each(visit);
}

std::size_t Structure::count() const {
  std::size_t tensors = 0;
  each([&](const Object&) { ++tensors; });
  return tensors;
}

Out Structure::map(const std::function<Out(const Object&)>& value_for) const {
  if (tensor) return value_for(*tensor);
  if (!is_table) return constant;
  Out::List list;
  for (const Structure& item : items) list.push_back(item.map(value_for));
  if (entries.empty()) return list;
  Out::Named named;
  for (const auto& [key, value] : entries) named.push_back({key, value.map(value_for)});
  return Out::Mixed{std::move(list), std::move(named)};
}

namespace {

// Calls change(part) for each part that is no table.
void change_parts(Structure& structure, const std::function<void(Structure&)>& change) {
  if (!structure.is_table) return change(structure);
  for (Structure& item : structure.items) change_parts(item, change);
  for (auto& [key, value] : structure.entries) change_parts(value, change);
}

}  // namespace

Structure Structure::with(std::span<const Object> tensors) const {
  Structure changed = *this;
  std::size_t next = 0;
  change_parts(changed, [&](Structure& part) {
    if (part.tensor) part.tensor = tensors[next++];
  });
  return changed;
}

Structure Structure::with_tensors() const {
  Structure changed = *this;
  change_parts(changed, [](Structure& part) {
    const Tree& value = part.constant;
    if (part.tensor || !(value.is_bool() || value.is_number())) return;
    // As nacre.tensor(number) has it.
    if (value.is_bool()) part.tensor = array_object({Tensor::scalar(value.as_bool())});
    else if (!value.is_integer()) part.tensor = array_object({Tensor::scalar(static_cast<float>(value.as_number()))});
    else if (std::in_range<std::int32_t>(value.as_integer()))
      part.tensor = array_object({Tensor::scalar(static_cast<std::int32_t>(value.as_integer()))});
    else throw Error("the number {} is no int32", value.as_integer()).hint("nacre.tensor(number, \"int64\")").usage();
    part.constant = {};
  });
  return changed;
}

namespace {

// Calls part(structure) for each part that is no table.
void write(std::string& text, const Structure& structure, void (*part)(std::string&, const Structure&)) {
  if (!structure.is_table) return part(text, structure);
  text += '{';
  for (const Structure& item : structure.items) write(text, item, part), text += ',';
  for (const auto& [name, value] : structure.entries) {
    part(text, {.constant = name});
    text += '=';
    write(text, value, part);
    text += ',';
  }
  text += '}';
}

}  // namespace

std::string Structure::text() const {
  std::string text;
  write(text, *this, [](std::string& to, const Structure& part) {
    to += part.tensor ? type_of_tensor(*part.tensor).text() : part.constant.text();
  });
  return text;
}

// 1 is not 1.0, which Lua tells apart too, and texts may hold whatever else stands in a key.
void Structure::append_to(std::string& key) const {
  write(key, *this, [](std::string& to, const Structure& part) {
    const Tree& value = part.constant;
    if (part.tensor) to += type_of_tensor(*part.tensor).text();
    else if (value.is_string()) to += fmt::format("'{}'{}", value.as_string().size(), value.as_string());
    else if (value.is_number() && !value.is_integer()) to += fmt::format("~{}", value.as_number());
    else to += value.text();
  });
}

}  // namespace nacre::scripting
