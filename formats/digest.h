// Checksums of files, with libcrypto.
#pragma once

#include <filesystem>
#include <string>

namespace nacre {

// md5 tells damage, not forgery: it is there for files whose publishers give nothing else.
enum class Digest { sha256, md5 };

// Of the file's bytes as they are, in lower-case hexadecimal digits.
std::string digest_of_file(const std::filesystem::path& path, Digest kind);

}  // namespace nacre
