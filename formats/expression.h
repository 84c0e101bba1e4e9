// Expressions in configurations: ${2 * filters}, ${1/255}, ${env:HOME}.
//
// An expression is one expression of Lua 5.4 that sees the given variables, numbers, comparisons, texts, tables and
// the functions of `math` (also without the prefix: floor(x / 2), min(a, b)); of `string` only format, len, lower,
// sub and upper. It cannot reach files, the system or other code, and its steps, memory and texts are bounded.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "formats/tree.h"

namespace nacre {

using Variables = std::map<std::string, Tree, std::less<>>;

// The value of an expression: null, a boolean, a number, a text, a list or a mapping. Division gives reals, which
// count as integers where they are integral (Tree::as_integer). Throws a usage Error that shows the expression.
Tree evaluate(std::string_view expression, const Variables& variables = {});

// `tree` with every ${…} in its texts and keys replaced, at any depth. A text that is exactly one ${…} becomes the
// value itself, with its type; within a longer text the value is written out. ${env:NAME} is the environment
// variable, read as a plain YAML scalar: EPOCHS=3 gives an integer. $${ stands for ${ itself. Errors carry the mark
// of the text.
Tree substitute(const Tree& tree, const Variables& variables = {});

// Whether a text holds an expression, so that its kind is known only after substitute().
bool has_expression(std::string_view text);

}  // namespace nacre
