// The code of a function of Lua, as string.dump gives it: what tells whether two texts are the same function, and which
// global names one uses.
// Source: Lua 5.4, ldump.c and lopcodes.h.
#pragma once

#include <array>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace nacre::scripting {

class FunctionCode {
 public:
  // Without debug information. Throws Error when the code is of another kind.
  explicit FunctionCode(std::string_view dump);

  // Whether both do the same, where the functions around may keep what they use in other places.
  bool same_as(const FunctionCode& other) const;
  // The fields that it takes of the table in this upvalue (_ENV), also in the functions within; where a field of such a
  // field is taken at once, "math.floor", that too.
  std::set<std::string> fields_of_upvalue(std::size_t upvalue) const;

 private:
  struct Reader;
  FunctionCode(Reader& reader, int depth);
  void collect(std::size_t upvalue, std::set<std::string>& names) const;

  std::string body_;                  // parameters, instructions and constants
  std::vector<std::uint32_t> code_;   // the instructions
  std::vector<std::string> strings_;  // constants that are texts, by their numbers
  struct Upvalue {
    bool in_stack;  // of the function around; else one of its upvalues
    std::uint8_t index, kind;
    bool operator==(const Upvalue&) const = default;
  };
  std::vector<Upvalue> upvalues_;
  std::vector<FunctionCode> inner_;
};

}  // namespace nacre::scripting
