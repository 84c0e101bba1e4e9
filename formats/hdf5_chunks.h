// Chunks as they are stored, looked at before the library reads them.
#pragma once

#include "formats/hdf5_objects.h"

namespace nacre::hdf5 {

// Refuses chunks of the rows `begin` to `end` of a chunked dataset that do not unpack to exactly a whole chunk: the
// library takes for granted that they do, and reads beyond those that are shorter. What scale-offset, n-bit and szip
// unpack to is not known here. Chunks that are not stored hold the fill value. `again`: more of the dataset will be
// read, so that chunks which are sound are remembered for as long as the file is open.
void check_chunks(const OpenFile& file, std::string_view path, hid_t dataset, const Shape& shape, std::int64_t begin,
                  std::int64_t end, bool again);

}  // namespace nacre::hdf5
