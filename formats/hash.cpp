#include "formats/hash.h"

#include <farmhash.h>

#include <bit>
#include <cstddef>

namespace nacre {

std::uint64_t farm_fingerprint(std::string_view text) { return util::Fingerprint64(text.data(), text.size()); }

std::uint64_t sip_hash(std::string_view text, std::array<std::uint64_t, 2> key) {
  std::uint64_t a = key[0] ^ 0x736f6d6570736575, b = key[1] ^ 0x646f72616e646f6d;
  std::uint64_t c = key[0] ^ 0x6c7967656e657261, d = key[1] ^ 0x7465646279746573;
  const auto rounds = [&](int count) {
    for (int i = 0; i < count; ++i) {
      a += b, c += d;
      b = std::rotl(b, 13) ^ a, d = std::rotl(d, 16) ^ c;
      a = std::rotl(a, 32);
      c += b, a += d;
      b = std::rotl(b, 17) ^ c, d = std::rotl(d, 21) ^ a;
      c = std::rotl(c, 32);
    }
  };
  // Up to eight bytes from `at` on, the first one lowest.
  const auto word = [&](std::size_t at) {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < 8 && at + i < text.size(); ++i)
      bits |= std::uint64_t{static_cast<unsigned char>(text[at + i])} << (8 * i);
    return bits;
  };
  const auto absorb = [&](std::uint64_t bits) {
    d ^= bits;
    rounds(2);
    a ^= bits;
  };
  const std::size_t whole = text.size() / 8 * 8;
  for (std::size_t at = 0; at < whole; at += 8) absorb(word(at));
  absorb(word(whole) | std::uint64_t{text.size()} << 56);
  c ^= 0xff;
  rounds(4);
  return a ^ b ^ c ^ d;
}

std::uint64_t joined_fingerprint(std::uint64_t first, std::uint64_t second) {
  constexpr std::uint64_t factor = 0xc6a4a7935bd1e995;
  const auto mixed = [](std::uint64_t bits) { return bits ^ (bits >> 47); };
  const std::uint64_t both = ((first ^ factor) ^ mixed(second * factor) * factor) * factor;
  return mixed(mixed(both) * factor);
}

}  // namespace nacre
