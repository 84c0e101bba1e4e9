#include "scripting/classes/function_code.h"

#include <cstdint>
#include <cstring>

#include "backend/core/error.h"

namespace nacre::scripting {

namespace {

constexpr std::string_view beginning = "\x1bLua\x54";  // signature and version 5.4
constexpr std::size_t header = 4 + 1 + 1 + 6 + 3 + 8 + 8;
constexpr int deepest = 200;

enum Constant : std::uint8_t {
  nil = 0x00,
  no = 0x01,
  yes = 0x11,
  integer = 0x03,
  real = 0x13,
  short_text = 0x04,
  long_text = 0x14
};
enum Operation : std::uint32_t { get_field_of_upvalue = 11, get_field = 14, set_field_of_upvalue = 15 };

}  // namespace

struct FunctionCode::Reader {
  std::string_view rest;

  std::string_view take(std::size_t size) {
    need(size <= rest.size(), "the code of a function ends early");
    const std::string_view bytes = rest.substr(0, size);
    rest.remove_prefix(size);
    return bytes;
  }
  std::uint8_t byte() { return static_cast<std::uint8_t>(take(1).front()); }
  std::size_t number() {  // seven bits a byte, the highest first; the last has its upper bit set
    std::size_t value = 0;
    for (int i = 0; i < 10; ++i) {
      const std::uint8_t part = byte();
      value = value << 7 | (part & 0x7f);
      if (part & 0x80) return value;
    }
    throw Error("the code of a function has a number that is too long");
  }
  std::string text() {
    const std::size_t size = number();
    return std::string(size ? take(size - 1) : std::string_view());
  }
};

FunctionCode::FunctionCode(std::string_view dump) {
  Reader reader{dump};
  if (!dump.starts_with(beginning)) throw Error("the code of a function is not that of Lua 5.4");
  reader.take(header);
  reader.byte();  // how many upvalues
  *this = FunctionCode(reader, 0);
}

FunctionCode::FunctionCode(Reader& reader, int depth) {
  need(depth < deepest, "functions are nested too deep");
  reader.text();    // the chunk
  reader.number();  // lines
  reader.number();
  const char* const begin = reader.rest.data();
  reader.take(3);  // parameters, whether there may be more, registers
  code_.resize(reader.number());
  const std::string_view instructions = reader.take(code_.size() * sizeof code_.front());
  std::memcpy(code_.data(), instructions.data(), instructions.size());
  strings_.resize(reader.number());
  for (std::string& string : strings_) switch (reader.byte()) {
      case nil:
      case no:
      case yes: break;
      case integer:
      case real: reader.take(8); break;
      case short_text:
      case long_text: string = reader.text(); break;
      default: throw Error("the code of a function has a constant of another kind");
    }
  body_.assign(begin, reader.rest.data());
  upvalues_.resize(reader.number());
  for (Upvalue& upvalue : upvalues_) {
    upvalue.in_stack = reader.byte() != 0;
    upvalue.index = reader.byte();
    upvalue.kind = reader.byte();
  }
  const std::size_t functions = reader.number();
  for (std::size_t i = 0; i < functions; ++i) inner_.push_back(FunctionCode(reader, depth + 1));
  reader.take(reader.number());  // lines of instructions
  for (std::size_t i = 2 * reader.number(); i > 0; --i) reader.number();
  for (std::size_t i = reader.number(); i > 0; --i) reader.text(), reader.number(), reader.number();  // locals
  for (std::size_t i = reader.number(); i > 0; --i) reader.text();                                    // upvalues
}

bool FunctionCode::same_as(const FunctionCode& other) const {
  if (body_ != other.body_ || upvalues_.size() != other.upvalues_.size() || inner_.size() != other.inner_.size())
    return false;
  for (std::size_t i = 0; i < inner_.size(); ++i)
    if (inner_[i].upvalues_ != other.inner_[i].upvalues_ || !inner_[i].same_as(other.inner_[i])) return false;
  return true;
}

std::set<std::string> FunctionCode::fields_of_upvalue(std::size_t upvalue) const {
  std::set<std::string> names;
  collect(upvalue, names);
  return names;
}

void FunctionCode::collect(std::size_t upvalue, std::set<std::string>& names) const {
  const auto add = [&](std::uint32_t constant) {
    if (constant < strings_.size()) names.insert(strings_[constant]);
  };
  struct Instruction {
    std::uint32_t operation, a, b, c;
    explicit Instruction(std::uint32_t code)
        : operation(code & 0x7f), a(code >> 7 & 0xff), b(code >> 16 & 0xff), c(code >> 24) {}
  };
  for (std::size_t i = 0; i < code_.size(); ++i) {
    const Instruction present(code_[i]);
    if (present.operation == set_field_of_upvalue && present.a == upvalue) add(present.b);
    if (present.operation != get_field_of_upvalue || present.b != upvalue) continue;
    add(present.c);
    if (i + 1 == code_.size()) continue;
    const Instruction next(code_[i + 1]);
    if (next.operation == get_field && next.b == present.a && present.c < strings_.size() && next.c < strings_.size())
      names.insert(strings_[present.c] + "." + strings_[next.c]);
  }
  for (const FunctionCode& function : inner_)
    for (std::size_t i = 0; i < function.upvalues_.size(); ++i)
      if (!function.upvalues_[i].in_stack && function.upvalues_[i].index == upvalue) function.collect(i, names);
}

}  // namespace nacre::scripting
