// Arithmetic on symbols, recorded as Keras records it: x * 2 + 1, 3 - x, x > 0, at(x, {":", "1:3"}). Numbers are
// constants of the call. `==` compares symbols, not what they stand for: equal(x, y) does that.
#pragma once

#include "layers/operations.h"

namespace nacre {

Symbol operator+(const Symbol& a, const Symbol& b);
Symbol operator+(const Symbol& a, const Tree& b);
Symbol operator+(const Tree& a, const Symbol& b);
Symbol operator-(const Symbol& a, const Symbol& b);
Symbol operator-(const Symbol& a, const Tree& b);
Symbol operator-(const Tree& a, const Symbol& b);
Symbol operator*(const Symbol& a, const Symbol& b);
Symbol operator*(const Symbol& a, const Tree& b);
Symbol operator*(const Tree& a, const Symbol& b);
Symbol operator/(const Symbol& a, const Symbol& b);
Symbol operator/(const Symbol& a, const Tree& b);
Symbol operator/(const Tree& a, const Symbol& b);
Symbol operator%(const Symbol& a, const Symbol& b);  // the rest, with the sign of b
Symbol operator%(const Symbol& a, const Tree& b);
Symbol operator-(const Symbol& x);

Symbol operator<(const Symbol& a, const Symbol& b);
Symbol operator<(const Symbol& a, const Tree& b);
Symbol operator<=(const Symbol& a, const Symbol& b);
Symbol operator<=(const Symbol& a, const Tree& b);
Symbol operator>(const Symbol& a, const Symbol& b);
Symbol operator>(const Symbol& a, const Tree& b);
Symbol operator>=(const Symbol& a, const Symbol& b);
Symbol operator>=(const Symbol& a, const Tree& b);
Symbol equal(const Symbol& a, const Symbol& b);
Symbol equal(const Symbol& a, const Tree& b);
Symbol operator&(const Symbol& a, const Symbol& b);  // logical, as in Keras
Symbol operator|(const Symbol& a, const Symbol& b);
Symbol operator~(const Symbol& x);

Symbol pow(const Symbol& a, const Symbol& b);
Symbol pow(const Symbol& a, const Tree& b);
Symbol abs(const Symbol& x);
// x[key] as in Python: at(x, {":", "1:3", 0, "..."}); Tree() is a new axis.
Symbol at(const Symbol& x, std::initializer_list<Tree> key);

}  // namespace nacre
