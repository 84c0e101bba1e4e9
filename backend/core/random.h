// Counter-based random numbers: the value at an index is a pure function of a key, so results do not depend on
// scheduling, memory order or backend. Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3"
// (SC 2011).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "backend/core/tensor.h"

namespace nacre {

// Four random words for a key and a counter.
constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

// 64-bit FNV-1a.
constexpr std::uint64_t hash_text(std::string_view text, std::uint64_t seed = 0xcbf29ce484222325ull) {
  for (char c : text) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return seed;
}

// Names one stream of random numbers: (seed, path of the layer or purpose, index of the call, step of training).
// Elements of the stream are addressed by a 32-bit block number, four words a block.
struct RandomKey {
  std::uint64_t seed = 0;    // of the experiment
  std::uint64_t stream = 0;  // hash_text(path) combined with the call index
  std::uint32_t step = 0;

  static RandomKey of(std::uint64_t seed, std::string_view path, std::uint32_t call = 0, std::uint32_t step = 0) {
    return {seed, hash_text(path) + 0x9E3779B97F4A7C15ull * call, step};
  }
  // Philox's counter of a block, and its key.
  std::array<std::uint32_t, 4> counter(std::uint32_t index) const {
    return {index, step, static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)};
  }
  std::array<std::uint32_t, 2> key() const {
    const std::uint64_t mixed = seed * 0xD1342543DE82EF95ull + 0x632BE59BD9B4E019ull;
    return {static_cast<std::uint32_t>(mixed), static_cast<std::uint32_t>(mixed >> 32)};
  }
  std::array<std::uint32_t, 4> block(std::uint32_t index) const { return philox(counter(index), key()); }
  std::uint32_t word(std::uint64_t index) const { return block(static_cast<std::uint32_t>(index >> 2))[index & 3]; }
};

// Uniform in [0, 1) from a word: its upper 24 bits, so that float32 holds it exactly.
constexpr float uniform_from(std::uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

// A sequential reader of a stream, for host code (initializers, shuffling, augmentation). Not thread-safe.
class RandomStream {
 public:
  explicit RandomStream(RandomKey key, std::uint64_t position = 0) : key_(key), position_(position) {}
  std::uint32_t word() {
    if ((position_ & 3) == 0 || fresh_) block_ = key_.block(static_cast<std::uint32_t>(position_ >> 2)), fresh_ = false;
    return block_[position_++ & 3];
  }
  double uniform();                             // [0, 1), 53 bits
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  double normal();                              // mean 0, standard deviation 1 (Box and Muller)
  std::uint64_t below(std::uint64_t bound);     // 0 … bound-1 without bias
  std::uint64_t position() const { return position_; }

 private:
  RandomKey key_;
  std::uint64_t position_;
  std::array<std::uint32_t, 4> block_{};
  bool fresh_ = true;  // no block has been drawn yet
};

// A permutation of 0 … count-1 (Fisher and Yates).
std::vector<std::int64_t> permutation(RandomStream& random, std::int64_t count);

}  // namespace nacre
