#include "formats/tree.h"

#include <algorithm>
#include <cmath>

namespace nacre {

void Tree::wrong_kind(std::string_view wanted) const {
  throw Error("wanted {}, got {}", wanted, text()).at(mark_).usage();
}

bool Tree::as_bool() const {
  if (const bool* value = std::get_if<bool>(&value_)) return *value;
  wrong_kind("true or false");
}

std::int64_t Tree::as_integer() const {
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return *value;
  if (const auto* value = std::get_if<double>(&value_); value && *value == std::floor(*value) && std::abs(*value) < 0x1p53)
    return static_cast<std::int64_t>(*value);
  wrong_kind("an integer");
}

double Tree::as_number() const {
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*value);
  if (const auto* value = std::get_if<double>(&value_)) return *value;
  wrong_kind("a number");
}

const std::string& Tree::as_string() const {
  if (const auto* value = std::get_if<std::string>(&value_)) return *value;
  wrong_kind("a text");
}

const Tree::Sequence& Tree::items() const& {
  if (const auto* value = std::get_if<Sequence>(&value_)) return *value;
  wrong_kind("a list");
}

Tree::Sequence& Tree::items() & { return const_cast<Sequence&>(std::as_const(*this).items()); }
Tree::Sequence Tree::items() && { return std::move(items()); }

const Tree::Mapping& Tree::entries() const& {
  if (const auto* value = std::get_if<Mapping>(&value_)) return *value;
  wrong_kind("a mapping");
}

Tree::Mapping& Tree::entries() & { return const_cast<Mapping&>(std::as_const(*this).entries()); }
Tree::Mapping Tree::entries() && { return std::move(entries()); }

const Tree* Tree::find(std::string_view key) const {
  const auto* mapping = std::get_if<Mapping>(&value_);
  if (!mapping) return nullptr;
  const auto found = std::find_if(mapping->begin(), mapping->end(), [&](const Entry& entry) { return entry.key == key; });
  return found == mapping->end() ? nullptr : &found->value;
}

Tree* Tree::find(std::string_view key) { return const_cast<Tree*>(std::as_const(*this).find(key)); }

const Tree& Tree::operator[](std::string_view key) const {
  if (const Tree* value = find(key)) return *value;
  entries();  // says so when this is no mapping
  throw Error("the key '{}' is missing", key).at(mark_).usage();
}

Tree& Tree::set(std::string_view key, Tree value) {
  if (is_null()) value_ = Mapping{};
  if (Tree* present = find(key)) return *present = std::move(value);
  return entries().emplace_back(Entry{std::string(key), std::move(value), {}}).value;
}

bool Tree::erase(std::string_view key) {
  return std::erase_if(entries(), [&](const Entry& entry) { return entry.key == key; }) > 0;
}

void Tree::push(Tree value) {
  if (is_null()) value_ = Sequence{};
  items().push_back(std::move(value));
}

std::string Tree::text() const {
  struct Writer {
    std::string operator()(std::monostate) const { return "null"; }
    std::string operator()(bool value) const { return value ? "true" : "false"; }
    std::string operator()(std::int64_t value) const { return std::to_string(value); }
    std::string operator()(double value) const { return fmt::format("{}", value); }
    std::string operator()(const std::string& value) const {
      return value.size() > 60 ? "'" + value.substr(0, 57) + "…'" : "'" + value + "'";
    }
    std::string operator()(const Sequence& items) const {
      std::string text = "[";
      for (const Tree& item : items) {
        if (text.size() > 60) return text + ", …]";
        text += (text.size() > 1 ? ", " : "") + item.text();
      }
      return text + "]";
    }
    std::string operator()(const Mapping& entries) const {
      std::string text = "{";
      for (const Entry& entry : entries) {
        if (text.size() > 60) return text + ", …}";
        text += (text.size() > 1 ? ", " : "") + entry.key + ": " + entry.value.text();
      }
      return text + "}";
    }
  };
  return std::visit(Writer{}, value_);
}

bool Tree::operator==(const Tree& other) const {
  if (is_mapping() && other.is_mapping())
    return std::equal(entries().begin(), entries().end(), other.entries().begin(), other.entries().end(),
                      [](const Entry& a, const Entry& b) { return a.key == b.key && a.value == b.value; });
  if (is_mapping() || other.is_mapping()) return false;
  if (is_sequence() && other.is_sequence()) return items() == other.items();
  if (is_sequence() || other.is_sequence()) return false;
  if (is_number() && other.is_number()) return as_number() == other.as_number();
  if (value_.index() != other.value_.index()) return false;
  return is_null() || (is_bool() ? as_bool() == other.as_bool() : as_string() == other.as_string());
}

}  // namespace nacre
