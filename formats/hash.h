// Hashes of texts as TensorFlow computes them: what a model learned about hashed categories depends on their very values.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace nacre {

// FarmHash's Fingerprint64, fixed for all machines and time.
std::uint64_t farm_fingerprint(std::string_view text);

// SipHash-2-4 (Aumasson and Bernstein, 2012).
std::uint64_t sip_hash(std::string_view text, std::array<std::uint64_t, 2> key);

// The fingerprint of a pair: TensorFlow's FingerprintCat64.
std::uint64_t joined_fingerprint(std::uint64_t first, std::uint64_t second);

}  // namespace nacre
