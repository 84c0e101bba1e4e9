// Sources: the format as lzf_d.c of LibLZF 3.6 reads it, and the filter's parameters as h5py's lzf_filter.c writes
// them: revision, version of LZF, size of a chunk in bytes.
#include "formats/hdf5_lzf.h"

#include <hdf5.h>

#include <algorithm>
#include <cstdlib>

namespace nacre::hdf5 {

namespace {

constexpr std::size_t best_ratio = 132;  // three bytes stand for 264 at most, two for 8

// Literal runs (0 to 31: that many bytes and one follow) and copies of what was unpacked before (length in the upper
// three bits, more in a second byte when all are set; distance in 13 bits). False when it does not come out at the end
// of both.
}  // namespace

bool unpack_lzf(std::span<const unsigned char> packed, std::span<unsigned char> out) {
  std::size_t in = 0, place = 0;
  while (in < packed.size()) {
    const std::size_t control = packed[in++];
    if (control < 32) {
      const std::size_t count = control + 1;
      if (count > packed.size() - in || count > out.size() - place) return false;
      std::copy_n(packed.data() + in, count, out.data() + place);
      in += count, place += count;
      continue;
    }
    std::size_t count = control >> 5, distance = (control & 31) << 8;
    if (count == 7) {
      if (in == packed.size()) return false;
      count += packed[in++];
    }
    if (in == packed.size()) return false;
    distance += packed[in++] + std::size_t{1};
    count += 2;
    if (distance > place || count > out.size() - place) return false;
    for (std::size_t i = 0; i < count; ++i, ++place) out[place] = out[place - distance];  // the two may overlap
  }
  return place == out.size();
}

namespace {

// Buffers belong to the library, which frees them with H5free_memory.
std::size_t filter(unsigned flags, std::size_t parameter_count, const unsigned parameters[], std::size_t size,
                   std::size_t* capacity, void** buffer) {
  if (!(flags & H5Z_FLAG_REVERSE) || parameter_count < 3) return 0;
  const std::size_t unpacked = parameters[2];
  if (unpacked == 0 || unpacked / best_ratio > size) return 0;
  void* out = H5allocate_memory(unpacked, false);
  if (!out) return 0;
  const std::span from(static_cast<const unsigned char*>(*buffer), size);
  if (!unpack_lzf(from, {static_cast<unsigned char*>(out), unpacked})) {
    H5free_memory(out);
    return 0;
  }
  H5free_memory(*buffer);
  *buffer = out;
  *capacity = unpacked;
  return unpacked;
}

}  // namespace

void register_lzf() {
  constexpr H5Z_class2_t lzf{H5Z_CLASS_T_VERS, lzf_filter, 0, 1, "lzf", nullptr, nullptr, filter};
  H5Zregister(&lzf);
}

}  // namespace nacre::hdf5
