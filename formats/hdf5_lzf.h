// LZF, the compression that h5py has of its own (filter 32000): unpacked here, for no filter plugins are loaded.
#pragma once

#include <span>

namespace nacre::hdf5 {

// Makes the filter known to the library. Within the first Session.
void register_lzf();

inline constexpr int lzf_filter = 32000;
// Fills `out`; false when that is not what it unpacks to.
bool unpack_lzf(std::span<const unsigned char> packed, std::span<unsigned char> out);

}  // namespace nacre::hdf5
