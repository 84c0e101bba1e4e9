// How much samples of a class count: Keras's class_weight, with scikit-learn's word for what the classes' sizes say.
#pragma once

#include <initializer_list>
#include <map>

#include "api/data/dataset.h"
#include "formats/config.h"

namespace nacre {

// {0: 1, 1: 2.5}, {cat: 1, dog: 2.5}, or `balanced`: all classes count the same in sum. What is not named counts 1.
struct ClassWeight {
  std::map<std::int64_t, double> numbers;
  std::map<std::string, double> names;
  bool balanced = false;

  ClassWeight() = default;
  ClassWeight(std::map<std::int64_t, double> weights) : numbers(std::move(weights)) {}
  ClassWeight(std::initializer_list<std::pair<const std::int64_t, double>> weights) : numbers(weights) {}
  bool operator==(const ClassWeight&) const = default;

  // By class number. Names that are numbers are names first. `classes`: how many the model tells apart, 0: it does not say.
  // Throws a usage Error for a class that neither the data nor the model has, for two weights of one class, for weights that
  // are negative or not finite, and for `balanced` where the targets are no classes. Reads targets alone.
  std::map<std::int64_t, double> of(const Dataset& data, std::int64_t classes = 0) const;
};

template <>
struct FieldKind<ClassWeight> {
  static void read(const Tree& tree, ClassWeight& value);
  static Tree write(const ClassWeight& value, Style style);
  static Tree schema();
};

}  // namespace nacre
