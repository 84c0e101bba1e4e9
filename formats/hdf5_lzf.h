// LZF, the compression that h5py has of its own (filter 32000): unpacked here, for no filter plugins are loaded.
#pragma once

namespace nacre::hdf5 {

// Makes the filter known to the library. Within the first Session.
void register_lzf();

}  // namespace nacre::hdf5
