// Files of plain text.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace nacre {

// Lines end with \n or \r\n; the last one need not. A byte order mark at the beginning is no part of the text.
std::vector<std::string> lines_of(std::string_view text);
// Of a file, unpacked when it is gzipped.
std::vector<std::string> read_lines(const std::filesystem::path& path);

}  // namespace nacre
