// Things that training wants per output of a model: losses, their weights, metrics.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "formats/config.h"

namespace nacre {

// A loss or a metric as the user wrote it. Some of Keras's words ("accuracy", "crossentropy") name different classes for
// different shapes; until those are known they have no object.
template <class Base>
struct Chosen {
  std::string word;  // "mse"; "" when an object was given
  Ref<Base> object;

  Chosen() = default;
  Chosen(std::string word_) : word(std::move(word_)) {}
  Chosen(const char* word_) : word(word_) {}
  template <class Class>
    requires std::is_base_of_v<Base, Class>
  Chosen(std::shared_ptr<Class> given) : object(std::move(given)) {}
  template <class Class>
    requires std::is_base_of_v<Base, Class>
  Chosen(Class given) : object(std::make_shared<Class>(std::move(given))) {}
};

template <class T>
struct ListItem { using type = T; };
template <class T>
struct ListItem<std::vector<T>> { using type = T; };

// One value for all outputs, one for each in their order, or one by the name of the output (Keras's three ways).
template <class T>
struct PerOutput {
  static constexpr bool is_list = requires(T value) { value.push_back({}); };
  using Item = typename ListItem<T>::type;

  std::optional<T> all;
  std::vector<std::optional<T>> each;
  std::map<std::string, T> named;

  PerOutput() = default;
  template <class U>
    requires std::is_convertible_v<U, T>
  PerOutput(U value) : all(std::move(value)) {}
  // {"accuracy", "mae"}: metrics for all outputs; {"mse", "mae"}: one loss for each.
  PerOutput(std::initializer_list<Item> items) {
    if constexpr (is_list) all = T(items);
    else each.assign(items.begin(), items.end());
  }
  static PerOutput by_name(std::map<std::string, T> values) {
    PerOutput result;
    result.named = std::move(values);
    return result;
  }

  bool empty() const { return !all && each.empty() && named.empty(); }
  // A value or none for each of these outputs; throws a usage Error when the counts or names do not fit.
  std::vector<std::optional<T>> resolve(const std::vector<std::string>& outputs, std::string_view what) const {
    std::vector<std::optional<T>> values(outputs.size());
    if (all) values.assign(outputs.size(), all);
    if (!each.empty()) {
      if (each.size() != outputs.size())
        throw Error("{} {} for a model with {} output{}", each.size(), what, outputs.size(), outputs.size() == 1 ? "" : "s").usage();
      values = each;
    }
    for (const auto& [name, value] : named) {
      std::size_t index = 0;
      while (index < outputs.size() && outputs[index] != name) ++index;
      if (index == outputs.size())
        throw Error("{} for the output '{}', which the model does not have", what, name)
            .hint(suggestion(name, {outputs.begin(), outputs.end()}))
            .usage();
      values[index] = value;
    }
    return values;
  }
};

// Whether a tree spells one value of the type, as against values per output.
inline bool spells_one(const Tree& tree, const double*) { return tree.is_number(); }
template <class Base>
bool spells_one(const Tree& tree, const Chosen<Base>*) {
  if (tree.is_string()) return true;
  if (!tree.is_mapping()) return false;
  if (tree.find("class_name")) return true;
  return tree.entries().size() == 1 && registry<Base>().find(tree.entries().front().key);
}
// A list of plain items is one value, a list with lists inside is one per output.
template <class Base>
bool spells_one(const Tree& tree, const std::vector<Chosen<Base>>*) {
  if (!tree.is_sequence()) return spells_one(tree, static_cast<const Chosen<Base>*>(nullptr));
  for (const Tree& item : tree.items())
    if (!spells_one(item, static_cast<const Chosen<Base>*>(nullptr))) return false;
  return true;
}

// Keras's words without a class of their own.
constexpr bool depends_on_shapes(std::string_view word) {
  return word == "accuracy" || word == "acc" || word == "crossentropy" || word == "ce";
}

template <class Base> struct FieldKind<Chosen<Base>> {
  static void read(const Tree& tree, Chosen<Base>& value) {
    value = {};
    if (tree.is_string()) value.word = tree.as_string();
    if (!depends_on_shapes(value.word)) value.object = read_object<Base>(tree);
  }
  static Tree write(const Chosen<Base>& value, Style style) {
    return value.word.empty() ? write_object<Base>(*value.object, style) : Tree(value.word);
  }
  static Tree schema() { return FieldKind<Ref<Base>>::schema(); }
};

template <class T> struct FieldKind<PerOutput<T>> {
  static void read(const Tree& tree, PerOutput<T>& value) {
    value = {};
    if (tree.is_null()) return;
    const auto read_one = [](const Tree& item, T& one) {
      if constexpr (PerOutput<T>::is_list) {
        if (!item.is_sequence()) return FieldKind<typename T::value_type>::read(item, one.emplace_back());
      }
      FieldKind<T>::read(item, one);
    };
    if (spells_one(tree, static_cast<const T*>(nullptr))) return read_one(tree, value.all.emplace());
    if (tree.is_sequence()) {
      for (const Tree& item : tree.items())
        if (std::optional<T>& one = value.each.emplace_back(); !item.is_null()) read_one(item, one.emplace());
      return;
    }
    for (const auto& [name, item, mark] : tree.entries())
      if (!item.is_null()) read_one(item, value.named[name]);
  }
  static Tree write(const PerOutput<T>& value, Style style) {
    if (value.all) return FieldKind<T>::write(*value.all, style);
    if (!value.each.empty()) return FieldKind<std::vector<std::optional<T>>>::write(value.each, style);
    if (value.named.empty()) return {};
    Tree tree = Tree::mapping();
    for (const auto& [name, one] : value.named) tree.set(name, FieldKind<T>::write(one, style));
    return tree;
  }
  static Tree schema() {
    Tree schema, list = schema_type("array"), named = schema_type("object");
    named.set("additionalProperties", FieldKind<T>::schema());
    schema.set("anyOf", Tree::Sequence{FieldKind<T>::schema(), std::move(list), std::move(named), schema_type("null")});
    return schema;
  }
};

}  // namespace nacre
