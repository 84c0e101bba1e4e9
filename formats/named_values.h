// A field that maps names to values, in the order of the file.
#pragma once

#include "formats/config.h"

namespace nacre {

template <class T>
struct NamedValues {
  std::vector<std::pair<std::string, T>> entries;
};

template <class T>
struct FieldKind<NamedValues<T>> {
  static void read(const Tree& tree, NamedValues<T>& value) {
    value.entries.clear();
    for (const Tree::Entry& entry : tree.entries()) {
      value.entries.emplace_back(entry.key, T());
      FieldKind<T>::read(entry.value, value.entries.back().second);
    }
  }
  static Tree write(const NamedValues<T>& value, Style style) {
    Tree tree = Tree::mapping();
    for (const auto& [name, item] : value.entries) tree.set(name, FieldKind<T>::write(item, style));
    return tree;
  }
  static Tree schema() {
    Tree schema = schema_type("object");
    schema.set("additionalProperties", FieldKind<T>::schema());
    return schema;
  }
};

}  // namespace nacre
