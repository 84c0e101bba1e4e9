// Samples that are decoded once.
#pragma once

#include <filesystem>

#include "api/data/dataset.h"

namespace nacre {

// The same samples, each kept in memory from its first read on. Throws a usage Error when they would take more than three
// quarters of the memory that is free. Data that lies in memory as it is comes back unchanged.
DatasetRef cached(DatasetRef dataset);

// The same, kept in a file of this folder, which is made: read in when it is there, else decoded now by several threads and
// written whole or not at all. Its name holds the dataset's fingerprint: data that changed has another file, and files of
// earlier states are for the user to remove.
DatasetRef cached(DatasetRef dataset, const std::filesystem::path& folder);

}  // namespace nacre
