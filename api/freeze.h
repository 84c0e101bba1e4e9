// Layers that do not learn.
//
//   freeze(model, "until block_13");  // what comes before block_13 stays as it is
#pragma once

#include <variant>

#include "api/functional.h"

namespace nacre {

// Which layers of a model are frozen:
//   true, false       all, none
//   until NAME        those before the first one, in the model's order, that is called NAME or whose name begins so; numbers
//                     are whole ("block_1" is not the beginning of "block_10"). That layer and those after it learn
//   12, -3            the first 12 layers that have weights; all but the last 3 of them
//   block_1*, [a, b]  those of these names, in which `*` stands for any characters, or of these classes (BatchNormalization);
//                     `until NAME` may be among them. All others learn
// Names and classes also mean layers inside others ("encoder/forward_lstm"); numbers count the outer ones.
struct Freeze {
  struct Until {
    std::string name;
    bool operator==(const Until&) const = default;
  };
  std::variant<bool, Until, std::int64_t, std::vector<std::string>> layers = false;

  Freeze() = default;
  Freeze(bool all) : layers(all) {}
  Freeze(int count) : layers(std::int64_t{count}) {}
  Freeze(std::int64_t count) : layers(count) {}
  Freeze(const char* text) : Freeze(std::string(text)) {}
  Freeze(const std::string& text);  // "until NAME", or a name
  Freeze(std::vector<std::string> names) : layers(std::move(names)) {}
  bool operator==(const Freeze&) const = default;
};
template <> struct FieldKind<Freeze> {
  static void read(const Tree& tree, Freeze& value);
  static Tree write(const Freeze& value, Style style);
  static Tree schema();
};

// Freezes these layers and lets all others learn, whatever they did before; BatchNormalization infers where it is frozen.
// A compiled model goes on with the optimizer that it has: see FreezeScheduler. Throws a usage Error for names that no
// layer has.
void freeze(FunctionalLayer& model, const Freeze& frozen);
// Throws what that would throw, and changes nothing.
void check_freeze(const FunctionalLayer& model, const Freeze& frozen);

}  // namespace nacre
