#include "layers/symbolic_ops.h"

namespace nacre {

namespace {

Symbol unary(std::string_view operation, const Symbol& x) { return apply_operation(operation, {x}).front(); }

Symbol binary(std::string_view operation, const Symbol& a, const Symbol& b) { return apply_operation(operation, {a, b}).front(); }

Symbol binary(std::string_view operation, const Symbol& a, const Tree& b) {
  Tree constants;
  constants.set("x2", b);
  return apply_operation(operation, {a}, std::move(constants)).front();
}

Symbol binary(std::string_view operation, const Tree& a, const Symbol& b) {
  Tree constants;
  constants.set("x1", a);
  return apply_operation(operation, {b}, std::move(constants)).front();
}

}  // namespace

Symbol operator+(const Symbol& a, const Symbol& b) { return binary("Add", a, b); }
Symbol operator+(const Symbol& a, const Tree& b) { return binary("Add", a, b); }
Symbol operator+(const Tree& a, const Symbol& b) { return binary("Add", a, b); }
Symbol operator-(const Symbol& a, const Symbol& b) { return binary("Subtract", a, b); }
Symbol operator-(const Symbol& a, const Tree& b) { return binary("Subtract", a, b); }
Symbol operator-(const Tree& a, const Symbol& b) { return binary("Subtract", a, b); }
Symbol operator*(const Symbol& a, const Symbol& b) { return binary("Multiply", a, b); }
Symbol operator*(const Symbol& a, const Tree& b) { return binary("Multiply", a, b); }
Symbol operator*(const Tree& a, const Symbol& b) { return binary("Multiply", a, b); }
Symbol operator/(const Symbol& a, const Symbol& b) { return binary("TrueDivide", a, b); }
Symbol operator/(const Symbol& a, const Tree& b) { return binary("TrueDivide", a, b); }
Symbol operator/(const Tree& a, const Symbol& b) { return binary("TrueDivide", a, b); }
Symbol operator%(const Symbol& a, const Symbol& b) { return binary("Mod", a, b); }
Symbol operator%(const Symbol& a, const Tree& b) { return binary("Mod", a, b); }
Symbol operator-(const Symbol& x) { return unary("Negative", x); }

Symbol operator<(const Symbol& a, const Symbol& b) { return binary("Less", a, b); }
Symbol operator<(const Symbol& a, const Tree& b) { return binary("Less", a, b); }
Symbol operator<=(const Symbol& a, const Symbol& b) { return binary("LessEqual", a, b); }
Symbol operator<=(const Symbol& a, const Tree& b) { return binary("LessEqual", a, b); }
Symbol operator>(const Symbol& a, const Symbol& b) { return binary("Greater", a, b); }
Symbol operator>(const Symbol& a, const Tree& b) { return binary("Greater", a, b); }
Symbol operator>=(const Symbol& a, const Symbol& b) { return binary("GreaterEqual", a, b); }
Symbol operator>=(const Symbol& a, const Tree& b) { return binary("GreaterEqual", a, b); }
Symbol equal(const Symbol& a, const Symbol& b) { return binary("Equal", a, b); }
Symbol equal(const Symbol& a, const Tree& b) { return binary("Equal", a, b); }
Symbol operator&(const Symbol& a, const Symbol& b) { return binary("LogicalAnd", a, b); }
Symbol operator|(const Symbol& a, const Symbol& b) { return binary("LogicalOr", a, b); }
Symbol operator~(const Symbol& x) { return unary("LogicalNot", x); }

Symbol pow(const Symbol& a, const Symbol& b) { return binary("Power", a, b); }
Symbol pow(const Symbol& a, const Tree& b) { return binary("Power", a, b); }
Symbol abs(const Symbol& x) { return unary("Absolute", x); }

Symbol at(const Symbol& x, std::initializer_list<Tree> key) {
  Tree constants;
  constants.set("key", Tree(Tree::Sequence(key)));
  return apply_operation("GetItem", {x}, std::move(constants)).front();
}

}  // namespace nacre
