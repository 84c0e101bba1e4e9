// Bytes in base 64 (RFC 4648), for text formats.
#pragma once

#include <string>
#include <string_view>

namespace nacre {

std::string to_base64(std::string_view bytes);   // padded with =
std::string from_base64(std::string_view text);  // as far as it is base 64

}  // namespace nacre
