// The generated reference: what every class is called, what it does and which fields it has, as Markdown.
#pragma once

#include <map>
#include <string>

namespace nacre {

// A page for each kind of class, by file name; "README.md" is the table of contents. The same on every machine.
std::map<std::string, std::string> reference_pages();

}  // namespace nacre
