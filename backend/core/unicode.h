// Texts as Unicode.
#pragma once

#include <string>
#include <string_view>

namespace nacre {

std::size_t valid_utf8(std::string_view text);  // how many bytes, from the first on, are UTF-8
void append_utf8(std::string& text, char32_t code_point);
// The code point at `position` of valid UTF-8, which moves behind it.
char32_t next_utf8(std::string_view text, std::size_t& position);

// Whether a reader sees it as what it is: neither a control character, nor one that turns the direction of others.
bool printable(char32_t code_point);

// What of a file may be shown to a person: it cannot move a terminal's cursor, colour it or begin a line. What is not
// printable becomes \n, \x1b, \u202e, …; bytes that are no UTF-8 become \xff.
std::string escaped(std::string_view text);

}  // namespace nacre
