// The generated reference: what every class is called, what it does and which fields it has, as Markdown.
#pragma once

#include <map>
#include <string>

#include "formats/config.h"

namespace nacre {

// A page for each kind of class, by file name; "README.md" is the table of contents. The same on every machine.
std::map<std::string, std::string> reference_pages();

// For pages of later folders: what the fields are, as a table, and a text in a cell of one.
std::string field_table(const FieldTable& fields);
std::string table_cell(std::string text);

}  // namespace nacre
