// Checksums of files and texts, with libcrypto.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace nacre {

// md5 tells damage, not forgery: it is there for files whose publishers give nothing else.
enum class Digest { sha256, md5 };

// All in lower-case hexadecimal digits.
std::string digest_of(std::string_view bytes, Digest kind);
// Of the file's bytes as they are.
std::string digest_of_file(const std::filesystem::path& path, Digest kind);

}  // namespace nacre
