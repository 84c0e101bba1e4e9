// A value with its place in the source: what YAML, JSON and Lua descriptions are read into and written from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "backend/core/error.h"

namespace nacre {

class Tree {
 public:
  struct Entry;
  using Sequence = std::vector<Tree>;
  using Mapping = std::vector<Entry>;  // in source order, keys are unique

  Tree();  // null
  Tree(bool value);
  Tree(int value);
  Tree(std::int64_t value);
  Tree(double value);
  Tree(std::string value);
  Tree(std::string_view value);
  Tree(const char* value);
  Tree(Sequence items);
  Tree(Mapping entries);
  static Tree sequence();
  static Tree mapping();

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_integer() const { return std::holds_alternative<std::int64_t>(value_); }
  bool is_number() const { return is_integer() || std::holds_alternative<double>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_sequence() const { return std::holds_alternative<Sequence>(value_); }
  bool is_mapping() const { return std::holds_alternative<Mapping>(value_); }

  // Each throws a usage Error with the mark when the value is of another kind: "wanted an integer, got 'abc'".
  bool as_bool() const;
  std::int64_t as_integer() const;  // also accepts an integral real such as 16.0
  double as_number() const;
  const std::string& as_string() const;
  const Sequence& items() const&;
  Sequence& items() &;
  Sequence items() &&;  // by value, so that a loop over the items of a temporary holds them
  const Mapping& entries() const&;
  Mapping& entries() &;
  Mapping entries() &&;

  const Tree* find(std::string_view key) const;  // null when absent or when this is no mapping
  Tree* find(std::string_view key);
  const Tree& operator[](std::string_view key) const;  // throws Error when absent
  Tree& set(std::string_view key, Tree value);         // replaces or appends; a null becomes a mapping
  bool erase(std::string_view key);
  void push(Tree value);  // a null becomes a sequence

  const Mark& mark() const { return mark_; }
  Tree& at(Mark mark) &;
  Tree&& at(Mark mark) &&;

  std::string text() const;       // short one-line form for messages: "'abc'", "3", "[1, 2]", "{a: 1}"
  bool operator==(const Tree& other) const;  // values only, marks are ignored

 private:
  [[noreturn]] void wrong_kind(std::string_view wanted) const;

  std::variant<std::monostate, bool, std::int64_t, double, std::string, Sequence, Mapping> value_;
  Mark mark_;
};

struct Tree::Entry {
  std::string key;
  Tree value;
  Mark mark;  // of the key
};

// Here, where Entry is complete.
inline Tree::Tree() = default;
inline Tree::Tree(bool value) : value_(value) {}
inline Tree::Tree(int value) : value_(std::int64_t{value}) {}
inline Tree::Tree(std::int64_t value) : value_(value) {}
inline Tree::Tree(double value) : value_(value) {}
inline Tree::Tree(std::string value) : value_(std::move(value)) {}
inline Tree::Tree(std::string_view value) : value_(std::string(value)) {}
inline Tree::Tree(const char* value) : value_(std::string(value)) {}
inline Tree::Tree(Sequence items) : value_(std::move(items)) {}
inline Tree::Tree(Mapping entries) : value_(std::move(entries)) {}
inline Tree Tree::sequence() { return Tree(Sequence{}); }
inline Tree Tree::mapping() { return Tree(Mapping{}); }
inline Tree& Tree::at(Mark mark) & {
  mark_ = std::move(mark);
  return *this;
}
inline Tree&& Tree::at(Mark mark) && { return std::move(at(std::move(mark))); }

}  // namespace nacre
