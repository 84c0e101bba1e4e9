// Tensors in tables, as functions take and give them: {x, {mean = m, scale = s}}.
#pragma once

#include "scripting/tensors/compute.h"

namespace nacre::scripting {

// A tensor, a table of such, or a value that is none (a number, a text, nil).
struct Structure {
  using Entries = std::vector<std::pair<std::string, Structure>>;
  std::optional<Object> tensor{};
  Tree constant{};  // where there is no tensor and no table
  bool is_table = false;
  std::vector<Structure> items{};
  Entries entries{};  // sorted by key

  // Throws a usage Error for other objects, functions, and tables nested too deep.
  static Structure read(const Call& call, int index);
  // Calls visit(tensor) for each, in order.
  void each(const std::function<void(const Object&)>& visit) const;
  std::size_t count() const;
  // The same tables with other values in the places of tensors, in order.
  Out map(const std::function<Out(const Object&)>& value_for) const;
  // The same with other tensors in the places of tensors, in order.
  Structure with(std::span<const Object> tensors) const;
  // The same with tensors in the places of numbers and booleans.
  Structure with_tensors() const;
  // What tells structures apart, types of tensors included.
  void append_to(std::string& key) const;
  std::string text() const;  // the same for people, who are shown the beginning of long texts
};

}  // namespace nacre::scripting
