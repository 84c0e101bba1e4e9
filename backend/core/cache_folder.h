// Where files are kept that can be had again: weights that were fetched, features that were computed, kernels that were
// compiled.
#pragma once

#include <filesystem>

namespace nacre {

// NACRE_HOME, else XDG_CACHE_HOME/nacre, else ~/.cache/nacre; "" where the environment names none of them.
std::filesystem::path cache_folder();

}  // namespace nacre
